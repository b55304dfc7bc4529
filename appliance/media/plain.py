"""UDP sockets for media between servers: RTP and RTCP without ICE, to and from addresses that somebody named."""

import asyncio
import errno
import socket
from collections.abc import Callable
from ipaddress import ip_address

Address = tuple[str, int]
Received = Callable[[bytes, Address], None]
"""Takes a datagram and where it is from; never raises."""

BUFFER_BYTES = 1 << 20
"""Asked of the kernel for what waits to be read: a key frame is a burst."""
DATAGRAM_BYTES = 2048
"""What is longer is cut, and of no use."""
BATCH = 64
"""Datagrams that are read before others have their turn."""


class PlainSocket:
    """One socket, read by the running event loop; without ``received`` it only sends, and needs no loop.

    ``remote`` connects it: what comes from elsewhere, the kernel drops. ``group`` (with ``local``'s host as the
    interface) makes it hear a multicast group and nothing else.

    :raises OSError: the address is in use or not ours.
    """

    def __init__(
        self,
        received: Received | None,
        *,
        local: Address | None = None,
        remote: Address | None = None,
        group: str | None = None,
    ) -> None:
        host = (local or remote or ("127.0.0.1", 0))[0]
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if local is not None:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                self._socket.bind((group or local[0], local[1]))
                if group is not None:
                    self._join(group, local[0], family)
            if remote is not None:
                self._socket.connect(remote)
        except OSError:
            self._socket.close()
            raise
        self._loop: asyncio.AbstractEventLoop | None = None
        if received is not None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket.fileno(), self._read, received)

    def _join(self, group: str, interface: str, family: socket.AddressFamily) -> None:
        if family is not socket.AF_INET:
            raise OSError(errno.EAFNOSUPPORT, "multicast is heard over IPv4 alone")
        membership = socket.inet_aton(group) + socket.inet_aton(interface)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)

    @property
    def address(self) -> Address:
        """Where it is bound."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def send(self, data: bytes, to: Address | None = None) -> bool:
        """Whether the kernel took it. A refusal tells of an earlier datagram, and nobody may listen yet."""
        try:
            if to is None:
                self._socket.send(data)
            else:
                self._socket.sendto(data, to)
        except OSError as problem:
            return problem.errno == errno.ECONNREFUSED
        return True

    def close(self) -> None:
        """A second time nothing happens."""
        if self._socket.fileno() >= 0:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _read(self, received: Received) -> None:
        for _ in range(BATCH):
            try:
                data, address = self._socket.recvfrom(DATAGRAM_BYTES)
            except OSError as problem:
                if problem.errno in {errno.ECONNREFUSED, errno.EINTR}:
                    continue
                return
            received(data, address[:2])
            if self._socket.fileno() < 0:
                return
