"""Takes what Janus's rabbitmqevh publishes: from a queue, by way of an exchange or of the default one.

A message is acknowledged once its events are on the bus, and at most ``prefetch`` are not acknowledged. What is no
event is rejected, so that a dead-letter exchange can keep it; what the broker brings again after a lost connection is
recognised. The broker keeps what the handlers have no room for yet.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from aio_pika.abc import AbstractIncomingMessage

from appliance.core.auth import secret_of
from appliance.core.clock import Clock
from appliance.core.events import Counter
from appliance.core.intake import Deliver
from appliance.intake.reader import Reader
from appliance.net.keeper import Keeper
from appliance.net.rabbitmq import Broker, RabbitMqConfig, connect
from appliance.net.tls import context_if_wanted

PAUSE = 0.005
"""Seconds until it is asked again whether there is room."""


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
    durable: bool = False
    """Make what is not there yet so that it outlives a broker's restart; rabbitmqevh makes its own without."""
    prefetch: int = 50
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
        if not 1 <= config.prefetch <= 10_000:
            raise ValueError(f"prefetch: {config.prefetch} came, wanted 1 to 10000")
        context_if_wanted(config)
        self._config = config
        password = secret_of("password", config.password, config.password_file)
        self._keeper: Keeper[Broker] = Keeper(
            f"events from RabbitMQ at {config.host}:{config.port}",
            partial(connect, config, password, name="appliance intake", prefetch=config.prefetch, confirms=False),
            self._consume,
        )
        self.has_room: Callable[[], bool] = lambda: True
        """Contract: :class:`appliance.core.intake.CanWait`."""
        self._consuming = False
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
        """Close; what was not acknowledged the broker gives to the next."""
        await self._keeper.stop()

    def measure(self) -> Iterable[Counter]:
        """Events and messages by outcome."""
        yield from self.reader.measure()
        yield Counter("intake_connected", float(self.connected), {"intake": self.name})

    async def _consume(self, broker: Broker) -> None:
        config = self._config
        queue = await broker.queue(config.queue, durable=config.durable)
        if config.exchange:
            exchange = await broker.exchange(config.exchange, config.exchange_type, durable=config.durable)
            await queue.bind(exchange, routing_key=config.route_key or config.queue)
        # Bounded by the prefetch. One task reads it, because the library calls back in one task a message.
        waiting: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(waiting.put)
        self._consuming = True
        work = asyncio.create_task(self._work(waiting), name="rabbitmq intake")
        try:
            await asyncio.wait((work, broker.lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._consuming = False
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        await broker.lost

    async def _work(self, waiting: "asyncio.Queue[AbstractIncomingMessage]") -> None:
        while True:
            message = await waiting.get()
            # One turn of the loop at least, so that the handlers have theirs.
            await asyncio.sleep(0)
            while not self.has_room():  # noqa: ASYNC110  # the queues have no event for it
                await asyncio.sleep(PAUSE)
            known = self.reader.is_double(message.message_id or "", message.body, again=bool(message.redelivered))
            if known or await self.reader.read(message.body):
                await message.ack()
            else:
                await message.reject(requeue=False)
