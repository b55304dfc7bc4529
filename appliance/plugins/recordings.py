"""Files of what clients send (``.mjr``), for the plugins that record: one file a stream, in one folder and below.

Packets are gathered in memory and written by a thread, so that a slow disk holds nobody up; and whatever goes wrong
with a file ends that file, never a call. Bounded are a file, all files together, files at once and what waits.
"""

import errno
import logging
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from msgspec import Struct

from appliance.core.clock import Clock, LoopClock
from appliance.core.events import Counter
from appliance.wire import mjr

logger = logging.getLogger(__name__)

CHUNK_BYTES = 65_536
"""Written at once."""
FLUSH_SECONDS = 1.0
"""After which less than a chunk is written too."""
MAX_WAITING_BYTES = 8 << 20
"""Of all files, on their way to the disk; what comes then is left out and counted."""
FILE_COST_BYTES = 4096
"""What a file takes beside its bytes, roughly: many small ones fill a disk as well."""
MAX_NAME = 200
"""Characters of what a client chooses; a plugin adds some."""
MAX_SAME_NAME = 100
SUFFIX = ".mjr"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=,-]*")

Write = Callable[[Callable[[], None]], None]


def is_name(text: str) -> bool:
    """It names a file or folder below another: parts of letters, digits and ``_.+@=,-``, one slash between."""
    return len(text) <= MAX_NAME and _is_below(text)


def _is_below(text: str) -> bool:
    return all(_PART.fullmatch(part) for part in text.split("/"))


def as_part(text: str) -> str:
    """Part of a name, made of anything."""
    return re.sub(r"[^A-Za-z0-9_.@=,-]", "_", text)[:64]


class Limits(Struct, frozen=True, kw_only=True):
    """See the settings of the plugins."""

    file_bytes: int
    total_bytes: int
    """0: nothing is recorded."""
    files: int


class _File:
    """One file, touched by the thread alone."""

    def __init__(self, owner: "Recordings", path: Path) -> None:
        self.ended = False
        """It takes no more; read by the loop as well."""
        self._owner = owner
        self._path = path
        self._file: BinaryIO | None = None
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Whole packets, the first time with the head before them."""
        if self.ended:
            return
        try:
            self._owner.reserve(len(chunk) + (FILE_COST_BYTES if self._file is None else 0))
            if self._file is None:
                self._file = self._open()
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._size += len(chunk)
            self._owner.written += len(chunk)
        except OSError as problem:
            self.ended = True
            self._owner.failed(f"{self._path}: {problem.strerror or problem}")
            self._mend()

    def _open(self) -> BinaryIO:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        for number in range(1, MAX_SAME_NAME):
            # Nothing is written over: a second recording of one name has a number.
            path = self._path if number == 1 else self._path.with_name(f"{self._path.stem}-{number}{SUFFIX}")
            try:
                return os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
            except FileExistsError:
                continue
        raise FileExistsError(f"there are {MAX_SAME_NAME - 1} of that name")

    def _mend(self) -> None:
        # What was written in part would be no packet.
        if self._file is not None:
            try:
                self._file.truncate(self._size)
            except OSError:
                return

    def close(self) -> None:
        """The last word."""
        self.ended = True
        if self._file is not None:
            try:
                self._file.close()
            except OSError as problem:
                self._owner.failed(f"{self._path}: {problem.strerror or problem}")


class Recording:
    """One stream while it is recorded; made by :meth:`Recordings.start`. Never raises."""

    def __init__(
        self, owner: "Recordings", name: str, file: _File, kind: str, codec: str, extensions: dict[int, str]
    ) -> None:
        self.name = name
        """Of the file, below the folder of recordings and without its suffix."""
        self.kind = kind
        """audio, video or data."""
        self._owner = owner
        self._file = file
        self._about = (kind, codec, extensions)
        self._clock = owner.clock
        self._created = self._written_at = owner.clock.monotonic()
        self._created_us = owner.clock.wall_us()
        self._size = 0
        self._buffer = bytearray()
        self._closed = self._full = False

    def rtp(self, packet: memoryview) -> None:
        """Record a packet; a listener of :meth:`appliance.core.peer.PeerConnection.listen`."""
        now = self._clock.monotonic()
        self._take(mjr.packet(round((now - self._created) * 1000), packet), now)

    def text(self, text: str) -> None:
        """Record a message of a data channel; too long a one is left out."""
        now = self._clock.monotonic()
        try:
            made = mjr.message(round((now - self._created) * 1000), self._clock.wall_us(), text.encode())
        except ValueError:
            self._owner.lost += 1
            return
        self._take(made, now)

    def _take(self, made: bytes, now: float) -> None:
        if self._closed or self._full or self._file.ended:
            self._owner.lost += 1
            return
        if self._size + len(made) > self._owner.limits.file_bytes:
            self._full = True
            self._owner.lost += 1
            logger.warning("recording %s takes no more: it has %d bytes", self.name, self._size)
            return
        if len(self._buffer) >= CHUNK_BYTES and not self._hand_over(now):
            self._owner.lost += 1
            return
        if not self._size:
            kind, codec, extensions = self._about
            created, first = self._created_us, self._clock.wall_us()
            self._append(mjr.header(kind, codec, created_us=created, first_us=first, extensions=extensions))
        self._append(made)
        if len(self._buffer) >= CHUNK_BYTES or now - self._written_at >= FLUSH_SECONDS:
            self._hand_over(now)

    def _append(self, data: bytes) -> None:
        self._buffer += data
        self._size += len(data)

    def _hand_over(self, now: float) -> bool:
        if not self._owner.hand_over(self._file, bytes(self._buffer)):
            return False
        self._buffer.clear()
        self._written_at = now
        return True

    def close(self) -> None:
        """Write what is left; a second time nothing happens."""
        if self._closed:
            return
        self._closed = True
        self._owner.forget(self, self._file, bytes(self._buffer))
        self._buffer.clear()


class Recordings:
    """The recordings of one plugin. ``write`` runs what may wait for a disk elsewhere, one after the other."""

    def __init__(self, plugin: str, limits: Limits, *, clock: Clock | None = None, write: Write | None = None) -> None:
        self.limits = limits
        self.clock: Clock = clock or LoopClock()
        self.lost = 0
        """Packets that are in no file."""
        self.written = 0
        """Bytes."""
        self._plugin = plugin
        self._folder: Path | None = None
        self._active: dict[int, Recording] = {}
        self._write = write
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._lock = Lock()
        """Of :attr:`_waiting`, which both sides change."""
        self._total = 0
        """Bytes that all files take, as far as the thread knows."""
        self._started = self._refused = self._failed = 0

    @property
    def available(self) -> bool:
        """There is a place for them, and they are wanted."""
        return self._folder is not None and self.limits.total_bytes > 0

    def keep_in(self, folder: Path) -> None:
        """Write below ``folder``, which need not be there yet, and nowhere else."""
        self._folder = folder

    def start(
        self, name: str, kind: str, codec: str, *, folder: str = "", extensions: dict[int, str] | None = None
    ) -> Recording | None:
        """Begin a file. ``kind`` is audio, video or data; ``folder`` and ``name`` are such as :func:`is_name` likes.

        Returns ``None``, and counts it, where there is no room for one more or no place for any.
        """
        if folder:
            name = f"{folder}/{name}"
        assert _is_below(name)
        if self._folder is None or not self.available or len(self._active) >= self.limits.files:
            self._refused += 1
            logger.warning("recording %s is not made: %d are being made already", name, len(self._active))
            return None
        self._started += 1
        file = _File(self, self._folder / f"{name}{SUFFIX}")
        recording = Recording(self, name, file, kind, codec, extensions or {})
        self._active[id(recording)] = recording
        return recording

    def close(self) -> None:
        """End every recording, and wait until they are on the disk."""
        for recording in list(self._active.values()):
            recording.close()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def measure(self) -> Iterable[Counter]:
        """For the exporter."""
        labels = {"plugin": self._plugin}
        yield Counter("media_recordings_active", len(self._active), labels)
        for outcome, count in (("started", self._started), ("refused", self._refused), ("failed", self._failed)):
            yield Counter("media_recordings_total", count, {**labels, "outcome": outcome})
        yield Counter("media_recording_bytes_total", self.written, labels)
        yield Counter("media_recording_packets_lost_total", self.lost, labels)

    # --- what recordings ask --------------------------------------------------------------------------------------

    def hand_over(self, file: _File, chunk: bytes) -> bool:
        """Write a chunk, some time soon; false when too much is waiting already."""
        with self._lock:
            if self._waiting + len(chunk) > MAX_WAITING_BYTES:
                return False
            self._waiting += len(chunk)
        self._run(lambda: self._written(file, chunk))
        return True

    def forget(self, recording: Recording, file: _File, rest: bytes) -> None:
        """It has ended; ``rest`` is yet to be written."""
        self._active.pop(id(recording), None)

        def end() -> None:
            if rest:
                file.write(rest)
            file.close()

        self._run(end)

    def _run(self, work: Callable[[], None]) -> None:
        if self._write is not None:
            self._write(work)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"recordings of {self._plugin}")
        self._thread.submit(work)

    # --- on the thread --------------------------------------------------------------------------------------------

    def _written(self, file: _File, chunk: bytes) -> None:
        file.write(chunk)
        with self._lock:
            self._waiting -= len(chunk)

    def reserve(self, size: int) -> None:
        """Take room for so many bytes. :raises OSError: all files together have as many as they may."""
        if self._total + size > self.limits.total_bytes or not self._total:
            # Somebody may have tidied up.
            self._total = self._on_disk()
        if self._total + size > self.limits.total_bytes:
            raise OSError(errno.EDQUOT, f"all recordings take {self._total} bytes, and may not take more")
        self._total += size

    def _on_disk(self) -> int:
        assert self._folder is not None
        return sum(FILE_COST_BYTES + path.lstat().st_size for path in self._folder.rglob(f"*{SUFFIX}"))

    def failed(self, problem: str) -> None:
        """A file has ended before its time."""
        self._failed += 1
        logger.warning("a recording ends: %s", problem)
