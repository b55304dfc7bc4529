"""The store's database fails as databases do: locked, full, damaged, gone, too new; and what it refuses."""

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import (
    External,
    MediaStats,
)
from appliance.handlers.store import StoreConfig, StoreError, StoreHandler, schema
from appliance.handlers.store.handler import MAX_PENDING
from tests.clock import FakeClock
from tests.handlers.harness import context, store
from tests.handlers.store_calls import (
    HANGUP,
    OFFER,
    UP,
    database,
    of_call,
    passing,
    running,
)
from tests.intake.links import until


async def test_a_locked_database_is_waited_for_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.handlers.store.database.BUSY_SECONDS", 0.01)
    clock = FakeClock()
    async with running(tmp_path, clock) as handler:
        with database(tmp_path) as other:
            other.execute("BEGIN EXCLUSIVE")
            await handler.handle([of_call(OFFER, n) for n in range(1, 100)])
            await until(lambda: "can't write, events wait and it is tried again" in caplog.text)
            assert "database is locked" in caplog.text
            await passing(clock, lambda: handler.errors > 3)
            other.execute("ROLLBACK")
        await passing(clock, lambda: "writing again" in caplog.text)
        assert len(await handler.archive.events("1-2-1@gw")) == 99
        assert caplog.text.count("can't write") == 1
        assert handler.lost == 0


async def test_a_disk_that_is_full_makes_events_wait_in_the_bus(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as handler:
        assert handler._writer is not None
        with handler._writer._engine.connect() as connection:
            # SQLite's own way to be full; each connection has its own limit, and the pool has this one.
            connection.exec_driver_sql("PRAGMA max_page_count = 60")
        big = "x" * 10_000
        items = [of_call(External(schema=big, data={}), n) for n in range(1, 2 * MAX_PENDING + 1)]
        written = asyncio.ensure_future(handler.handle(items[:MAX_PENDING]))
        await until(lambda: handler.errors == 1)
        assert "database or disk is full" in caplog.text
        ahead = asyncio.ensure_future(handler.handle(items[MAX_PENDING:]))
        await until(lambda: handler._taken == len(items) and not handler._pending)
        more = asyncio.ensure_future(handler.handle([of_call(UP, n) for n in range(10**6, 10**6 + MAX_PENDING)]))
        for _ in range(100):
            await asyncio.sleep(0)
        assert written.done() and ahead.done(), "one block is tried again, the next is ready"
        assert not more.done(), "what more there is waits in the bus, which is bounded"
        with handler._writer._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        await passing(clock, lambda: handler._done >= len(items) + MAX_PENDING)
        assert handler.lost == 0 and more.done()


async def test_a_value_that_the_database_refuses_costs_its_event_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as handler:
        twice = of_call(UP, 5)
        await handler.handle([of_call(OFFER, 1), twice, replace(twice, timestamp=6), of_call(HANGUP, 7)])
        found = await handler.archive.events("1-2-1@gw")
        call = await handler.archive.call("1-2-1@gw")
    assert [item.id for item in found] == [1, 5, 7]
    assert (handler.errors, handler.lost) == (1, 1)
    assert call is not None and call.ended_us == 7
    assert "1 of 4 events are lost" in caplog.text and "UNIQUE constraint failed" in caplog.text


async def test_numbers_and_texts_that_no_column_holds_are_cut_or_left_out(tmp_path: Path) -> None:
    wild = of_call(
        MediaStats(media="a" * 500, lost=-(2**70), packets_sent=2**64, mindex=2**40, base=2**31, mid="m\0id"), 1,
        opaque_id="o" * 5000, emitter="e" * 500,
    )  # fmt: skip
    async with running(tmp_path) as handler:
        await handler.handle([wild, replace(wild, id=2, session_id=2**64, handle_id=2**64)])
        await handler.flush()
        assert handler.errors == 0
    with database(tmp_path) as connection:
        row = connection.execute("SELECT medium, lostlocal, packetssent, mindex, base, mid FROM stats").fetchone()
        assert row == ("a" * 32, None, None, None, None, "m\ufffdid")


async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "appliance.sqlite"
    damaged.write_bytes(b"this is no database" * 1000)
    os.chmod(damaged, 0o644)  # noqa: PTH101  # a test's own file
    async with running(tmp_path) as handler:
        await handler.handle([of_call(OFFER, 1)])
        assert len(await handler.archive.events("1-2-1@gw")) == 1
    (aside,) = tmp_path.glob("appliance.sqlite.damaged-*")  # noqa: ASYNC240 - a test's own folder
    assert aside.read_bytes().startswith(b"this is no database")
    assert {path.stat().st_mode & 0o777 for path in (aside, damaged)} == {0o600}
    assert "is damaged (" in caplog.text and str(aside) in caplog.text


async def test_a_file_that_is_damaged_while_in_use_is_set_aside_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    path = tmp_path / "appliance.sqlite"
    async with running(tmp_path, clock) as handler:
        await handler.handle([of_call(OFFER, n) for n in range(1, 200)])
        await handler.flush()
        with database(tmp_path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # Every page but the first, which SQLite keeps an eye on by itself.
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        assert handler._writer is not None
        handler._writer._engine.dispose()
        await handler.handle([of_call(UP, 1000)])
        await until(lambda: handler._done == 200)
        assert "a new one is begun" in caplog.text
        assert [item.id for item in await handler.archive.events("1-2-1@gw")] == [1000]


async def test_a_file_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as handler:
        await handler.handle([of_call(OFFER, 1)])
        await handler.flush()
        with database(tmp_path) as connection:
            for table in schema.metadata.tables:
                connection.execute(f"DROP TABLE {table}")
        await handler.handle([of_call(UP, 2)])
        await passing(clock, lambda: handler._done == 2)
        assert [item.id for item in await handler.archive.events("1-2-1@gw")] == [2]


async def test_a_newer_schema_is_refused_in_words_and_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    with database(tmp_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    handler = store(tmp_path)
    with pytest.raises(
        StoreError, match=r"the store has schema 9999, this version knows 0004: run the newer appliance"
    ):
        await handler.start()
    with pytest.raises(StoreError, match="the store is not running"):
        await handler.archive.calls()
    assert not list(tmp_path.glob("*.damaged*"))  # noqa: ASYNC240 - a test's own folder


async def test_the_bus_goes_on_without_a_store_that_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "appliance.sqlite").mkdir()
    bus = EventBus(LoopClock())
    bus.add(store(tmp_path))
    async with bus:
        assert not bus.subscriptions


async def test_what_is_in_hand_at_the_end_is_written(tmp_path: Path) -> None:
    bus = EventBus(LoopClock())
    bus.add(StoreHandler(StoreConfig(), context(tmp_path, LoopClock())))
    async with bus:
        for n in range(1, 1501):
            bus.publish(of_call(UP, n))
    with database(tmp_path) as connection:
        assert connection.execute("SELECT count(*), max(id) FROM connections").fetchone() == (1500, 1500)


async def test_numbers_go_on_where_the_last_run_ended(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        assert handler.last_id == 0
        await handler.handle([of_call(UP, 77)])
    async with running(tmp_path) as handler:
        assert handler.last_id == 77
