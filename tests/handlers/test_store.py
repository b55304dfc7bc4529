"""The store: what goes in comes out."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from appliance.core.events import (
    Connection,
    Core,
    Counters,
    Event,
    Gap,
    Handle,
    Jsep,
    MediaStats,
    Plugin,
    event,
)
from appliance.core.handler import KeepsCalls
from appliance.core.stamp import Stamper
from appliance.handlers.store import StoreConfig, StoreError, schema
from appliance.handlers.store.handler import DAY_US
from tests.clock import FakeClock
from tests.handlers.harness import recorded, store
from tests.handlers.store_calls import (
    HANGUP,
    OFFER,
    UP,
    assert_comes_back,
    database,
    of_call,
    passing,
    running,
    verdict,
)
from tests.intake.links import until

TRACES = ["chrome_echo_http", "videoroom_http", "reneg_icerestart", "dtls_badfp", "loss_slowlink"]


# --- what goes in comes out ----------------------------------------------------------------------------------


@pytest.mark.parametrize("trace", TRACES)
async def test_every_event_of_every_call_comes_back_as_it_was(tmp_path: Path, trace: str) -> None:
    items = list(recorded(f"janus-1.4/{trace}.jsonl"))
    async with running(tmp_path) as handler:
        await assert_comes_back(handler, items)


async def test_a_call_is_told_with_its_session_and_the_connection_that_made_it(tmp_path: Path) -> None:
    items = list(recorded("janus-1.4/videoroom_http.jsonl"))
    async with running(tmp_path) as handler:
        await handler.handle(items)
        for call in await handler.archive.calls():
            others = [item for item in await handler.archive.events(call.correlation_id) if not item.correlation_id]
            kinds = [type(item.event).__name__ for item in others]
            assert [kind for kind in kinds if kind != "Shutdown"] == ["Transport", "Session", "Session"]
            assert {item.session_id for item in others[1:3]} == {call.session_id}
            assert others[0].event.id == others[1].event.transport.id


async def test_a_call_has_a_summary(tmp_path: Path) -> None:
    items = list(recorded("janus-1.4/videoroom_http.jsonl"))
    async with running(tmp_path) as handler:
        await handler.handle(items)
        newest, *_, first = await handler.archive.calls()
    assert (first.opaque_id, first.plugin, first.room) == ("opq-alice-pub", "janus.plugin.videoroom", "4321")
    offer = next(item for item in items if isinstance(item.event, Jsep))
    assert (first.session_id, first.handle_id) == (offer.session_id, offer.handle_id)
    created = next(item for item in items if item.type == 1 and item.session_id == first.session_id)
    (*_, request) = (
        item
        for item in items[: items.index(created)]
        if item.type == 128 and item.event.id == created.event.transport.id
    )
    assert first.client_address == f"127.0.0.1:{request.event.data['port']}"
    ended = next(
        i
        for i in items
        if i.correlation_id == first.correlation_id
        and i.body == Connection(connection="hangup", reason=getattr(i.body, "reason", None))
    )
    assert first.ended_us == ended.timestamp
    assert newest.started_us > first.started_us


async def test_events_of_a_call_are_thinned_and_states_are_not(tmp_path: Path) -> None:
    states = [of_call(OFFER, 1), of_call(UP, 2), of_call(HANGUP, 5000)]
    async with running(tmp_path) as handler:
        await handler.handle([*states[:2], *(of_call(MediaStats(media="audio"), n) for n in range(3, 1003)), states[2]])
        found = await handler.archive.events("1-2-1@gw", limit=103)
    assert len(found) == 103
    assert [item for item in found if not isinstance(item.event, MediaStats)] == states
    gaps = [b.timestamp - a.timestamp for a, b in pairwise(found[2:-1])]
    assert set(gaps) == {10}, "an even choice"


async def test_a_gap_of_the_server_is_told_with_the_calls_that_it_concerns(tmp_path: Path) -> None:
    gap = replace(event(Gap(reason="queue_full"), emitter="gw", timestamp=20), id=20)
    other = replace(event(Gap(reason="queue_full"), emitter="other", timestamp=21), id=21)
    async with running(tmp_path) as handler:
        await handler.handle(
            [of_call(OFFER, 1), of_call(HANGUP, 10), of_call(OFFER, 15, 2), gap, other, of_call(HANGUP, 30, 2)]
        )
        assert gap in await handler.archive.events("1-2-2@gw")
        assert other not in await handler.archive.events("1-2-2@gw")


async def test_the_newest_events_are_found_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        for n in range(1, 6):
            await handler.handle([of_call(OFFER, n)])
            assert len(await handler.archive.events("1-2-1@gw")) == n


async def test_counters_are_for_prometheus(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        await handler.handle([replace(event(Counters(counters=()), emitter="gw", timestamp=1), id=1)])
        await handler.flush()
    with database(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


async def test_a_clients_token_is_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        await handler.handle([of_call(Handle(name="attached", plugin="p", token="hunter2"), 1), of_call(OFFER, 2)])
        found = await handler.archive.events("1-2-1@gw")
        assert found[0].body == Handle(name="attached", plugin="p")
    assert all(b"hunter2" not in file.read_bytes() for file in tmp_path.iterdir())  # noqa: ASYNC240 - a test's own


# --- calls ---------------------------------------------------------------------------------------------------


async def test_the_newest_verdict_is_kept_also_when_it_comes_late(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        await handler.handle([of_call(OFFER, 1), verdict("healthy", 2), of_call(HANGUP, 3), verdict("normal_close", 4)])
        call = await handler.archive.call("1-2-1@gw")
        assert call is not None and call.verdict == {"code": "normal_close", "evidence": [1]} and call.ended_us == 3
    async with running(tmp_path) as handler:
        await handler.handle([verdict("network_lost", 9)])
        call = await handler.archive.call("1-2-1@gw")
        assert call is not None and call.verdict is not None and call.verdict["code"] == "network_lost"
        assert await handler.archive.call("9-9-9@gw") is None


@pytest.mark.parametrize(
    ("search", "found"),
    [("normal", 1), ("1-2-", 2), ("ROOM-7", 1), ("%", 0), ("_", 0), ("10.0.0.9", 1), ("nothing", 0), ("gw", 2)],
)
async def test_calls_are_searched(tmp_path: Path, search: str, found: int) -> None:
    room = replace(of_call(Plugin(plugin="janus.plugin.videoroom", data={"room": "room-7"}), 5, 2), id=5)
    pair = event_pair("10.0.0.9:1 [host,udp] <-> 10.0.0.8:2 [host,udp]")
    async with running(tmp_path) as handler:
        await handler.handle(
            [of_call(OFFER, 1), of_call(HANGUP, 2), verdict("normal-close", 3), of_call(OFFER, 4, 2), room, pair]
        )
        assert len(await handler.archive.calls(search=search)) == found


def event_pair(pair: str) -> Event:
    from appliance.core.events import SelectedPair

    return of_call(SelectedPair(pair=pair), 6, 2)


async def test_calls_are_listed_newest_first_in_pages_live_or_past(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        for n in range(1, 6):
            await handler.handle([of_call(OFFER, n * 10, n), *([of_call(HANGUP, n * 10 + 5, n)] if n < 4 else [])])
        archive = handler.archive
        assert [call.started_us for call in await archive.calls(limit=2)] == [50, 40]
        assert [call.started_us for call in await archive.calls(limit=2, before_us=40)] == [30, 20]
        assert [call.started_us for call in await archive.calls(live=True)] == [50, 40]
        assert [call.started_us for call in await archive.calls(live=False)] == [30, 20, 10]
        assert await archive.calls(limit=0) == []


async def test_a_server_that_starts_anew_ends_its_calls_of_before(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        await handler.handle(
            [of_call(OFFER, 1), replace(of_call(OFFER, 2), emitter="other", correlation_id="1-2-1@other")]
        )
        await handler.flush()
    async with running(tmp_path) as handler:
        await handler.handle([replace(event(Core(status="started"), emitter="gw", timestamp=7), id=7)])
        calls = {call.correlation_id: call.ended_us for call in await handler.archive.calls()}
    assert calls == {"1-2-1@gw": 7, "1-2-1@other": None}


async def test_a_session_that_is_gone_has_no_live_calls(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        await handler.handle(list(recorded("janus-1.4/vanish_http.jsonl")))
        (call,) = await handler.archive.calls()
        assert call.ended_us is not None


async def test_what_is_told_again_is_there_once_with_its_new_number(tmp_path: Path) -> None:
    stamper = Stamper(FakeClock())
    items = list(recorded("janus-1.4/chrome_echo_http.jsonl", stamper))
    async with running(tmp_path) as handler:
        await handler.handle(items)
        before = await handler.archive.calls()
        again = [
            stamper.stamp(replace(item, replayed=True)) for item in items if not isinstance(item.event, MediaStats)
        ]
        await handler.handle(again)
        await handler.flush()
        assert await handler.archive.calls() == before
        found = await handler.archive.events(before[0].correlation_id)
    with database(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (len(items),)
        for table in ("ice", "sdps", "handles", "transports", "sessions"):
            ids = {row[0] for row in connection.execute(f"SELECT id FROM {table}")}
            assert ids <= {item.id for item in again}
    numbers = [item.id for item in found]
    assert numbers != sorted(numbers), "statistics were not told again"
    assert [item.timestamp for item in found] == sorted(item.timestamp for item in found)


# --- retention -----------------------------------------------------------------------------------------------


async def test_what_is_too_old_is_deleted_with_its_calls(tmp_path: Path) -> None:
    clock = FakeClock()
    now = clock.wall_us()
    old, new = now - 2 * DAY_US, now - 10
    async with running(tmp_path, clock, StoreConfig(retention_days=1)) as handler:
        await handler.handle(
            [of_call(OFFER, old), of_call(HANGUP, old + 1), of_call(OFFER, new, 2), of_call(UP, new + 1, 2)]
        )
        await handler.flush()
        await passing(clock, lambda: handler._writer is not None and handler._writer.pruned == 2)
        assert [call.correlation_id for call in await handler.archive.calls()] == ["1-2-2@gw"]
    with database(tmp_path) as connection:
        for table, left in (("events", 2), ("sdps", 1), ("connections", 1)):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (left,)


async def test_what_is_too_much_is_deleted_oldest_first_in_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.handlers.store.writer.PRUNE_ROWS", 100)
    clock = FakeClock()
    async with running(tmp_path, clock, StoreConfig(retention_days=0, max_events=50)) as handler:
        await handler.handle([of_call(UP, n) for n in range(1, 501)])
        await handler.flush()
        await passing(clock, lambda: handler._writer is not None and handler._writer.pruned == 450)
        assert [item.id for item in await handler.archive.events("1-2-1@gw")] == list(range(451, 501))


async def test_the_count_is_right_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as handler:
        await handler.handle([of_call(UP, n) for n in range(1, 11)])
    async with running(tmp_path, FakeClock(), StoreConfig(retention_days=0, max_events=4)) as handler:
        await until(lambda: handler._writer is not None and handler._writer.pruned == 6)


# --- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////etc/passwd", "outside the data directory"),
        ("sqlite:///../x.sqlite", "outside the data directory"),
        ("sqlite://", "a file inside the data directory"),
        ("sqlite:///:memory:", "a file inside the data directory"),
        ("sqlite:///file:x?uri=true", "a file inside the data directory"),
        ("sqlite:///.", "outside the data directory"),
        ("no url", "not a database URL"),
        ("postgresql://me:hunter2@host/db", "the password belongs into the setting of that name"),
    ],
)
def test_a_url_that_will_not_do_is_refused(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as refusal:
        store(tmp_path, config=StoreConfig(url=url))
    assert "hunter2" not in str(refusal.value)


def test_a_link_out_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="outside the data directory"):
        store(folder, config=StoreConfig(url="sqlite:///out/x.sqlite"))


async def test_a_driver_that_is_not_installed_is_named(tmp_path: Path) -> None:
    handler = store(tmp_path, config=StoreConfig(url="postgresql+pg8000://me@host/db", password="hunter2"))
    with pytest.raises(StoreError, match="needs the Python package 'pg8000', which is not installed"):
        await handler.start()


async def test_another_file_inside_the_data_directory_will_do_and_is_its_owners_alone(tmp_path: Path) -> None:
    async with running(tmp_path, config=StoreConfig(url="sqlite:///calls.db")):
        pass
    assert (tmp_path / "calls.db").stat().st_mode & 0o777 == 0o600


def test_it_keeps_calls_for_the_console(tmp_path: Path) -> None:
    assert isinstance(store(tmp_path), KeepsCalls)


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect(), mysql.dialect()], ids=lambda d: d.name)  # type: ignore[no-untyped-call]  # SQLAlchemy's
def test_the_tables_can_be_made_everywhere(dialect: Any) -> None:
    for table in schema.metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        number = {"sqlite": "id INTEGER NOT NULL", "postgresql": "id BIGINT NOT NULL", "mysql": "id BIGINT NOT NULL"}
        if "id" in table.primary_key:
            assert number[dialect.name] in text
        if dialect.name == "mysql":
            assert " TEXT" not in text, "ends at 64 kB"
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM events WHERE session = 1 AND handle = 2 ORDER BY id", "ix_events_handle"),
        ("SELECT * FROM events WHERE correlation_id = 'x' ORDER BY id", "ix_events_correlation"),
        ("SELECT * FROM stats WHERE session = 1 AND handle = 2 ORDER BY id", "ix_stats_handle"),
        ("SELECT * FROM handles WHERE opaque_id = 'x'", "ix_handles_opaque"),
        ("SELECT * FROM calls WHERE ended_us IS NULL ORDER BY started_us DESC", "ix_calls_ended"),
    ],
)
async def test_questions_are_answered_from_an_index_without_sorting(tmp_path: Path, query: str, index: str) -> None:
    async with running(tmp_path):
        pass
    with database(tmp_path) as connection:
        plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert index in plan and "TEMP B-TREE" not in plan
