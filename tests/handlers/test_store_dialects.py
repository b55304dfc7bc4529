"""A call as every Janus since 0.2.1 tells it, with each plugin: the same tables, without a setting."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.events import Event
from appliance.core.stamp import Stamper
from appliance.intake import dialect
from tests.clock import FakeClock
from tests.handlers.dialects import HUGE, SAID, VERSIONS, Told, release
from tests.handlers.harness import store


def stamped(calls: list[Told]) -> list[Event]:
    stamper = Stamper(FakeClock())
    return [stamper.stamp(item) for call in calls for item in dialect.read(dialect.decode(call.json()))]


class Tables:
    """One connection: there are many questions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()


@asynccontextmanager
async def filled(folder: Path, items: list[Event]) -> AsyncIterator[Tables]:
    handler = store(folder)
    await handler.start()
    for first in range(0, len(items), 100):
        await handler.handle(items[first : first + 100])
    await handler.stop()
    with closing(sqlite3.connect(folder / "appliance.sqlite")) as connection:
        yield Tables(connection)


async def test_each_version_and_plugin_fills_the_same_tables(tmp_path: Path) -> None:
    made = {
        (version, plugin): Told(version, plugin, 10_000 + 2 * number, f"ren\u00e9-{number}")
        for number, (version, plugin) in enumerate(product(VERSIONS, SAID))
    }
    async with filled(tmp_path, stamped(list(made.values()))) as tables:
        for (version, plugin), call in made.items():
            as_it_was_told(tables, version, plugin, call)
        query = "SELECT DISTINCT event, room, feed FROM participants WHERE session IS NOT NULL ORDER BY 1, 2"
        assert tables.ask(query) == [
            ("join", "salle-\u00e9", "ren\u00e9"), ("joined", "1234", "77"), ("joined", "1234", str(HUGE)),
            ("leave", "salle-\u00e9", "ren\u00e9"), ("left", "1234", "77"),
        ]  # fmt: skip


def as_it_was_told(tables: Tables, version: str, plugin: str, call: Told) -> None:
    def ask(query: str) -> list[tuple[Any, ...]]:
        return tables.ask(f"{query} WHERE session = ? ORDER BY id", call.session_id)

    told = release(version)
    assert ask("SELECT event FROM sessions") == [("created",), ("destroyed",)]
    assert ask("SELECT event, plugin FROM handles") == [("attached", call.package), ("detached", call.package)]
    assert ask("SELECT remote, offer FROM sdps") == [(True, True), (False, False)]
    assert ask("SELECT state FROM ice") == [("connected",), ("ready",)]
    assert len(ask("SELECT selected FROM selectedpairs")) == 1
    assert ask("SELECT state FROM dtls") == [("trying",), ("connected",)]
    assert ask("SELECT state FROM connections") == [("webrtcup",), ("hangup",)]
    assert ask("SELECT medium, receiving FROM media") == [("audio", True)]
    # In milliseconds since 0.3.0; before, nobody knows.
    jitter = 5 if told >= (0, 3, 0) else None
    statistics = ask("SELECT medium, base, packetsrecv, jitterlocal FROM stats")
    assert statistics == [("audio", 48000, 50 * second, jitter) for second in (1, 2, 3)], version
    known = [data for data in SAID[plugin] if data.get("event") not in {"unpublished", "kicked_all"}]
    assert len(ask("SELECT event FROM plugins")) == len(known)
    row = tables.ask(
        "SELECT server, plugin, opaque_id, client_address, ended_us > started_us FROM calls WHERE session = ?",
        call.session_id,
    )
    opaque_id, address = (call.opaque_id, "203.0.113.9:4000") if told >= (0, 2, 2) else (None, None)
    server = call.emitter if told >= (0, 2, 6) else ""
    assert [(one or "", *rest) for one, *rest in row] == [(server, call.package, opaque_id, address, 1)]


@pytest.mark.parametrize("hours", [-1, 24])
async def test_a_call_does_not_end_before_it_began_though_the_clock_was_set(tmp_path: Path, hours: int) -> None:
    items = stamped([Told("1.4.0", "echotest", 7, "alice")])
    later = [replace(item, timestamp=item.timestamp + hours * 3_600_000_000) for item in items[14:]]
    async with filled(tmp_path, items[:14] + later) as tables:
        ((started_us, ended_us),) = tables.ask("SELECT started_us, ended_us FROM calls")
    assert ended_us == max(started_us, later[-3].timestamp)
