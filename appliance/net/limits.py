"""What the system allows this process, and what it says when something is exhausted."""

import asyncio
import errno
import logging
import resource
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

RESERVED_DESCRIPTORS = 128
"""Files and sockets that are left to other things than connections that come in: media, the link, files, DNS."""
QUIET_S = 10.0
"""After a loop's problem was logged, problems of the same kind are only counted for so long."""
MAX_KINDS = 64
"""Kinds of problem that are told apart."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, and return it.

    The soft limit of most systems is 1,024, for programs that use ``select``; this one does not, and each connection
    and each media socket takes one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as problem:
            logger.warning("the limit of open files stays at %d: %s", soft, problem)
    return descriptor_limit()


def descriptor_limit() -> int:
    """How many files and sockets this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 2**31 - 1


def is_scarce(descriptor: int, limit: int) -> bool:
    """Whether a connection of this number takes what other things need.

    The system gives each new socket the lowest free number, so the number alone says how many are open.
    """
    return descriptor >= max(limit // 2, limit - RESERVED_DESCRIPTORS)


class QuietLoop:
    """An exception handler for the event loop that can't flood the log.

    asyncio logs each failed ``accept``, a hundred a second when no descriptors are left. Of each kind of problem one
    is logged with its traceback in :data:`QUIET_S` seconds; the next one says how many were not.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """``now``: seconds, monotonic."""
        self.problems = 0
        """Of all kinds, since the start."""
        self._now = now
        self._logged: dict[str, float] = {}
        self._silent: dict[str, int] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Of asyncio: ``loop.set_exception_handler``."""
        self.problems += 1
        kind = _kind(context)
        if kind not in self._logged and len(self._logged) >= MAX_KINDS:
            kind = "further"
        last = self._logged.get(kind)
        if last is not None and self._now() - last < QUIET_S:
            self._silent[kind] = self._silent.get(kind, 0) + 1
            return
        self._logged[kind] = self._now()
        missed = self._silent.pop(kind, 0)
        if missed:
            logger.error("%s: %d more were not logged", kind, missed)
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            # Where it struck says nothing about who has taken them all.
            logger.error("no connection can be taken: %s (the limit is %d)", error.strerror, descriptor_limit())
            return
        loop.default_exception_handler(context)


def _kind(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context.get('message') or 'Unhandled exception in event loop'} ({type(error).__name__})"


def protect_process() -> QuietLoop:
    """What each long-running process does first, inside its event loop."""
    raise_descriptor_limit()
    loop = asyncio.get_running_loop()
    handler = QuietLoop(loop.time)
    loop.set_exception_handler(handler)
    return handler
