"""Writes events to a file, one JSON object a line (JSON Lines), with rotation."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from appliance.core.handler import HandlerContext
from appliance.handlers.output.base import OutputConfig, OutputHandler
from appliance.handlers.output.packing import Message


class FileOutputConfig(OutputConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.file]``."""

    extensions: bool = True
    """Write what Janus does not tell as well; ``appliance replay`` explains more with it."""
    file: str = "events.jsonl"
    """Its name, in ``data_dir``; the older ones have ``.1``, ``.2``, ... behind theirs."""
    max_mb: float = 100
    """Of one file; then it is put aside and another begun."""
    keep: int = 10
    """Files that were put aside; the oldest goes."""


class FileOutput(OutputHandler):
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = FileOutputConfig
    name = "file"
    tweakable = frozenset({"max_mb", "keep"})

    def __init__(self, config: FileOutputConfig, context: HandlerContext) -> None:
        """:raises ValueError: a setting is no good."""
        super().__init__(config, context)
        self.path = context.data_dir / config.file
        self.rotations = 0
        self._descriptor: int | None = None
        self._size = 0

    @property
    def config(self) -> FileOutputConfig:
        """The settings in force."""
        assert isinstance(self._settings, FileOutputConfig)
        return self._settings

    def _check(self, config: OutputConfig) -> None:
        super()._check(config)
        assert isinstance(config, FileOutputConfig)
        if Path(config.file).name != config.file or config.file in {"", ".", ".."}:
            raise ValueError(f"file: {config.file!r} came, wanted a name without folders: it lies in data_dir")
        if not config.max_mb > 0 or config.keep < 0:
            raise ValueError(f"max_mb, keep: {config.max_mb}, {config.keep} came, wanted more than 0 and 0 or more")

    async def _open(self) -> None:
        self._reopen()

    def _reopen(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        if self._size and not _ends_a_line(self.path):
            # The machine stopped in the middle of a line: what follows begins its own.
            os.write(self._descriptor, b"\n")
            self._size += 1

    async def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def send(self, message: Message) -> None:
        """Write one line."""
        self._write([message])

    async def send_all(self, messages: Sequence[Message]) -> int:
        """Write all of them or none."""
        if not messages:
            return 0
        try:
            self._write(messages)
        except OSError as problem:
            self._failed(problem)
            return 0
        self._succeeded(len(messages))
        return len(messages)

    def _write(self, messages: Sequence[Message]) -> None:
        if self._descriptor is None:
            self._reopen()
        assert self._descriptor is not None
        blob = b"".join(message.data + b"\n" for message in messages)
        if self._size and self._size + len(blob) > self.config.max_mb * 2**20:
            self._rotate()
        try:
            view = memoryview(blob)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(blob)

    def _rotate(self) -> None:
        assert self._descriptor is not None
        os.close(self._descriptor)
        self._descriptor = None
        self.rotations += 1
        older = sorted(
            (int(path.suffix[1:]), path)
            for path in self.path.parent.glob(f"{self.path.name}.*")
            if path.suffix[1:].isdecimal() and path.name == f"{self.path.name}{path.suffix}"
        )
        for number, path in reversed(older):
            if number >= self.config.keep:
                path.unlink()
            else:
                path.rename(f"{self.path}.{number + 1}")
        if self.config.keep:
            self.path.rename(f"{self.path}.1")
        else:
            self.path.unlink()
        self._reopen()


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
