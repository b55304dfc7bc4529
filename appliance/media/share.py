"""How much of the processor's time one peer may take for what costs far more than its bytes."""

import time
from collections.abc import Callable


class Share:
    """``per_second`` of the thread's time in seconds, of which up to ``burst`` seconds can be saved.

    What is spent is told afterwards, so the last use before the share is gone may go beyond it, and is paid back.
    """

    def __init__(
        self,
        per_second: float,
        burst: float,
        *,
        now: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self._per_second = per_second
        self._burst = self._left = burst
        self._now = now
        self._used = used
        self._at = now()
        self._began = 0.0

    def begin(self) -> bool:
        """Whether there is any left; from now to :meth:`end` it is being spent."""
        now = self._now()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left <= 0:
            return False
        self._began = self._used()
        return True

    def end(self) -> None:
        """Take off what was used since :meth:`begin`."""
        self._left -= self._used() - self._began
