"""Files of a queue on disk, and where in them the queue is.

Records lie one after the other, each under a header with its length, a checksum, its time and a tag. What can't be read
is as damaged as what reads wrong, and where one record is damaged the lengths of those behind it can't be trusted.
Nothing is flushed to the disk itself: a process that dies loses nothing, a machine that does may.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MAGIC = b"SPL1"
SUFFIX = ".seg"
MAX_RECORD = 1 << 24
"""Bytes of one record; a longer length in a file is damage."""
READ_AHEAD = 4096
"""Bytes read beyond what is asked for: headers, and the end of the last record."""
_HEADER = struct.Struct("!IIIB")
"""Length, CRC-32 of what follows it, seconds of the wall clock, tag."""
_CRC_FROM = 8
_CURSOR = struct.Struct("!QQ")


class Record(NamedTuple):
    """Bytes and a small number that says what they are, 0 to 255."""

    tag: int
    data: bytes


class Segment:
    """One file. ``size`` is where the next record goes."""

    __slots__ = ("count", "newest", "number", "path", "size")

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.size = len(MAGIC)
        self.count = 0
        """Records."""
        self.newest = 0
        """Time of the last record."""


class Place(NamedTuple):
    """Between two records: ``before`` of them lie before it in the segment."""

    segment: Segment
    offset: int
    before: int


class Found(NamedTuple):
    """What a file held that an earlier run has left."""

    start: Place
    """Where that run was."""
    damaged: bool
    """Its end was cut off: what lay there was no record."""


def beginning(segment: Segment) -> Place:
    """Before its first record."""
    return Place(segment, len(MAGIC), 0)


def packed(records: Sequence[Record], now: int) -> tuple[bytes, list[int]]:
    """Records as they lie in a file, and how long each is there."""
    pieces: list[bytes] = []
    sizes: list[int] = []
    for tag, data in records:
        tail = _HEADER.pack(len(data), 0, now, tag)[_CRC_FROM:]
        pieces += (struct.pack("!II", len(data), zlib.crc32(data, zlib.crc32(tail))), tail, data)
        sizes.append(_HEADER.size + len(data))
    return b"".join(pieces), sizes


def needed(data: bytes, at: int = 0) -> int:
    """Bytes of the record at ``at`` with its header, as far as its length can be seen."""
    if len(data) - at < _HEADER.size:
        return _HEADER.size
    return int(_HEADER.size + _HEADER.unpack_from(data, at)[0])


def parse(data: bytes, at: int) -> tuple[Record | None, int, int]:
    """The record at ``at``, where it ends and its time; no record: it is damaged."""
    if len(data) - at < _HEADER.size:
        return None, at, 0
    length, check, seconds, tag = _HEADER.unpack_from(data, at)
    end = at + _HEADER.size + length
    body = data[at + _HEADER.size : end]
    if end > len(data) or zlib.crc32(body, zlib.crc32(data[at + _CRC_FROM : at + _HEADER.size])) != check:
        return None, at, 0
    return Record(tag, body), end, seconds


def recover(path: Path, start: int) -> Found | None:
    """Read what a file holds and cut off its damaged end; ``None``: it is none of ours. ``start``: the cursor's offset.

    :raises OSError: it can't be read or cut.
    """
    segment = Segment(int(path.stem), path)
    data = path.read_bytes()
    if data[: len(MAGIC)] != MAGIC:
        return None
    place = beginning(segment)
    while len(data) - segment.size >= _HEADER.size:
        length, _, seconds, _ = _HEADER.unpack_from(data, segment.size)
        end = segment.size + _HEADER.size + length
        if length > MAX_RECORD or end > len(data):
            break
        segment.size = end
        segment.count += 1
        segment.newest = seconds
        if end == start:
            place = Place(segment, end, segment.count)
    damaged = segment.size < len(data)
    if damaged:
        os.truncate(path, segment.size)
    return Found(place, damaged)


class Appender:
    """The file that is written to, if one is."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is one."""
        return self._descriptor is not None

    def begin(self, path: Path) -> None:
        """Another, new one. :raises OSError: it can't be made; then there is none."""
        self.close()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, MAGIC)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor

    def append(self, data: bytes, at: int) -> None:
        """Write all of it at the end, which is at ``at``, or nothing. :raises OSError: the disk is full, or fails."""
        assert self._descriptor is not None
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, at)
            os.lseek(self._descriptor, at, os.SEEK_SET)
            raise

    def close(self) -> None:
        """Write to none."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Reader:
    """The file that was read last stays open."""

    def __init__(self) -> None:
        self._open: tuple[Segment, int] | None = None

    def read(self, segment: Segment, offset: int, wanted: int) -> bytes:
        """Some records from there on, the first one whole; nothing, where they can't be read."""
        rest = segment.size - offset
        try:
            descriptor = self._descriptor(segment)
            data = os.pread(descriptor, min(rest, wanted + READ_AHEAD), offset)
            if len(data) < (length := needed(data)) <= rest:
                data = os.pread(descriptor, length, offset)
        except OSError:
            return b""
        return data

    def _descriptor(self, segment: Segment) -> int:
        if self._open is None or self._open[0] is not segment:
            self.close()
            self._open = segment, os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        return self._open[1]

    def close(self, segment: Segment | None = None) -> None:
        """Let go of the file, or of that one."""
        if self._open is not None and (segment is None or self._open[0] is segment):
            os.close(self._open[1])
            self._open = None


class Cursor:
    """A file that tells how far records are committed."""

    def __init__(self, path: Path) -> None:
        """:raises OSError: it can't be opened."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def load(self) -> tuple[int, int]:
        """Number of the segment, and the offset in it."""
        raw = os.pread(self._descriptor, _CURSOR.size + 4, 0)
        body, check = raw[: _CURSOR.size], raw[_CURSOR.size :]
        if len(raw) != _CURSOR.size + 4 or zlib.crc32(body).to_bytes(4) != check:
            # Sent twice is better than lost.
            return 0, 0
        number, offset = _CURSOR.unpack(body)
        return number, offset

    def save(self, number: int, offset: int) -> None:
        """Note them, where the disk lets us."""
        body = _CURSOR.pack(number, offset)
        # In one write of a few bytes in place: a process that dies leaves the old ones or the new ones.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, body + zlib.crc32(body).to_bytes(4), 0)

    def close(self) -> None:
        """Of no more use."""
        os.close(self._descriptor)
