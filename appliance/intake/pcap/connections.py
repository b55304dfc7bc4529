"""TCP connections of a capture: the signalling that is in them, HEP, and media in frames."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from appliance.intake.pcap.framed import Frames, Framing, framing_of
from appliance.intake.pcap.http import Reader
from appliance.intake.pcap.key import ends_of, reversed_key
from appliance.intake.pcap.signalling import Signalling
from appliance.intake.pcap.tally import Tally
from appliance.intake.pcap.tcp import HalfStream, Piece

if TYPE_CHECKING:
    from appliance.hep.framing import Framer
    from appliance.intake.pcap.keys import KeyLog
    from appliance.intake.pcap.tls import TlsConnection

MAX_CONNECTIONS = 20_000
Datagram = Callable[[int, bytes, bytes, int], None]
"""Timestamp in µs, way, what is known of its bytes, their number."""
_TLS = b"\x16\x03"


class _Connection:
    """Both directions of a TCP connection that may carry signalling, HEP or media."""

    __slots__ = ("client", "frames", "framing", "halves", "is_hep", "packets", "readers", "tls", "transport")

    def __init__(self, client: tuple[str, int]) -> None:
        self.client = client
        """The end that opened it, or was seen asking first."""
        self.halves: dict[bytes, HalfStream] = {}
        self.readers: dict[bytes, Reader] = {}
        self.packets: Framer | None = None
        """Of HEP."""
        self.is_hep = False
        self.framing: Framing | None = None
        """Of media, once that is what it carries."""
        self.frames: dict[bytes, Frames] = {}
        self.tls: TlsConnection | None = None
        self.transport = "janus.transport.http"


class Connections:
    """All of a capture; ``hep`` is given each HEP packet, ``media`` each datagram in a frame, ``keys`` open TLS."""

    def __init__(
        self,
        signalling: Signalling,
        tally: Tally,
        hep: Callable[[bytes], None],
        media: Datagram,
        keys: "KeyLog | None" = None,
    ) -> None:
        self._signalling = signalling
        self._tally = tally
        self._hep = hep
        self._media = media
        self._keys = keys
        self._connections: dict[bytes, _Connection | None] = {}

    def take(self, timestamp_us: int, key: bytes, data: bytes, length: int) -> None:
        """One segment: its header and what was kept of its payload; ``length`` is what it had on the wire."""
        if len(data) < 20:
            self._tally.malformed += 1
            return
        offset = 4 * (data[12] >> 4)
        flags = data[13]
        payload, size = data[offset:], length - offset
        if key not in self._connections:
            if not flags & 0x02 and not payload:
                return
            if len(self._connections) >= 2 * MAX_CONNECTIONS:
                self._tally.left_out += 1
                return
            source, destination = ends_of(key)
            opened = destination if flags & 0x12 == 0x12 else source
            self._connections[key] = self._connections[reversed_key(key)] = _Connection(opened)
        connection = self._connections[key]
        if flags & 0x02 and not flags & 0x10:
            # The same ports again.
            connection = _Connection(ends_of(key)[0])
            self._connections[key] = self._connections[reversed_key(key)] = connection
        if connection is None:
            return
        half = connection.halves.get(key)
        if half is None:
            half = connection.halves[key] = HalfStream()
        sequence = int.from_bytes(data[4:8], "big")
        if flags & 0x02:
            half.opens(sequence)
            return
        for piece in half.feed(sequence, Piece(timestamp_us, payload, size)):
            for plain in self._in_clear(key, connection, piece):
                self._piece(key, connection, plain)
        if flags & 0x05:
            # Both ends are done when both have said so; what is left over is small.
            connection.halves.pop(key, None)
            if not connection.halves:
                self._connections.pop(key, None)
                self._connections.pop(reversed_key(key), None)

    def _in_clear(self, key: bytes, connection: _Connection, piece: Piece) -> Iterator[Piece]:
        """The piece itself; of a TLS connection what it holds, where there are keys."""
        source, destination = ends_of(key)
        if connection.tls is None:
            if piece.data[:2] != _TLS or key in connection.readers:
                yield piece
                return
            if self._keys is not None:
                # Takes a library that most captures do without.
                from appliance.intake.pcap.tls import TlsConnection

                connection.tls = TlsConnection(self._keys)
        if connection.tls is not None:
            for plain in connection.tls.feed(source < destination, piece.filled):
                yield Piece(piece.timestamp_us, plain, len(plain))
        if connection.tls is None or connection.tls.is_lost:
            self._tally.tls += self._connections.get(key) is connection
            self._connections[key] = self._connections[reversed_key(key)] = None

    def _piece(self, key: bytes, connection: _Connection, piece: Piece) -> None:
        reader = connection.readers.get(key)
        if connection.framing is None and not connection.is_hep and (reader is None or not reader.has_read):
            connection.framing = framing_of(piece.data, piece.length)
        if connection.framing is not None:
            frames = connection.frames.get(key)
            if frames is None:
                frames = connection.frames[key] = Frames(connection.framing)
            for data, length in frames.take(piece):
                self._media(piece.timestamp_us, key, data, length)
        elif data := piece.filled:
            is_cut = len(piece.data) < piece.length
            self._stream(piece.timestamp_us, key, connection, data, is_cut=is_cut)

    def _stream(self, timestamp_us: int, key: bytes, connection: _Connection, data: bytes, *, is_cut: bool) -> None:
        reader = connection.readers.get(key)
        if reader is None and not connection.is_hep:
            if data[:4] == b"HEP3":
                connection.is_hep = True
                from appliance.hep.framing import Framer

                connection.packets = Framer()
            elif data[:5] == b"HTTP/":
                # Joined in the middle: who answers is the server.
                connection.client = ends_of(key)[1]
            reader = connection.readers[key] = Reader()
        if connection.is_hep:
            self._hep_stream(key, connection, data)
            return
        assert reader is not None
        source = ends_of(key)[0]
        for message in reader.feed(data, is_cut=is_cut):
            if source == connection.client:
                if message.path == "" or reader.is_websocket:
                    connection.transport = "janus.transport.websockets"
                self._signalling.request(
                    timestamp_us, message.path, message.body, (connection.transport, source[0], source[1])
                )
            else:
                self._signalling.answer(timestamp_us, message.body)
        if reader.upgraded is not None:
            back = connection.readers.setdefault(reversed_key(key), Reader())
            back.switch(reader.upgraded)
            reader.upgraded = None

    def _hep_stream(self, key: bytes, connection: _Connection, data: bytes) -> None:
        if connection.packets is None or ends_of(key)[0] != connection.client:
            return
        from appliance.hep.framing import HepFramingError

        try:
            for packet in connection.packets.feed(data):
                self._hep(packet)
        except HepFramingError:
            self._tally.malformed += 1
            connection.packets = None
