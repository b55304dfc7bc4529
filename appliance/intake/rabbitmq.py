"""Takes what Janus's rabbitmqevh publishes: from a queue, by way of an exchange or of the default one.

A message is acknowledged once the handlers have its events, see :mod:`appliance.intake.queue_reader`. What is no event
is rejected, so that a dead-letter exchange can keep it; what the broker brings again after a lost connection is
recognised. The broker keeps what the handlers have no room for yet.
"""

import asyncio
from collections.abc import Iterable
from functools import partial

from aio_pika.abc import AbstractQueue

from appliance.core.auth import secret_of
from appliance.core.bus import EventBus
from appliance.core.clock import Clock
from appliance.core.deliveries import Deliveries
from appliance.core.events import Counter
from appliance.core.intake import Deliver, Progress
from appliance.intake.queue_reader import QueueReader
from appliance.intake.reader import Reader
from appliance.intake.shares import Share, Shares
from appliance.net.keeper import Keeper
from appliance.net.rabbitmq import Broker, RabbitMqConfig, connect
from appliance.net.tls import context_if_wanted

MAX_SHARES = 256
FINISH_S = 2.0
"""For what was taken to be kept, when we are to end."""


class RabbitMqIntakeConfig(RabbitMqConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[intake.rabbitmq]``."""

    enabled: bool = False
    queue: str = "janus-events"
    """What is read: with rabbitmqevh's ``exchange`` unset its ``route_key``. Collectors that read the same one share
    its events. Empty: a queue of our own, on ``exchange``, for as long as we are connected."""
    exchange: str = ""
    """rabbitmqevh's ``exchange``; the queue is bound to it. Empty: the default one."""
    exchange_type: str = "fanout"
    """rabbitmqevh's ``exchange_type``, for an exchange that is not there yet."""
    route_key: str = ""
    """What the queue is bound with, where ``exchange_type`` asks for it: rabbitmqevh's ``route_key``."""
    shares: int = 0
    """For several collectors: so many queues, ``queue`` with ``-0`` and on behind it, that a consistent-hash exchange
    named ``exchange`` spreads events over; every collector is told the same number. 0: one queue, read by whoever is
    free, which keeps no order. See docs/scaling.md."""
    balance_s: float = 5.0
    """How often a collector asks whether it reads more of the shares than its part."""
    durable: bool = False
    """Make what is not there yet so that it outlives a broker's restart; rabbitmqevh makes its own without."""
    acknowledge: str = "kept"
    """When the broker may forget a message. ``kept``: once the store, HEP and every output have its events where a
    crash does not lose them; while one of them can't take any, the broker keeps them all. ``taken``: at once."""
    prefetch: int = 200
    """Messages, each of up to 100 events, that the broker sends ahead of what is acknowledged."""
    max_message_bytes: int = 8 * 2**20
    """Of one message."""


class RabbitMqIntake:
    """Contract: :class:`appliance.core.intake.Intake`."""

    Config = RabbitMqIntakeConfig
    name = "rabbitmq"

    def __init__(self, config: RabbitMqIntakeConfig, clock: Clock) -> None:
        """:raises ValueError: there is nothing to read from, a bound is none, or a file is no good."""
        if not config.queue and not config.exchange:
            raise ValueError("queue, exchange: wanted at least one of them")
        if not 0 <= config.shares <= MAX_SHARES:
            raise ValueError(f"shares: {config.shares} came, wanted 0 to {MAX_SHARES}")
        if config.shares and not (config.queue and config.exchange):
            raise ValueError("shares: wanted queue and exchange with them")
        if not config.balance_s > 0:
            raise ValueError(f"balance_s: {config.balance_s} came, wanted more than 0")
        if not 1 <= config.prefetch <= 10_000:
            raise ValueError(f"prefetch: {config.prefetch} came, wanted 1 to 10000")
        if config.acknowledge not in {"kept", "taken"}:
            raise ValueError(f"acknowledge: {config.acknowledge!r} came, wanted kept or taken")
        context_if_wanted(config)
        self._config = config
        password = secret_of("password", config.password, config.password_file)
        self._keeper: Keeper[Broker] = Keeper(
            f"events from RabbitMQ at {config.host}:{config.port}",
            partial(connect, config, password, name="appliance intake", prefetch=config.prefetch, confirms=False),
            self._consume,
        )
        self.progress: Progress = EventBus(clock)
        """Contract: :class:`appliance.core.intake.CanWait`."""
        self.deliveries = Deliveries()
        self._consuming = False
        self._reading: QueueReader | None = None
        self._shares: list[Share] = []
        self.reader = Reader(self.name, max_bytes=config.max_message_bytes)

    @property
    def connected(self) -> bool:
        """Whether the broker is there and gives us events."""
        return self._consuming

    async def start(self, deliver: Deliver) -> None:
        """Begin to connect; the broker need not be there yet."""
        self.reader.deliver = deliver
        self._keeper.start()

    async def stop(self) -> None:
        """Close, once what was taken is kept; what is not in time the broker gives to the next."""
        readings = [self._reading, *(share.reading for share in self._shares)]
        await asyncio.gather(*(reading.finish(FINISH_S) for reading in readings if reading is not None))
        await self._keeper.stop()

    def measure(self) -> Iterable[Counter]:
        """Events and messages by outcome."""
        yield from self.reader.measure()
        yield Counter("intake_connected", float(self.connected), {"intake": self.name})

    async def _consume(self, broker: Broker) -> None:
        reading = asyncio.create_task(self._read(broker), name="rabbitmq intake")
        try:
            await asyncio.wait((reading, broker.lost), return_when=asyncio.FIRST_COMPLETED)
            if not broker.lost.done():
                # Never by itself, so this raises.
                await reading
        finally:
            self._consuming = False
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await broker.lost

    async def _read(self, broker: Broker) -> None:
        config = self._config
        if config.shares:
            shares = Shares(
                broker,
                config.queue,
                config.shares,
                declare=lambda line, name: line.share(config.exchange, name, durable=config.durable),
                make=self._make,
                prefetch=config.prefetch,
                balance_s=config.balance_s,
            )
            self._shares = shares.shares
            self._consuming = True
            await shares.run()
            return
        queue = await broker.queue(config.queue, durable=config.durable)
        if config.exchange:
            exchange = await broker.exchange(config.exchange, config.exchange_type, durable=config.durable)
            await queue.bind(exchange, routing_key=config.route_key or config.queue)
        self._consuming = True
        self._reading = self._make(queue)
        try:
            await self._reading.run()
        finally:
            self._reading = None

    def _make(self, queue: AbstractQueue) -> QueueReader:
        return QueueReader(
            queue,
            self.reader,
            self.progress,
            self.deliveries,
            prefetch=self._config.prefetch,
            until_kept=self._config.acknowledge == "kept",
        )
