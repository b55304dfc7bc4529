"""A clock that moves when the test says so."""

import heapq
import itertools
from collections.abc import Callable


class FakeTimer:
    def __init__(self, when: float, action: Callable[[], None]) -> None:
        self.when = when
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class FakeClock:
    """Implements :class:`appliance.core.clock.Clock`; starts at 1000 s, which is 1_700_000_000 s of wall clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._wall_offset = 1_700_000_000 - 1000.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self.now

    def wall_us(self) -> int:
        return round((self.now + self._wall_offset) * 1_000_000)

    def call_soon(self, action: Callable[[], None]) -> None:
        self.call_later(0.0, action)

    def call_later(self, delay: float, action: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self.now + delay, action)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        return timer

    def advance(self, seconds: float = 0.0) -> None:
        """Move on, running in order what falls due on the way (``advance(0)`` runs what was called soon)."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if timer.action is not None:
                timer.action()
        self.now = end
