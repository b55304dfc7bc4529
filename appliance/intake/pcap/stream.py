"""One RTP stream on the wire, from the headers that SRTP leaves in clear: RFC 3550 section 6.4.1 and appendix A."""

from typing import NamedTuple

CLOCKS = (8_000, 16_000, 48_000, 90_000)
CLOCK_AFTER_US = 300_000
"""Of packets, before a stream's own pace tells its clock rate."""
MAX_JUMP = 3_000
"""RFC 3550 appendix A.1: a farther one is a source that began anew."""
MAX_SAMPLES = 100_000
MAX_MISSING = 1_000
"""Sequence numbers that may still come; with the others, what comes late is taken for a copy."""


class Sample(NamedTuple):
    """A stream at a moment; counts are cumulative."""

    timestamp_us: int
    packets: int
    octets: int
    lost: int
    jitter_us: int | None
    """``None`` until the stream has told its clock rate, and two of its packets were compared."""
    late: int


class Stream:
    """One SSRC in one direction."""

    __slots__ = (
        "_base_rtp", "_clock", "_jitter", "_missing", "_sequence", "_ticks_per_us", "_told_at", "_transit", "copies",
        "expected", "first_header", "first_us", "last_us", "late", "octets", "packets", "payload_type", "samples",
        "ssrc",
    )  # fmt: skip

    def __init__(self, ssrc: int, payload_type: int, sequence: int, header: bytes, timestamp_us: int) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.first_header = header
        """With its extensions, which may name the mid."""
        self.first_us = self.last_us = timestamp_us
        self.packets = 0
        self.octets = 0
        self.expected = 0
        """By the sequence numbers."""
        self.late = 0
        """Out of order, or sent again."""
        self.copies = 0
        """Packets that were there already: of a mirror port, or of both sides of a NAT. They count as nothing else."""
        self.samples: list[Sample] = []
        self._missing: dict[int, None] = {}
        self._sequence = (sequence - 1) & 0xFFFF
        self._base_rtp: int | None = None
        self._clock = 0
        self._ticks_per_us = 0.0
        self._told_at = 0
        self._transit = 0.0
        self._jitter = 0.0

    @property
    def clock(self) -> int:
        """Hz, estimated; 0 where there was too little to see."""
        return self._clock

    def take(self, timestamp_us: int, sequence: int, rtp_timestamp: int, octets: int) -> None:
        """Count one packet."""
        step = (sequence - self._sequence) & 0xFFFF
        if step == 1:
            self.expected += 1
        elif 0 < step < MAX_JUMP:
            self.expected += step
            self._miss(sequence, step)
        elif step >= 0x10000 - MAX_JUMP or step == 0:
            if sequence not in self._missing:
                self.copies += 1
                return
            del self._missing[sequence]
            self.late += 1
            self.packets += 1
            self.octets += octets
            return
        else:
            # Begun anew: what was lost meanwhile cannot be known.
            self.expected += 1
            self._transit = 0.0
            self._missing.clear()
        self.packets += 1
        self.octets += octets
        self._sequence = sequence
        self.last_us = timestamp_us
        if self._ticks_per_us:
            transit = timestamp_us * self._ticks_per_us - rtp_timestamp
            if self._transit:
                difference = transit - self._transit
                if difference < 0:
                    difference = -difference
                # The RTP timestamp wraps, or jumps with a new source.
                if difference < self._clock:
                    self._jitter += (difference - self._jitter) / 16
            self._transit = transit
        elif self._base_rtp is None:
            self._base_rtp = rtp_timestamp
        elif timestamp_us - self.first_us >= CLOCK_AFTER_US:
            self._estimate(timestamp_us, rtp_timestamp)

    def _miss(self, sequence: int, step: int) -> None:
        for back in range(min(step, MAX_MISSING) - 1, 0, -1):
            self._missing[(sequence - back) & 0xFFFF] = None
        while len(self._missing) > MAX_MISSING:
            del self._missing[next(iter(self._missing))]

    def _estimate(self, timestamp_us: int, rtp_timestamp: int) -> None:
        assert self._base_rtp is not None
        ticks = (rtp_timestamp - self._base_rtp) & 0xFFFFFFFF
        pace = ticks * 1e6 / (timestamp_us - self.first_us)
        if 4_000 < pace < 180_000:
            self._clock = min(CLOCKS, key=lambda clock: max(clock / pace, pace / clock))
            self._ticks_per_us = self._clock / 1e6
            self._told_at = self.packets

    @property
    def _is_timed(self) -> bool:
        """Two packets were compared since the clock rate is known."""
        return bool(self._clock) and self.packets >= self._told_at + 2

    def sample(self, timestamp_us: int) -> None:
        """Note how it stands."""
        if len(self.samples) < MAX_SAMPLES:
            jitter_us = round(self._jitter / self._ticks_per_us) if self._is_timed else None
            # Late ones count as received, so this may fall.
            lost = self.expected - self.packets
            self.samples.append(Sample(timestamp_us, self.packets, self.octets, lost, jitter_us, self.late))
