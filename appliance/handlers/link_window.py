"""What a gateway has sent to its collector, until the collector keeps it where a crash of its own does not lose it."""

from collections import deque
from itertools import chain

KEPT_EVENTS = 50_000
"""That the collector has and does not keep yet: minutes of fifty calls, should its database be away for so long."""
KEPT_BYTES = 16 * 2**20

Numbered = tuple[int, bytes]


class LinkWindow:
    """Events in order: taken by the collector, in flight, and to be sent again. Each has its sequence number."""

    def __init__(self, *, max_events: int = KEPT_EVENTS, max_bytes: int = KEPT_BYTES) -> None:
        self.in_flight_bytes = 0
        self.forgotten = 0
        """Taken and not kept, for which there was no room any more: a collector that dies now has lost them."""
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._taken: deque[Numbered] = deque()
        self._taken_bytes = 0
        self._in_flight: deque[Numbered] = deque()
        self._again: deque[Numbered] = deque()

    @property
    def first(self) -> int | None:
        """The lowest number of all; ``None`` when there are none."""
        return next((number for number, _ in chain(self._taken, self._in_flight, self._again)), None)

    @property
    def in_flight(self) -> int:
        """Events that were sent and are not taken."""
        return len(self._in_flight)

    @property
    def unkept(self) -> int:
        """Events that are taken and not kept."""
        return len(self._taken)

    @property
    def to_send(self) -> int:
        """Events that were sent on an earlier connection and have to be sent again before any other."""
        return len(self._again)

    @property
    def is_empty(self) -> bool:
        """Everything is kept."""
        return not (self._taken or self._in_flight or self._again)

    def sent(self, number: int, data: bytes) -> None:
        """An event is on its way."""
        self._in_flight.append((number, data))
        self.in_flight_bytes += len(data)

    def send_again(self, limit: int) -> list[Numbered]:
        """The next of those, which are on their way now."""
        some = [self._again.popleft() for _ in range(min(limit, len(self._again)))]
        for number, data in some:
            self.sent(number, data)
        return some

    def acknowledge(self, taken: int, kept: int) -> None:
        """The collector has taken everything before ``taken``, and keeps what is before ``kept``."""
        while self._in_flight and self._in_flight[0][0] < taken:
            self.in_flight_bytes -= len(self._in_flight[0][1])
            self._take(self._in_flight.popleft())
        while self._taken and self._taken[0][0] < kept:
            self._drop_oldest()
        while len(self._taken) > self._max_events or self._taken_bytes > self._max_bytes:
            self._drop_oldest()
            self.forgotten += 1

    def rewind(self, wanted: int | None) -> None:
        """A new connection, to a collector that wants that event next; ``None``: to one that knows nothing."""
        self._again = deque(chain(self._taken, self._in_flight, self._again))
        self._taken.clear()
        self._in_flight.clear()
        self._taken_bytes = self.in_flight_bytes = 0
        while wanted is not None and self._again and self._again[0][0] < wanted:
            self._take(self._again.popleft())

    def _take(self, item: Numbered) -> None:
        self._taken.append(item)
        self._taken_bytes += len(item[1])

    def _drop_oldest(self) -> None:
        self._taken_bytes -= len(self._taken.popleft()[1])
