"""Puts the segments of one direction of a TCP connection in order, as pieces of what was sent: what the capture cut or
lost is there with its length, so that who reads the stream stays in step and loses only the message that was hit.
"""

from typing import NamedTuple

MAX_WAITING = 64
MAX_HOLE = 256 * 1024
_WRAP = 2**32


class Piece(NamedTuple):
    """What was sent next."""

    timestamp_us: int
    """When it could be read: a segment that overtook a lost one waits for it, one that the capture lost for nobody."""
    data: bytes
    length: int
    """As sent. The capture has the first ``len(data)`` bytes of it."""

    @property
    def filled(self) -> bytes:
        """With zeros in place of what was not captured; without, where that is too much to stand for a message."""
        missing = self.length - len(self.data)
        return self.data + bytes(missing) if 0 < missing <= MAX_HOLE else self.data


class HalfStream:
    """One direction."""

    __slots__ = ("_next", "_waiting", "holes")

    def __init__(self) -> None:
        self._next: int | None = None
        self._waiting: dict[int, Piece] = {}
        self.holes = 0
        """Bytes that were not captured."""

    def opens(self, sequence: int) -> None:
        """The segment with SYN."""
        self._next = (sequence + 1) % _WRAP
        self._waiting.clear()

    def feed(self, sequence: int, segment: Piece) -> list[Piece]:
        """Take a segment; what is in order now."""
        if segment.length <= 0:
            return []
        if self._next is None:
            self._next = sequence
        out: list[Piece] = []
        self._take(sequence, segment, out)
        while self._waiting:
            follower = next((s for s in self._waiting if not 0 < (s - self._next) % _WRAP < _WRAP // 2), None)
            if follower is not None:
                waited = self._waiting.pop(follower)
                # What came late held it up.
                self._take(follower, waited._replace(timestamp_us=segment.timestamp_us), out)
                continue
            if len(self._waiting) <= MAX_WAITING:
                break
            follower = min(self._waiting, key=lambda s: (s - (self._next or 0)) % _WRAP)
            waited = self._waiting.pop(follower)
            gap = (follower - self._next) % _WRAP
            self.holes += gap
            out.append(Piece(waited.timestamp_us, b"", gap))
            self._next = follower
            self._take(follower, waited, out)
            self._release(out)
        return out

    def _release(self, out: list[Piece]) -> None:
        """What follows a hole was not held up by it: the capture alone has lost that."""
        while self._next in self._waiting:
            sequence = self._next
            self._take(sequence, self._waiting.pop(sequence), out)

    def _take(self, sequence: int, piece: Piece, out: list[Piece]) -> None:
        assert self._next is not None
        ahead = (sequence - self._next) % _WRAP
        if 0 < ahead < _WRAP // 2:
            self._waiting.setdefault(sequence, piece)
            return
        old = (self._next - sequence) % _WRAP
        if old >= piece.length:
            return
        self._next = (sequence + piece.length) % _WRAP
        fresh = Piece(piece.timestamp_us, piece.data[old:], piece.length - old)
        self.holes += fresh.length - len(fresh.data)
        out.append(fresh)
