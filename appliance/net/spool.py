"""A bounded queue of records on disk: what could not be sent yet, over a restart of ours.

Records lie in segment files, one after the other, each under a header with its length, a checksum, its time and a
tag. Taking a record does not remove it: what was taken is either committed, or given again after a rewind or a
restart. A segment goes as soon as its last record is committed. What falls to a bound, to age or to a damaged file is
counted by reason. Nothing is flushed to the disk itself: a process that dies loses nothing, a machine that does may.
"""

import contextlib
import fcntl
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

MAGIC = b"SPL1"
SUFFIX = ".seg"
MAX_RECORD = 1 << 20
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


class _Segment:
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


class _Place(NamedTuple):
    """Between two records: ``before`` of them lie before it in the segment."""

    segment: _Segment
    offset: int
    before: int


class Spool:
    """A queue in ``folder``, which it alone uses. Not for several threads; :meth:`open` may run in another one."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 256 * 2**20,
        max_age_s: float = 86_400.0,
        segment_bytes: int | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._max_age = max_age_s
        self._segment_bytes = segment_bytes or min(4 * 2**20, max(4096, max_bytes // 8))
        self._wall = wall
        self.bytes = 0
        """On disk, what is committed in the oldest segment included."""
        self.unread = 0
        """Records that were not taken, or taken and then rewound."""
        self.lost: dict[str, int] = {}
        """Records that nobody will get, by reason: full, expired, corrupt. A cut end of a file counts as one."""
        self._segments: deque[_Segment] = deque()
        self._taken: deque[_Place] = deque()
        """Where each record that was taken and not committed ends."""
        self._read: _Place | None = None
        self._committed: _Place | None = None
        self._write_to: int | None = None
        self._read_from: tuple[_Segment, int] | None = None
        self._cursor: int | None = None
        self._lock: int | None = None

    # --- open and close --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Find what an earlier run has left. :raises OSError: the folder can't be used, or another process uses it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise OSError(f"{self.folder}: another process uses this spool") from None
        self._lock = lock
        self._cursor = os.open(self.folder / "cursor", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        number, offset = self._load_cursor()
        for path in sorted(self.folder.glob(f"*{SUFFIX}"), key=lambda path: (len(path.name), path.name)):
            if not path.stem.isdigit():
                continue
            if int(path.stem) < number:
                path.unlink()
                continue
            start = offset if int(path.stem) == number else len(MAGIC)
            self._recover(path, start)
        self._drop_expired()

    def _load_cursor(self) -> tuple[int, int]:
        assert self._cursor is not None
        raw = os.pread(self._cursor, _CURSOR.size + 4, 0)
        body, check = raw[: _CURSOR.size], raw[_CURSOR.size :]
        if len(raw) != _CURSOR.size + 4 or zlib.crc32(body).to_bytes(4) != check:
            # Sent twice is better than lost.
            return 0, 0
        number, offset = _CURSOR.unpack(body)
        return number, offset

    def _recover(self, path: Path, start: int) -> None:
        segment = _Segment(int(path.stem), path)
        data = path.read_bytes()
        if data[: len(MAGIC)] != MAGIC:
            self._lose("corrupt")
            path.unlink()
            return
        place = _Place(segment, segment.size, 0)
        while len(data) - segment.size >= _HEADER.size:
            length, _, seconds, _ = _HEADER.unpack_from(data, segment.size)
            end = segment.size + _HEADER.size + length
            if length > MAX_RECORD or end > len(data):
                break
            segment.size = end
            segment.count += 1
            segment.newest = seconds
            if end == start:
                place = _Place(segment, end, segment.count)
        if segment.size < len(data):
            self._lose("corrupt")
            os.truncate(path, segment.size)
        if segment.count == place.before:
            path.unlink()
            return
        self._segments.append(segment)
        self.bytes += segment.size
        self.unread += segment.count - place.before
        if self._read is None:
            self._read = self._committed = place

    def close(self) -> None:
        """What is not committed stays for the next run."""
        for descriptor in (self._write_to, self._read_from and self._read_from[1], self._cursor, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._write_to = self._read_from = self._cursor = self._lock = None

    # --- in and out ------------------------------------------------------------------------------------------

    def append(self, records: Sequence[Record], *, taken: bool = False) -> None:
        """Add at the end, all or nothing. The oldest segments make room where there is none.

        :param taken: they count as taken already; only while nothing is unread.
        :raises OSError: the disk is full, or fails; nothing was added.
        """
        if not records:
            return
        assert not (taken and self.unread)
        now = max(0, min(int(self._wall()), 0xFFFFFFFF))
        pieces: list[bytes] = []
        sizes: list[int] = []
        for tag, data in records:
            tail = _HEADER.pack(len(data), 0, now, tag)[_CRC_FROM:]
            pieces += (struct.pack("!II", len(data), zlib.crc32(data, zlib.crc32(tail))), tail, data)
            sizes.append(_HEADER.size + len(data))
        blob = b"".join(pieces)
        self._drop_expired()
        while self._segments and self.bytes + len(blob) > self.max_bytes:
            self._drop_oldest("full")
        segment = self._segment_for(len(blob))
        assert self._write_to is not None
        try:
            view = memoryview(blob)
            while view:
                view = view[os.write(self._write_to, view) :]
        except OSError:
            os.ftruncate(self._write_to, segment.size)
            os.lseek(self._write_to, segment.size, os.SEEK_SET)
            if not segment.count:
                self._forget(segment)
            raise
        self.bytes += len(blob)
        self.unread += len(records)
        segment.newest = now
        for size in sizes:
            segment.size += size
            segment.count += 1
            if taken:
                self.unread -= 1
                self._read = _Place(segment, segment.size, segment.count)
                self._taken.append(self._read)

    def _segment_for(self, size: int) -> _Segment:
        if self._write_to is not None and self._segments:
            last = self._segments[-1]
            if last.count == 0 or last.size + size <= self._segment_bytes:
                return last
        if self._write_to is not None:
            os.close(self._write_to)
            self._write_to = None
        number = (self._segments[-1].number if self._segments else self._last_number()) + 1
        segment = _Segment(number, self.folder / f"{number:012d}{SUFFIX}")
        descriptor = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, MAGIC)
        except OSError:
            os.close(descriptor)
            segment.path.unlink(missing_ok=True)
            raise
        self._write_to = descriptor
        self._segments.append(segment)
        self.bytes += segment.size
        if self._read is None:
            self._read = self._committed = _Place(segment, segment.size, 0)
        return segment

    def _last_number(self) -> int:
        return self._load_cursor()[0]

    def take(self, max_bytes: int) -> list[Record]:
        """The next records, at least one and as many as ``max_bytes`` hold; none when nothing is unread."""
        out: list[Record] = []
        room = max_bytes
        oldest = self._wall() - self._max_age
        while self.unread:
            assert self._read is not None
            segment, offset, index = self._read
            if index == segment.count:
                following = self._after(segment)
                self._read = _Place(following, len(MAGIC), 0)
                continue
            if out and room <= 0:
                break
            data = self._read_at(segment, offset, max(room, 1))
            at = 0
            while index < segment.count and (room > 0 or not out):
                if at and _needed(data, at) > len(data) - at:
                    break
                record, end, seconds = _parse(data, at)
                if record is None:
                    # Where one record is damaged, the lengths of those behind it can't be trusted.
                    self._lose("corrupt", segment.count - index)
                    self.unread -= segment.count - index
                    self._pass_over(_Place(segment, segment.size, segment.count))
                    break
                if out and len(record.data) > room:
                    return out
                index += 1
                at = end
                self.unread -= 1
                place = _Place(segment, offset + at, index)
                if seconds < oldest:
                    self._lose("expired")
                    self._pass_over(place)
                    continue
                self._read = place
                self._taken.append(place)
                out.append(record)
                room -= len(record.data)
        return out

    def _read_at(self, segment: _Segment, offset: int, wanted: int) -> bytes:
        """Some records, the first one whole; what can't be read is as damaged as what reads wrong."""
        rest = segment.size - offset
        try:
            descriptor = self._reader(segment)
            data = os.pread(descriptor, min(rest, wanted + READ_AHEAD), offset)
            if len(data) < (needed := _needed(data)) <= rest:
                data = os.pread(descriptor, needed, offset)
        except OSError:
            return b""
        return data

    def _pass_over(self, place: _Place) -> None:
        """What lies before ``place`` is nobody's: it is committed with the record before it."""
        self._read = place
        if self._taken:
            self._taken[-1] = place
        else:
            self._commit_at(place)

    def commit(self, number: int) -> None:
        """The oldest ``number`` of the records that were taken are done with."""
        place: _Place | None = None
        for _ in range(min(number, len(self._taken))):
            place = self._taken.popleft()
        if place is not None and place.segment in self._segments:
            self._commit_at(place)

    def _commit_at(self, place: _Place) -> None:
        self._committed = place
        while self._segments and self._segments[0] is not place.segment:
            self._forget(self._segments[0])
        if place.before == place.segment.count:
            if len(self._segments) > 1:
                following = self._segments[1]
                self._committed = _Place(following, len(MAGIC), 0)
                if self._read == place:
                    self._read = self._committed
                self._forget(place.segment)
            elif not self.unread and not self._taken:
                self._save_cursor(place.segment.number, place.segment.size)
                self._forget(place.segment)
                return
        if self._committed is not None:
            self._save_cursor(self._committed.segment.number, self._committed.offset)

    def rewind(self) -> None:
        """Give again what was taken and not committed."""
        if not self._taken:
            return
        held = set(self._segments)
        gone = sum(place.segment not in held for place in self._taken)
        if gone:
            self._lose("full", gone)
        self.unread += len(self._taken) - gone
        self._taken.clear()
        self._read = self._committed

    def expire(self) -> None:
        """Remove segments in which everything is too old."""
        self._drop_expired()

    # --- bounds ----------------------------------------------------------------------------------------------

    def _drop_expired(self) -> None:
        oldest = self._wall() - self._max_age
        while self._segments and self._segments[0].count and self._segments[0].newest < oldest:
            self._drop_oldest("expired")

    def _drop_oldest(self, reason: str) -> None:
        segment = self._segments[0]
        following = _Place(self._segments[1], len(MAGIC), 0) if len(self._segments) > 1 else None
        assert self._read is not None
        if self._read.segment is segment:
            missed = segment.count - self._read.before
            self.unread -= missed
            self._lose(reason, missed)
            self._read = following
        self._committed = following
        self._forget(segment)
        if following is not None:
            self._save_cursor(following.segment.number, following.offset)

    def _forget(self, segment: _Segment) -> None:
        """Remove its file."""
        self._segments.remove(segment)
        self.bytes -= segment.size
        if self._read_from is not None and self._read_from[0] is segment:
            os.close(self._read_from[1])
            self._read_from = None
        if not self._segments:
            self._read = self._committed = None
            if self._write_to is not None:
                os.close(self._write_to)
                self._write_to = None
        with contextlib.suppress(FileNotFoundError):
            segment.path.unlink()

    # --- files -----------------------------------------------------------------------------------------------

    def _after(self, segment: _Segment) -> _Segment:
        return next(later for later in self._segments if later.number > segment.number)

    def _reader(self, segment: _Segment) -> int:
        if self._read_from is None or self._read_from[0] is not segment:
            if self._read_from is not None:
                os.close(self._read_from[1])
                self._read_from = None
            self._read_from = segment, os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        return self._read_from[1]

    def _save_cursor(self, number: int, offset: int) -> None:
        assert self._cursor is not None
        body = _CURSOR.pack(number, offset)
        # In one write of a few bytes in place: a process that dies leaves the old ones or the new ones.
        with contextlib.suppress(OSError):
            os.pwrite(self._cursor, body + zlib.crc32(body).to_bytes(4), 0)

    def _lose(self, reason: str, number: int = 1) -> None:
        if number:
            self.lost[reason] = self.lost.get(reason, 0) + number


def _needed(data: bytes, at: int = 0) -> int:
    """Bytes of the record at ``at`` with its header, as far as its length can be seen."""
    if len(data) - at < _HEADER.size:
        return _HEADER.size
    return int(_HEADER.size + _HEADER.unpack_from(data, at)[0])


def _parse(data: bytes, at: int) -> tuple[Record | None, int, int]:
    """The record at ``at``, where it ends and its time; no record: it is damaged."""
    if len(data) - at < _HEADER.size:
        return None, at, 0
    length, check, seconds, tag = _HEADER.unpack_from(data, at)
    end = at + _HEADER.size + length
    body = data[at + _HEADER.size : end]
    if end > len(data) or zlib.crc32(body, zlib.crc32(data[at + _CRC_FROM : at + _HEADER.size])) != check:
        return None, at, 0
    return Record(tag, body), end, seconds


def clean_name(parts: Iterable[object]) -> str:
    """A folder's name made of anything: letters, digits, dots and hyphens, the rest as hyphens."""
    text = "-".join(str(part) for part in parts)
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "-" for letter in text)
