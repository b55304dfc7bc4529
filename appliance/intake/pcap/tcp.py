"""Puts the segments of one direction of a TCP connection in order. What the capture cut or lost becomes zeros, so that
who reads the stream stays in step and loses only the message that was hit.
"""

MAX_WAITING = 64
MAX_HOLE = 256 * 1024
_WRAP = 2**32


class HalfStream:
    """One direction."""

    __slots__ = ("_next", "_waiting", "holes")

    def __init__(self) -> None:
        self._next: int | None = None
        self._waiting: dict[int, tuple[bytes, int]] = {}
        self.holes = 0
        """Bytes that are zeros in place of what was not captured."""

    def feed(self, sequence: int, data: bytes, length: int, *, opens: bool = False) -> bytes:
        """Take a segment of ``length`` bytes, of which ``data`` were captured; what is in order now."""
        if opens:
            self._next = (sequence + 1) % _WRAP
            self._waiting.clear()
            return b""
        if length <= 0:
            return b""
        if self._next is None:
            self._next = sequence
        out = self._take(sequence, data, length)
        while self._waiting:
            follower = next((s for s in self._waiting if not 0 < (s - self._next) % _WRAP < _WRAP // 2), None)
            if follower is None:
                if len(self._waiting) <= MAX_WAITING:
                    break
                follower = min(self._waiting, key=lambda s: (s - (self._next or 0)) % _WRAP)
                gap = (follower - self._next) % _WRAP
                if gap <= MAX_HOLE:
                    out += bytes(gap)
                    self.holes += gap
                self._next = follower
            out += self._take(follower, *self._waiting.pop(follower))
        return out

    def _take(self, sequence: int, data: bytes, length: int) -> bytes:
        assert self._next is not None
        ahead = (sequence - self._next) % _WRAP
        if 0 < ahead < _WRAP // 2:
            self._waiting.setdefault(sequence, (data, length))
            return b""
        old = (self._next - sequence) % _WRAP
        if old >= length:
            return b""
        whole = data + bytes(length - len(data))
        self.holes += length - len(data)
        self._next = (sequence + length) % _WRAP
        return whole[old:]
