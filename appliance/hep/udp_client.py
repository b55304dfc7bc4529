"""Sends HEPv3 packets over UDP, where only an ICMP error tells that nobody listens.

What is longer than a datagram may be goes over TCP if there is a way, and is cut if there is none.
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address

from appliance.hep.cut import cut
from appliance.hep.endpoint import Endpoint
from appliance.hep.layout import MAX_PACKET
from appliance.hep.message import HepEncodeError
from appliance.hep.tally import Count, Tally
from appliance.hep.tcp_client import TcpClient
from appliance.net.backoff import Backoff

logger = logging.getLogger(__name__)

REFUSED_FOR = 30.0
"""Seconds after which a server that refused is tried again, where another stands in for it."""
RESOLVE_EVERY = 60.0
"""Seconds between look-ups of a server's name: nothing else would tell that it has moved."""

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

    def __init__(
        self,
        *endpoints: Endpoint,
        max_bytes: int = MAX_PACKET,
        larger: TcpClient | None = None,
        sleep: Sleep = asyncio.sleep,
        backoff: Backoff | None = None,
    ) -> None:
        """
        :param endpoints: the others stand in for the first while it refuses.
        :param max_bytes: of a datagram.
        :param larger: what sends longer packets; started and stopped along with this.
        """
        self.endpoint = endpoints[0]
        self.tally = Tally(self.endpoint.transport)
        self.cut = 0
        """Packets that were cut to ``max_bytes``."""
        self._endpoints = endpoints
        self._max_bytes = max_bytes
        self._larger = larger
        self._sleep = sleep
        self._backoff = backoff or Backoff()
        self._socket: socket.socket | None = None
        self._addresses: list[Address] = []
        self._used = 0
        self._refused_at: dict[int, float] = {}
        """When an address refused, by its place in the list."""
        self._resolver: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look the server up; where that fails, go on trying."""
        if self._larger is not None:
            await self._larger.start()
        await self._look_up()
        steady = len(self._endpoints) == 1 and is_literal(self.endpoint.host)
        if self._socket is None or not steady:
            self._resolver = asyncio.create_task(self._keep_looking_up(), name=f"resolve {self.endpoint}")

    async def _look_up(self) -> None:
        addresses: list[Address] = []
        for endpoint in self._endpoints:
            try:
                addresses += await resolve(endpoint, socket.SOCK_DGRAM)
            except (OSError, UnicodeError) as error:
                self.tally.fail("resolve")
                logger.warning("capture server %s: %s", endpoint, error)
        # Another one that stands in is left for the first again, to see whether it is back.
        if addresses and (addresses != self._addresses or (self._used and len(self._endpoints) > 1)):
            self._addresses = addresses
            self._refused_at.clear()
            try:
                self._open(0)
            except OSError as error:
                self.tally.fail("connect")
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

    @property
    def available(self) -> bool:
        """There is a way to a server, as far as UDP tells: not all have refused within :data:`REFUSED_FOR`."""
        if self._socket is None or not self._refused_at:
            return self._socket is not None
        recent = time.monotonic() - REFUSED_FOR
        return sum(at > recent for at in self._refused_at.values()) < len(self._addresses)

    def send(self, packet: bytes, payload_type: int, *, expendable: bool = False) -> bool:
        """Hand one packet to the operating system, or count why not."""
        if len(packet) > self._max_bytes:
            return self._send_larger(packet, payload_type, expendable=expendable)
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
                self._refused_at[self._used] = time.monotonic()
                if len(self._addresses) > 1:
                    self._open((self._used + 1) % len(self._addresses))
                self._socket.send(packet)
        except BlockingIOError:
            self.tally.drop("queue_full")
            return False
        except OSError as error:
            if error.errno == errno.EMSGSIZE and self._larger is not None:
                return self._larger.send(packet, payload_type, expendable=expendable)
            self.tally.fail("write")
            self.tally.drop("oversize" if error.errno == errno.EMSGSIZE else "write_error")
            return False
        self.tally.count_sent(payload_type, len(packet))
        return True

    def _send_larger(self, packet: bytes, payload_type: int, *, expendable: bool) -> bool:
        if self._larger is not None:
            return self._larger.send(packet, payload_type, expendable=expendable)
        try:
            shorter = cut(packet, self._max_bytes)
        except HepEncodeError:
            self.tally.drop("oversize")
            return False
        self.cut += 1
        return self.send(shorter, payload_type, expendable=expendable)

    async def stop(self) -> None:
        """Close; nothing is queued here."""
        if self._resolver is not None:
            self._resolver.cancel()
            await asyncio.gather(self._resolver, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.tally.connected = False
        if self._larger is not None:
            await self._larger.stop()

    def counts(self) -> Iterable[Count]:
        """The tally, and that of what sends the larger packets."""
        yield from self.tally.counts()
        yield Count("hep_datagrams_cut_total", {}, self.cut)
        if self._larger is not None:
            yield from self._larger.counts()
