"""Sends HEPv3 packets to a capture server, without ever holding up whoever has them.

A capture server answers nothing: over UDP only an ICMP error tells that nobody listens, over TCP only a write that
fails or a connection that closes. So every such sign leads to a new connection, and what could not be sent is
counted by its reason.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple, Protocol

from appliance.hep.endpoint import Endpoint, parse_endpoint
from appliance.net.backoff import Backoff

logger = logging.getLogger(__name__)

MAX_QUEUED = 20_000
"""Packets that wait for a TCP connection."""
MAX_QUEUED_BYTES = 32 * 2**20
RESERVE = 0.25
"""Share of the queue kept free of what is expendable."""
BATCH_BYTES = 128 * 1024
"""Joined into one write; ten times cheaper than a write each."""
CONNECT_TIMEOUT = 10.0
WRITE_TIMEOUT = 20.0
"""Seconds in which the peer must take a batch; one that accepts and never reads is let go."""
STEADY_AFTER = 5.0
"""Seconds of a connection after which the back-off starts from the beginning."""
DRAIN_TIMEOUT = 2.0
RESOLVE_EVERY = 60.0
"""Seconds between look-ups of a UDP server's name: nothing else would tell that it has moved."""

TYPE_WORDS = {1: "sip", 5: "rtcp", 100: "log"}


class Count(NamedTuple):
    """One count or level, by the names of the metrics."""

    name: str
    labels: dict[str, str]
    value: float


class Tally:
    """What a client counts."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.sent: dict[int, int] = {}
        """Packets by payload type: handed to the operating system."""
        self.sent_bytes = 0
        self.dropped: dict[str, int] = {}
        """Packets by reason: queue_full, disconnected, write_error, oversize."""
        self.errors: dict[str, int] = {}
        """Failures by what failed: resolve, connect, refused, write, timeout, closed."""
        self.connected = False

    def count_sent(self, payload_type: int, size: int) -> None:
        """One more went out."""
        self.sent[payload_type] = self.sent.get(payload_type, 0) + 1
        self.sent_bytes += size

    def drop(self, reason: str, number: int = 1) -> None:
        """Packets that will not go out."""
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def fail(self, what: str) -> None:
        """One more failure."""
        self.errors[what] = self.errors.get(what, 0) + 1

    def counts(self) -> Iterable[Count]:
        """Everything, for whoever shows it."""
        by_word: dict[str, int] = {}
        for kind, number in self.sent.items():
            word = TYPE_WORDS.get(kind, str(kind))
            by_word[word] = by_word.get(word, 0) + number
        transport = {"transport": self.transport}
        for word, number in by_word.items():
            yield Count("hep_packets_sent_total", {**transport, "proto_type": word}, number)
        yield Count("hep_bytes_sent_total", transport, self.sent_bytes)
        for reason, number in self.dropped.items():
            yield Count("hep_packets_dropped_total", {**transport, "reason": reason}, number)
        yield Count("hep_send_errors_total", transport, sum(self.errors.values()))
        yield Count("hep_connected", transport, float(self.connected))


class HepClient(Protocol):
    """What both transports offer."""

    endpoint: Endpoint
    tally: Tally

    async def start(self) -> None:
        """Begin to reach the server; does not wait for it."""

    def send(self, packet: bytes, payload_type: int, *, expendable: bool = False) -> bool:
        """Send or queue one packet; ``False``: it was dropped, and counted. Never blocks, never raises."""

    async def stop(self) -> None:
        """Send what is queued, if it goes fast, and close."""

    def counts(self) -> Iterable[Count]:
        """The tally and the queue."""


Sleep = Callable[[float], Awaitable[None]]


Address = tuple[socket.AddressFamily, tuple[str | int, ...] | tuple[int, bytes]]
"""What a socket is made of and connected to."""


async def resolve(endpoint: Endpoint, kind: socket.SocketKind) -> list[Address]:
    """Look the host up without blocking. :raises OSError, UnicodeError: it has no address, or is no name."""
    found = await asyncio.get_running_loop().getaddrinfo(endpoint.host, endpoint.port, type=kind)
    return [(entry[0], entry[4]) for entry in found]


def is_literal(host: str) -> bool:
    """An address, which need not be looked up again."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class UdpClient:
    """A connected non-blocking socket, written to directly: a third of the cost of asyncio's transport."""

    def __init__(self, endpoint: Endpoint, *, sleep: Sleep = asyncio.sleep, backoff: Backoff | None = None) -> None:
        self.endpoint = endpoint
        self.tally = Tally(endpoint.transport)
        self._sleep = sleep
        self._backoff = backoff or Backoff()
        self._socket: socket.socket | None = None
        self._addresses: list[Address] = []
        self._used = 0
        self._resolver: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look the server up; where that fails, go on trying."""
        await self._look_up()
        if self._socket is None or not is_literal(self.endpoint.host):
            self._resolver = asyncio.create_task(self._keep_looking_up(), name=f"resolve {self.endpoint}")

    async def _look_up(self) -> None:
        try:
            addresses = await resolve(self.endpoint, socket.SOCK_DGRAM)
            if addresses != self._addresses:
                self._addresses = addresses
                self._open(0)
        except (OSError, UnicodeError) as error:
            self.tally.fail("resolve")
            logger.warning("capture server %s: %s", self.endpoint, error)

    async def _keep_looking_up(self) -> None:
        while True:
            await self._sleep(RESOLVE_EVERY if self._socket is not None else self._backoff.next())
            await self._look_up()

    def _open(self, index: int) -> None:
        """Connect to one of the addresses. :raises OSError: there is no way to it."""
        family, address = self._addresses[index]
        fresh = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            fresh.connect(address)
        except OSError:
            fresh.close()
            raise
        if self._socket is not None:
            self._socket.close()
        self._socket, self._used = fresh, index
        self.tally.connected = True

    def send(self, packet: bytes, payload_type: int, *, expendable: bool = False) -> bool:
        """Hand one packet to the operating system, or count why not."""
        if self._socket is None:
            self.tally.drop("disconnected")
            return False
        try:
            try:
                self._socket.send(packet)
            except ConnectionRefusedError:
                # The ICMP error of an earlier packet: this one has not been tried. A name like localhost has two
                # addresses, and the server may listen on the other.
                self.tally.fail("refused")
                if len(self._addresses) > 1:
                    self._open((self._used + 1) % len(self._addresses))
                self._socket.send(packet)
        except BlockingIOError:
            self.tally.drop("queue_full")
            return False
        except OSError as error:
            self.tally.fail("write")
            self.tally.drop("oversize" if error.errno == errno.EMSGSIZE else "write_error")
            return False
        self.tally.count_sent(payload_type, len(packet))
        return True

    async def stop(self) -> None:
        """Close; nothing is queued here."""
        if self._resolver is not None:
            self._resolver.cancel()
            await asyncio.gather(self._resolver, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.tally.connected = False

    def counts(self) -> Iterable[Count]:
        """The tally."""
        return self.tally.counts()


class TcpClient:
    """Queues, joins and writes; dials again after any error, with back-off."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        tls: ssl.SSLContext | None = None,
        max_queued: int = MAX_QUEUED,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        write_timeout: float = WRITE_TIMEOUT,
        sleep: Sleep = asyncio.sleep,
        backoff: Backoff | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.tally = Tally(endpoint.transport)
        self._tls = tls if tls is not None or endpoint.transport != "tls" else ssl.create_default_context()
        self._max = max_queued
        self._max_bytes = max_queued_bytes
        self._write_timeout = write_timeout
        self._sleep = sleep
        self._backoff = backoff or Backoff()
        self._queue: deque[tuple[bytes, int]] = deque()
        self._queued_bytes = 0
        self._wake: asyncio.Future[None] | None = None
        self._resting = False
        """It waits before it dials again."""
        self._settled = asyncio.Event()
        """Nothing will be sent for now: all is sent, or it rests."""
        self._settled.set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to dial."""
        self._task = asyncio.create_task(self._run(), name=f"hep {self.endpoint}")

    def send(self, packet: bytes, payload_type: int, *, expendable: bool = False) -> bool:
        """Queue one packet. A full queue refuses what is expendable, and gives up its oldest for the rest."""
        size = len(packet)
        share = 1 - RESERVE if expendable else 1.0
        while self._queue and (
            len(self._queue) >= self._max * share or self._queued_bytes + size > self._max_bytes * share
        ):
            self.tally.drop("queue_full")
            if expendable:
                return False
            self._queued_bytes -= len(self._queue.popleft()[0])
        self._queue.append((packet, payload_type))
        self._queued_bytes += size
        if not self._resting:
            self._settled.clear()
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        return True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    reader, writer = await asyncio.open_connection(
                        self.endpoint.host,
                        self.endpoint.port,
                        ssl=self._tls,
                        server_hostname=self.endpoint.host if self._tls else None,
                    )
            except (OSError, TimeoutError, UnicodeError) as error:
                self.tally.fail("connect")
                logger.warning("capture server %s can't be reached: %s", self.endpoint, error or "time-out")
            else:
                self.tally.connected = True
                try:
                    _set_options(writer)
                    await self._pump(reader, writer)
                except TimeoutError:
                    self.tally.fail("timeout")
                    logger.warning("capture server %s accepts and does not read", self.endpoint)
                except OSError as error:
                    self.tally.fail("closed" if isinstance(error, ConnectionAbortedError) else "write")
                    logger.warning("capture server %s is gone: %s", self.endpoint, error)
                finally:
                    self.tally.connected = False
                    writer.transport.abort()
                if loop.time() - began > STEADY_AFTER:
                    self._backoff.reset()
            await self._rest()

    async def _rest(self) -> None:
        self._resting = True
        self._settled.set()
        await self._sleep(self._backoff.next())
        self._resting = False
        if self._queue:
            self._settled.clear()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Write until something fails. :raises OSError, TimeoutError: it did."""
        loop = asyncio.get_running_loop()
        # drain() then waits until the kernel has everything, and a batch is known to be sent.
        writer.transport.set_write_buffer_limits(high=0)
        gone = asyncio.create_task(_until_closed(reader), name=f"hep {self.endpoint} closed")
        try:
            while True:
                if not self._queue:
                    self._settled.set()
                    self._wake = loop.create_future()
                    await asyncio.wait((gone, self._wake), return_when=asyncio.FIRST_COMPLETED)
                    self._wake = None
                if gone.done():
                    raise ConnectionAbortedError("it closed the connection")
                batch = self._take()
                try:
                    writer.write(b"".join([packet for packet, _ in batch]))
                    async with asyncio.timeout(self._write_timeout):
                        await writer.drain()
                except BaseException:
                    self._put_back(batch)
                    raise
                for packet, kind in batch:
                    self.tally.count_sent(kind, len(packet))
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    def _take(self) -> list[tuple[bytes, int]]:
        batch: list[tuple[bytes, int]] = []
        size = 0
        while self._queue and size < BATCH_BYTES:
            entry = self._queue.popleft()
            size += len(entry[0])
            batch.append(entry)
        self._queued_bytes -= size
        return batch

    def _put_back(self, batch: Sequence[tuple[bytes, int]]) -> None:
        """The peer may have some of it: the same packet twice does less harm than a call without its INVITE."""
        self._queue.extendleft(reversed(batch))
        self._queued_bytes += sum(len(packet) for packet, _ in batch)

    async def stop(self) -> None:
        """Send what is queued if the connection stands or is being made, and close."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await self._settled.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        self.tally.drop("disconnected", len(self._queue))
        self._queue.clear()
        self._queued_bytes = 0

    def counts(self) -> Iterable[Count]:
        """The tally and the queue."""
        yield from self.tally.counts()
        transport = {"transport": self.endpoint.transport}
        yield Count("hep_queue_length", transport, len(self._queue))
        yield Count("hep_queue_bytes", transport, self._queued_bytes)


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """A capture server says nothing; whatever it says is thrown away."""
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass


def _set_options(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def make_client(url: str, *, tls: ssl.SSLContext | None = None) -> UdpClient | TcpClient:
    """The client for ``udp://``, ``tcp://`` or ``tls://host:port``. :raises ValueError: the URL is wrong."""
    endpoint = parse_endpoint(url)
    return UdpClient(endpoint) if endpoint.transport == "udp" else TcpClient(endpoint, tls=tls)
