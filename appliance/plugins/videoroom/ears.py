"""Who hears what a participant sends: the meter of who talks, and RTP forwarders. None of them costs where none is."""

import errno
import secrets
import socket
from collections.abc import Callable
from ipaddress import ip_address

from msgspec import Struct

from appliance.core.peer import Listener, PeerConnection
from appliance.media.receive import extension_at

MAX_LEVEL = 127
"""RFC 6464: dBov below the loudest; 127 is silence."""


class Ears:
    """Listeners by mid, put onto each PeerConnection of a participant."""

    def __init__(self) -> None:
        self._listeners: dict[str, tuple[Listener, ...]] = {}
        self._peer: PeerConnection | None = None

    def on(self, peer: PeerConnection | None) -> None:
        """Listen on this one from now on."""
        self._peer = peer
        for mid in self._listeners:
            self._tell(mid)

    def add(self, mid: str, listener: Listener) -> None:
        """One more."""
        self._listeners[mid] = (*self._listeners.get(mid, ()), listener)
        self._tell(mid)

    def remove(self, mid: str, listener: Listener) -> None:
        """One fewer; nothing happens where it isn't there."""
        left = tuple(one for one in self._listeners.get(mid, ()) if one != listener)
        self._listeners[mid] = left
        self._tell(mid)
        if not left:
            del self._listeners[mid]

    def clear(self) -> None:
        """None."""
        for mid in list(self._listeners):
            self._listeners[mid] = ()
            self._tell(mid)
        self._listeners.clear()

    def _tell(self, mid: str) -> None:
        if self._peer is None:
            return
        listeners = self._listeners[mid]
        if len(listeners) < 2:
            self._peer.listen(mid, listeners[0] if listeners else None)
            return

        def all_of_them(packet: memoryview) -> None:
            for listener in listeners:
                listener(packet)

        self._peer.listen(mid, all_of_them)


class TalkMeter:
    """Says when somebody begins and stops to talk, by the audio levels of their packets (RFC 6464).

    As Janus: the mean of so many packets, below ``average`` dBov is talking. ``changed(talks, mean)`` is told of each
    change; a packet without a level, or longer than a word, counts as silence.
    """

    def __init__(self, extension_id: int, packets: int, average: int, changed: Callable[[bool, float], None]) -> None:
        self.talking = False
        self._extension_id = extension_id
        self._packets = packets
        self._average = average
        self._changed = changed
        self._sum = self._count = 0

    def configure(self, packets: int | None, average: int | None) -> None:
        """Other thresholds, from the next packet on."""
        self._packets = packets or self._packets
        self._average = average if average is not None else self._average

    def __call__(self, packet: memoryview) -> None:
        """Take one packet."""
        offset, size = extension_at(packet, len(packet), self._extension_id)
        self._sum += packet[offset] & 0x7F if size else MAX_LEVEL
        self._count += 1
        if self._count < self._packets:
            return
        mean = self._sum / self._count
        self._sum = self._count = 0
        talks = mean < self._average
        if talks is not self.talking:
            self.talking = talks
            self._changed(talks, mean)


class Forwarder(Struct, kw_only=True):
    """Sends one stream on to an address, in plain RTP over UDP. Made by :func:`forwarder`."""

    stream_id: int
    mid: str
    kind: str
    """audio, video or data; data go out as they are, one message a datagram."""
    host: str
    port: int
    ssrc: int | None
    """In place of the sender's own."""
    payload_type: int | None
    socket: socket.socket
    sent: int = 0
    lost: int = 0
    """Datagrams that could not be sent."""

    def __call__(self, packet: memoryview) -> None:
        """Send one packet on."""
        copy = bytearray(packet)
        if self.payload_type is not None:
            copy[1] = copy[1] & 0x80 | self.payload_type
        if self.ssrc is not None:
            copy[8:12] = self.ssrc.to_bytes(4, "big")
        self.send(copy)

    def send(self, data: bytes | bytearray) -> None:
        """Send a datagram; one that the kernel has no room for is counted."""
        try:
            self.socket.send(data)
            self.sent += 1
        except OSError as problem:
            # A refusal tells of an earlier datagram, and nobody may listen yet.
            self.lost += problem.errno != errno.ECONNREFUSED
            self.sent += problem.errno == errno.ECONNREFUSED


def forwarder(
    mid: str, kind: str, host: str, port: int, *, ssrc: int | None = None, payload_type: int | None = None
) -> Forwarder:
    """Open its socket. :raises ValueError: ``host`` is no address. :raises OSError: there is no way to it."""
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    out = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        out.connect((host, port))
    except OSError:
        out.close()
        raise
    return Forwarder(
        stream_id=secrets.randbits(31) | 1,
        mid=mid,
        kind=kind,
        host=host,
        port=port,
        ssrc=ssrc,
        payload_type=payload_type,
        socket=out,
    )
