"""Packets in layers, as an encoder made them, and their way to a receiver."""

from pathlib import Path
from typing import NamedTuple

from appliance.media.receive import RxStream
from appliance.media.selection import Selection
from appliance.wire import vp9

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


class Source:
    """A line whose one stream has layers."""

    encodings = None

    def __init__(self) -> None:
        self.extensions: dict[str, int] = {}
        self.medium = type("Medium", (), {"codec": "vp9"})
        self.path = self
        self.asked = 0
        line: object = self
        self.stream = RxStream(1, 96, 90_000, line, 0)  # type: ignore[arg-type]
        self.streams = [self.stream]

    def request_keyframe(self, line: object, stream: RxStream) -> None:
        self.asked += 1


class Sent(NamedTuple):
    number: int
    """From the first on, without the wrap."""
    marker: bool
    packet: Packet
    empty: bool
    frame: int
    """The number in the dependency descriptor as it is sent."""


class Sink:
    """What a Selection needs of a TxStream, which numbers as that does."""

    path = None
    held = False
    context = True

    def __init__(self) -> None:
        self.source: RxStream | None = None
        self.offset = 0
        self.sent: list[Sent] = []
        self.first = 0
        self.at_hand: Packet | None = None

    @property
    def starts_anew(self) -> bool:
        return self.source is None

    def skip(self, count: int = 1) -> None:
        self.offset -= count

    def forward(
        self, slot: tuple[memoryview, None, None], length: int, second: int, sequence: int, timestamp: int,
        source: RxStream,
    ) -> None:  # fmt: skip
        assert self.at_hand is not None
        if self.source is None:
            self.source, self.first = source, sequence
            self.offset = 0
        number = (sequence + self.offset - self.first) & 0xFFFF
        empty = bool(slot[0][0] & 0x20)
        header = len(self.at_hand.header)
        assert length == header + (1 if empty else len(self.at_hand.payload))
        self.sent.append(Sent(number, bool(second & 0x80), self.at_hand, empty, int.from_bytes(slot[0][19:21], "big")))


class Way:
    """From a source with layers to a receiver."""

    def __init__(self, spatial: int | None = None, temporal: int | None = None) -> None:
        self.source, self.sink = Source(), Sink()
        self.selection = Selection(self.sink)  # type: ignore[arg-type]
        self.told: list[tuple[str, int]] = []
        self.selection.told = lambda what, layer: self.told.append((what, layer))
        self.now = 100.0
        self.want(2 if spatial is None else spatial, temporal)

    def want(self, spatial: int, temporal: int | None = None) -> None:
        self.selection.want(substream=None, temporal=temporal, fallback=None, spatial=spatial)

    def change_source(self) -> None:
        self.source.stream = RxStream(2, 96, 90_000, self.source.stream.line, 0)
        self.source.streams.append(self.source.stream)

    def take(self, packet: Packet, seconds: float = 0.005) -> None:
        self.now += seconds
        data = bytearray(packet.header + packet.payload + bytes(1))
        stream = self.source.stream
        if not self.sink.sent or (packet.sequence - stream.highest) & 0xFFFF < 0x8000:
            stream.highest = packet.sequence
        stream.arrived = self.now
        self.sink.at_hand = packet
        slot = (memoryview(data), None, None)
        second = 0x80 * packet.marker | 0x60
        self.selection.forward(slot, len(data) - 1, second, packet.sequence, packet.timestamp, stream)

    def all(self, packets: list[Packet]) -> list[Sent]:
        for packet in packets:
            self.take(packet)
        return self.sink.sent


def is_wanted(packet: Packet, spatial: int, temporal: int) -> bool:
    return packet.described.spatial <= spatial and packet.described.temporal <= temporal
