"""One UDP socket for all peers of an address, read and written in batches by ``recvmmsg`` and ``sendmmsg``.

Everything that the hot path touches is allocated once: slots for datagrams, and the kernel's structures that point to
them. A datagram is decrypted, rewritten, encrypted and sent where it was received. cffi's ABI mode needs no compiler;
the structures are those of Linux.
"""

import errno
import socket
import struct
from collections.abc import Callable
from typing import Any

import cffi

from appliance.media import srtp
from appliance.media.config import BATCH, DATAGRAM_BYTES, SLOT_BYTES

Slot = tuple[memoryview, Any, Any]
"""One datagram's room: for Python, for libsrtp (``char *``), for the kernel (``void *``)."""
MediaReceiver = Callable[[Slot, int, float], None]
"""Takes a datagram of a validated address: the slot, its length, when it came (monotonic seconds)."""

OUTGOING = 256
"""Datagrams queued before they are sent even within a wake-up."""
_MSG_DONTWAIT = 0x40
_IGNORED_ERRORS = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED, errno.EINTR})
_IPV4 = struct.Struct("=H2s4s8x")
_IPV6 = struct.Struct("=H2s4s16sI")

_ffi = cffi.FFI()
_ffi.cdef(
    """
    struct iovec { void *iov_base; size_t iov_len; };
    struct msghdr {
        void *msg_name; uint32_t msg_namelen; struct iovec *msg_iov; size_t msg_iovlen;
        void *msg_control; size_t msg_controllen; int msg_flags;
    };
    struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
    int sendmmsg(int, struct mmsghdr *, unsigned int, int);
    int recvmmsg(int, struct mmsghdr *, unsigned int, int, void *);
    """
)
_libc = _ffi.dlopen(None)
_sendmmsg = _libc.sendmmsg
_recvmmsg = _libc.recvmmsg


def sockaddr(host: str, port: int) -> bytes:
    """The kernel's form of an address, which is also the key of every table by address. :raises OSError: no IP."""
    if ":" in host:
        return _IPV6.pack(
            socket.AF_INET6, port.to_bytes(2, "big"), bytes(4), socket.inet_pton(socket.AF_INET6, host), 0
        )
    return _IPV4.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_pton(socket.AF_INET, host))


def address_of(key: bytes) -> tuple[str, int]:
    """Host and port of a :func:`sockaddr`."""
    port = int.from_bytes(key[2:4], "big")
    if len(key) == _IPV4.size:
        return socket.inet_ntop(socket.AF_INET, key[4:8]), port
    return socket.inet_ntop(socket.AF_INET6, key[8:24]), port


def contents(base: Any, length: int) -> bytes:
    """A copy of what :meth:`UdpPort.queue` was given."""
    return bytes(_ffi.buffer(base, length))


def pinned(key: bytes) -> Any:
    """A sockaddr that the kernel can be pointed to, for :meth:`UdpPort.queue`; alive as long as it is referred to."""
    return _ffi.new("char[]", key)


class Slots:
    """Room for ``count`` datagrams and the kernel's structures for them."""

    def __init__(self, count: int, name_bytes: int) -> None:
        self.count = count
        self.name_bytes = name_bytes
        self.memory = bytearray(count * SLOT_BYTES)
        view = memoryview(self.memory)
        self._pin, pointers = srtp.pointers(self.memory, SLOT_BYTES, count)
        self._base = _ffi.from_buffer("char[]", self.memory)
        self.slots: list[Slot] = [
            (
                view[i * SLOT_BYTES : (i + 1) * SLOT_BYTES],
                pointers[i],
                _ffi.cast("void *", self._base + i * SLOT_BYTES),
            )
            for i in range(count)
        ]
        self.headers = _ffi.new("struct mmsghdr[]", count)
        self.vectors = _ffi.new("struct iovec[]", count)
        self.names = _ffi.new("char[]", count * name_bytes)
        self.header_at = []
        self.vector_at = []
        for i, slot in enumerate(self.slots):
            self.vectors[i].iov_base = slot[2]
            self.vectors[i].iov_len = DATAGRAM_BYTES
            header = self.headers[i].msg_hdr
            header.msg_iov = self.vectors + i
            header.msg_iovlen = 1
            header.msg_name = self.names + i * name_bytes
            header.msg_namelen = name_bytes
            self.header_at.append(_ffi.addressof(self.headers[i], "msg_hdr"))
            self.vector_at.append(self.vectors + i)

    def hold(self, data: bytes) -> Slot | None:
        """A packet that came otherwise, in the first slot until the next; ``None`` when it is too long."""
        if len(data) >= DATAGRAM_BYTES:
            return None
        slot = self.slots[0]
        slot[0][: len(data)] = data
        return slot


class UdpPort:
    """A bound socket. Media of known addresses goes straight to its receiver, everything else to ``other``.

    :raises OSError: the address can't be had; the message names it.
    """

    def __init__(self, host: str, port: int, *, announced: str, receive_buffer_bytes: int) -> None:
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(self.family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if self.family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, receive_buffer_bytes)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, f"media address {host} port {port}: {error.strerror or error}") from None
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.candidate_type = "host"
        self.transport = "udp"
        self.announced = announced
        """What candidates say: the host, or its public address."""
        self.fd = self._socket.fileno()
        self.media: dict[bytes, MediaReceiver] = {}
        """By sockaddr: who takes SRTP and SRTCP from there."""
        self.received = self.sent = 0
        self.unknown_media = 0
        """Datagrams in the range of RTP from an address that no peer has validated."""
        self.oversize = 0
        self.send_errors: dict[str, int] = {}
        self._name_bytes = _IPV4.size if self.family == socket.AF_INET else _IPV6.size
        self._incoming = Slots(BATCH, self._name_bytes)
        self._outgoing = Slots(OUTGOING, self._name_bytes)
        words = _ffi.sizeof("struct mmsghdr") // 4
        # msg_len of every header, as one strided view: reading it through cffi field by field costs more.
        first = _ffi.offsetof("struct mmsghdr", "msg_len") // 4
        self._lengths = memoryview(_ffi.buffer(self._incoming.headers)).cast("I")[first::words]
        self._names = memoryview(_ffi.buffer(self._incoming.names))
        self._queued = 0

    def close(self) -> None:
        """No datagram comes or goes any more."""
        self.media.clear()
        self._socket.close()

    def drain(self, now: float, other: Callable[["UdpPort", bytes, bytes], None]) -> int:
        """Read what has come, at most a batch, and return how much it was.

        ``other`` gets what is no media of a known address: the port, the sender's sockaddr, the datagram.
        """
        count: int = _recvmmsg(self.fd, self._incoming.headers, BATCH, _MSG_DONTWAIT, _ffi.NULL)
        if count <= 0:
            return 0
        self.received += count
        stride = self._name_bytes
        names = self._names[: count * stride].tobytes()
        known = self.media.get
        start = 0
        for slot, length in zip(self._incoming.slots, self._lengths[:count].tolist(), strict=False):
            key = names[start : start + stride]
            start += stride
            view = slot[0]
            # A slot that holds fewer bytes still shows those of an earlier datagram.
            if length >= DATAGRAM_BYTES:
                self.oversize += 1
            elif length > 1 and 127 < view[0] < 192:
                receive = known(key)
                if receive is not None:
                    receive(slot, length, now)
                else:
                    self.unknown_media += 1
            else:
                other(self, key, view[:length].tobytes())
        return count

    def queue(self, base: Any, length: int, name: Any) -> None:
        """Send ``length`` bytes at ``base`` to a pinned sockaddr at the next :meth:`flush`.

        ``base`` has to stay as it is until then.
        """
        index = self._queued
        vector = self._outgoing.vector_at[index]
        vector.iov_base = base
        vector.iov_len = length
        self._outgoing.header_at[index].msg_name = name
        self._queued = index = index + 1
        if index == OUTGOING:
            self.flush()

    def spare(self) -> Slot:
        """Room for a copy, free until the flush after the next :meth:`queue`."""
        return self._outgoing.slots[self._queued]

    def flush(self) -> None:
        """Send what is queued. What the kernel refuses is counted and dropped: media is not worth waiting for."""
        total, self._queued = self._queued, 0
        done = 0
        while done < total:
            sent: int = _sendmmsg(self.fd, self._outgoing.headers + done, total - done, _MSG_DONTWAIT)
            if sent > 0:
                done += sent
                self.sent += sent
            else:
                self._count_error(_ffi.errno)
                done += 1

    def release(self, key: bytes) -> None:
        """Media from there is nobody's any more."""
        self.media.pop(key, None)

    def send(self, data: bytes, key: bytes) -> None:
        """Send one datagram now (STUN, DTLS, RTCP, retransmissions)."""
        try:
            self._socket.sendto(data, address_of(key))
            self.sent += 1
        except OSError as error:
            self._count_error(error.errno or 0)

    def _count_error(self, number: int) -> None:
        name = errno.errorcode.get(number, "other") if number in _IGNORED_ERRORS else "other"
        self.send_errors[name] = self.send_errors.get(name, 0) + 1
