"""A connection that is kept up: dialled, used until it is lost, and dialled again after a growing pause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from appliance.net.backoff import Backoff
from appliance.net.cancellation import heed_cancellation

logger = logging.getLogger(__name__)

T = TypeVar("T")
PATIENCE = 3
"""Attempts that fail before somebody is told: servers that are started together find each other a little later."""


class Keeper(Generic[T]):
    """Runs ``use`` with what ``connect`` opens, again and again, between :meth:`start` and :meth:`stop`.

    ``connect`` and ``use`` raise ``OSError`` (so also ``ConnectionError`` and ``TimeoutError``) for a connection that
    can't be had or is lost; ``use`` ends by itself only where the peer closed it. Anything else that is raised is a
    bug: it is logged, and the next attempt made all the same.
    """

    def __init__(
        self,
        what: str,
        connect: Callable[[], AbstractAsyncContextManager[T]],
        use: Callable[[T], Awaitable[None]],
        *,
        backoff: Backoff | None = None,
    ) -> None:
        """``what`` names both ends in the log, without any password."""
        self.what = what
        self.connections = 0
        """Made so far."""
        self.problem = ""
        """Why the last attempt failed or the last connection ended."""
        self._connect = connect
        self._use = use
        self._backoff = backoff or Backoff(0.2, 5.0)
        self._failures = 0
        self._current: T | None = None
        self._up = asyncio.Event()
        self._dropped: asyncio.Future[str] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self._current is not None

    async def current(self) -> T:
        """The connection, once there is one."""
        while self._current is None:
            await self._up.wait()
        return self._current

    def start(self) -> None:
        """Begin to dial; returns at once."""
        self._task = asyncio.create_task(self._run(), name=self.what)

    async def stop(self) -> None:
        """Close the connection, or give up dialling. Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def drop(self, why: str) -> None:
        """Give up the connection that stands, if one does, and dial again."""
        if self._dropped is not None and not self._dropped.done():
            self._dropped.set_result(why)

    async def _run(self) -> None:
        while True:
            try:
                await self._once()
                self._over("closed by the other side")
            except OSError as problem:
                self._over(str(problem) or type(problem).__name__)
            except Exception:
                logger.exception("%s", self.what)
                self._over("an error of ours")
            await asyncio.sleep(self._backoff.next())

    async def _once(self) -> None:
        try:
            async with self._connect() as connection:
                heed_cancellation()
                self._failures = 0
                self._backoff.reset()
                self.connections += 1
                if self.connections > 1 or self.problem:
                    logger.info("%s: connected", self.what)
                self.problem = ""
                use = asyncio.ensure_future(self._use(connection))
                self._dropped = asyncio.get_running_loop().create_future()
                self._current = connection
                self._up.set()
                try:
                    await asyncio.wait((use, self._dropped), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    # Before the connection is closed, which may take its time.
                    self._current = None
                    self._up.clear()
                    if not use.done():
                        use.cancel()
                        await asyncio.gather(use, return_exceptions=True)
                if self._dropped.done():
                    raise ConnectionError(self._dropped.result())
                await use
        except (TimeoutError, asyncio.IncompleteReadError) as problem:
            raise ConnectionError(str(problem) or "no answer in time") from None

    def _over(self, why: str) -> None:
        self.problem = why
        self._failures += 1
        if self._failures == PATIENCE:
            logger.warning("%s: %s; trying on", self.what, why)
