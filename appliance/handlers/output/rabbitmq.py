"""Publishes events to RabbitMQ as Janus's rabbitmqevh does, but waits until the broker says that it has them."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, NamedTuple

import aio_pika
import msgspec
from aio_pika.abc import AbstractExchange
from aiormq.abc import DeliveredMessage
from msgspec import Struct

from appliance.core.auth import secret_of
from appliance.core.handler import HandlerContext
from appliance.handlers.output.base import OutputConfig, OutputHandler, RemoteConfig, part
from appliance.handlers.output.packing import Message
from appliance.net.keeper import Keeper
from appliance.net.rabbitmq import ERRORS, HASHING, TIMEOUT, Broker, RabbitMqConfig, connect, share_names
from appliance.net.tls import context_if_wanted

MAX_SHARES = 256
AT_ONCE = 100
"""Messages on their way to the broker before the first has been confirmed."""


class RabbitMqOutputConfig(RemoteConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.rabbitmq]``; the names are those of ``janus.eventhandler.rabbitmqevh.jcfg``."""

    grouping: bool = True
    """Up to 100 events in one message, an array, of those that wait anyway; else one event, an object, in each."""
    host: str = "127.0.0.1"
    port: int = 5672
    """5671 is usual with TLS."""
    vhost: str = "/"
    """Virtual host."""
    username: str = "guest"
    """Of the account."""
    password: str = ""
    """Of the account; that of a new broker's ``guest``, who may come from its own machine only, is guest too."""
    password_file: str = ""
    """A file that holds it, in place of ``password``."""
    heartbeat_s: int = 10
    """A broker that is silent for twice as long is gone. 0: none, and a dead one is noticed late or never."""
    exchange: str = ""
    """Where events are published; empty: the default exchange, by which ``route_key`` names a queue."""
    exchange_type: str = "fanout"
    """Of an exchange that is not there yet."""
    route_key: str = "janus-events"
    """What events are published with."""
    shares: int = 0
    """For several collectors: spread sessions over so many queues, ``route_key`` with ``-0`` and on, and make
    ``exchange`` a consistent-hash exchange before them, for other publishers. The ``shares`` of their
    ``intake.rabbitmq``."""
    declare_outgoing_queue: bool = True
    """Make a queue named ``route_key``, and bind it to the exchange, so that events wait where nobody reads yet."""
    durable: bool = True
    """Exchange, queue and messages outlive a restart of the broker; a confirmed message is on its disk then."""


class _Whose(Struct):
    emitter: str = ""
    session_id: int = 0


_whose = msgspec.json.Decoder(_Whose | list[_Whose])


def key_of(data: bytes) -> str:
    """Whose an event is, or a group of one session's: server and session."""
    found = _whose.decode(data)
    whose = found[0] if isinstance(found, list) else found
    return f"{whose.emitter}.{whose.session_id}"


def share_of(data: bytes, count: int) -> int:
    """Which of so many queues an event of that session always goes to.

    Not left to the exchange: one that comes back after a crash of its broker spreads the same keys otherwise, so that
    what follows is read before what waits.
    """
    return zlib.crc32(key_of(data).encode()) % count


class _NoQueueError(ConnectionError):
    """The broker gave a message back."""


class _Outlet(NamedTuple):
    broker: Broker
    exchange: AbstractExchange


class RabbitMqOutput(OutputHandler):
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = RabbitMqOutputConfig
    name = "rabbitmq"

    def __init__(self, config: RabbitMqOutputConfig, context: HandlerContext) -> None:
        """:raises ValueError: a setting is no good."""
        super().__init__(config, context)
        self._config = config
        self._password = secret_of("password", config.password, config.password_file)
        self._keeper: Keeper[_Outlet] = Keeper(
            f"events to RabbitMQ at {config.host}:{config.port}", self._dial, self._until_lost
        )

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._keeper.connected

    def _check(self, config: OutputConfig) -> None:
        super()._check(config)
        assert isinstance(config, RabbitMqOutputConfig)
        if not config.route_key and not config.exchange:
            raise ValueError("route_key, exchange: wanted at least one of them")
        if not 0 <= config.shares <= MAX_SHARES:
            raise ValueError(f"shares: {config.shares} came, wanted 0 to {MAX_SHARES}")
        if config.shares and not (config.route_key and config.exchange):
            raise ValueError("shares: wanted route_key and exchange with them")
        context_if_wanted(part(config, RabbitMqConfig))

    async def _open(self) -> None:
        self._keeper.start()

    async def _close(self) -> None:
        await self._keeper.stop()

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[_Outlet]:
        config = self._config
        async with connect(part(config, RabbitMqConfig), self._password, name="appliance events") as broker:
            kind = HASHING if config.shares else config.exchange_type
            exchange = await broker.exchange(config.exchange, kind, durable=config.durable)
            for name in share_names(config.route_key, config.shares):
                await broker.share(config.exchange, name, durable=config.durable)
            if not config.shares and config.declare_outgoing_queue and config.route_key:
                queue = await broker.queue(config.route_key, durable=config.durable)
                if config.exchange:
                    await queue.bind(exchange, routing_key=config.route_key)
            # By its default exchange, whose routing keys are names of queues.
            yield _Outlet(broker, broker.channel.default_exchange if config.shares else exchange)

    async def _until_lost(self, outlet: _Outlet) -> None:
        await asyncio.wait((outlet.broker.lost,))
        await outlet.broker.lost

    def _pack(self, items: Sequence[tuple[int, bytes]]) -> list[Message]:
        """What is published by session holds one session's events."""
        if not self._config.shares:
            return super()._pack(items)
        by_session: dict[str, list[tuple[int, bytes]]] = {}
        for item in items:
            by_session.setdefault(key_of(item[1]), []).append(item)
        return [message for some in by_session.values() for message in super(RabbitMqOutput, self)._pack(some)]

    async def send(self, message: Message) -> None:
        """Publish one."""
        outlet = await self._outlet()
        await self._confirmed(outlet, [message])

    async def send_all(self, messages: Sequence[Message]) -> int:
        """Publish some at a time; those before the first that is not confirmed are the broker's."""
        done = 0
        while done < len(messages):
            part = messages[done : done + AT_ONCE]
            try:
                await self._confirmed(await self._outlet(), part)
            except OSError as problem:
                self._failed(problem)
                return done
            self._succeeded(len(part))
            done += len(part)
        return done

    async def _outlet(self) -> _Outlet:
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._keeper.current()
        except TimeoutError:
            raise ConnectionError(self._keeper.problem or "no connection") from None

    async def _confirmed(self, outlet: _Outlet, messages: Sequence[Message]) -> None:
        """:raises ConnectionError: the broker has not said of each that it has it; it may have some.

        Then they are all sent again, from the first on: whoever drops doubles has them in order.
        """
        # In tasks of their own, because the library cancels those that wait when the connection goes.
        tasks = [asyncio.create_task(self._publish(outlet, message)) for message in messages]
        try:
            async with asyncio.timeout(TIMEOUT):
                results = await asyncio.gather(*tasks, return_exceptions=True)
        except TimeoutError:
            # What is still written to this connection would come between.
            self._keeper.drop("messages are not confirmed")
            raise ConnectionError(f"not confirmed within {TIMEOUT:.0f} s") from None
        finally:
            for task in tasks:
                task.cancel()
        for result in results:
            if isinstance(result, asyncio.CancelledError):
                raise ConnectionError("the connection is lost")
            if isinstance(result, _NoQueueError):
                # They are made with each connection.
                self._keeper.drop("a queue is gone")
            if isinstance(result, (OSError, *ERRORS)):
                raise ConnectionError(str(result) or type(result).__name__)
            if isinstance(result, BaseException):
                raise result

    async def _publish(self, outlet: _Outlet, message: Message) -> None:
        config, data = self._config, message.data
        mode = aio_pika.DeliveryMode.PERSISTENT if config.durable else aio_pika.DeliveryMode.NOT_PERSISTENT
        # The same name when it is sent again, so that whoever reads can tell.
        name = hashlib.blake2b(data, digest_size=16).hexdigest()
        key = share_names(config.route_key, config.shares)[share_of(data, config.shares)] if config.shares else ""
        answer = await outlet.exchange.publish(
            aio_pika.Message(data, content_type="application/json", delivery_mode=mode, message_id=name),
            key or config.route_key,
            # A message for which there is no queue comes back, where there ought to be one.
            mandatory=bool(config.shares),
        )
        if isinstance(answer, DeliveredMessage):
            raise _NoQueueError(f"there is no queue {key}")
