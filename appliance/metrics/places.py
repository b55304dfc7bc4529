"""Places for servers among the series: few, and given to whoever still speaks.

Anybody who may send events can name servers that do not exist, by the thousand. Without an end to a place the first
ones keep it for good, and the server that is attached tomorrow is never shown.
"""

from appliance.core.clock import Clock
from appliance.metrics.family import OTHER
from appliance.metrics.labels import SERVER
from appliance.metrics.ledger import Ledger
from appliance.metrics.series import Bounds

IDLE_S = 600.0
"""Silence after which a server gives its place to one that waits."""
UNPROVEN_IDLE_S = 30.0
"""The same for one that has sent next to nothing."""
PROVEN_EVENTS = 20
LOOK_EVERY_S = 1.0
"""A crowd that waits does not have every place looked at for every event."""


class Places:
    """Takes the place of the server that has been silent longest, when another needs it."""

    def __init__(self, clock: Clock, bounds: Bounds, ledgers: tuple[Ledger, ...]) -> None:
        self.taken = 0
        """Places that changed hands."""
        self.refused = 0
        """Events of servers that found none."""
        self._clock = clock
        self._bounds = bounds
        self._ledgers = ledgers
        self._looked_at = float("-inf")

    def make_room_for(self, emitter: str) -> None:
        """Before an event is counted; in vain when everybody speaks."""
        if self._bounds.lacks_room(SERVER, emitter) and not self._take_one():
            self.refused += 1

    def _take_one(self) -> bool:
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now
        wall = self._clock.wall_us() / 1e6
        silent = {label: wall - self._last(label) for ledger in self._ledgers for label in ledger.servers}
        silent.pop(OTHER, None)
        over = [label for label, seconds in silent.items() if seconds > self._patience(label)]
        if not over:
            return False
        label = max(over, key=silent.__getitem__)
        for ledger in self._ledgers:
            ledger.forget(label)
        self._bounds.forget(SERVER, label)
        self.taken += 1
        return True

    def _last(self, label: str) -> float:
        return max(ledger.servers[label].last_event.value for ledger in self._ledgers if label in ledger.servers)

    def _patience(self, label: str) -> float:
        servers = [ledger.servers[label] for ledger in self._ledgers if label in ledger.servers]
        events = sum(cell.value for server in servers for cell in server.types.values())
        return IDLE_S if events >= PROVEN_EVENTS else UNPROVEN_IDLE_S
