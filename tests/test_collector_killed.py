"""A collector is killed while it is told events: its store has each of them, once and in order."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import aiohttp

from appliance.core.clock import LoopClock
from appliance.core.events import Event, MediaStats, encode_json, event
from appliance.handlers.link import LinkHandler
from appliance.handlers.store.database import store_url
from appliance.net.link import socket_path
from appliance.supervisor import Child
from tests.peers.appliance import free_settings
from tests.peers.janus import free_port

KILLS = 2
BETWEEN = 2_000
"""Events that are stored between two of them."""
TOTAL = 9_000
SESSIONS = 20


class Stored:
    """What a SQLite store holds."""

    def __init__(self, data: Path) -> None:
        self._path = store_url("", "", data).database

    def ask(self, query: str) -> list[tuple[int, ...]]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(query).fetchall()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody can write to it."""
        assert self._path is not None
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=10)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while self.ask("SELECT count(*) FROM stats")[0][0] < count:  # noqa: ASYNC110  # a file tells nobody
                await asyncio.sleep(0.02)


async def test_what_a_killed_collector_was_told_is_stored_once_and_in_order(tmp_path: Path) -> None:
    child = Child("collector", [*free_settings(tmp_path), "collect"])
    await child.start()
    stored = Stored(tmp_path)
    link = LinkHandler(f"unix:{socket_path(tmp_path)}", server_name="gw", clock=LoopClock())

    async def load() -> None:
        for number in range(TOTAL):
            body = MediaStats(media="audio", packets_sent=number // SESSIONS)
            session = 1 + number % SESSIONS
            await link.handle([event(body, emitter="gw", timestamp=number, session_id=session, handle_id=session)])
            if number % 50 == 0:
                # About what a core takes in, so that some is always on its way.
                await asyncio.sleep(0.01)

    async with AsyncExitStack() as stack:
        stack.push_async_callback(child.stop)
        await link.start()
        stack.push_async_callback(link.stop)
        loading = asyncio.create_task(load())
        for _ in range(KILLS):
            before = stored.ask("SELECT count(*) FROM stats")[0][0]
            await stored.until(before + BETWEEN)
            assert child.process is not None
            # Under way: it has told the gateway of events that it has taken, and not yet of all that it keeps them.
            async with asyncio.timeout(10):
                while not link.window.unkept:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0.001)
            child.process.kill()
            await child.process.wait()
            await child.start()
        await loading
        await stored.until(TOTAL)
        # The gateway is told so, too.
        async with asyncio.timeout(10):
            while not link.window.is_empty:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.02)
    told: dict[int, list[int]] = {}
    for session, packets in stored.ask("SELECT session, packetssent FROM stats ORDER BY id"):
        told.setdefault(session, []).append(packets)
    assert told == {session: list(range(TOTAL // SESSIONS)) for session in range(1, SESSIONS + 1)}
    counts = {counter.name: counter.value for counter in link.measure()}
    assert counts["link_events_total"] == TOTAL
    assert counts["link_forgotten_events_total"] == 0


GROUPS, GROUP = 40, 25


async def test_what_a_killed_collector_had_answered_over_http_is_stored_once_and_in_order(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    child = Child("collector", [*free_settings(tmp_path), "--set", f"intake.http.port={port}", "collect"])
    await child.start()
    stored = Stored(tmp_path)
    bodies = [
        b"[" + b",".join(encode_json(posted(first * GROUP + number)) for number in range(GROUP)) + b"]"
        for first in range(GROUPS)
    ]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(child.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def post(body: bytes) -> None:
            async with http.post(url, data=body) as reply:
                assert reply.status == 200

        half = GROUPS // 2
        for body in bodies[:half]:
            await post(body)
        await stored.until(half * GROUP)
        with stored.locked():
            for body in bodies[half:-1]:
                await post(body)
            assert child.process is not None
            child.process.kill()
            await child.process.wait()
        assert stored.ask("SELECT count(*) FROM stats") == [(half * GROUP,)]
        ready = await child.start()
        # A server that did not hear the last answer posts that again.
        await post(bodies[-2])
        await post(bodies[-1])
        await stored.until(GROUPS * GROUP)
        async with http.get(f"{ready.addresses['web']}/metrics") as reply:
            metrics = (await reply.text()).splitlines()
    packets = [packets for (packets,) in stored.ask("SELECT packetssent FROM stats ORDER BY id")]
    assert packets == list(range(GROUPS * GROUP))
    doubles = [line for line in metrics if line.startswith("appliance_intake_events_total") and "duplicate" in line]
    assert [line.rpartition(" ")[2] for line in doubles if 'intake="http"' in line] == ["1"]
    # One that ends in order leaves nothing.
    assert not list((tmp_path / "journal/http").glob("*.seg"))


def posted(number: int) -> Event:
    body = MediaStats(media="audio", packets_sent=number)
    return event(body, emitter="janus", timestamp=number, session_id=1, handle_id=1)
