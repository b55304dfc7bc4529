"""The ten questions of the article of 2016, each one select on its names; answers counted by hand from the JSON."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.handlers.databases import Home, database_server, with_all
from tests.handlers.harness import DATA, recorded, store

FILES = [
    "seeds/talk-echotest.jsonl",
    "seeds/talk-videoroom.jsonl",
    "janus-1.4/chrome_echo_http.jsonl",
    "janus-1.4/videoroom_http.jsonl",
    "janus-1.4/aiortc_echo_combined.jsonl",
    "janus-1.4/dtls_badfp.jsonl",
    "janus-1.1.2/session_timeout.jsonl",
]


class Recording:
    """One file, as plain JSON and in the store."""

    def __init__(self, name: str, home: Home) -> None:
        self.events: list[dict[str, Any]] = []
        for line in (DATA / name).read_text().splitlines():
            item = json.loads(line)
            item = item if "type" in item else item["event"]
            bodies = item["event"] if isinstance(item["event"], list) else [item["event"]]
            self.events += [{**item, "event": body} for body in bodies]
        self.ask = home.ask

    def of(self, kind: int, *keys: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["type"] == kind and all(key in e["event"] for key in keys)]

    def handles(self) -> list[tuple[int, int]]:
        return sorted({(e["session_id"], e["handle_id"]) for e in self.events if "handle_id" in e})


@pytest.fixture(scope="module", params=with_all())
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module", params=FILES, ids=lambda name: Path(name).stem)
def recording(request: pytest.FixtureRequest, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    home = Home(kind, tmp_path_factory.mktemp("store"), database_server(kind, request))

    async def fill() -> None:
        handler = home.store()
        await handler.start()
        await handler.handle(list(recorded(request.param)))
        await handler.stop()

    asyncio.run(fill())
    found = Recording(request.param, home)
    assert found.ask("SELECT count(*) FROM events") == [(len(found.events),)]
    return found


async def test_what_the_core_said(recording: Recording) -> None:
    assert recording.ask("SELECT name, value, timestamp FROM core ORDER BY timestamp") == [
        ("status", e["event"]["status"], e["timestamp"]) for e in recording.of(256)
    ]


async def test_which_sessions_were_created(recording: Recording) -> None:
    assert recording.ask("SELECT session FROM sessions WHERE event = 'created' ORDER BY timestamp") == [
        (e["session_id"],) for e in recording.of(1) if e["event"]["name"] == "created"
    ]


async def test_which_handles_a_session_attached_to_which_plugins(recording: Recording) -> None:
    for session in {session for session, _ in recording.handles()}:
        query = "SELECT handle, plugin FROM handles WHERE session = ? AND event = 'attached' ORDER BY timestamp"
        assert recording.ask(query, session) == [
            (e["handle_id"], e["event"]["plugin"])
            for e in recording.of(2)
            if e["session_id"] == session and e["event"]["name"] == "attached"
        ]


QUESTIONS: dict[str, tuple[str, int, str, tuple[str, ...]]] = {
    "ice": ("SELECT stream, component, state, timestamp FROM ice", 16, "ice", ("stream_id", "component_id", "ice")),
    "pairs": (
        "SELECT stream, component, selected, timestamp FROM selectedpairs", 16, "selected-pair",
        ("stream_id", "component_id", "selected-pair"),
    ),
    "dtls": ("SELECT stream, component, state, timestamp FROM dtls", 16, "dtls", ("stream_id", "component_id", "dtls")),
    "connections": ("SELECT state, timestamp FROM connections", 16, "connection", ("connection",)),
    "media": ("SELECT medium, receiving, timestamp FROM media", 32, "receiving", ("media", "receiving")),
}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
async def test_what_happened_to_a_handle_in_order(recording: Recording, question: str) -> None:
    query, kind, key, fields = QUESTIONS[question]
    for session, handle in recording.handles():
        rows = recording.ask(f"{query} WHERE session = ? AND handle = ? ORDER BY timestamp, id", session, handle)
        # Python's sort is stable, so events of the same microsecond stay in the order in which they came.
        told = sorted(
            (e for e in recording.of(kind, key) if (e.get("session_id"), e.get("handle_id")) == (session, handle)),
            key=lambda e: int(e["timestamp"]),
        )
        assert rows == [(*(e["event"][field] for field in fields), e["timestamp"]) for e in told]


async def test_what_the_plugin_of_a_handle_told(recording: Recording) -> None:
    for session, handle in recording.handles():
        rows = recording.ask(
            "SELECT plugin, event FROM plugins WHERE session = ? AND handle = ? ORDER BY id", session, handle
        )
        assert [(plugin, json.loads(data)) for plugin, data in rows] == [
            (e["event"]["plugin"], e["event"]["data"])
            for e in recording.of(64)
            if (e.get("session_id"), e.get("handle_id")) == (session, handle)
        ]


def is_statistics(item: dict[str, Any]) -> bool:
    return item["type"] == 32 and ("base" in item["event"] or "packets-received" in item["event"])


async def test_how_many_statistics_a_handle_has_and_what_they_say(recording: Recording) -> None:
    for session, handle in recording.handles():
        told = [e for e in recording.events if is_statistics(e) and e["handle_id"] == handle]
        where = "WHERE session = ? AND handle = ?"
        assert recording.ask(f"SELECT count(*) FROM stats {where}", session, handle) == [(len(told),)]
        rows = recording.ask(
            "SELECT medium, base, lostlocal, lostremote, packetssent, packetsrecv, bytessent, bytesrecv, nackssent, "
            f"nacksrecv FROM stats {where} ORDER BY id", session, handle,
        )  # fmt: skip
        keys = (
            "media", "base", "lost", "lost-by-remote", "packets-sent", "packets-received", "bytes-sent",
            "bytes-received", "nacks-sent", "nacks-received",
        )  # fmt: skip
        assert rows == [tuple(e["event"].get(key) for key in keys) for e in told]


async def test_a_jitter_is_there_only_where_its_unit_is_known(recording: Recording) -> None:
    rows = recording.ask("SELECT jitterlocal, jitterremote FROM stats ORDER BY id")
    assert rows == [
        (None, None) if "lsr" in e["event"] else (e["event"].get("jitter-local"), e["event"].get("jitter-remote"))
        for e in recording.events
        if is_statistics(e)
    ]


async def test_who_said_which_description(recording: Recording) -> None:
    assert recording.ask("SELECT remote, offer, sdp FROM sdps ORDER BY id") == [
        (e["event"]["owner"] == "remote", e["event"]["jsep"]["type"] == "offer", e["event"]["jsep"]["sdp"])
        for e in recording.of(8)
    ]


async def test_which_connections_the_api_had(recording: Recording) -> None:
    rows = recording.ask("SELECT plugin, transport_id, event FROM transports ORDER BY id")
    assert [(plugin, number, json.loads(data)) for plugin, number, data in rows] == [
        (e["event"]["transport"], e["event"]["id"], e["event"]["data"]) for e in recording.of(128)
    ]


async def test_a_row_leads_to_its_whole_event(recording: Recording) -> None:
    for table in ("ice", "sdps", "stats", "handles", "plugins", "transports", "sessions"):
        query = f"SELECT count(*) FROM {table} t JOIN events e ON e.id = t.id AND e.timestamp = t.timestamp"
        assert recording.ask(query) == recording.ask(f"SELECT count(*) FROM {table}")


async def test_ciccio_and_pippo_are_joined_by_what_the_store_has(tmp_path: Path) -> None:
    handler = store(tmp_path)
    await handler.start()
    await handler.handle(list(recorded("seeds/talk-videoroom.jsonl")))
    await handler.stop()
    with closing(sqlite3.connect(tmp_path / "appliance.sqlite")) as connection:
        rows = connection.execute(
            """
            SELECT j.event ->> 'display', j.session, a.opaque_id, j.event ->> 'id', j.handle,
                   s.event ->> 'feed', s.handle
            FROM plugins j
            JOIN handles a ON a.handle = j.handle AND a.event = 'attached'
            JOIN plugins s ON s.event ->> 'event' = 'subscribing'
                          AND s.event ->> 'private_id' = j.event ->> 'private_id'
            WHERE j.event ->> 'event' = 'joined' ORDER BY 1
            """
        ).fetchall()
    # The table that the talk itself printed.
    assert rows == [
        (
            "ciccio", 6706708418803609, "videoroomtest-3REdGHcrZPMk", 8361242010771549, 5978921396405279,
            5265065137454348, 6827135960427146,
        ),
        (
            "pippo", 2273950556695883, "videoroomtest-vZEKMO4F5JiL", 5265065137454348, 7656381184336435,
            8361242010771549, 3756409443147593,
        ),
    ]  # fmt: skip
