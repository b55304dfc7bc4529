"""ICE over TCP: the port that clients connect to whose network lets no UDP through (RFC 6544, passive; RFC 4571).

A connection is one more address of a peer. Its frames go the way of datagrams, by the same rules: STUN proves whose it
is, and media of what is not proven is dropped unread. What a client does not read in time is dropped, not kept: media
is worth nothing late, and one slow client must cost nobody else memory.
"""

import asyncio
import resource
import socket
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any, cast

from appliance.core.clock import Clock, Timer
from appliance.core.network import network_of
from appliance.media.config import DATAGRAM_BYTES
from appliance.media.udp import MediaReceiver, Slot, Slots, address_of, contents, sockaddr
from appliance.wire.framing import Deframer, FramingError, framed

MAX_CONNECTIONS = 2048
"""Of one port, at a time; a quarter of the files that the process may open, where that is less."""
MAX_CONNECTIONS_OF_ADDRESS = 256
"""Many people behind one NAT are one address to us, and so is all of one IPv6 client's /64."""
MAX_UNPROVEN = 256
"""Connections that have not said yet whose they are; beyond this new ones are closed at once."""
MAX_UNPROVEN_OF_ADDRESS = 32
MAX_BACKLOG_BYTES = 131_072
"""Waiting to be written to one connection: half a second of a good picture. What comes on top of it is dropped."""
PROVE_S = 5.0
"""Seconds in which a new connection has to bring a check of a known PeerConnection."""
UNPROVEN_BYTES = 16_384
"""That a connection may bring until then."""
IDLE_S = 60.0
"""Seconds without a frame after which a connection is closed. Browsers check a pair in reserve every 25 seconds."""
SWEEP_S = 1.0
"""Seconds between two looks for such connections, while there are any."""
REFUSALS = ("limit", "unproven", "idle", "framing")
"""Why a connection is closed."""


class TcpPort:
    """Implements :class:`appliance.media.port.Port`: a listening socket and what is connected to it.

    ``take`` gets every frame: the port, the sender's sockaddr. ``owned`` says whether an address is proven to be a
    peer's; ``lost`` is told when a connection is gone.

    :raises OSError: the address can't be had; the message names it.
    """

    candidate_type = "host"
    transport = "tcp"

    def __init__(
        self,
        host: str,
        port: int,
        clock: Clock,
        *,
        announced: str,
        take: Callable[["TcpPort", bytes, bytes], None],
        owned: Callable[["TcpPort", bytes], bool],
        lost: Callable[["TcpPort", bytes], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind((host, port))
            self._socket.listen(128)
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, f"media address {host} TCP port {port}: {error.strerror or error}") from None
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.announced = announced
        self.media: dict[bytes, MediaReceiver] = {}
        self.received = self.sent = 0
        self.dropped = 0
        """Datagrams that were not sent: the client does not read, or is gone."""
        self.refused: Tally[str] = Tally()
        """Connections that were closed, by why: one of :data:`REFUSALS`."""
        self.take = take
        self._owned = owned
        self._lost = lost
        self._clock = clock
        self._connections: dict[bytes, _Connection] = {}
        self._of_client: Tally[str] = Tally()
        self._unproven: dict[bytes, _Connection] = {}
        self._server: asyncio.Server | None = None
        self._sweeping: Timer | None = None
        self._slots = Slots(2, len(sockaddr(host, 0)))
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 4)

    async def start(self) -> None:
        """Take connections from now on."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), sock=self._socket)

    def close(self) -> None:
        """Take none any more, and close those that there are."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._server is not None:
            self._server.close()
        self._socket.close()
        for connection in list(self._connections.values()):
            connection.transport.abort()
        self.media.clear()

    def __len__(self) -> int:
        """Connections that there are."""
        return len(self._connections)

    # --- out ---------------------------------------------------------------------------------------------

    def send(self, data: bytes, key: bytes) -> None:
        """Write one frame, unless too much is waiting to be written there already."""
        connection = self._connections.get(key)
        transport = connection.transport if connection is not None else None
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            self.dropped += 1
            return
        transport.write(framed(data))
        self.sent += 1

    def queue(self, base: Any, length: int, name: Any) -> None:
        """At once: the connection has a queue of its own."""
        self.send(contents(base, length), contents(name, self._slots.name_bytes))

    def spare(self) -> Slot:
        """Always the same: it is copied when it is queued."""
        return self._slots.slots[1]

    def flush(self) -> None:
        """Nothing is queued here."""

    def release(self, key: bytes) -> None:
        """The address is nobody's any more: its connection ends when what was written is sent."""
        self.media.pop(key, None)
        connection = self._connections.get(key)
        if connection is not None:
            connection.transport.close()

    # --- in ----------------------------------------------------------------------------------------------

    def slot_of(self, data: bytes) -> Slot | None:
        """Where media can be handled in place; ``None`` when it is too long. Good until the next frame."""
        return self._slots.hold(data)

    def opened(self, connection: "_Connection") -> bool:
        """A connection has come; false when there are too many."""
        key, client = connection.key, network_of(address_of(connection.key)[0])
        unproven = sum(other.client == client for other in self._unproven.values())
        if (
            len(self._connections) >= self._most
            or self._of_client[client] >= MAX_CONNECTIONS_OF_ADDRESS
            or len(self._unproven) >= MAX_UNPROVEN
            or unproven >= MAX_UNPROVEN_OF_ADDRESS
        ):
            self.refused["limit"] += 1
            return False
        self._connections[key] = self._unproven[key] = connection
        self._of_client[client] += 1
        connection.client = client
        connection.opened_at = connection.heard_at = self._clock.monotonic()
        if self._sweeping is None:
            self._sweeping = self._clock.call_later(SWEEP_S, self._sweep)
        return True

    def closed(self, connection: "_Connection") -> None:
        """It is gone."""
        key = connection.key
        if self._connections.get(key) is not connection:
            return
        del self._connections[key]
        self._unproven.pop(key, None)
        self._of_client[connection.client] -= 1
        if not self._of_client[connection.client]:
            del self._of_client[connection.client]
        self._lost(self, key)

    def heard(self, connection: "_Connection", data: bytes) -> None:
        """Take what came on a connection."""
        connection.heard_at = self._clock.monotonic()
        key = connection.key
        is_unproven = key in self._unproven
        if is_unproven:
            connection.unproven_bytes += len(data)
        try:
            for frame in connection.deframer.feed(data):
                self.received += 1
                self.take(self, key, frame)
        except FramingError:
            self._refuse(connection, "framing")
            return
        if is_unproven:
            if self._owned(self, key):
                self._unproven.pop(key, None)
            elif connection.unproven_bytes > UNPROVEN_BYTES:
                self._refuse(connection, "unproven")

    def _sweep(self) -> None:
        self._sweeping = None
        now = self._clock.monotonic()
        for connection in list(self._connections.values()):
            if connection.key in self._unproven and self._owned(self, connection.key):
                # A check that came before our description was complete is answered later.
                del self._unproven[connection.key]
            if connection.key in self._unproven and now - connection.opened_at >= PROVE_S:
                self._refuse(connection, "unproven")
            elif now - connection.heard_at >= IDLE_S:
                self._refuse(connection, "idle")
        if self._connections:
            self._sweeping = self._clock.call_later(SWEEP_S, self._sweep)

    def _refuse(self, connection: "_Connection", why: str) -> None:
        self.refused[why] += 1
        connection.transport.abort()
        # Not when the loop tells that it is gone: it must not count, nor be refused again, until then.
        self.closed(connection)


class _Connection(asyncio.Protocol):
    """One client, or somebody who says nothing."""

    transport: asyncio.Transport
    opened_at = heard_at = 0.0
    """Monotonic."""

    def __init__(self, port: TcpPort) -> None:
        self.key = b""
        self.client = ""
        """Its address, as far as one client has it to itself."""
        self.deframer = Deframer(DATAGRAM_BYTES)
        self.unproven_bytes = 0
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone
        name = transport.get_extra_info("peername")
        if name is None:  # it is gone already
            self.transport.abort()
            return
        self.key = sockaddr(name[0].partition("%")[0], name[1])
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._port.opened(self):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self._port.heard(self, data)

    def connection_lost(self, _problem: Exception | None) -> None:
        self._port.closed(self)
