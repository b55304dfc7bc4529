"""Whether a client's audio is nothing but encoded silence, by the size of its packets."""

from appliance.diagnosis import thresholds as limit


class Silence:
    """Fold with :meth:`add`. Opus packs silence into one to three bytes, always alike; speech never stays alike."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """For how long there has been nothing else, up to now."""
        self.evidence: list[int] = []
        """The events of its beginning and its end."""
        self._size: float | None = None

    def add(self, event_id: int, packets: int, size: int, seconds: float) -> None:
        """Take an interval in which ``packets`` of ``size`` bytes in all came, RTP headers included."""
        if not packets:
            return
        mean = size / packets
        if mean > limit.SILENT_BYTES or (self._size is not None and abs(mean - self._size) > limit.SILENT_SPREAD):
            self.seconds, self.evidence, self._size = 0.0, [], None
            return
        self._size = mean if self._size is None else self._size
        self.seconds += seconds
        self.evidence = [self.evidence[0] if self.evidence else event_id, event_id]
