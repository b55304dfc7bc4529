"""Several collectors share the events of a RabbitMQ, and those of a session stay together and in order.

A consistent-hash exchange spreads them over queues by server and session. Every collector attends every queue, and the
broker gives the messages of one queue to one of them only (a single active consumer); when that one goes, the next is
given what it had not acknowledged, and goes on. One that came later has nothing to do at first: so a collector that
reads more than its part lets go of the rest, once what it has taken is kept, and stands behind the others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from aio_pika.abc import AbstractQueue

from appliance.intake.queue_reader import QueueReader
from appliance.net.cancellation import heed_cancellation
from appliance.net.rabbitmq import ERRORS, TIMEOUT, Broker, share_names

logger = logging.getLogger(__name__)

FINISH_S = 5.0
"""For what was taken to be kept, before a queue is let go."""


def surplus(busy: Sequence[int], shares: int, readers: int) -> Sequence[int]:
    """Of the queues that this collector is given messages of, those beyond its part."""
    part = -(-shares // max(1, readers))
    return busy[part:]


class Share:
    """One of the queues, as one collector attends it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reading: QueueReader | None = None
        self.let_go = asyncio.Event()
        self._seen = 0

    def has_moved(self) -> bool:
        """Whether messages came since this was last asked."""
        taken = self.reading.taken if self.reading is not None else 0
        moved, self._seen = taken > self._seen, taken
        return moved

    def begin(self, reading: QueueReader | None) -> None:
        """Another reading, or none."""
        self.reading, self._seen = reading, 0
        self.let_go.clear()


class Shares:
    """All of them, on one connection."""

    def __init__(
        self,
        broker: Broker,
        queue: str,
        count: int,
        *,
        declare: Callable[[Broker, str], Awaitable[AbstractQueue]],
        make: Callable[[AbstractQueue], QueueReader],
        prefetch: int,
        balance_s: float,
    ) -> None:
        """``declare`` makes and binds a queue, ``make`` a reading of it."""
        self.shares = [Share(name) for name in share_names(queue, count)]
        self._broker = broker
        self._declare = declare
        self._make = make
        self._prefetch = prefetch
        self._balance_s = balance_s

    async def run(self) -> None:
        """Until the connection is lost, or we are cancelled."""
        tasks = [asyncio.create_task(self._attend(share), name=share.name) for share in self.shares]
        tasks.append(asyncio.create_task(self._balance(), name="rabbitmq balance"))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _attend(self, share: Share) -> None:
        while True:
            line = await self._broker.further(prefetch=self._prefetch)
            try:
                reading = self._make(await self._declare(line, share.name))
                share.begin(reading)
                await self._until_let_go(share, line, reading)
            finally:
                share.begin(None)
                # What comes of it goes back to its place, and to the next who attends.
                with suppress(*ERRORS, OSError):
                    await line.close()

    async def _until_let_go(self, share: Share, line: Broker, reading: QueueReader) -> None:
        heed_cancellation()
        run = asyncio.create_task(reading.run(), name=f"{share.name} reading")
        told = asyncio.create_task(share.let_go.wait())
        try:
            await asyncio.wait((run, told, line.lost), return_when=asyncio.FIRST_COMPLETED)
            if line.lost.done():
                await line.lost
            elif run.done():
                await run
            else:
                await reading.finish(FINISH_S)
        finally:
            for task in (run, told):
                task.cancel()
            await asyncio.gather(run, told, return_exceptions=True)

    async def _balance(self) -> None:
        while True:
            await asyncio.sleep(self._balance_s)
            busy = [number for number, share in enumerate(self.shares) if share.has_moved()]
            if not busy:
                continue
            readers = 0
            for share in self.shares:
                found = await self._broker.channel.declare_queue(share.name, passive=True, timeout=TIMEOUT)
                readers = max(readers, found.declaration_result.consumer_count or 0)
            for number in surplus(busy, len(self.shares), readers):
                logger.info(
                    "intake.rabbitmq: %s is left to another of %d collectors", self.shares[number].name, readers
                )
                self.shares[number].let_go.set()
