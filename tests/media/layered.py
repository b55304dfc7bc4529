"""Packets in layers, as an encoder made them, and their way to a receiver."""

from pathlib import Path
from typing import NamedTuple

from appliance.wire import vp9
from tests.media.route import Sink, Source

DATA = Path(__file__).parents[1] / "data"
DEPENDENCY_ID = 13


class Packet(NamedTuple):
    sequence: int
    timestamp: int
    marker: int
    payload: bytes
    dependency: bytes = b""
    """The extension of that name, which AV1 has."""

    @property
    def header(self) -> bytes:
        if not self.dependency:
            return b"\x80\x60" + bytes(10)
        # Two-byte form (RFC 8285 section 4.3).
        element = bytes([DEPENDENCY_ID, len(self.dependency)]) + self.dependency
        element += bytes(-len(element) % 4)
        return b"\x90\x60" + bytes(10) + b"\x10\x00" + (len(element) // 4).to_bytes(2, "big") + element

    @property
    def described(self) -> vp9.Vp9Descriptor:
        found = vp9.read(self.payload, 0, len(self.payload))
        assert found is not None
        return found


def recorded(mode: str, codec: str = "vp9") -> list[Packet]:
    """Of a scalability mode, see the folder's README."""
    rows = (line.split() for line in (DATA / codec / f"{mode}.txt").read_text().splitlines())
    return [Packet(int(row[0]), int(row[1]), int(row[2]), *map(bytes.fromhex, row[3:])) for row in rows]


MODES = {mode: recorded(mode) for mode in ("L3T3", "L2T2_KEY", "L3T3_KEY")}


class Sent(NamedTuple):
    number: int
    """From the first on, without the wrap."""
    marker: bool
    packet: Packet
    """It was made of."""
    data: bytes

    @property
    def empty(self) -> bool:
        """Padding alone is left of it."""
        return bool(self.data[0] & 0x20)

    @property
    def frame(self) -> int:
        """The number in the dependency descriptor as it is sent."""
        return int.from_bytes(self.data[19:21], "big")


class Way:
    """From a source with layers to a receiver."""

    def __init__(self, spatial: int | None = None, temporal: int | None = None) -> None:
        self.source, self.sink = Source("vp9"), Sink()
        self.selection = self.sink.select()
        self.sent: list[Sent] = []
        self.told: list[tuple[str, int]] = []
        self.selection.told = lambda what, layer: self.told.append((what, layer))
        self.now = 100.0
        self.want(2 if spatial is None else spatial, temporal)

    def want(self, spatial: int, temporal: int | None = None) -> None:
        self.selection.want(substream=None, temporal=temporal, fallback=None, spatial=spatial)

    def take(self, packet: Packet, seconds: float = 0.005) -> None:
        self.now += seconds
        data = bytearray(packet.header + packet.payload + bytes(1))
        stream = self.source.streams[-1]
        if not self.sent or (packet.sequence - stream.highest) & 0xFFFF < 0x8000:
            stream.highest = packet.sequence
        stream.arrived = self.now
        slot = (memoryview(data), None, None)
        second = 0x80 * packet.marker | 0x60
        self.selection.forward(slot, len(data) - 1, second, packet.sequence, packet.timestamp, stream)
        for one in self.sink.sent[len(self.sent) :]:
            sent = Sent(one.number, one.marker, packet, one.data)
            assert len(sent.data) == len(packet.header) + (1 if sent.empty else len(packet.payload))
            self.sent.append(sent)

    def all(self, packets: list[Packet]) -> list[Sent]:
        for packet in packets:
            self.take(packet)
        return self.sent


def is_wanted(packet: Packet, spatial: int, temporal: int) -> bool:
    return packet.described.spatial <= spatial and packet.described.temporal <= temporal
