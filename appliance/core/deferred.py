"""What is to be done once the reply to the request at hand is on its way."""

import logging
from collections import deque
from collections.abc import Callable

from appliance.core.clock import Clock

logger = logging.getLogger(__name__)


class DeferredWork:
    """Runs each action at the next turn of the loop, or before the next request, whichever comes first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._actions: deque[Callable[[], None]] = deque()
        self._coming_back = False

    def add(self, action: Callable[[], None]) -> None:
        """Its failure is logged and is nobody else's."""
        self._actions.append(action)
        self._come_back()

    def run(self) -> None:
        """Do what is there now. What an action adds in its turn waits, so that nothing goes round for ever."""
        for _ in range(len(self._actions)):
            try:
                self._actions.popleft()()
            except Exception:
                logger.exception("deferred work failed")
        if self._actions:
            self._come_back()

    def _come_back(self) -> None:
        if not self._coming_back:
            self._coming_back = True
            self._clock.call_soon(self._came_back)

    def _came_back(self) -> None:
        self._coming_back = False
        self.run()
