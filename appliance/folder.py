"""Who this is and where it writes: the server's name, and the data folder, held by one process of a kind."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.config import ConfigError, ServerConfig
from appliance.core.correlation import safe_server_name

logger = logging.getLogger(__name__)

NAMES = {"gateway": "gateway", "collector": "collector", "run": "appliance run"}
"""Who holds a folder, in words."""


def server_name(config: ServerConfig) -> str:
    """The configured name, or this host's, made safe for SIP, SQL and metrics."""
    return safe_server_name(config.name or socket.gethostname())


def data_dir(config: ServerConfig) -> Path:
    """The data folder, made if need be and readable by its owner only. :raises ConfigError: it can't be had."""
    folder = Path(config.data_dir).expanduser().resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(f"server.data_dir: {config.data_dir!r}: {problem.strerror or problem}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"server.data_dir: {config.data_dir!r}: may not be written to")
    return folder


def too_open(folder: Path) -> str:
    """What is wrong with the mode of a folder that was there before; empty when others are kept out.

    It is not changed: whoever opened it may have meant to, and the folder may be one that others need.
    """
    mode = folder.stat().st_mode & 0o777
    if not mode & 0o077:
        return ""
    return f"{folder} is open to other users (mode {mode:04o}); calls are kept in it: chmod 700 {folder}"


@contextmanager
def held(folder: Path, role: str) -> Iterator[None]:
    """Hold the folder as its only ``gateway``, ``collector`` or ``run``, until the process ends at the latest.

    :raises ConfigError: another process does; the message says which.
    """
    path = folder / f"{role}.lock"
    try:
        # Not truncated before it is ours: until then it names the other.
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise ConfigError(f"server.data_dir: {path}: {problem.strerror or problem}") from None
    with os.fdopen(number, "r+", encoding="ascii", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = file.read(20).strip()
            raise ConfigError(
                f"server.data_dir: {folder} is in use by another {NAMES[role]} (process {pid or 'unknown'}); "
                "end it, or give this one a server.data_dir of its own"
            ) from None
        except OSError as problem:
            # A network file system may know no locks: that is no reason not to run.
            logger.warning("server.data_dir: %s can't be locked: %s", path, problem.strerror)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
