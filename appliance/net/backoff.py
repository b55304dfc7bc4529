"""How long to wait before the next attempt."""

import random
from collections.abc import Callable


class Backoff:
    """Doubles from ``first`` to ``limit`` seconds, each a fifth more or less by chance.

    By chance, so that the clients of a server that has come back don't all knock in the same instant.
    """

    def __init__(self, first: float = 1.0, limit: float = 30.0, *, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._limit = limit
        self._chance = chance
        self._base = first

    def next(self) -> float:
        """Seconds to wait now; at most ``limit``."""
        delay = self._base * (0.8 + 0.4 * self._chance())
        self._base = min(self._limit, self._base * 2)
        return min(self._limit, delay)

    def reset(self) -> None:
        """It worked: start from ``first`` again."""
        self._base = self._first
