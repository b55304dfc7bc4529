"""One connection to a RabbitMQ broker (AMQP 0-9-1): settings, TLS, and errors as ``ConnectionError``."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from aiormq.abc import FieldTable

from appliance.net.tls import ClientTls, context_if_wanted

TIMEOUT = 10.0
"""Seconds for a connection, and for each answer of the broker."""
ERRORS = (AMQPError, asyncio.InvalidStateError, RuntimeError)
"""What the library raises beside ``OSError`` when a connection goes, an error of its own state included."""


HASHING = "x-consistent-hash"
"""The type of exchange that spreads messages by their routing key (plugin ``rabbitmq_consistent_hash_exchange``)."""


def share_names(queue: str, count: int) -> list[str]:
    """Of the queues behind such an exchange."""
    return [f"{queue}-{number}" for number in range(count)]


class RabbitMqConfig(ClientTls, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What everything that connects to a RabbitMQ broker is told."""

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


class Broker:
    """A connection that stands, and its one channel."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.channel = channel
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the channel is closed, by whomever; ``ConnectionError`` says why."""
        self._connection = connection
        channel.close_callbacks.add(self._closed)

    def _closed(self, _sender: Any, problem: BaseException | None) -> None:
        if not self.lost.done():
            self.lost.set_exception(ConnectionError(_text(problem) if problem else "closed"))

    async def exchange(self, name: str, kind: str, *, durable: bool = False) -> AbstractExchange:
        """The exchange of that name, whatever its settings, or a new one with these; the default one for no name."""
        if not name:
            return self.channel.default_exchange
        if await self._exists(lambda probe: probe.declare_exchange(name, passive=True, timeout=TIMEOUT)):
            return await self.channel.get_exchange(name, ensure=False)
        return await self.channel.declare_exchange(name, kind, durable=durable, timeout=TIMEOUT)

    async def further(self, *, prefetch: int) -> "Broker":
        """Another channel of this connection. :raises ConnectionError: it can't be had."""
        try:
            channel = await self._connection.channel(publisher_confirms=False)
            await channel.set_qos(prefetch_count=prefetch)
        except ERRORS as problem:
            raise ConnectionError(_text(problem)) from None
        return Broker(self._connection, channel)

    async def close(self) -> None:
        """This channel alone: what it has not acknowledged goes back to where it was in the queue."""
        await self.channel.close()
        if self.lost.done() and not self.lost.cancelled():
            self.lost.exception()

    async def queue(
        self, name: str, *, durable: bool = False, auto_delete: bool = False, one_at_a_time: bool = False
    ) -> AbstractQueue:
        """The queue of that name, whatever its settings, or a new one with these; for no name one of our own.

        :param one_at_a_time: of several who read it one is given messages; when that one goes, the next.
        """
        if not name:
            return await self.channel.declare_queue(exclusive=True, auto_delete=True, timeout=TIMEOUT)
        if await self._exists(lambda probe: probe.declare_queue(name, passive=True, timeout=TIMEOUT)):
            return await self.channel.get_queue(name, ensure=False)
        arguments: FieldTable | None = {"x-single-active-consumer": True} if one_at_a_time else None
        return await self.channel.declare_queue(
            name, durable=durable, auto_delete=auto_delete, arguments=arguments, timeout=TIMEOUT
        )

    async def share(self, exchange: str, name: str, *, durable: bool) -> AbstractQueue:
        """One of the queues behind a consistent-hash exchange, which gets as much as each of the others."""
        source = await self.exchange(exchange, HASHING, durable=durable)
        queue = await self.queue(name, durable=durable, one_at_a_time=True)
        # The key of such a binding is its weight.
        await queue.bind(source, routing_key="1")
        return queue

    async def _exists(self, declare: Callable[[AbstractChannel], Awaitable[object]]) -> bool:
        """To declare what is there with other settings is an error, so it is asked first; a no ends the channel."""
        probe = await self._connection.channel()
        try:
            await declare(probe)
        except ChannelNotFoundEntity:
            return False
        finally:
            if not probe.is_closed:
                await probe.close()
        return True


@asynccontextmanager
async def connect(
    config: RabbitMqConfig, password: str, *, name: str, prefetch: int = 0, confirms: bool = True
) -> AsyncIterator[Broker]:
    """A connection with one channel, closed at the end.

    :param name: what the broker's own pages call the connection.
    :param prefetch: messages that may be unacknowledged; 0: any number.
    :param confirms: the broker says of each message that it has it.
    :raises ConnectionError: it can't be had, is refused, or is lost while it is used.
    """
    context = context_if_wanted(config)
    try:
        connection = await aio_pika.connect(
            host=config.host,
            port=config.port,
            login=config.username,
            password=password,
            virtualhost=config.vhost,
            ssl=context is not None,
            ssl_context=context,
            timeout=TIMEOUT,
            client_properties={"connection_name": name},
            heartbeat=config.heartbeat_s,
        )
    except TimeoutError:
        raise ConnectionError(f"no answer within {TIMEOUT:.0f} s") from None
    except ERRORS as problem:
        raise ConnectionError(_text(problem)) from None
    try:
        async with connection:
            channel = await connection.channel(publisher_confirms=confirms)
            if prefetch:
                await channel.set_qos(prefetch_count=prefetch)
            broker = Broker(connection, channel)
            try:
                yield broker
            finally:
                # Whoever waits for it is told; where nobody does, it is no unread exception.
                if not broker.lost.done():
                    broker.lost.cancel()
                elif not broker.lost.cancelled():
                    broker.lost.exception()
    except ERRORS as problem:
        raise ConnectionError(_text(problem)) from None


def _text(problem: BaseException) -> str:
    return str(problem) or type(problem).__name__
