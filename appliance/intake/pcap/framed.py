"""Datagrams in a TCP connection of a capture: ICE over TCP (RFC 6544, frames of RFC 4571), and a client's connection to
its TURN server (RFC 8656 section 12.5). What the capture cut or lost costs the datagrams that it hit; where a frame
begins is then sought anew.
"""

from collections.abc import Iterator
from enum import Enum

from appliance.intake.pcap.tcp import Piece
from appliance.wire.stun import HEADER_SIZE, MAGIC

_COOKIE = MAGIC.to_bytes(4, "big")
MAX_MISSES = 200
"""Segments in a row without a frame, before one is sought at their beginnings alone."""
MAX_SOUGHT = 4_096
"""Bytes of a frame that is believed to be one by its looks alone."""


class Framing(Enum):
    """How a stream is divided; the value is the size of what says how much follows."""

    DATAGRAMS = 2
    TURN = 4

    def sizes(self, head: bytes) -> tuple[int, int] | None:
        """Bytes that follow this head, and bytes of padding behind them; ``None``: this is no head."""
        if self is Framing.DATAGRAMS:
            return head[0] << 8 | head[1], 0
        size = head[2] << 8 | head[3]
        if head[0] < 4:
            return (HEADER_SIZE - 4 + size, 0) if size & 3 == 0 else None
        return (size, -size & 3) if 64 <= head[0] < 80 else None


def framing_of(data: bytes, length: int) -> Framing | None:
    """What a segment of ``length`` bytes begins with, of which ``data`` were captured; ``None``: with neither."""
    # Of a connection that is joined in the middle too: what is written at once mostly goes in one segment.
    return next((framing for framing in Framing if _are_frames(framing, data, 0, length)), None)


class Frames:
    """One direction. ``lost``: where the next frame begins is not known."""

    __slots__ = ("_cut", "_framing", "_head", "_kept", "_left", "_misses", "_padding", "_size", "lost")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._head = b""
        self._kept = b""
        self._size = self._left = self._padding = 0
        self._cut = False
        self._misses = 0
        self.lost = True

    def take(self, piece: Piece) -> Iterator[tuple[bytes, int]]:
        """Every datagram that is there now: what is known of its beginning, and its length."""
        data, at = piece.data, 0
        if self.lost:
            found = _sought(self._framing, data, piece.length, everywhere=self._misses < MAX_MISSES)
            if found is None:
                self._misses += 1
                return
            at, self.lost, self._misses = found, False, 0
        end = len(data)
        while at < end:
            if not self._size:
                wanted = self._framing.value - len(self._head)
                self._head += data[at : at + wanted]
                at += wanted
                if len(self._head) < self._framing.value:
                    break
                if not self._begin():
                    self.lost = True
                    return
            step = min(self._left, end - at)
            if not self._cut:
                self._kept += data[at : at + min(step, max(0, self._left - self._padding))]
            at += step
            self._left -= step
            if self._left == 0:
                yield from self._end()
        missing = piece.length - end
        if not missing:
            return
        if not self._size:
            self._head, self.lost = b"", True
            return
        self._cut = True
        self.lost = missing > self._left
        self._left -= min(missing, self._left)
        if self._left == 0:
            yield from self._end()

    def _begin(self) -> bool:
        sizes = self._framing.sizes(self._head)
        head, self._head = self._head, b""
        if sizes is None:
            return False
        size, self._padding = sizes
        is_turn = self._framing is Framing.TURN
        self._kept = head if is_turn else b""
        self._size = size + len(self._kept)
        self._left = size + self._padding
        self._cut = False
        return True

    def _end(self) -> Iterator[tuple[bytes, int]]:
        size, kept = self._size, self._kept
        self._size, self._kept = 0, b""
        if kept:
            yield kept, size


def _sought(framing: Framing, data: bytes, length: int, *, everywhere: bool) -> int | None:
    """Where in a segment a frame begins, by what frames look like."""
    if _are_frames(framing, data, 0, length, begun=True):
        return 0
    if len(data) < length or not everywhere:
        return None
    return next((at for at in range(1, min(len(data), MAX_SOUGHT)) if _are_frames(framing, data, at, length)), None)


def _are_frames(framing: Framing, data: bytes, at: int, length: int, *, begun: bool = False) -> bool:
    """Whether frames stand one behind the other from there on: to the segment's end, or two and more.

    ``begun``: the connection is known to carry them, so that of a segment that was cut the first will do.
    """
    seen = 0
    while at + framing.value <= len(data):
        sizes = framing.sizes(data[at : at + framing.value])
        if sizes is None or not _looks_like_one(framing, data, at, sizes[0]):
            return False
        seen += 1
        if _is_stun(data, at + framing.value % 4):
            return True
        at += framing.value + sum(sizes)
        if at == length or seen == 3:
            return True
    # Where the next would begin was cut, or comes with the next segment.
    return seen == 2 or (seen == 1 and begun and at <= length)


def _is_stun(data: bytes, at: int) -> bool:
    return data[at + 4 : at + 8] == _COOKIE and data[at] < 2


def _looks_like_one(framing: Framing, data: bytes, at: int, size: int) -> bool:
    if framing is Framing.TURN and data[at] < 4:
        return _is_stun(data, at)
    at += framing.value
    if at + 2 > len(data) or size > MAX_SOUGHT:
        return False
    first, second = data[at], data[at + 1]
    if first < 2:
        return size >= HEADER_SIZE and _is_stun(data, at)
    if 19 < first < 64:
        return size >= 13 and second == 0xFE
    return 127 < first < 192 and size >= 8
