"""A MariaDB of its own, from Debian's package: own port, own data, and it can be killed and started again."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

import pymysql

from tests.peers.account import Account, remove
from tests.peers.janus import free_port
from tests.programs import need

START_TIMEOUT = 30.0
USER, PASSWORD = "appliance", "an open secret"  # of a server on loopback that lives for a test


class MariaDb:
    """One server: :meth:`start`, :meth:`kill` (as the machine would) and :meth:`start` again with the same data."""

    password = PASSWORD

    def __init__(self, program: str) -> None:
        self.port = free_port()
        self._program = program
        self._account = Account("mysql")
        self._folder = self._account.folder("appliance-mariadb-")
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._account.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self._folder / 'data'}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--skip-name-resolve"],
            cwd=self._folder,
        )  # fmt: skip
        first = self._folder / "first.sql"
        first.write_text(
            f"CREATE USER IF NOT EXISTS {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO {USER}@'127.0.0.1';\n"
        )
        first.chmod(0o644)

    def start(self) -> None:
        """Run, and return once it takes connections."""
        self._process = self._account.start(
            [self._program, "--no-defaults", f"--datadir={self._folder / 'data'}", f"--port={self.port}",
             f"--socket={self._folder / 'socket'}", "--bind-address=127.0.0.1", "--skip-name-resolve",
             f"--init-file={self._folder / 'first.sql'}", f"--pid-file={self._folder / 'pid'}",
             # Written at each commit, not flushed: what a killed process wrote is with the kernel.
             "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M", "--performance-schema=off"],
            self._folder / "log",
            cwd=self._folder,
        )  # fmt: skip
        until = time.monotonic() + START_TIMEOUT
        while True:
            assert self._process.poll() is None, self._log()
            try:
                self._connect().close()
                return
            except pymysql.OperationalError:
                assert time.monotonic() < until, self._log()
                time.sleep(0.05)

    def kill(self) -> None:
        """At once, with nothing written that was not written."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def database(self) -> str:
        """The URL of a new, empty one, of a character set that does not hold every character by itself."""
        name = f"store_{next(self._numbers)}"
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
        return f"mariadb+pymysql://{USER}@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        """End it, and remove what it wrote."""
        self.kill()
        remove(self._folder)

    def _connect(self) -> "pymysql.Connection[Any]":
        return pymysql.connect(host="127.0.0.1", port=self.port, user=USER, password=PASSWORD)

    def _log(self) -> str:
        return (self._folder / "log").read_text("utf-8", "replace")[-4000:]


@contextmanager
def mariadb() -> Iterator[MariaDb]:
    """Run one until the block ends."""
    program = need("mariadbd", "mariadb-install-db")
    server = MariaDb(program)
    try:
        server.start()
        yield server
    finally:
        server.close()
