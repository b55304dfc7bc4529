"""A PostgreSQL of its own, from Debian's package: own port, own data, and it can be killed and started again."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.peers.account import Account, remove
from tests.peers.janus import free_port
from tests.programs import need

START_TIMEOUT = 30.0
USER, PASSWORD = "appliance", "an open secret"  # of a server on loopback that lives for a test


class PostgreSql:
    """One server: :meth:`start`, :meth:`kill` (as the machine would) and :meth:`start` again with the same data."""

    password = PASSWORD

    def __init__(self, programs: Path, *, durable: bool = False) -> None:
        """``durable``: wait for the disk at each commit, as a server does that is not a test's."""
        self.port = free_port()
        self._programs = programs
        self._account = Account("postgres")
        self._folder = self._account.folder("appliance-postgresql-")
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._account.run(
            [programs / "initdb", "-D", self._folder / "data", "-U", USER, "-A", "scram-sha-256", "--pwfile", secret,
             "-E", "UTF8", "--locale", "C", "-N"],
            cwd=self._folder,
        )  # fmt: skip

    def start(self) -> None:
        """Run, and return once it takes connections."""
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "20"}
        if not self._durable:
            # What a killed process wrote is with the kernel.
            settings["fsync"] = "off"
        command: list[str | Path] = [
            self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]  # fmt: skip
        until = time.monotonic() + START_TIMEOUT
        while True:
            if self._process is None or self._process.poll() is not None:
                # One that was killed leaves children, and until they have noticed no other may start.
                self._process = self._account.start(command, self._folder / "log", cwd=self._folder)
            try:
                self._connect().close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < until, self._log()
                time.sleep(0.05)

    def kill(self) -> None:
        """At once, with nothing written that was not written."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            # Its children have groups of their own, and end by themselves when they find it gone.
            self._process.wait()
            self._process = None

    def database(self) -> str:
        """The URL of a new, empty one."""
        name = f"store_{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        """End it, and remove what it wrote."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None
        remove(self._folder)

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True
        )

    def _log(self) -> str:
        return (self._folder / "log").read_text("utf-8", "replace")[-4000:]


@contextmanager
def postgresql(*, durable: bool = False) -> Iterator[PostgreSql]:
    """Run one until the block ends."""
    need("psql")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL's server is not installed (tests/programs.sh installs it)")
        pytest.skip("PostgreSQL's server is not installed (tests/programs.sh installs it)")
    server = PostgreSql(versions[-1].parent, durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.close()
