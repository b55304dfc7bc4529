"""A RabbitMQ of its own: ports, data and cookie below one folder, and no daemon that outlives it."""

import os
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

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not the wrapper of the same name, which changes to a system user and its folder."""
START_TIMEOUT = 60.0


class RabbitMq:
    """One broker: :meth:`start`, :meth:`kill` (as the machine would) and :meth:`start` again with the same data."""

    def __init__(self, folder: Path, *, certificate: tuple[Path, Path] | None = None) -> None:
        """With a certificate and its key: on another port by TLS too."""
        self.folder = folder
        self.port = free_port()
        self.tls_port = free_port()
        self.certificate = None if certificate is None else certificate[0]
        self._distribution = free_port()
        self._names = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\nlog.console = false\n"
            "log.file.level = error\ndisk_free_limit.absolute = 10MB\nvm_memory_high_watermark.absolute = 400MB\n"
        )
        if certificate is not None:
            with (folder / "rabbitmq.conf").open("a") as file:
                file.write(
                    f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\nssl_options.certfile = {certificate[0]}\n"
                    f"ssl_options.keyfile = {certificate[1]}\nssl_options.verify = verify_none\n"
                )
        (folder / "enabled_plugins").write_text("[rabbitmq_consistent_hash_exchange].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text("APPLIANCETESTS")
        cookie.chmod(0o400)

    @property
    def pid(self) -> int:
        """Of the broker's process group."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Run, and return once it takes connections."""
        environment = os.environ | {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"rabbit-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        if self._epmd is None:
            # The broker would start one that nobody ends.
            self._epmd = subprocess.Popen([need("epmd")], env=environment, stdin=subprocess.DEVNULL)
            hold(self._epmd.pid)
        with (self.folder / "out.txt").open("ab") as out:
            self._process = subprocess.Popen(
                [PROGRAM], env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        hold(self._process.pid)
        until = time.monotonic() + START_TIMEOUT
        while not self._answers():
            text = (self.folder / "out.txt").read_text("utf-8", "replace")[-2000:]
            assert self._process.poll() is None, text
            assert time.monotonic() < until, text
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether it speaks AMQP: its port is open some seconds before it does."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return probe.recv(1) == b"\x01"
        except OSError:
            return False

    def kill(self) -> None:
        """At once, with nothing written that was not written."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it and its name server."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None


@contextmanager
def rabbitmq(folder: Path, *, certificate: tuple[Path, Path] | None = None) -> Iterator[RabbitMq]:
    """Run one until the block ends."""
    need("rabbitmq-server")
    with closing(RabbitMq(folder, certificate=certificate)) as broker:
        broker.start()
        yield broker
