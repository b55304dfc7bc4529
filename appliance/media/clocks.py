"""NTP times, as sender reports carry them (RFC 3550 section 6.4.1), and the monotonic clock."""

from appliance.core.clock import Clock

_NTP_EPOCH = 2_208_988_800
"""Seconds from 1900 to 1970."""
_JUMP_SECONDS = 5.0
"""A peer's clock that is off by more was set."""


class NtpClock:
    """Wall-clock time as NTP, run by the monotonic clock: a step of the wall clock must not look like a round trip."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.wall_us() / 1_000_000 - clock.monotonic() + _NTP_EPOCH

    def now(self) -> int:
        """64 bits."""
        return int((self._clock.monotonic() + self._offset) * 0x1_0000_0000) & 0xFFFF_FFFF_FFFF_FFFF


class SenderClock:
    """A peer's NTP clock against ours: one offset for all its streams keeps them in step with each other."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def local(self, ntp_time: int, now: float) -> float:
        """The monotonic moment of an NTP time that the peer told at ``now``."""
        seconds = ntp_time / 0x1_0000_0000
        if self._offset is None or abs(seconds + self._offset - now) > _JUMP_SECONDS:
            self._offset = now - seconds
        return seconds + self._offset
