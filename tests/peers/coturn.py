"""A coturn of its own: STUN and TURN on one address of each IP version, one user, everything below one folder."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers.janus import free_port
from tests.peers.leash import hold
from tests.programs import need

USER, PASSWORD = "gateway", "between us"


class Coturn:
    """:meth:`start`, :meth:`kill` and :meth:`start` again on the same port; each run forgets what it lent.

    ``relays``: the addresses that it lends, ``host`` where there are none. ``certificate``: a PEM file and that of its
    key, to listen for TLS on the port. ``options``: further ones, of which a mechanism takes the place of the user.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        host: str = "127.0.0.1",
        port: int = 0,
        relays: Sequence[str] = (),
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.host = host
        self.port = port or free_port()
        self.options = [*options, *(f"--relay-ip={relay}" for relay in relays or [host])]
        if certificate is None:
            self.options += ["--no-tls", "--no-dtls", f"--listening-port={self.port}"]
        else:
            self.options += [
                f"--cert={certificate[0]}",
                f"--pkey={certificate[1]}",
                f"--tls-listening-port={self.port}",
            ]
            self.options += [f"--listening-port={free_port()}"]
        if not any("secret" in option for option in options):
            self.options += ["--lt-cred-mech", f"--user={USER}:{PASSWORD}"]
        if any(where.startswith("127.") or where == "::1" for where in (host, *relays)):
            self.options.append("--allow-loopback-peers")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def said(self) -> str:
        """What it has logged."""
        return (self._folder / "out.txt").read_text("utf-8", "replace")

    def start(self) -> None:
        """Run, and return once it takes connections."""
        options = [
            "-n", "--realm=test", "--no-cli", f"--listening-ip={self.host}", f"--pidfile={self._folder}/pid",
            f"--userdb={self._folder}/db", "--log-file=stdout", "--simple-log", "--min-port=49152", "--max-port=65535",
            "--relay-threads=1", *self.options,
        ]  # fmt: skip
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
                assert self._process.poll() is None, self.said
                assert time.monotonic() < until, self.said
                time.sleep(0.02)

    def kill(self) -> None:
        """At once: it says goodbye to nobody."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None


@contextmanager
def coturn(folder: Path, *options: str, **settings: Any) -> Iterator[Coturn]:
    """Running until the block ends; see :class:`Coturn`."""
    made = Coturn(folder, *options, **settings)
    made.start()
    try:
        yield made
    finally:
        made.kill()
