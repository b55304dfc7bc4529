"""Whether a sender's RTP timestamps run as fast as its clock rate says, by its own sender reports (RFC 3550, 6.4.1)."""

from msgspec import Struct

from appliance.core.events import SenderInfo
from appliance.diagnosis import thresholds as limit

MAX_SOURCES = 8
"""SSRCs of one medium that are followed; further ones are not judged."""
_TICKS = 1 << 32


class _Source(Struct):
    """One SSRC: what its last report said, and how long its rate has been wrong in one direction."""

    ntp_s: float
    rtp_timestamp: int
    wrong_s: float = 0.0
    wrong_ticks: int = 0
    intervals: int = 0


class SenderClock:
    """Fold with :meth:`add`. A jump (a track that was replaced) is no fault; a wrong rate that stays is."""

    def __init__(self) -> None:
        self.deviation = 0.0
        """The worst that lasted: 0.1 is a clock that runs a tenth too fast; 0: none did."""
        self.evidence: list[int] = []
        self._sources: dict[int, _Source] = {}
        self._marks: list[int] = []

    def add(self, event_id: int, ssrc: int, told: SenderInfo, clock_rate: int) -> None:
        """Take a sender report of the client's."""
        ntp_s = told.ntp_sec + told.ntp_frac / _TICKS
        source = self._sources.get(ssrc)
        if source is None:
            if len(self._sources) < MAX_SOURCES:
                self._sources[ssrc] = _Source(ntp_s, told.rtp_timestamp)
            return
        seconds = ntp_s - source.ntp_s
        # Reports come each second or each five; a longer pause may hold anything, and a clock that fell is another.
        if seconds < limit.CLOCK_STEP_S:
            if seconds < 0:
                self._sources[ssrc] = _Source(ntp_s, told.rtp_timestamp)
            return
        ticks = (told.rtp_timestamp - source.rtp_timestamp) % _TICKS
        source.ntp_s, source.rtp_timestamp = ntp_s, told.rtp_timestamp
        deviation = ticks / (seconds * clock_rate) - 1
        same_way = source.intervals == 0 or (deviation > 0) == (source.wrong_ticks > source.wrong_s * clock_rate)
        if not limit.CLOCK_DRIFT < abs(deviation) < limit.CLOCK_JUMP or not same_way:
            source.wrong_s, source.wrong_ticks, source.intervals = 0.0, 0, 0
            self._marks.clear()
            return
        source.wrong_s += seconds
        source.wrong_ticks += ticks
        source.intervals += 1
        self._marks = [*self._marks[-11:], event_id]
        if source.wrong_s >= limit.CLOCK_WINDOW_S and source.intervals >= limit.CLOCK_INTERVALS:
            lasting = source.wrong_ticks / (source.wrong_s * clock_rate) - 1
            if abs(lasting) > abs(self.deviation):
                self.deviation = lasting
                self.evidence = list(self._marks)
