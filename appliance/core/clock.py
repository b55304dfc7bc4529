"""Time as an argument: what the core and the engine ask instead of the operating system."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Take it back; no effect once it has happened."""


class Clock(Protocol):
    """The only source of time; tests use :class:`tests.clock.FakeClock`."""

    def monotonic(self) -> float:
        """Seconds, never going back, from an arbitrary start."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch; may jump."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Run ``action`` after what runs now."""

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` in ``delay`` seconds."""


class LoopClock:
    """The clock of the running event loop. What time it is can be asked without one."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def monotonic(self) -> float:
        """Seconds of ``time.monotonic``, which is also the loop's."""
        return time.monotonic()

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    def call_soon(self, action: Callable[[], None]) -> None:
        """Next turn of the loop."""
        self._running().call_soon(action)

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        """By the loop's timers."""
        return self._running().call_later(delay, action)

    def _running(self) -> "asyncio.AbstractEventLoop":
        if self._loop is None:
            # Takes as long to import as a small capture to explain, which needs no loop.
            import asyncio

            self._loop = asyncio.get_running_loop()
        return self._loop
