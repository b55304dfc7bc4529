"""Bundles on disk: written whole or not at all, counted, and the oldest removed when there are too many."""

import logging
import os
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from appliance.core.recordings import BundleInfo
from appliance.recording.recorder import FOLDER, PARTS_NAME

logger = logging.getLogger(__name__)

_NAME = re.compile(r"([A-Za-z0-9@.-]{1,200})_(\d{8}T\d{6}\.\d{6}Z)\.zip")
STALE_S = 3600.0
"""After which a gateway's part that nobody fetched is litter."""


class Shelf:
    """The folder. Its methods wait for the disk: call them in a thread."""

    def __init__(self, data_dir: Path, *, max_bundles: int, max_bytes: int) -> None:
        self.folder = data_dir / FOLDER
        self._max_bundles = max_bundles
        self._max_bytes = max_bytes

    def store(self, correlation_id: str, now_us: int, write: Callable[[IO[bytes]], None]) -> Path:
        """Make one. :raises OSError: nothing is left of it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        at = datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = re.sub(r"[^A-Za-z0-9@.-]", "-", correlation_id)[:200].lstrip(".") or "call"
        path = self.folder / f"{name}_{at}.zip"
        beside = self.folder / f".{path.name}.{secrets.token_hex(4)}"
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(beside, flags, 0o600), "w+b") as file:
                write(file)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        self._make_room(path)
        return path

    def bundles(self) -> list[BundleInfo]:
        """Newest first."""
        found: list[BundleInfo] = []
        try:
            entries = list(os.scandir(self.folder))
        except OSError:
            return []
        for entry in entries:
            named = _NAME.fullmatch(entry.name)
            if named is None or not entry.is_file(follow_symlinks=False):
                continue
            at = datetime.strptime(named[2], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
            found.append(
                BundleInfo(
                    name=entry.name,
                    correlation_id=named[1],
                    bytes=entry.stat().st_size,
                    written_us=round(at.timestamp() * 1e6),
                )
            )
        return sorted(found, key=lambda info: info.written_us, reverse=True)

    def path(self, name: str) -> Path | None:
        """Of a bundle, and of nothing else in the folder or beside it."""
        path = self.folder / name
        return path if _NAME.fullmatch(name) and path.is_file() and not path.is_symlink() else None

    def parts(self, name: object) -> bytes | None:
        """What a gateway has put there, taken away; ``None`` when it is not there: the gateway is elsewhere."""
        if not isinstance(name, str) or not PARTS_NAME.fullmatch(name):
            return None
        path = self.folder / name
        try:
            data = path.read_bytes()
            path.unlink()
        except OSError:
            return None
        return data

    def sweep(self, now_s: float) -> None:
        """Remove what a process that was killed has left half made."""
        for path in [*self.folder.glob(".*.zip.*"), *self.folder.glob(".*.parts.*"), *self.folder.glob("*.parts")]:
            try:
                if now_s - path.stat().st_mtime > STALE_S:
                    path.unlink()
            except OSError:
                continue

    def _make_room(self, newest: Path) -> None:
        total = 0
        for number, info in enumerate(self.bundles(), 1):
            total += info.bytes
            if (number > self._max_bundles or total > self._max_bytes) and info.name != newest.name:
                logger.info("recording %s makes room for newer ones", info.name)
                (self.folder / info.name).unlink(missing_ok=True)
