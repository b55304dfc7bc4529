"""Whether key frames come when a video's sender is asked for one; undecided where the server does not count them."""

from appliance.core.events import MediaStats
from appliance.diagnosis import thresholds as limit


class KeyframeWait:
    """Of one video medium: since when it has been asked in vain, while its packets came."""

    def __init__(self) -> None:
        self.since_us: int | None = None
        """The first request that is not answered yet; ``None``: there is none, or nothing comes at all."""
        self.asked = 0
        """How often since then."""
        self.seen_us: int | None = None
        """The last key frame; ``None``: never."""
        self.seconds = 0.0
        """Of the wait that goes on; 0 before it says anything."""
        self.worst_s = 0.0
        """The longest of the call."""
        self.worst_asked = 0
        self.evidence: list[int] = []
        """The statistics between which the longest was."""
        self._since_id = 0

    def add(self, timestamp_us: int, event_id: int, before: MediaStats | None, now: MediaStats, received: int) -> None:
        """Take the next statistics; ``received``: packets since those before."""
        if now.keyframes_received is None:
            return
        if now.keyframes_received > ((before.keyframes_received if before else None) or 0):
            self.seen_us = timestamp_us
            self._over()
            return
        if not received:
            # Whoever is muted, or gone, owes no picture.
            self._over()
            return
        rise = _requests(now) - (_requests(before) if before else 0)
        if rise > 0:
            if self.since_us is None:
                self.since_us, self._since_id = timestamp_us, event_id
            self.asked += rise
        if self.since_us is not None and self.asked >= (1 if self.seen_us is None else limit.KEYFRAME_REQUESTS):
            self.seconds = (timestamp_us - self.since_us) / 1e6
            if self.seconds > self.worst_s:
                self.worst_s, self.worst_asked = self.seconds, self.asked
                self.evidence = [self._since_id, event_id]

    def _over(self) -> None:
        self.since_us, self.asked, self.seconds = None, 0, 0.0


def _requests(stats: MediaStats) -> int:
    return (stats.plis_sent or 0) + (stats.firs_sent or 0)
