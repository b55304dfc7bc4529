"""A Unix socket to listen on, which its owner alone may connect to unless it is said otherwise."""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path


class UnixListener:
    """Takes the place of a socket that nobody listens on any more, and removes its own at the end."""

    def __init__(self, path: str, *, kind: socket.SocketKind = socket.SOCK_STREAM, mode: int = 0o600) -> None:
        self._path = Path(path)
        self._kind = kind
        self._mode = mode
        self._mark: tuple[int, int] | None = None

    def bind(self) -> socket.socket:
        """A bound socket. :raises OSError: somebody listens there, or a file of another kind is there."""
        self._clear()
        bound = socket.socket(socket.AF_UNIX, self._kind)
        # Narrowed before bind, so that the socket is never open to others, not even for a moment.
        before = os.umask(0o777 & ~self._mode)
        try:
            bound.bind(str(self._path))
        except OSError:
            bound.close()
            raise
        finally:
            os.umask(before)
        self._mark = self._found()
        bound.setblocking(False)
        return bound

    def _clear(self) -> None:
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise OSError(errno.EEXIST, "a file that is no socket is in the way")
        with socket.socket(socket.AF_UNIX, self._kind) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                self._path.unlink()
            else:
                raise OSError(errno.EADDRINUSE, "somebody listens there already")

    def remove(self) -> None:
        """Unlink it, unless another has taken the place."""
        with contextlib.suppress(OSError):
            if self._found() == self._mark:
                self._path.unlink()

    def _found(self) -> tuple[int, int]:
        # The number alone is given again at once by some file systems.
        status = self._path.lstat()
        return status.st_ino, status.st_ctime_ns
