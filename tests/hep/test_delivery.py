"""Nothing is lost over TCP while the spool has room: capture servers that die, hang or never read, and ourselves.

Servers are real processes and real sockets; only the client's waiting between attempts is shortened.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from appliance.hep.client import TcpClient
from appliance.hep.endpoint import Endpoint
from appliance.hep.listener import HepListener
from appliance.hep.tcp_client import MIN_FLIGHT
from appliance.hep.template import HepTemplate
from appliance.net.backoff import Backoff
from appliance.net.spool import Spool
from tests.hep.captured import sample
from tests.hep.inbox import Inbox, Pauses
from tests.hep.test_template import FIELDS
from tests.hep.until import until
from tests.peers.janus import free_port

MADE = HepTemplate(**FIELDS)
SIZE = len(MADE.render(0, 100, bytes(300)))


def packet(number: int) -> bytes:
    return MADE.render(1_795_227_419_000_000 + number, 100, b"%0300d" % number)


def number_of(data: bytes) -> int:
    return int(data[-8:])


class Killable:
    """Starts, kills and stops (SIGSTOP) ``tests.hep.server`` on one port."""

    def __init__(self, folder: Path, *, work_us: float = 0.0) -> None:
        self.port = free_port()
        self._log = folder / "handled"
        self._work = work_us
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.hep.server", str(self.port), str(self._log), str(self._work),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            assert await self._process.stdout.readline() == b"ready\n"

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    @property
    def count(self) -> int:
        return self._log.stat().st_size // 8 if self._log.exists() else 0

    def handled(self) -> list[int]:
        data = self._log.read_bytes()
        return [int(data[at : at + 8]) for at in range(0, len(data), 8)]

    async def have_all(self, number: int) -> None:
        """Each of so many; :func:`check_all_in_order` tells which are missing."""
        with contextlib.suppress(TimeoutError):
            await until(lambda: self.count >= number and len(set(self.handled())) >= number)

    async def have(self, number: int) -> None:
        await until(lambda: self.count >= number)


@contextlib.asynccontextmanager
async def client_of(*ports: int, folder: Path | None = None, **options: float) -> AsyncIterator[TcpClient]:
    client = TcpClient(
        *(Endpoint("tcp", "127.0.0.1", port) for port in ports),
        spool=None if folder is None else Spool(folder),
        backoff=Backoff(0.05, 0.1),
        **{"drain_per_s": 1e6, **options},  # type: ignore[arg-type]  # each by its name
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def check_all_in_order(handled: list[int], wanted: int, *, again: int) -> None:
    """Every number came; the order is broken only where a batch was sent again; at most ``again`` came twice."""
    first_times = list(dict.fromkeys(handled))
    assert sorted(set(range(wanted)) - set(first_times)) == []
    assert first_times == list(range(wanted))
    assert len(handled) - wanted <= again
    back = [before - after for before, after in pairwise(handled) if after <= before]
    assert all(step < again for step in back)


@pytest.mark.parametrize("work_us", [0, 30])
async def test_ten_thousand_messages_reach_a_server_that_is_killed_and_restarted(tmp_path: Path, work_us: int) -> None:
    """All, in order, none twice beyond the batch in flight at each kill: with a fast server, and one we outrun."""
    server = Killable(tmp_path, work_us=work_us)
    await server.start()
    kills = 0
    async with client_of(server.port, folder=tmp_path / "spool") as client:
        for number in range(10_000):
            client.send(packet(number), 100)
            if number % 25 == 0:
                await asyncio.sleep(0)
            if number in (2000, 5000, 8000):
                await server.have(number // 4)
                await server.kill()
                kills += 1
            elif number in (3500, 6500, 9000):
                await server.start()
        await server.have_all(10_000)
        assert client.tally.dropped == {}
    await server.kill()
    check_all_in_order(server.handled(), 10_000, again=kills * (MIN_FLIGHT // SIZE))
    assert list((tmp_path / "spool").glob("*.seg")) == []


async def test_a_server_that_hangs_is_left_and_loses_nothing(tmp_path: Path) -> None:
    server = Killable(tmp_path)
    await server.start()
    async with client_of(server.port, folder=tmp_path / "spool", write_timeout=0.3) as client:
        for number in range(1000):
            client.send(packet(number), 100)
        await server.have(1000)
        server.freeze()
        for number in range(1000, 5000):
            client.send(packet(number), 100)
        await until(lambda: client.tally.errors.get("timeout"))
        await server.kill()
        await server.start()
        await server.have_all(5000)
        assert client.tally.dropped == {}
    assert list(dict.fromkeys(server.handled())) == list(range(5000))
    await server.kill()


@pytest.mark.parametrize("ending", ["killed", "left alone"])
async def test_the_few_messages_given_to_a_server_that_hangs_are_not_lost(tmp_path: Path, ending: str) -> None:
    """They fit its kernel's buffer many times over, and are older than a living server needs to read them."""
    server = Killable(tmp_path)
    await server.start()
    async with client_of(
        server.port, folder=tmp_path / "spool", write_timeout=20 if ending == "killed" else 1
    ) as client:
        client.send(packet(0), 100)
        await server.have(1)
        await asyncio.sleep(0.2)  # until it is idle: TCP then acknowledges at once
        server.freeze()
        for number in range(1, 4):
            client.send(packet(number), 100)
            await asyncio.sleep(0.3 if ending == "left alone" else 1)
        if ending == "left alone":
            await until(lambda: client.tally.errors.get("timeout"))
        await server.kill()
        await server.start()
        await server.have_all(4)
        assert client.tally.dropped == {}
    assert list(dict.fromkeys(server.handled())) == list(range(4))
    await server.kill()


async def test_what_waits_survives_our_own_restart(tmp_path: Path) -> None:
    """Also what was queued a moment ago, and in order with what comes afterwards."""
    port, inbox = free_port(), Inbox()
    for start in range(0, 300, 100):
        async with client_of(port, folder=tmp_path) as client:
            for number in range(start, start + 100):
                client.send(packet(number), 100)
        assert client.tally.dropped == {}
    async with HepListener(inbox, port=port), client_of(port, folder=tmp_path) as client:
        for number in range(300, 400):
            client.send(packet(number), 100)
        got = await inbox.have(400)
    assert [int(message.payload) for message in got] == list(range(400))


async def test_a_killed_process_of_ours_loses_what_came_in_the_last_moment_only(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.hep.test_delivery import client_of, packet\n"
        "async def main():\n"
        "    async with client_of(9, folder=Path(sys.argv[1])) as client:\n"
        "        for number in range(100): client.send(packet(number), 100)\n"
        "        while client.outbox.spooled < 100: await asyncio.sleep(0.01)\n"
        "        print('spooled', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    ours = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert ours.stdout is not None
    async with asyncio.timeout(20):
        assert await ours.stdout.readline() == b"spooled\n"
    ours.kill()
    await ours.wait()
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener, client_of(listener.port, folder=tmp_path):
        got = await inbox.have(100)
    assert [int(message.payload) for message in got] == list(range(100))


async def test_the_spool_is_drained_without_flooding(tmp_path: Path) -> None:
    port, inbox = free_port(), Inbox()
    async with client_of(port, folder=tmp_path) as client:
        for number in range(600):
            client.send(packet(number), 100)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with HepListener(inbox, port=port), client_of(port, folder=tmp_path, drain_per_s=1000):
        await inbox.have(600)
        took = loop.time() - began
    assert took > 0.3


async def test_a_spool_that_another_uses_is_done_without(tmp_path: Path) -> None:
    inbox = Inbox()
    held = Spool(tmp_path)
    held.open()
    async with HepListener(inbox, port=0) as listener, client_of(listener.port, folder=tmp_path) as client:
        client.send(sample("log"), 100)
        await inbox.have(1)
        assert client.tally.errors == {"spool": 1}
    held.close()


async def test_the_next_server_stands_in_until_the_first_is_back() -> None:
    first_port, second_port, pauses = free_port(), free_port(), Pauses()
    first, second = Inbox(), Inbox()
    client = TcpClient(
        Endpoint("tcp", "127.0.0.1", first_port), Endpoint("tcp", "127.0.0.1", second_port), sleep=pauses,
        backoff=Backoff(chance=lambda: 0.5),
    )  # fmt: skip
    async with HepListener(second, port=second_port):
        await client.start()
        client.send(packet(0), 100)
        await second.have(1)
        # It stays there, and looks whether the first is back.
        assert await pauses.next() == 30
        pauses.end()
        assert await pauses.next() == 30
        async with HepListener(first, port=first_port) as home:
            pauses.end()
            await until(lambda: home.connections)
            client.send(packet(1), 100)
            await first.have(1)
            assert len(second.messages) == 1
        # The first goes again: what was in doubt and what is new goes to the second.
        client.send(packet(2), 100)
        await until(lambda: int(second.messages[-1].payload) == 2)
        assert [int(message.payload) for message in second.messages] in ([0, 1, 2], [0, 2])
        await client.stop()
    assert client.tally.dropped == {}


async def test_with_every_server_away_it_rests() -> None:
    pauses = Pauses()
    client = TcpClient(*(Endpoint("tcp", "127.0.0.1", free_port()) for _ in range(3)), sleep=pauses)
    await client.start()
    await pauses.next()
    assert client.tally.errors == {"connect": 3}
    await client.stop()
