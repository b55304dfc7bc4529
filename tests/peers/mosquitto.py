"""A Mosquitto of its own: port, data and users below one folder."""

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.peers.janus import free_port
from tests.peers.leash import hold
from tests.programs import need


class Mosquitto:
    """One broker: :meth:`start`, :meth:`kill` and :meth:`start` again with the same data."""

    def __init__(
        self, folder: Path, *, user: str = "", password: str = "", certificate: tuple[Path, Path] | None = None
    ) -> None:
        """With ``user``: nobody else comes in. With a certificate and its key: by TLS only."""
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        access = "allow_anonymous true\n"
        if user:
            users = folder / "users"
            subprocess.run(["mosquitto_passwd", "-b", "-c", users, user, password], check=True, timeout=10)
            access = f"allow_anonymous false\npassword_file {users}\n"
        if certificate is not None:
            access += f"certfile {certificate[0]}\nkeyfile {certificate[1]}\n"
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\n{access}user {pwd.getpwuid(os.getuid()).pw_name}\npersistence true\n"
            f"persistence_location {folder}/\n"
            "max_queued_messages 0\nmax_inflight_messages 0\n"
        )

    def start(self) -> None:
        """Run, and return once it takes connections."""
        with (self.folder / "out.txt").open("ab") as out:
            self._process = subprocess.Popen(
                [need("mosquitto"), "-c", self.folder / "mosquitto.conf"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        hold(self._process.pid)
        until = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
                return
            except OSError:
                text = (self.folder / "out.txt").read_text("utf-8", "replace")
                assert self._process.poll() is None, text
                assert time.monotonic() < until, text
                time.sleep(0.02)

    def stop(self) -> None:
        """In order: it writes down what it holds."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it."""
        self.kill()


@contextmanager
def mosquitto(
    folder: Path, *, user: str = "", password: str = "", certificate: tuple[Path, Path] | None = None
) -> Iterator[Mosquitto]:
    """Run one until the block ends."""
    need("mosquitto")
    with closing(Mosquitto(folder, user=user, password=password, certificate=certificate)) as broker:
        broker.start()
        yield broker
