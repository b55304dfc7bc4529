"""Gives every event that enters a collector its number and its PeerConnection."""

from msgspec.structs import replace

from appliance.core.clock import Clock
from appliance.core.correlation import Correlator
from appliance.core.events import Event

COLLECTORS = 16
"""That can share a store: each numbers by steps of as many, so no two give the same number."""


class Stamper:
    """Numbers are the collector's wall clock in microseconds where that rises, else the last one plus one.

    So they fit in 53 bits, rise strictly, and go on rising over a restart; a clock that was set back over a restart
    is what ``last`` is for: the highest number that the store holds.
    """

    def __init__(
        self, clock: Clock, *, last: int = 0, correlator: Correlator | None = None, collector: int = 0
    ) -> None:
        """``collector``: 1 to :data:`COLLECTORS`, which of those that share a store; 0: it is alone."""
        self._collector = collector
        self._clock = clock
        self._last = last
        self.correlator = correlator or Correlator()

    def stamp(self, item: Event) -> Event:
        """The same event with ``id`` and ``correlation_id``; one that its gateway has correlated keeps that."""
        return replace(item, id=self._next(), correlation_id=item.correlation_id or self.correlator.of(item))

    def follow_up(self, item: Event, about: Event) -> Event:
        """An event that a handler adds belongs to the PeerConnection of the one that it is about."""
        return replace(item, id=self._next(), correlation_id=about.correlation_id)

    def advance(self, last: int) -> None:
        """Give no number up to ``last`` any more."""
        self._last = max(self._last, last)

    def _next(self) -> int:
        if self._collector:
            step = max(self._last // COLLECTORS + 1, self._clock.wall_us() // COLLECTORS)
            self._last = step * COLLECTORS + self._collector - 1
        else:
            self._last = max(self._last + 1, self._clock.wall_us())
        return self._last
