"""Time as an argument: what the core and the engine ask instead of the operating system."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


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
    """The clock of the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def monotonic(self) -> float:
        """Seconds of ``time.monotonic``, which is also the loop's."""
        return time.monotonic()

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    def call_soon(self, action: Callable[[], None]) -> None:
        """Next turn of the loop."""
        self._loop.call_soon(action)

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        """By the loop's timers."""
        return self._loop.call_later(delay, action)
