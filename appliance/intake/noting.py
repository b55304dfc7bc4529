"""Hands a message's events on, and notes which they are, so that a store recognises them when they come again."""

from appliance.core.deliveries import Deliveries, Origin
from appliance.core.events import Event
from appliance.core.intake import Deliver, Progress


class Noting:
    """In place of ``deliver``, for one message, whose events come in its order."""

    __slots__ = ("_deliver", "_deliveries", "_message", "_progress", "place")

    def __init__(
        self, deliver: Deliver, progress: Progress, deliveries: Deliveries, message: str, place: int = 0
    ) -> None:
        """``place``: of the first event."""
        self.place = place
        """Of the next one."""
        self._deliver, self._progress, self._deliveries, self._message = deliver, progress, deliveries, message

    def __call__(self, item: Event) -> None:
        """Hand one on."""
        self._deliver(item)
        self._deliveries.note(self._progress.last_number, Origin(self._message, self.place))
        self.place += 1
