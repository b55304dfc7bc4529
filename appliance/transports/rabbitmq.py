"""The Janus API over RabbitMQ (Janus's ``janus.transport.rabbitmq``): requests from one queue, replies to another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, NamedTuple

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from msgspec import Struct

from appliance.core.auth import secret_of
from appliance.core.transport import ModuleInfo
from appliance.net.rabbitmq import ERRORS, TIMEOUT, Broker, RabbitMqConfig, connect
from appliance.net.tls import context_if_wanted
from appliance.transports.broker import BrokerTransport
from appliance.transports.queries import answer_query

PREFETCH = 200
"""Requests that the broker sends ahead."""


class RabbitMqTransportConfig(RabbitMqConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[transports.rabbitmq]``; the names are those of ``janus.transport.rabbitmq.jcfg``."""

    enabled: bool = False
    events: bool = True
    """Publish a transport event (type 128) when the broker is there."""
    to_janus: str = "to-janus"
    """The queue that requests come by."""
    from_janus: str = "from-janus"
    """What replies and notifications are published with: the name of a queue, with the default exchange."""
    to_janus_admin: str = "to-janus-admin"
    """The same of the Admin API."""
    from_janus_admin: str = "from-janus-admin"
    """The same of the Admin API."""
    admin_enabled: bool = False
    """Serve the Admin API too; it has to have a secret then."""
    janus_exchange: str = ""
    """Where replies are published and queues are bound; empty: the default exchange."""
    janus_exchange_type: str = "fanout"
    """Of an exchange that is not there yet."""
    queue_name: str = ""
    """The queue of requests, where it is not called as ``to_janus``, which then is what it is bound with."""
    queue_name_admin: str = ""
    """The same of the Admin API."""
    declare_outgoing_queue: bool = True
    """Make the queues that replies go to, where nobody has."""
    queue_durable: bool = False
    """Make what is not there yet so that it outlives a restart of the broker."""
    max_message_bytes: int = 1_048_576
    """Of one request."""


class _Line(NamedTuple):
    broker: Broker
    exchange: AbstractExchange


class RabbitMqTransport(BrokerTransport[str, _Line]):
    """What a reply needs of its request is the correlation id."""

    Config: ClassVar[type[Struct]] = RabbitMqTransportConfig
    name = "janus.transport.rabbitmq"
    short_name = "rabbitmq"
    info = ModuleInfo("RabbitMQ transport", "The appliance's authors", "The Janus API over RabbitMQ.", "0.0.1", 1)

    def __init__(self, config: RabbitMqTransportConfig) -> None:
        """:raises ValueError: a name is empty, or a file is no good."""
        super().__init__(
            f"Janus API over RabbitMQ at {config.host}:{config.port}",
            max_message_bytes=config.max_message_bytes,
            tells=config.events,
            admin=config.admin_enabled,
        )
        for name in ("to_janus", "from_janus", "to_janus_admin", "from_janus_admin"):
            if not getattr(config, name):
                raise ValueError(f"{name}: wanted a name")
        context_if_wanted(config)
        self.config = config
        password = secret_of("password", config.password, config.password_file)
        self._password = password

    @property
    def url(self) -> str:
        """Broker and queue."""
        return f"amqp://{self.config.host}:{self.config.port}/{self.config.to_janus}"

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[_Line]:
        config = self.config
        async with connect(config, self._password, name="appliance API", prefetch=PREFETCH) as broker:
            exchange = await broker.exchange(
                config.janus_exchange, config.janus_exchange_type, durable=config.queue_durable
            )
            yield _Line(broker, exchange)

    async def _use(self, line: _Line) -> None:
        config = self.config
        await self._prepare(line, config.queue_name, config.to_janus, config.from_janus, admin=False)
        if self.exchange.admin_api is not None:
            admin = (config.queue_name_admin, config.to_janus_admin, config.from_janus_admin)
            await self._prepare(line, *admin, admin=True)
        self.line = line
        self.tell("connected")
        try:
            await self.pump_while(line.broker.lost)
        finally:
            self.line = None

    async def _prepare(self, line: _Line, queue_name: str, incoming: str, outgoing: str, *, admin: bool) -> None:
        config, broker = self.config, line.broker
        if config.declare_outgoing_queue:
            replies = await broker.queue(outgoing, durable=config.queue_durable)
            if config.janus_exchange:
                await replies.bind(line.exchange, routing_key=outgoing)
        queue = await broker.queue(queue_name or incoming, durable=config.queue_durable)
        if config.janus_exchange:
            await queue.bind(line.exchange, routing_key=incoming)

        async def take(message: AbstractIncomingMessage) -> None:
            # Through a fanout exchange our own words come back; Janus's replies name themselves.
            if message.reply_to != "Janus":
                self.received(message.body, message.correlation_id or "", admin=admin)
            await message.ack()

        await queue.consume(take)

    async def publish(self, data: bytes, about: str | None, *, admin: bool) -> None:
        """Send one reply or notification."""
        line = self.line
        if line is None:
            raise ConnectionError("the connection is lost")
        message = aio_pika.Message(
            data,
            content_type="application/json",
            reply_to="Janus",
            correlation_id=about or None,
            delivery_mode=aio_pika.DeliveryMode.NOT_PERSISTENT,
        )
        key = self.config.from_janus_admin if admin else self.config.from_janus
        sending = asyncio.ensure_future(line.exchange.publish(message, key, mandatory=False, timeout=TIMEOUT))
        try:
            await asyncio.wait((sending, line.broker.lost), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() or sending.cancelled():
                raise ConnectionError("the connection is lost")
            await sending
        except ERRORS as problem:
            raise ConnectionError(str(problem)) from None
        finally:
            sending.cancel()

    def query(self, request: dict[str, Any]) -> dict[str, Any]:
        """``query_transport``."""
        return answer_query(self, request)
