"""The SQL store on each database: statistics of many calls through the handler, beside the floor of any store.

The floor writes ready rows of the one table that holds whole events, with the same indexes and pragmas, and nothing
else: what SQLite itself takes. The handler makes the rows, writes each event's own table too, and counts calls.
PostgreSQL and MariaDB are Debian's, on this machine; at each commit PostgreSQL waits for the disk, MariaDB does not.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import (
    Event,
    IceState,
    Jsep,
    MediaStats,
    SessionDescription,
    event,
)
from appliance.core.handler import HandlerContext
from appliance.core.stamp import Stamper
from appliance.handlers.store import StoreConfig, StoreHandler, database, schema
from appliance.handlers.store.rows import rows_of
from benchmarks.figures import Figure, table
from tests.peers.mariadb import MariaDb, mariadb
from tests.peers.postgresql import PostgreSql, postgresql

CALLS = 500
EVENTS = 100_000
BATCH = 100
"""What the bus hands over at once."""
LOOKUPS = 50
SERVERS: tuple[tuple[str, str, Callable[[], AbstractContextManager[PostgreSql | MariaDb]], str], ...] = (
    ("PostgreSQL", "psql", lambda: postgresql(durable=True), ">= 40000"),
    ("MariaDB", "mariadbd", mariadb, ""),
)
"""Name, a program of its package, how it is run, and what is wanted of it."""

STATS = MediaStats(
    mid="0", mindex=0, media="audio", codec="opus", base=48000, rtt=12, lost=0, lost_by_remote=0, jitter_local=1,
    jitter_remote=2, in_link_quality=100, in_media_link_quality=100, out_link_quality=100, out_media_link_quality=100,
    packets_received=51234, packets_sent=51233, bytes_received=8123456, bytes_sent=8123444,
    bytes_received_lastsec=4000, bytes_sent_lastsec=4000, nacks_received=0, nacks_sent=0, retransmissions_received=0,
)  # fmt: skip


def _events(clock: LoopClock) -> Iterator[Event]:
    """An offer of each call, then of every five events four statistics and one ICE state, calls taking turns."""
    stamper = Stamper(clock)
    handles = [(random.getrandbits(52), random.getrandbits(52)) for _ in range(CALLS)]
    offer = Jsep(owner="remote", jsep=SessionDescription("offer", "v=0\r\n" + "a=candidate:x\r\n" * 200))
    for number in range(EVENTS):
        session, handle = handles[number % CALLS]
        body = offer if number < CALLS else IceState(ice="connected") if number % 5 == 0 else STATS
        made = event(
            body,
            emitter="gateway-1",
            timestamp=clock.wall_us(),
            session_id=session,
            handle_id=handle,
            opaque_id="caller",
        )
        yield stamper.stamp(made)


async def _handler(
    folder: Path, events: list[Event], url: str = "", password: str = ""
) -> tuple[float, float, float, int]:
    """Events a second, CPU microseconds an event, milliseconds to read a call, bytes an event."""
    clock = LoopClock()
    context = HandlerContext(
        clock=clock, data_dir=folder, server_name="bench", publish=lambda body, about: None, bus=EventBus(clock),
        measured=[],
    )  # fmt: skip
    handler = StoreHandler(StoreConfig(url=url, password=password, retention_days=0), context)
    await handler.start()
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(events), BATCH):
        await handler.handle(events[start : start + BATCH])
    await handler.flush()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    calls = await handler.archive.calls(limit=LOOKUPS)
    reads = []
    for call in calls:
        at = time.perf_counter()
        found = await handler.archive.events(call.correlation_id)
        reads.append((time.perf_counter() - at) * 1000)
        assert len(found) == EVENTS // CALLS
    await handler.stop()
    assert handler.errors == 0
    size = sum(file.stat().st_size for file in folder.iterdir())  # noqa: ASYNC240 - nothing else runs here
    return len(events) / took, cpu / len(events) * 1e6, sorted(reads)[len(reads) // 2], size // len(events)


def _floor(folder: Path, events: list[Event]) -> float:
    """Events a second of ready rows into the one table."""
    engine = database.connect(database.store_url("sqlite:///floor.sqlite", "", folder))
    names = ", ".join("?" for _ in schema.events.columns)
    rows = rows_of(events)["events"]
    with engine.connect() as connection:
        connection.exec_driver_sql(str(CreateTable(schema.events).compile(dialect=sqlite.dialect())))
        for index in schema.events.indexes:
            connection.exec_driver_sql(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
        connection.commit()
        began = time.perf_counter()
        for start in range(0, len(rows), 1000):
            connection.exec_driver_sql(f"INSERT INTO events VALUES ({names})", rows[start : start + 1000])  # noqa: S608 - question marks
            connection.commit()
        took = time.perf_counter() - began
    engine.dispose()
    return len(rows) / took


async def _measure() -> list[Figure]:
    events = list(_events(LoopClock()))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        floor = _floor(Path(other), events)
        rate, cpu, read, size = await _handler(Path(one), events)
    figures = [
        Figure("events stored, SQLite", rate, "/s", ">= 15000", f"{CALLS} calls; {cpu:.0f} us CPU, {size} B each"),
        Figure("events stored / ready rows into one table", rate / floor, "x", "", f"floor {floor:,.0f} /s"),
        Figure("all events of one call read back", read, "ms", "", f"{EVENTS // CALLS} of {EVENTS:,} events, median"),
    ]  # fmt: skip
    for name, program, run, wanted in SERVERS:
        if shutil.which(program) is None:
            continue
        with run() as server, tempfile.TemporaryDirectory() as folder:
            rate, cpu, read, _ = await _handler(Path(folder), events, server.database(), server.password)
        figures += [
            Figure(f"events stored, {name}", rate, "/s", wanted, f"{CALLS} calls; {cpu:.0f} us CPU of ours"),
            Figure(f"all events of one call read back, {name}", read, "ms", "", f"{EVENTS // CALLS}, median"),
        ]
    return figures


def main() -> list[Figure]:
    """Measure in a temporary folder."""
    return asyncio.run(_measure())


if __name__ == "__main__":
    print(table(main()))
