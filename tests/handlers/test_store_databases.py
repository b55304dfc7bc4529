"""One store, three databases: what goes in comes out of PostgreSQL and MariaDB as it does of SQLite."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import create_engine, delete, insert
from sqlalchemy.exc import OperationalError

from appliance.core.archive import DIMENSIONS
from appliance.core.clock import Clock, LoopClock
from appliance.core.events import CALL_SCHEMA, Event, External, MediaStats, Plugin, event
from appliance.core.stamp import Stamper
from appliance.handlers.store import StoreHandler, schema
from appliance.handlers.store.handler import DAY_US
from appliance.handlers.store.writer import Writer
from tests.clock import FakeClock
from tests.handlers.databases import Home
from tests.handlers.harness import recorded
from tests.handlers.store_calls import HANGUP, OFFER, UP, assert_comes_back, of_call, passing, verdict
from tests.handlers.test_store_migrations import config
from tests.handlers.test_store_rooms import RECORD, WHO_WATCHES_WHOM
from tests.intake.links import until

TALK = "seeds/talk-videoroom.jsonl"


@asynccontextmanager
async def running(home: Home, clock: Clock | None = None, **settings: Any) -> AsyncIterator[StoreHandler]:
    handler = home.store(clock, **settings)
    await handler.start()
    try:
        yield handler
    finally:
        await handler.stop()


# --- what goes in comes out ----------------------------------------------------------------------------------


@pytest.mark.parametrize("trace", ["chrome_echo_http", "videoroom_http"])
async def test_every_event_of_every_call_comes_back_as_it_was(home: Home, trace: str) -> None:
    items = list(recorded(f"janus-1.4/{trace}.jsonl"))
    async with running(home) as handler:
        await assert_comes_back(handler, items)


async def test_who_is_subscribed_to_whom(home: Home) -> None:
    async with running(home) as handler:
        await handler.handle(list(recorded(TALK)))
        members = await handler.archive.members(room="1234")
    assert sorted((m.display, m.feed, [(w.feed, w.handle_id) for w in m.watches]) for m in members) == [
        ("ciccio", "8361242010771549", [("5265065137454348", 6827135960427146)]),
        ("pippo", "5265065137454348", [("8361242010771549", 3756409443147593)]),
    ]
    assert [row[0] for row in home.ask(WHO_WATCHES_WHOM)] == ["ciccio", "pippo"]


def record(timestamp: int, number: int, **more: Any) -> Event:
    return of_call(External(schema=CALL_SCHEMA, data=RECORD | more), timestamp, number)


async def test_records_are_grouped(home: Home) -> None:
    async with running(home) as handler:
        await handler.handle([record(1, 1), record(2, 2), record(3, 2, loss_in=0.123456789)])
        for by in DIMENSIONS:
            (group,) = await handler.archive.groups(by, since_us=0, until_us=10**6)
            assert (group.calls, group.faults, group.codes) == (2, 2, {"uplink_loss": 2})
    ((loss,),) = home.ask("SELECT loss_in FROM callrecords WHERE id = 3")
    assert loss == 0.123456789


async def test_calls_are_grouped_by_what_their_media_went_over(home: Home) -> None:
    pairs = {
        1: "192.0.2.7:9 [host,tcp] <-> 198.51.100.7:50000 [prflx,tcp]",
        2: "192.0.2.7:10000 [host,udp] <-> 198.51.100.7:5004 [srflx,udp]",
        3: "[2001:db8::1]:10000 [host,udp] <-> [2001:db8::2]:5004 [host,udp]",
    }
    async with running(home) as handler:
        await handler.handle([record(n, n, selected_pair=pairs.get(n)) for n in (1, 2, 3, 4)])
        groups = await handler.archive.groups("protocol", since_us=0, until_us=10**6)
        await handler.handle([of_call(OFFER, 1)])
        assert [call.correlation_id for call in await handler.archive.calls(group=("protocol", "tcp"))] == ["1-2-1@gw"]
        assert await handler.archive.calls(group=("protocol", "udp")) == []
    assert {group.key: group.calls for group in groups} == {"udp": 2, "tcp": 1, None: 1}


async def test_what_is_usual_is_of_good_calls(home: Home) -> None:
    async with running(home) as handler:
        await handler.handle([record(n, n, severity="good", server="gw", phases_us={"ice": 10 * n}) for n in (1, 2, 3)])
        usual = await handler.archive.usual_phases("gw")
    assert (usual["ice"].median_us, usual["ice"].calls) == (20, 3)


async def test_a_call_is_written_as_it_goes_on(home: Home) -> None:
    async with running(home) as handler:
        await handler.handle([of_call(OFFER, 1)])
        assert [call.ended_us for call in await handler.archive.calls(live=True)] == [None]
        await handler.handle([of_call(UP, 2), verdict("healthy", 3), of_call(HANGUP, 4)])
        (call,) = await handler.archive.calls(search="HEALTHY")
        assert call.ended_us == 4
    async with running(home) as handler:
        await handler.handle([verdict("network_lost", 9)])
        assert [one.ended_us for one in await handler.archive.calls(search="Network lost")] == [4]
        assert len(await handler.archive.calls(codes=["healthy", "network_lost"])) == 1
        assert await handler.archive.calls(codes=["healthy"]) == []
        found = await handler.archive.call("1-2-1@gw")
        assert found is not None and found.verdict is not None and found.verdict["code"] == "network_lost"


async def test_what_is_told_again_after_a_restart_is_there_once(home: Home) -> None:
    stamper = Stamper(FakeClock())
    items = list(recorded("janus-1.4/chrome_echo_http.jsonl", stamper))
    async with running(home) as handler:
        await handler.handle(items)
    async with running(home) as handler:
        assert handler.last_id == items[-1].id
        await handler.handle(
            [stamper.stamp(replace(item, replayed=True)) for item in items if not isinstance(item.event, MediaStats)]
        )
    assert home.ask("SELECT count(*), count(DISTINCT id) FROM events") == [(len(items), len(items))]


# --- hostile values ------------------------------------------------------------------------------------------


async def test_values_that_no_column_holds_are_cut_or_left_out(home: Home) -> None:
    wild = of_call(
        MediaStats(media="a" * 500, lost=-(2**70), packets_sent=2**64, mindex=2**40, base=2**31, mid="m\0id"), 1,
        opaque_id="\U0001f600" * 5000, emitter="e" * 500,
    )  # fmt: skip
    async with running(home) as handler:
        await handler.handle([wild, replace(wild, id=2, session_id=2**64, handle_id=2**64)])
        await handler.flush()
        assert (handler.errors, handler.lost) == (0, 0)
    row = home.ask("SELECT medium, lostlocal, packetssent, mindex, base, mid FROM stats ORDER BY id")[0]
    assert row == ("a" * 32, None, None, None, None, "m\ufffdid")
    assert home.ask("SELECT opaque_id FROM events WHERE id = 1") == [("\U0001f600" * 255,)]


SCRAPS = "\\ \t\n\r\\N \\. '\" %s %% {} ; -- \U0001f468\u200d\U0001f469 \u202e \x01\x7f"


async def test_texts_come_back_letter_by_letter(home: Home) -> None:
    data = {"room": SCRAPS, "event": "joined", "id": "x", "display": SCRAPS, "nul": "a\0b", "big": "\u20ac" * 100_000}
    item = of_call(Plugin(plugin="p", data=data), 1)
    async with running(home) as handler:
        await handler.handle([item, of_call(OFFER, 2)])
        (member,) = await handler.archive.members(room=SCRAPS)
        assert (member.room, member.display) == (SCRAPS, SCRAPS)
        assert item in await handler.archive.events("1-2-1@gw")


async def test_names_that_look_alike_are_different(home: Home) -> None:
    names = ["a", "A", "\u00e4", "a ", "\U0001f600", "\U0001f601"]
    feeds = {"room": "r", "event": "subscribing", "streams": [{"feed_id": name} for name in names]}
    async with running(home) as handler:
        await handler.handle([of_call(Plugin(plugin="p", data=feeds), 1)])
        await handler.flush()
        assert (handler.errors, handler.lost) == (0, 0)
    assert {row[0] for row in home.ask("SELECT feed FROM subscriptions")} == set(names)


async def test_a_value_that_is_refused_costs_its_event_alone(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    async with running(home) as handler:
        twice = of_call(UP, 5)
        await handler.handle([of_call(OFFER, 1), twice, replace(twice, timestamp=6), of_call(HANGUP, 7)])
        assert [item.id for item in await handler.archive.events("1-2-1@gw")] == [1, 5, 7]
        call = await handler.archive.call("1-2-1@gw")
    assert (handler.errors, handler.lost) == (1, 1)
    assert call is not None and call.ended_us == 7
    assert "1 of 4 events are lost" in caplog.text


async def test_whoever_reads_cannot_write(home: Home) -> None:
    async with running(home) as handler:
        engine = handler.archive._engine
        assert engine is not None
        with engine.connect() as connection, pytest.raises(Exception, match=r"(?i)read.?only"):
            connection.execute(delete(schema.calls))


# --- the schema ----------------------------------------------------------------------------------------------


def differences(home: Home) -> list[Any]:
    """Between the database and the tables in code; a partition is its table's."""
    engine = create_engine(home.url)

    def is_ours(_: object, name: str | None, kind: str, *_more: object) -> bool:
        partition = (name or "").rpartition("_")[0] in ("events", "stats")
        return not (kind == "table" and partition)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        found = compare_metadata(context, schema.metadata)
    engine.dispose()
    return list(found)


async def test_a_new_store_is_what_the_code_says(home: Home) -> None:
    for _ in range(2):
        async with running(home) as handler:
            await handler.handle([])
    assert differences(home) == []
    assert home.ask("SELECT version_num FROM alembic_version") == [(schema.REVISION,)]


async def test_a_store_of_the_first_version_becomes_what_a_new_one_is(home: Home) -> None:
    engine = create_engine(home.url)
    with engine.begin() as connection:
        settings: Config = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        connection.exec_driver_sql("INSERT INTO schema_version VALUES (1)")
        connection.exec_driver_sql("DROP TABLE alembic_version")
        row = {"id": 5, "timestamp": 5, "session": 1, "handle": 2, "type": 16, "subtype": 6,
               "correlation_id": "1-2-1@gw", "body": '{"connection": "webrtcup"}', "server": "gw"}  # fmt: skip
        connection.execute(insert(schema.events), row)
    engine.dispose()
    async with running(home) as handler:
        assert handler.last_id == 5
        await handler.handle([of_call(OFFER, 6), of_call(HANGUP, DAY_US + 7), of_call(OFFER, 3 * DAY_US, 2)])
        assert [item.id for item in await handler.archive.events("1-2-1@gw")] == [5, 6, DAY_US + 7]
        assert handler.lost == 0
    assert differences(home) == []


# --- retention -----------------------------------------------------------------------------------------------


async def test_what_is_too_old_goes(home: Home) -> None:
    clock = FakeClock()
    now = clock.wall_us()
    old, new = now - 3 * DAY_US, now - 10
    async with running(home, clock, retention_days=1) as handler:
        await handler.handle(
            [of_call(OFFER, old), of_call(HANGUP, old + 1), of_call(OFFER, new, 2), of_call(UP, new + 1, 2)]
        )
        await handler.flush()
        await passing(clock, lambda: handler._writer is not None and handler._writer.pruned == 2)
        assert [call.correlation_id for call in await handler.archive.calls()] == ["1-2-2@gw"]
    for table, left in (("events", 2), ("sdps", 1), ("connections", 1)):
        assert home.ask(f"SELECT count(*) FROM {table}") == [(left,)]
    if home.kind == "postgresql":
        days = home.ask(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'stats'::regclass ORDER BY 1"
        )
        names = [f"stats_p{name}" for name in _days(now, 3)]
        assert [name for (name,) in days] == names, "today's, and two that are made ahead"


def _days(now_us: int, number: int) -> list[str]:
    today = datetime.fromtimestamp(now_us / 1e6, UTC)
    return [f"{today + timedelta(days=n):%Y%m%d}" for n in range(number)]


async def test_what_is_too_much_goes_oldest_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.handlers.store.writer.PRUNE_ROWS", 100)
    clock = FakeClock()
    async with running(home, clock, max_events=50) as handler:
        await handler.handle([of_call(UP, n) for n in range(1, 501)])
        await handler.flush()
        await passing(clock, lambda: handler._writer is not None and handler._writer.pruned == 450)
        assert [item.id for item in await handler.archive.events("1-2-1@gw")] == list(range(451, 501))


# --- servers fail --------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.handlers.store.handler.RETRY_SECONDS", (0.01,))


@pytest.mark.usefixtures("hasty")
async def test_a_commit_that_is_not_answered_is_not_made_twice(home: Home) -> None:
    unanswered = 3

    def commit(connection: Any) -> None:
        nonlocal unanswered
        connection.commit()
        if unanswered:
            unanswered -= 1
            raise home_engine.dialect.dbapi.OperationalError("server closed the connection unexpectedly")

    async with running(home, LoopClock()) as handler:
        assert handler._writer is not None
        home_engine: Any = handler._writer._engine
        home_engine.dialect.do_commit = commit
        await handler.handle([of_call(OFFER, 1), record(2, 1), of_call(HANGUP, 3)])
        await until(lambda: handler._done == 3)
        assert unanswered < 3 and handler.errors > 0 and handler.lost == 0
        unanswered = 0
        await handler.handle([of_call(OFFER, 4, 2)])
        assert {call.correlation_id for call in await handler.archive.calls()} == {"1-2-1@gw", "1-2-2@gw"}
    assert home.ask("SELECT count(*), count(DISTINCT id) FROM events") == [(4, 4)]
    assert home.ask("SELECT count(*) FROM callrecords") == [(1,)]


@pytest.mark.usefixtures("hasty")
async def test_a_commit_that_ends_after_it_was_looked_for_is_not_made_twice(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []
    has = Writer._has

    def late(self: Writer, items: Any) -> bool:
        looks.append(has(self, items))
        return looks[-1] and len(looks) > 1

    monkeypatch.setattr(Writer, "_has", late)
    async with running(home) as handler:
        writer = handler._writer
        assert writer is not None
        block = writer.prepare([of_call(OFFER, 1), of_call(UP, 2)])
        writer.commit(block)
        writer.commit(block)
    assert looks == [True, True]
    assert home.ask("SELECT count(*) FROM events") == [(2,)]


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_dies_while_a_refused_block_is_sorted_out_costs_nothing_more(home: Home) -> None:
    async with running(home, LoopClock()) as handler:
        writer = handler._writer
        assert writer is not None
        insert_rows, calls = writer._insert, 0

        def insert_or_die(connection: Any, rows: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise OperationalError("INSERT", None, Exception("the server is gone"))
            insert_rows(connection, rows)

        writer._insert = insert_or_die  # type: ignore[method-assign]  # as a server that fails in between
        twice = of_call(UP, 5)
        await handler.handle([of_call(OFFER, 1), twice, replace(twice, timestamp=6), of_call(HANGUP, 7)])
        await until(lambda: handler._done == 4)
        assert handler.lost == 1
    assert [row[0] for row in home.ask("SELECT id FROM events ORDER BY id")] == [1, 5, 7]


EVENTS = 20_000
HANDLES = 50


def load(number: int) -> Event:
    """Told in turn by some handles; the counter that each tells rises by one."""
    handle, turn = number % HANDLES, number // HANDLES
    body = MediaStats(media="audio", packets_sent=turn) if turn else OFFER
    item = event(body, emitter="gw", timestamp=number + 1, session_id=1, handle_id=handle)
    return replace(item, id=number + 1, correlation_id=f"1-{handle}-1@gw")


@pytest.mark.interop
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("home", ["postgresql", "mariadb"], indirect=True)
async def test_a_server_that_is_killed_twice_during_a_load_loses_nothing(home: Home) -> None:
    await killed_during_a_load(home, EVENTS)


async def killed_during_a_load(home: Home, events: int) -> None:
    server = home.server
    assert server is not None
    async with running(home, LoopClock()) as handler:
        fed = asyncio.create_task(feed(handler, events))
        for share in (0.2, 0.6):
            await reached(handler, lambda share=share: handler._done >= share * events)  # type: ignore[misc]
            await asyncio.to_thread(server.kill)
            failed = handler.errors
            await reached(handler, lambda failed=failed: handler.errors > failed)  # type: ignore[misc]
            await asyncio.to_thread(server.start)
        await fed
        await reached(handler, lambda: handler._done == events)
        assert handler.lost == 0
        assert len(await handler.archive.calls()) == HANDLES
    assert home.ask("SELECT count(*), count(DISTINCT id), max(id) FROM events") == [(events, events, events)]
    rows = home.ask("SELECT handle, packetssent FROM stats ORDER BY id")
    told: dict[int, list[int]] = {}
    for handle, turn in rows:
        told.setdefault(handle, []).append(turn)
    assert all(turns == list(range(1, events // HANDLES)) for turns in told.values())
    assert len(told) == HANDLES


async def feed(handler: StoreHandler, events: int) -> None:
    for start in range(0, events, 100):
        await handler.handle([load(number) for number in range(start, start + 100)])


async def reached(handler: StoreHandler, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # a thread moves what is asked for
            await asyncio.sleep(0.001)
    assert handler._task is not None and not handler._task.done()
