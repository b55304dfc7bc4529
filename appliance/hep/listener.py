"""A stand-in for a capture server: takes HEPv3 over UDP, TCP and TLS and hands each decoded packet to a function."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from appliance.hep.framing import Framer, HepFramingError
from appliance.hep.message import HepDecodeError, HepMessage, decode

logger = logging.getLogger(__name__)

DRAIN = 256
"""Datagrams read in one turn of the loop, so that a flood leaves turns for others."""
RECEIVE_BUFFER = 8 * 2**20
"""Bytes asked of the kernel, which grants what it allows: bursts wait there."""
MAX_CONNECTIONS = 256
MAX_DATAGRAM = 65_535

OnMessage = Callable[[HepMessage], None]


class ListenerTally:
    """What a listener counts."""

    def __init__(self) -> None:
        self.packets: dict[str, int] = {"udp": 0, "tcp": 0, "tls": 0}
        """Decoded packets by transport."""
        self.malformed: dict[str, int] = {"udp": 0, "tcp": 0, "tls": 0}
        """Refused packets, and streams that lost their frame."""
        self.by_type: dict[int, int] = {}
        """Decoded packets by payload type; at most 256 kinds exist."""
        self.bytes = 0
        self.failed = 0
        """Packets on which the receiving function raised."""
        self.refused_connections = 0
        self.last_error = ""
        """Of the last malformed packet."""


class HepListener:
    """UDP and TCP, or TLS in its stead, on the same port. ``async with`` starts and stops it."""

    def __init__(
        self,
        on_message: OnMessage,
        *,
        host: str = "127.0.0.1",
        port: int = 9060,
        udp: bool = True,
        tcp: bool = True,
        tls: ssl.SSLContext | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.tally = ListenerTally()
        self.host = host
        self.port = port
        """As asked; with 0, what the system gave once it has started."""
        self.packet = b""
        """The bytes of the message at hand, while the receiving function runs."""
        self._on_message = on_message
        self._want_udp = udp
        self._want_tcp = tcp
        self._tls = tls
        self.stream = "tcp" if tls is None else "tls"
        """What comes by connections, by its name in the tally."""
        self._max_connections = max_connections
        self._udp: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._held = False

    @property
    def connections(self) -> int:
        """TCP clients that are connected."""
        return len(self._connections)

    async def start(self) -> None:
        """Bind. :raises OSError: the address can't be had."""
        loop = asyncio.get_running_loop()
        family, _, _, _, address = (await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM))[0]
        for attempt in range(10):
            try:
                await self._bind(family, address)
                return
            except OSError:
                await self.stop()
                # The free UDP port that the system chose may be taken in TCP.
                if self.port or attempt == 9:
                    raise

    async def _bind(self, family: socket.AddressFamily, address: tuple[object, ...]) -> None:
        loop = asyncio.get_running_loop()
        port = self.port
        if self._want_udp:
            self._udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            with contextlib.suppress(OSError):
                self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._udp.bind(address)
            port = self._udp.getsockname()[1]
            loop.add_reader(self._udp, self._drain)
        if self._want_tcp:
            self._server = await loop.create_server(
                lambda: _Connection(self), str(address[0]), port, family=family, ssl=self._tls
            )
            port = self._server.sockets[0].getsockname()[1]
        self.port = port

    def _drain(self) -> None:
        assert self._udp is not None
        for _ in range(DRAIN):
            try:
                data = self._udp.recv(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                logger.warning("HEP over UDP: %s", error)
                return
            self.take(data, "udp")

    def take(self, data: bytes, transport: str) -> None:
        """One packet, from wherever; counted, decoded, handed over. Never raises."""
        self.tally.bytes += len(data)
        try:
            message = decode(data)
        except HepDecodeError as error:
            self.malformed(transport, error)
            return
        self.tally.packets[transport] += 1
        self.tally.by_type[message.payload_type] = self.tally.by_type.get(message.payload_type, 0) + 1
        self.packet = data
        try:
            self._on_message(message)
        except Exception:
            self.tally.failed += 1
            if self.tally.failed == 1:
                logger.exception("a HEP packet could not be handled; further ones are only counted")

    def malformed(self, transport: str, error: ValueError) -> None:
        """Count what could not be read."""
        self.tally.malformed[transport] += 1
        self.tally.last_error = str(error)

    def admit(self, connection: "_Connection") -> bool:
        """Take up a TCP connection, unless there are too many."""
        if len(self._connections) >= self._max_connections:
            self.tally.refused_connections += 1
            return False
        self._connections.add(connection)
        connection.hold(back=self._held)
        return True

    def hold(self, *, back: bool) -> None:
        """Read no connection until told again, so that its peer waits; datagrams come all the same."""
        self._held = back
        for connection in self._connections:
            connection.hold(back=back)

    def forget(self, connection: "_Connection") -> None:
        """A TCP connection is over."""
        self._connections.discard(connection)

    async def stop(self) -> None:
        """Close everything; what the kernel still holds is read first."""
        if self._udp is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._udp)
            self._drain()
            self._udp.close()
            self._udp = None
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> "HepListener":
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()


class _Connection(asyncio.Protocol):
    """One TCP client."""

    def __init__(self, listener: HepListener) -> None:
        self._listener = listener
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._listener.admit(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for packet in self._framer.feed(data):
                self._listener.take(packet, self._listener.stream)
        except HepFramingError as error:
            self._listener.malformed(self._listener.stream, error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.forget(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def hold(self, *, back: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if back:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
