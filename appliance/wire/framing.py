"""Datagrams over a byte stream: two bytes of length, big-endian, before each (RFC 4571 section 2)."""

import struct
from collections.abc import Iterator

LENGTH = struct.Struct("!H")
MAX_BYTES = 0xFFFF


class FramingError(ValueError):
    """A frame that nobody here sends: nothing after it can be trusted to begin where it seems to."""


class Deframer:
    """Takes a stream as it comes, in pieces of any size, and gives the frames.

    What it keeps is less than one frame. ``limit``: bytes that a frame may have.
    """

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._rest = b""
        self.empty = 0
        """Frames without contents: keep-alives, which are left out."""

    @property
    def pending(self) -> int:
        """Bytes of a frame that has not come in full."""
        return len(self._rest)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Frames in order. To be read to the end, or given up for good.

        :raises FramingError: a frame is longer than the limit; those before it have been given.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, end = 0, len(data)
        while end - at >= LENGTH.size:
            (length,) = LENGTH.unpack_from(data, at)
            if length > self._limit:
                raise FramingError(f"frame has {length} bytes, wanted at most {self._limit}")
            begin = at + LENGTH.size
            if end - begin < length:
                break
            at = begin + length
            if length:
                yield data[begin:at]
            else:
                self.empty += 1
        self._rest = data[at:]


def framed(data: bytes) -> bytes:
    """One datagram as a frame. :raises struct.error: it has more than 65,535 bytes."""
    return LENGTH.pack(len(data)) + data
