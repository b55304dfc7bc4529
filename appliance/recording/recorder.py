"""The gateway's end: a buffer for each handle that is to be kept, and its way to the collector as a file."""

import logging
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from appliance.core.clock import Clock
from appliance.core.events import Counter
from appliance.core.recording import CallRecord
from appliance.recording.buffer import Buffer, Write
from appliance.recording.config import RecordingConfig
from appliance.recording.parts import Parts, encode

logger = logging.getLogger(__name__)

FOLDER = "recordings"
"""Below the data directory."""
SUFFIX = ".parts"
MAX_BUFFERS = 2_000
AFTERLIFE_S = 30.0
"""How long a handle that is gone can still be recorded: its verdict comes after its end."""
MAX_FILES = 64
"""Whose fate is remembered."""
PARTS_NAME = re.compile(r"[0-9]{1,16}-[0-9]{1,16}-[0-9a-f]{8}\.parts")

Key = tuple[int, int]


class GatewayRecorder:
    """Implements :class:`appliance.core.recording.Recorder`. ``write`` runs what may wait for a disk elsewhere."""

    def __init__(self, config: RecordingConfig, clock: Clock, data_dir: Path, write: Write) -> None:
        self._config = config
        self._clock = clock
        self._folder = data_dir / FOLDER
        self._write = write
        self._buffers: OrderedDict[Key, Buffer] = OrderedDict()
        self._gone: OrderedDict[Key, float] = OrderedDict()
        """Handles that have ended, and when."""
        self._bytes = 0
        self._files: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._failed = 0
        self._refused = 0

    # --- what buffers ask -------------------------------------------------------------------------------------

    def grow(self, size: int) -> bool:
        """Room for one entry; false when all calls together have used it up."""
        if self._bytes + size > self._config.total_bytes:
            self._refused += 1
            return False
        self._bytes += size
        return True

    def shrink(self, size: int) -> None:
        """Room that is free again."""
        self._bytes -= size

    # --- what the core tells ----------------------------------------------------------------------------------

    def attached(self, session_id: int, handle_id: int) -> CallRecord | None:
        """What is kept of a handle unasked, if anything is."""
        self._forget_the_gone()
        config, key = self._config, (session_id, handle_id)
        if not config.buffer_seconds and (not config.setup_bytes or key in self._gone):
            return None
        return self._buffer(key, asked=False)

    def start(self, session_id: int, handle_id: int) -> CallRecord:
        """Keep everything. :raises ValueError: too many are being kept."""
        self._forget_the_gone()
        found = self._buffer((session_id, handle_id), asked=True)
        if found is None:
            raise ValueError(f"{MAX_BUFFERS} calls are being kept already")
        return found

    def stop(self, session_id: int, handle_id: int) -> None:
        """Back to the ring; without one, what was kept goes after a while."""
        found = self._buffers.get((session_id, handle_id))
        if found is not None:
            found.asked = False
            if not self._config.buffer_seconds:
                self._gone[session_id, handle_id] = self._clock.monotonic()
                self._clock.call_later(AFTERLIFE_S + 1, self._forget_the_gone)

    def detached(self, session_id: int, handle_id: int) -> None:
        """What was kept can be taken for a while."""
        key = (session_id, handle_id)
        if key in self._buffers:
            self._gone[key] = self._clock.monotonic()
            self._clock.call_later(AFTERLIFE_S + 1, self._forget_the_gone)

    def exchanged(self, session_id: int, handle_id: int, message: object, answer: Mapping[str, Any]) -> None:
        """Keep a request and its answer."""
        found = self._buffers.get((session_id, handle_id))
        if found is not None and isinstance(message, dict):
            found.message(message, incoming=True)
            found.message(answer, incoming=False)

    def _buffer(self, key: Key, *, asked: bool) -> Buffer | None:
        found = self._buffers.get(key)
        if found is None:
            # What is kept unasked keeps nobody from being recorded.
            if (sum(one.asked for one in self._buffers.values()) if asked else len(self._buffers)) >= MAX_BUFFERS:
                self._refused += 1
                return None
            found = self._buffers[key] = Buffer(self._config, self._clock, self, asked=asked)
        self._gone.pop(key, None)
        found.asked = found.asked or asked
        return found

    def _forget_the_gone(self) -> None:
        now = self._clock.monotonic()
        while self._gone:
            key, since = next(iter(self._gone.items()))
            if now - since < AFTERLIFE_S:
                break
            del self._gone[key]
            buffer = self._buffers.pop(key, None)
            if buffer is not None:
                buffer.clear()

    # --- what the collector asks ------------------------------------------------------------------------------

    def take(self, session_id: int, handle_id: int) -> dict[str, Any]:
        """Begin to write what is kept; it stays kept."""
        found = self._buffers.get((session_id, handle_id))
        if found is None:
            return {"file": None}
        name = f"{session_id}-{handle_id}-{secrets.token_hex(4)}{SUFFIX}"
        state: dict[str, Any] = {"state": "writing"}
        self._files[name] = state
        if len(self._files) > MAX_FILES:
            self._files.popitem(last=False)
        parts, path = found.snapshot(), self._folder / name
        self._write(lambda: self._store(parts, path, state))
        return {"file": name}

    def written(self, name: str) -> dict[str, Any]:
        """How that went. :raises LookupError: no such file."""
        if name not in self._files:
            raise LookupError(f"no such file {name[:64]!r}")
        return dict(self._files[name])

    def _store(self, parts: Parts, path: Path, state: dict[str, Any]) -> None:
        """In a thread. A full disk ends the recording, never the call."""
        try:
            write_atomically(path, lambda: encode(parts))
        except OSError as problem:
            self._failed += 1
            logger.warning("a recording is lost: %s: %s", path, problem.strerror or problem)
            state |= {"state": "failed", "problem": problem.strerror or str(problem)}
            return
        state["state"] = "done"

    def measure(self) -> Iterable[Counter]:
        """For the exporter."""
        yield Counter("recording_buffers", len(self._buffers))
        yield Counter("recording_buffer_bytes", self._bytes)
        yield Counter("recordings_total", self._failed, {"outcome": "failed"})
        yield Counter("recording_refused_total", self._refused)


def write_atomically(path: Path, content: Callable[[], bytes]) -> None:
    """Under another name first, so that whoever sees the file sees all of it. :raises OSError: it can't be written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            file.write(content())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
