"""Reads one queue of a RabbitMQ on one channel, and acknowledges what the handlers keep.

A message is acknowledged once every handler that must not lose its events has them where a crash does not lose them;
until then the broker keeps it, and brings it again to whoever reads the queue next. At most ``prefetch`` messages are
not acknowledged.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue

from appliance.core.deliveries import Deliveries, digest
from appliance.core.intake import Progress
from appliance.intake.noting import Noting
from appliance.intake.reader import Reader

PAUSE = 0.005
"""Seconds until it is asked again whether there is room, or how far the handlers are."""
MAX_NAME = 64
"""Characters of a message's name; a longer one counts by its digest."""


class QueueReader:
    """One reading of one queue, from the first message to the end of its channel."""

    def __init__(
        self,
        queue: AbstractQueue,
        reader: Reader,
        progress: Progress,
        deliveries: Deliveries,
        *,
        prefetch: int,
        until_kept: bool,
    ) -> None:
        """``until_kept``: acknowledge when events are kept, not when they are on the bus."""
        self.taken = 0
        """Messages so far."""
        self._queue = queue
        self._reader = reader
        self._progress = progress
        self._deliveries = deliveries
        self._prefetch = prefetch
        self._until_kept = until_kept
        # Bounded by the prefetch. One task reads it, because the library calls back in one task a message.
        self._waiting: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._unacknowledged: deque[tuple[AbstractIncomingMessage, int]] = deque()
        """Messages, and the number of the last event that has to be kept first."""
        self._some = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()
        self._working: asyncio.Task[None] | None = None
        self._finishing = False

    async def run(self) -> None:
        """Read until cancelled. :raises Exception: the channel has gone, in the library's words."""
        await self._queue.consume(self._waiting.put)
        self._working = asyncio.create_task(self._work(), name="rabbitmq intake")
        acknowledging = asyncio.create_task(self._acknowledge(), name="rabbitmq acknowledgements")
        try:
            done, _ = await asyncio.wait((self._working, acknowledging), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            # Told to finish; what was taken is still to be acknowledged.
            await acknowledging
        finally:
            for task in (self._working, acknowledging):
                task.cancel()
            await asyncio.gather(self._working, acknowledging, return_exceptions=True)

    async def finish(self, within: float) -> None:
        """Take nothing more, and return once everything that was taken is acknowledged, or it takes too long."""
        self._waiting.put_nowait(None)
        self._finishing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                if self._working is not None:
                    await asyncio.wait((self._working,))
                await self._done.wait()

    async def _work(self) -> None:
        has_room: Callable[[], bool] = self._progress.can_keep if self._until_kept else self._progress.has_room
        while (message := await self._waiting.get()) is not None and not self._finishing:
            # One turn of the loop at least, so that the handlers have theirs.
            await asyncio.sleep(0)
            while not has_room():  # noqa: ASYNC110  # the queues have no event for it
                await asyncio.sleep(PAUSE)
            self.taken += 1
            if await self._take(message):
                self._unacknowledged.append((message, self._progress.last_number if self._until_kept else 0))
                self._done.clear()
                self._some.set()
            else:
                await message.reject(requeue=False)

    async def _take(self, message: AbstractIncomingMessage) -> bool:
        """Deliver its events; false: there is none in it."""
        named, data = message.message_id or "", message.body
        if self._reader.is_double(named, data, again=bool(message.redelivered)):
            # Its events are on their way, perhaps not yet kept.
            return True
        key = named if 0 < len(named) <= MAX_NAME else digest(data)
        try:
            deliver = self._reader.deliver
            assert deliver is not None
            noting = Noting(deliver, self._progress, self._deliveries, key)
            return await self._reader.read(data, deliver=noting if self._until_kept else None)
        except asyncio.CancelledError:
            # It comes again, and has not been read to its end.
            self._reader.forget(named, data)
            raise

    async def _acknowledge(self) -> None:
        while True:
            await self._some.wait()
            kept = self._progress.kept_until()
            self._deliveries.kept_until(kept)
            last: AbstractIncomingMessage | None = None
            while self._unacknowledged and self._unacknowledged[0][1] <= kept:
                last, _ = self._unacknowledged.popleft()
            if last is not None:
                # Those before it with it: they were taken in their order.
                await last.ack(multiple=True)
            if not self._unacknowledged:
                self._some.clear()
                self._done.set()
                continue
            if self._finishing or len(self._unacknowledged) >= self._prefetch:
                # Nothing goes on before something is acknowledged.
                self._progress.hurry()
            await asyncio.sleep(PAUSE)
