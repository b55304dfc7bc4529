"""Folders and processes of the accounts that database servers insist on: none of them runs as root."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.peers.leash import hold


class Account:
    """The named account where tests run as root, else whoever runs them."""

    def __init__(self, name: str) -> None:
        self._entry = pwd.getpwnam(name) if os.geteuid() == 0 else None

    def folder(self, prefix: str) -> Path:
        """A new one that this account owns, outside pytest's own, which nobody else may enter."""
        path = Path(tempfile.mkdtemp(prefix=prefix))
        if self._entry is not None:
            os.chown(path, self._entry.pw_uid, self._entry.pw_gid)
        return path

    def run(self, command: Sequence[str | Path], **options: Any) -> None:
        """:raises AssertionError: it failed; with what it wrote."""
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, **self._as_whom(), **options
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:].decode("utf-8", "replace")

    def start(self, command: Sequence[str | Path], log: Path, **options: Any) -> subprocess.Popen[bytes]:
        """In a process group of its own."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                **self._as_whom(), **options,
            )  # fmt: skip
        hold(process.pid)
        return process

    def _as_whom(self) -> dict[str, Any]:
        if self._entry is None:
            return {}
        return {"user": self._entry.pw_uid, "group": self._entry.pw_gid, "extra_groups": []}


def remove(folder: Path) -> None:
    """With all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
