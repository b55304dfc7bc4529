"""How far each handler was in a journal, on disk: over a collector that is killed."""

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

MAX_BYTES = 64 * 1024
"""Of the file."""
MAX_HANDLERS = 256

Position = tuple[int, int]
"""Of a message: the run that took it, later ones being higher, and its number in that."""


class Marks:
    """One position a handler; everything up to it the handler has had."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier run has left; damaged is as nothing. :raises OSError: it can't be opened."""
        self._marks: dict[str, Position] = {}
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        raw = os.pread(self._descriptor, MAX_BYTES, 0)
        body = raw[8 : 8 + int.from_bytes(raw[:4])]
        if len(raw) > 8 and zlib.crc32(body).to_bytes(4) == raw[4:8]:
            with suppress(msgspec.MsgspecError):
                self._marks = msgspec.msgpack.decode(body, type=dict[str, Position])

    @property
    def newest(self) -> int:
        """The last run that is known of; 0: of none."""
        return max((run for run, _ in self._marks.values()), default=0)

    def had(self, position: Position) -> frozenset[str]:
        """The handlers that have had that message."""
        return frozenset(name for name, mark in self._marks.items() if mark >= position)

    def note(self, far: Mapping[str, Position]) -> None:
        """Handlers have come to there; what was read again may lie before what they had."""
        changed = {name: mark for name, mark in far.items() if mark > self._marks.get(name, (-1, -1))}
        if not changed:
            return
        self._marks |= changed
        while len(self._marks) > MAX_HANDLERS:
            del self._marks[next(iter(self._marks))]
        body = msgspec.msgpack.encode(self._marks)
        # In one write in place: a process that dies leaves the old ones or the new ones.
        with suppress(OSError):
            os.pwrite(self._descriptor, len(body).to_bytes(4) + zlib.crc32(body).to_bytes(4) + body, 0)

    def close(self) -> None:
        """Of no more use."""
        os.close(self._descriptor)
