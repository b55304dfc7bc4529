"""Events posted to a real server that takes them, refuses them or goes away."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance.core.events import Core, Gap, PairCounters, event
from appliance.handlers.output.http import HttpOutput, HttpOutputConfig
from tests.clock import FakeClock
from tests.handlers.harness import DATA, context, recorded
from tests.handlers.output.backend import Backend, backend, numbered, running, until

FAST = {"retransmissions_backoff": 1}


def output(server: Backend, **settings: Any) -> Any:
    return partial(HttpOutput, HttpOutputConfig(backend=server.url, **FAST | settings))


def janus_objects(name: str) -> list[dict[str, Any]]:
    """What Janus itself said, combined statistics apart."""
    found = []
    for line in (DATA / name).read_text().splitlines():
        item = json.loads(line)["event"]
        bodies = item["event"] if isinstance(item["event"], list) else [item["event"]]
        found += [item | {"event": body} for body in bodies]
    return found


@pytest.mark.parametrize("compress", [False, True])
async def test_what_a_janus_server_said_goes_on_in_its_words(tmp_path: Path, compress: bool) -> None:
    name = "janus-1.4/aiortc_echo_combined.jsonl"
    async with backend() as server:
        async with running(output(server, compress=compress), tmp_path) as (_, bus, _):
            for item in recorded(name):
                bus.publish(item)
        told = [item for body in server.bodies for item in json.loads(body)]
        assert told == janus_objects(name)
        assert {h.get("Content-Encoding") for h in server.headers} == {"gzip" if compress else None}
        assert {h["Content-Type"] for h in server.headers} == {"application/json"}


async def test_events_that_wait_go_in_groups_of_a_hundred_on_one_connection(tmp_path: Path) -> None:
    async with backend() as server:
        async with running(output(server), tmp_path) as (_, bus, _):
            for item in numbered(0, 250):
                bus.publish(item)
        assert [len(json.loads(body)) for body in server.bodies] == [100, 100, 50]
        assert server.sessions == list(range(250))
        assert len(server.peers) == 1


async def test_without_grouping_each_event_is_an_object(tmp_path: Path) -> None:
    async with backend() as server:
        async with running(output(server, grouping=False), tmp_path) as (_, bus, _):
            for item in numbered(0, 3):
                bus.publish(item)
        assert [json.loads(body)["session_id"] for body in server.bodies] == [0, 1, 2]


async def test_user_and_password_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("mypwd\n")
    settings = {"backend_user": "myuser", "backend_pwd_file": str(file)}
    async with backend() as server:
        async with running(output(server, **settings), tmp_path) as (_, bus, _):
            bus.publish(numbered(0, 1)[0])
        # RFC 7617: base64 of myuser:mypwd.
        assert server.headers[0]["Authorization"] == "Basic bXl1c2VyOm15cHdk"


@pytest.mark.parametrize("status", [301, 404, 413, 500, 503])
async def test_whatever_is_not_2xx_is_tried_again(tmp_path: Path, status: int) -> None:
    async with backend() as server:
        server.answers = [status] * 3
        async with running(output(server), tmp_path) as (handler, bus, subscription):
            for item in numbered(0, 150):
                bus.publish(item)
            await until(lambda: handler.attempts["ok"] == 2)
            assert server.sessions == list(range(150))
            assert handler.attempts == {"ok": 2, "failed": 3}
            assert subscription.failed == 0


async def test_a_backend_that_was_away_gets_everything_once_it_is_back(tmp_path: Path) -> None:
    async with backend() as server:
        async with running(output(server), tmp_path) as (handler, bus, subscription):
            await server.stop()
            for item in numbered(0, 500):
                bus.publish(item)
            await until(lambda: handler.attempts["failed"] >= 2)
            assert len(subscription) == 400
            await server.start()
            await until(lambda: len(server.sessions) == 500)
        assert server.sessions == list(range(500))


async def test_after_the_retransmissions_that_are_allowed_a_message_is_dropped_and_counted(tmp_path: Path) -> None:
    async with backend() as server:
        server.answers = [500] * 4
        async with running(output(server, max_retransmissions=3), tmp_path) as (handler, bus, _):
            for item in numbered(0, 101):
                bus.publish(item)
        assert server.sessions == [100]
        counts = {c.labels["reason"]: c.value for c in handler.measure() if c.name == "events_dropped_total"}
        assert counts == {"retries_exhausted": 100}


async def test_behind_a_backend_that_stands_still_the_queue_is_bounded_and_says_what_it_lost(tmp_path: Path) -> None:
    async with backend() as server:
        server.open.clear()
        async with running(output(server, extensions=True), tmp_path, depth=200) as (_, bus, subscription):
            for item in numbered(0, 100):
                bus.publish(item)
            await until(lambda: not len(subscription))
            for item in numbered(100, 1000):
                bus.publish(item)
            assert len(subscription) == 200
            assert subscription.dropped == {"sessions": 800}
            assert subscription.oldest_age() >= 0
            server.open.set()
        told = [item for body in server.bodies for item in json.loads(body)]
        gap = next(item for item in told if item["type"] == 256)
        assert gap["event"]["dropped"] == {"sessions": 800}
        assert [item["session_id"] for item in told if item["type"] == 1] == [*range(100), *range(900, 1100)]


async def test_what_janus_does_not_tell_is_told_only_where_it_is_wanted(tmp_path: Path) -> None:
    items = [
        event(Core(status="started"), emitter="s", timestamp=1),
        event(Gap(reason="link_down"), emitter="s", timestamp=2),
        event(PairCounters(pairs=()), emitter="s", timestamp=3, session_id=1, handle_id=2),
    ]
    for extensions, expected in ((False, [1]), (True, [1, 2, 3])):
        async with backend() as server:
            async with running(output(server, extensions=extensions), tmp_path) as (_, bus, _):
                for item in items:
                    bus.publish(item)
            assert [item["timestamp"] for body in server.bodies for item in json.loads(body)] == expected


async def test_settings_change_while_events_wait_and_none_is_lost(tmp_path: Path) -> None:
    async with backend() as old, backend() as new:
        await old.stop()
        async with running(output(old), tmp_path) as (handler, bus, _):
            for item in numbered(0, 300):
                bus.publish(item)
            await until(lambda: handler.attempts["failed"] >= 1)
            handler.tweak({"backend": new.url, "compress": True, "backend_user": "u", "backend_pwd": "p"})
            await until(lambda: len(new.sessions) == 300)
            handler.tweak({"grouping": False, "events": "sessions"})
            assert handler.config.events == "sessions"
            for item in numbered(300, 2):
                bus.publish(item)
        assert new.sessions == list(range(302))
        assert new.headers[0]["Content-Encoding"] == "gzip"
        assert "Authorization" in new.headers[0]


@pytest.mark.parametrize(
    "changes", [{"backend": "ftp://x"}, {"compression": 10}, {"events": "nonsense"}, {"spool": True}, {"grouping": 7}]
)
def test_a_change_that_makes_no_sense_changes_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    handler = HttpOutput(HttpOutputConfig(), context(tmp_path, FakeClock()))
    with pytest.raises(ValueError, match=r"wanted|known|Expected|can't be changed"):
        handler.tweak(changes)
    assert handler.config == HttpOutputConfig()


@pytest.mark.parametrize(
    "settings",
    [
        {"backend": "localhost:8080"},
        {"backend": "http://u:hush@h/"},
        {"backend_user": "u"},
        {"backend_pwd": "p"},
        {"max_retransmissions": -1},
        {"spool_max_mb": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted") as problem:
        HttpOutput(HttpOutputConfig(**settings), context(tmp_path, FakeClock()))
    assert "hush" not in str(problem.value)


async def test_the_disk_keeps_what_the_backend_does_not_take_over_a_restart_of_ours(tmp_path: Path) -> None:
    async with backend() as server:
        await server.stop()
        async with running(output(server, spool=True), tmp_path) as (handler, bus, subscription):
            for item in numbered(0, 450):
                bus.publish(item)
            await until(lambda: not len(subscription) and subscription.delivered == 450)
            counts = {c.name: c.value for c in handler.measure() if "spool" in c.name}
            assert counts["output_spool_messages"] >= 4
            assert counts["output_spool_bytes"] > 10_000
        await server.start()
        async with running(output(server, spool=True), tmp_path) as (handler, bus, _):
            for item in numbered(450, 50):
                bus.publish(item)
            await until(lambda: len(server.sessions) == 500)
            assert server.sessions == list(range(500))
            await until(lambda: {c.value for c in handler.measure() if c.name == "output_spool_messages"} == {0})
            # What comes once the disk is empty goes straight on.
            for item in numbered(500, 10):
                bus.publish(item)
            await until(lambda: len(server.sessions) == 510)
        assert server.sessions == list(range(510))
