"""A bounded queue of records on disk: what could not be sent yet, over a restart of ours.

Records lie in segment files (:mod:`appliance.net.segments`). Taking a record does not remove it: what was taken is
either committed, or given again after a rewind or a restart. A segment goes as soon as its last record is committed.
What falls to a bound, to age or to a damaged file is counted by reason.
"""

import contextlib
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from appliance.net.segments import (
    SUFFIX,
    Appender,
    Cursor,
    Place,
    Reader,
    Record,
    Segment,
    beginning,
    needed,
    packed,
    parse,
    recover,
)


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
        self._segments: deque[Segment] = deque()
        self._taken: deque[Place] = deque()
        """Where each record that was taken and not committed ends."""
        self._read: Place | None = None
        self._committed: Place | None = None
        self._appender = Appender()
        self._reader = Reader()
        self._cursor: Cursor | None = None
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
        self._cursor = Cursor(self.folder / "cursor")
        number, offset = self._cursor.load()
        for path in sorted(self.folder.glob(f"*{SUFFIX}"), key=lambda path: (len(path.name), path.name)):
            if not path.stem.isdigit():
                continue
            if int(path.stem) < number:
                path.unlink()
                continue
            self._recover(path, offset if int(path.stem) == number else 0)
        self._drop_expired()

    def _recover(self, path: Path, start: int) -> None:
        found = recover(path, start)
        if found is None or found.damaged:
            self._lose("corrupt")
        place = found.start if found is not None else None
        if place is None or place.before == place.segment.count:
            path.unlink()
            return
        self._segments.append(place.segment)
        self.bytes += place.segment.size
        self.unread += place.segment.count - place.before
        if self._read is None:
            self._read = self._committed = place

    def close(self) -> None:
        """What is not committed stays for the next run."""
        self._appender.close()
        self._reader.close()
        if self._cursor is not None:
            self._cursor.close()
        if self._lock is not None:
            os.close(self._lock)
        self._cursor = self._lock = None

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
        blob, sizes = packed(records, now)
        self._drop_expired()
        while self._segments and self.bytes + len(blob) > self.max_bytes:
            self._drop_oldest("full")
        segment = self._segment_for(len(blob))
        try:
            self._appender.append(blob, segment.size)
        except OSError:
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
                self._read = Place(segment, segment.size, segment.count)
                self._taken.append(self._read)

    def _segment_for(self, size: int) -> Segment:
        if self._appender.is_open and self._segments:
            last = self._segments[-1]
            if last.count == 0 or last.size + size <= self._segment_bytes:
                return last
        assert self._cursor is not None
        number = (self._segments[-1].number if self._segments else self._cursor.load()[0]) + 1
        segment = Segment(number, self.folder / f"{number:012d}{SUFFIX}")
        self._appender.begin(segment.path)
        self._segments.append(segment)
        self.bytes += segment.size
        if self._read is None:
            self._read = self._committed = beginning(segment)
        return segment

    def take(self, max_bytes: int) -> list[Record]:
        """The next records, at least one and as many as ``max_bytes`` hold; none when nothing is unread."""
        out: list[Record] = []
        room = max_bytes
        oldest = self._wall() - self._max_age
        while self.unread:
            assert self._read is not None
            segment, offset, index = self._read
            if index == segment.count:
                self._read = beginning(next(later for later in self._segments if later.number > segment.number))
                continue
            if out and room <= 0:
                break
            data = self._reader.read(segment, offset, max(room, 1))
            at = 0
            while index < segment.count and (room > 0 or not out):
                if at and needed(data, at) > len(data) - at:
                    break
                record, end, seconds = parse(data, at)
                if record is None:
                    self._lose("corrupt", segment.count - index)
                    self.unread -= segment.count - index
                    self._pass_over(Place(segment, segment.size, segment.count))
                    break
                if out and len(record.data) > room:
                    return out
                index += 1
                at = end
                self.unread -= 1
                place = Place(segment, offset + at, index)
                if seconds < oldest:
                    self._lose("expired")
                    self._pass_over(place)
                    continue
                self._read = place
                self._taken.append(place)
                out.append(record)
                room -= len(record.data)
        return out

    def _pass_over(self, place: Place) -> None:
        """What lies before ``place`` is nobody's: it is committed with the record before it."""
        self._read = place
        if self._taken:
            self._taken[-1] = place
        else:
            self._commit_at(place)

    def commit(self, number: int) -> None:
        """The oldest ``number`` of the records that were taken are done with."""
        place: Place | None = None
        for _ in range(min(number, len(self._taken))):
            place = self._taken.popleft()
        if place is not None and place.segment in self._segments:
            self._commit_at(place)

    def _commit_at(self, place: Place) -> None:
        self._committed = place
        while self._segments and self._segments[0] is not place.segment:
            self._forget(self._segments[0])
        if place.before == place.segment.count:
            if len(self._segments) > 1:
                self._committed = beginning(self._segments[1])
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
        following = beginning(self._segments[1]) if len(self._segments) > 1 else None
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

    def _forget(self, segment: Segment) -> None:
        """Remove its file."""
        self._segments.remove(segment)
        self.bytes -= segment.size
        self._reader.close(segment)
        if not self._segments:
            self._read = self._committed = None
            self._appender.close()
        with contextlib.suppress(FileNotFoundError):
            segment.path.unlink()

    def _save_cursor(self, number: int, offset: int) -> None:
        assert self._cursor is not None
        self._cursor.save(number, offset)

    def _lose(self, reason: str, number: int = 1) -> None:
        if number:
            self.lost[reason] = self.lost.get(reason, 0) + number


def clean_name(parts: Iterable[object]) -> str:
    """A folder's name made of anything: letters, digits, dots and hyphens, the rest as hyphens."""
    text = "-".join(str(part) for part in parts)
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "-" for letter in text)
