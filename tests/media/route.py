"""Both ends of a route as a Selection sees them: a line whose packets it chooses from, and where they are sent."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from appliance.media.line import Line
from appliance.media.receive import RxStream
from appliance.media.selection import Selection
from appliance.media.send import TxStream
from appliance.media.simulcast import Encodings


class Source:
    """A line of one stream, or of so many encodings as have rids."""

    def __init__(self, codec: str, rids: Sequence[str] = ()) -> None:
        self.extensions: dict[str, int] = {}
        self.medium: Any = type("Medium", (), {"codec": codec})
        self.encodings = Encodings(rids=tuple(rids)) if rids else None
        self.path = self
        self.asked: list[int] = []
        """For a key frame: of which substream."""
        self.streams: list[RxStream] = []
        for substream in range(len(rids) or 1):
            self.add_stream(substream)

    def add_stream(self, substream: int = 0) -> None:
        """One more SSRC."""
        self.streams.append(RxStream(len(self.streams) + 1, 96, 90_000, cast(Line, self), 0, substream))

    def request_keyframe(self, line: object, stream: RxStream) -> None:
        self.asked.append(stream.substream)


class Forwarded(NamedTuple):
    """What a :class:`Sink` was handed, as it would send it."""

    source: RxStream
    number: int
    """From the first on, without the wrap."""
    marker: bool
    data: bytes


class Sink:
    """What a Selection needs of a TxStream, which numbers as that does."""

    path = None
    held = False
    context = True

    def __init__(self) -> None:
        self.source: RxStream | None = None
        self.offset = 0
        self.sent: list[Forwarded] = []
        self.first = 0

    def select(self) -> Selection:
        """What chooses what comes here."""
        return Selection(cast(TxStream, self))

    @property
    def starts_anew(self) -> bool:
        return self.source is None

    def skip(self, count: int = 1) -> None:
        self.offset -= count

    def forward(
        self, slot: tuple[memoryview, None, None], length: int, second: int, sequence: int, timestamp: int,
        source: RxStream,
    ) -> None:  # fmt: skip
        if self.source is None:
            self.first, self.offset = sequence, 0
        self.source = source
        number = (sequence + self.offset - self.first) & 0xFFFF
        self.sent.append(Forwarded(source, number, bool(second & 0x80), bytes(slot[0][:length])))
