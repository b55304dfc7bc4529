"""A coturn of its own: STUN and TURN on one address, one user, everything below one folder."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.janus import free_port
from tests.peers.leash import hold
from tests.programs import need

USER, PASSWORD = "gateway", "between us"


class Coturn:
    """:meth:`start`, :meth:`kill` and :meth:`start` again on the same port; each run forgets what it lent."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port or free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Run, and return once it takes connections."""
        options = [
            "-n", "--lt-cred-mech", f"--user={USER}:{PASSWORD}", "--realm=test", "--no-tls", "--no-dtls", "--no-cli",
            f"--listening-ip={self.host}", f"--listening-port={self.port}", f"--relay-ip={self.host}",
            f"--pidfile={self._folder}/pid", f"--userdb={self._folder}/db", "--log-file=stdout", "--simple-log",
            "--min-port=49152", "--max-port=65535", "--relay-threads=1",
        ]  # fmt: skip
        if self.host.startswith("127."):
            options.append("--allow-loopback-peers")
        with (self._folder / "out.txt").open("ab") as out:
            self._process = subprocess.Popen(
                [need("turnserver"), *options], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        hold(self._process.pid)
        until = time.monotonic() + 15
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=1.0).close()
                return
            except OSError:
                text = (self._folder / "out.txt").read_text("utf-8", "replace")
                assert self._process.poll() is None, text
                assert time.monotonic() < until, text
                time.sleep(0.02)

    def kill(self) -> None:
        """At once: it says goodbye to nobody."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None


@contextmanager
def coturn(folder: Path, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[Coturn]:
    """Running until the block ends."""
    made = Coturn(folder, host=host, port=port)
    made.start()
    try:
        yield made
    finally:
        made.kill()
