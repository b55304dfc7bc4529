"""What is received of one SSRC: RFC 3550 statistics, and what is missing and worth asking for again."""

from typing import TYPE_CHECKING

from appliance.core.clock import Timer
from appliance.core.peer import Listener
from appliance.media.config import KEYFRAME_INTERVAL, MAX_GAP, MAX_MISSING, NACK_AGE, NACK_TRIES
from appliance.media.pictures import Pictures
from appliance.wire.rtcp import ReportBlock

if TYPE_CHECKING:
    from appliance.media.line import Line
    from appliance.media.selection import Selection
    from appliance.media.send import TxStream

MAX_MISORDER = 100
"""Packets that come later than this many after their turn are of a restarted source (RFC 3550 appendix A.1)."""
MAX_DROPOUT = 3000
_NEVER = float("-inf")
_RENACK_SECONDS = 0.05
"""At least between two requests for the same packet; the round trip where it is longer."""


class RxStream:
    """Counters of one source. :meth:`received` is on the path of every packet."""

    __slots__ = (
        "arrived",
        "bad_sequence",
        "base",
        "bytes",
        "clock_rate",
        "cycles",
        "duplicates",
        "expected_prior",
        "highest",
        "jitter",
        "keyframes",
        "last_sr_at",
        "last_sr_ntp",
        "last_sr_rtp",
        "line",
        "listener",
        "live",
        "lost_fraction",
        "missing",
        "nacks_sent",
        "needs_keyframe",
        "packets",
        "payload_type",
        "pictures",
        "received_prior",
        "reordered",
        "retransmissions",
        "retransmissions_prior",
        "sinks",
        "ssrc",
        "substream",
        "timestamp",
        "transit",
        "transport_at",
    )

    def __init__(
        self, ssrc: int, payload_type: int, clock_rate: int, line: "Line", first_sequence: int, substream: int = 0
    ) -> None:
        self.ssrc = ssrc
        self.substream = substream
        """Which encoding of simulcast, 0 the lowest."""
        self.keyframes = KeyframeThrottle()
        self.payload_type = payload_type
        self.clock_rate = clock_rate
        self.line = line
        self.sinks: tuple[TxStream | Selection, ...] = ()
        self.listener: Listener | None = None
        self.live = False
        """A packet came within the last second; what turns media events on."""
        self.packets = self.bytes = 0
        # As if the packet before the first had come; where that is 65535, the first itself counts the cycle.
        self.base = first_sequence
        self.highest = (first_sequence - 1) & 0xFFFF
        self.cycles = 0 if first_sequence else -0x10000
        self.bad_sequence = -1
        self.timestamp = -1
        self.arrived = 0.0
        """When the last packet came, monotonic seconds."""
        self.transit = self.jitter = 0.0
        """RTP clock ticks."""
        self.reordered = self.duplicates = self.retransmissions = self.retransmissions_prior = 0
        self.missing: dict[int, list[float]] = {}
        """Sequence number to [when it was missed, when it was last asked for, how often]."""
        self.nacks_sent = 0
        """Sequence numbers."""
        self.needs_keyframe = False
        self.pictures: Pictures | None = None
        """What counts key frames; ``None`` for audio."""
        self.transport_at = 0
        """Where the packet at hand has its transport-wide sequence number; 0: it has none."""
        self.expected_prior = self.received_prior = 0
        self.lost_fraction = 0
        self.last_sr_ntp = self.last_sr_rtp = 0
        self.last_sr_at = 0.0

    def received(self, sequence: int, timestamp: int, size: int, now: float) -> bool:
        """Count a packet; false when it must not go on (its sequence number makes no sense yet)."""
        step = (sequence - self.highest) & 0xFFFF
        if step == 1:
            self.highest = sequence
            if sequence == 0:
                self.cycles += 0x10000
        elif not self._out_of_step(sequence, step, now):
            return False
        self.packets += 1
        self.bytes += size
        if timestamp != self.timestamp:
            # RFC 3550 section 6.4.1, once for each timestamp: the later packets of a video frame are paced, not late.
            transit = now * self.clock_rate - timestamp
            if self.timestamp >= 0:
                # A wrapped timestamp or another clock shows as a huge step, and would drown the average.
                difference = abs(transit - self.transit)
                if difference < self.clock_rate * 5:
                    self.jitter += (difference - self.jitter) / 16
            self.transit = transit
            self.timestamp = timestamp
        self.arrived = now
        return True

    def _out_of_step(self, sequence: int, step: int, now: float) -> bool:
        if step == 0:
            self.duplicates += 1
        elif step < MAX_DROPOUT:
            if sequence < self.highest:
                self.cycles += 0x10000
            self._miss(step, now)
            self.highest = sequence
        elif step > 0x10000 - MAX_MISORDER:
            asked = self.missing.pop(sequence, None)
            if asked is not None and asked[2]:
                self.retransmissions += 1
            else:
                self.reordered += 1
        else:
            # Two packets in a row from elsewhere mean that the source began anew (RFC 3550 appendix A.1).
            if sequence != self.bad_sequence:
                self.bad_sequence = (sequence + 1) & 0xFFFF
                return False
            self._restart(sequence)
        self.bad_sequence = -1
        return True

    def _restart(self, sequence: int) -> None:
        # What was received and lost so far stays counted: the base moves so that `lost` doesn't jump.
        lost = self.lost
        self.highest = sequence
        self.cycles = 0
        self.base = sequence - self.packets - lost
        self.missing.clear()
        self.expected_prior = self.expected
        self.received_prior = self.packets

    def _miss(self, step: int, now: float) -> None:
        if step == 1 or not self.line.nacks:
            return
        self.line.path.mind_losses()
        if step > MAX_GAP or len(self.missing) + step > MAX_MISSING:
            self.missing.clear()
            self.needs_keyframe = True
            return
        for number in range(1, step):
            self.missing[(self.highest + number) & 0xFFFF] = [now, _NEVER, 0]

    @property
    def expected(self) -> int:
        """Packets that would have come without loss."""
        return self.cycles + self.highest - self.base + 1

    @property
    def lost(self) -> int:
        """Cumulative and signed (RFC 3550 section 6.4.1): duplicates can make it negative."""
        return self.expected - self.packets

    @property
    def keyframes_received(self) -> int:
        """Of a codec that is known."""
        return self.pictures.keyframes if self.pictures is not None else 0

    def to_ask(self, now: float, rtt: float) -> list[int]:
        """Sequence numbers to ask for again now; what is too old or was asked too often is given up."""
        pause = max(_RENACK_SECONDS, rtt * 1.2)
        due: list[int] = []
        for sequence, state in list(self.missing.items()):
            if now - state[0] > NACK_AGE or state[2] >= NACK_TRIES:
                del self.missing[sequence]
                self.needs_keyframe = True
            elif now - state[1] >= pause:
                state[1] = now
                state[2] += 1
                due.append(sequence)
        return due

    def sender_report(self, ntp_time: int, rtp_timestamp: int, now: float) -> None:
        """The source has told what its clock says."""
        self.last_sr_ntp = ntp_time
        self.last_sr_rtp = rtp_timestamp
        self.last_sr_at = now

    def report(self, now: float) -> ReportBlock:
        """A report block for what came since the last one (RFC 3550 appendix A.3)."""
        expected = self.expected - self.expected_prior
        received = self.packets - self.received_prior
        self.expected_prior = self.expected
        self.received_prior = self.packets
        lost = expected - received
        self.lost_fraction = min(255, (lost << 8) // expected) if expected > 0 and lost > 0 else 0
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=self.lost_fraction,
            packets_lost=self.lost,
            highest_sequence=(self.cycles + self.highest) & 0xFFFFFFFF,
            jitter=int(self.jitter),
            lsr=self.last_sr_ntp >> 16 & 0xFFFFFFFF,
            dlsr=int((now - self.last_sr_at) * 65_536) & 0xFFFFFFFF if self.last_sr_ntp else 0,
        )


class KeyframeThrottle:
    """One request each 500 ms for a source; what comes in between is put off, not lost."""

    def __init__(self) -> None:
        self._last = -KEYFRAME_INTERVAL
        self.pending: Timer | None = None

    def wait(self, now: float) -> float:
        """Seconds until a request may go out; 0 lets this one go."""
        left = self._last + KEYFRAME_INTERVAL - now
        if left > 0:
            return left
        self._last = now
        return 0.0

    def forget(self) -> None:
        """Ask for nothing any more."""
        if self.pending is not None:
            self.pending.cancel()
            self.pending = None
