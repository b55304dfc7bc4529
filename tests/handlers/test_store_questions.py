"""The questions of ``docs/store.md``, in its own words: the ten of the article of 2016, and more.

Each is one select, asked of every database; the answers are counted by hand from the JSON.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.events import CALL_SCHEMA, Event, External, event
from tests.handlers.databases import Home, database_server, with_all
from tests.handlers.harness import DATA, recorded

FILES = [
    "seeds/talk-echotest.jsonl",
    "seeds/talk-videoroom.jsonl",
    "janus-1.4/chrome_echo_http.jsonl",
    "janus-1.4/videoroom_http.jsonl",
    "janus-1.4/aiortc_echo_combined.jsonl",
    "janus-1.4/dtls_badfp.jsonl",
    "janus-1.1.2/session_timeout.jsonl",
]
PAGE = (Path(__file__).parents[2] / "docs" / "store.md").read_text("utf-8")
QUERIES = dict(re.findall(r"^([A-Z][^\n]*)\n\n```sql\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL))
"""By the last line before each."""
_NAMED = re.compile(r":(\w+)\b")


def query(line: str, home: Home, **values: object) -> list[tuple[Any, ...]]:
    """Ask what the page asks below this line."""
    text = QUERIES[line]
    return home.ask(_NAMED.sub("?", text), *(values[name] for name in _NAMED.findall(text)))


class Recording:
    """One file, as plain JSON and in the store."""

    def __init__(self, name: str, home: Home) -> None:
        self.events: list[dict[str, Any]] = []
        for line in (DATA / name).read_text().splitlines():
            item = json.loads(line)
            item = item if "type" in item else item["event"]
            bodies = item["event"] if isinstance(item["event"], list) else [item["event"]]
            self.events += [{**item, "event": body} for body in bodies]
        self.home = home
        self.ask = home.ask

    def query(self, line: str, **values: object) -> list[tuple[Any, ...]]:
        return query(line, self.home, **values)

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


def test_the_page_has_ten_questions() -> None:
    ten, more = PAGE.partition("## Ten questions")[2].split("\n## ")[:2]
    assert (ten.count("```sql"), more.count("```sql")) == (10, 3)
    assert len(QUERIES) == 13


def in_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # Python's sort is stable, so events of the same microsecond stay in the order in which they came.
    return sorted(events, key=lambda e: int(e["timestamp"]))


async def test_what_the_core_said(recording: Recording) -> None:
    rows = recording.query("What did the servers say of themselves?")
    assert [(when, name, value) for when, _, name, value in rows] == [
        (e["timestamp"], "status", e["event"]["status"]) for e in in_time(recording.of(256))
    ]


async def test_which_sessions_were_created(recording: Recording) -> None:
    rows = recording.query("Which sessions were created?")
    assert [(when, session) for when, _, session in rows] == [
        (e["timestamp"], e["session_id"]) for e in in_time(recording.of(1)) if e["event"]["name"] == "created"
    ]


async def test_which_handles_a_session_attached_to_which_plugins(recording: Recording) -> None:
    for session in {session for session, _ in recording.handles()}:
        rows = recording.query("Which handles did a session attach, to which plugins?", session=session)
        assert rows == [
            (e["timestamp"], e["handle_id"], e["event"]["plugin"])
            for e in in_time(recording.of(2))
            if e["session_id"] == session and e["event"]["name"] == "attached"
        ]


QUESTIONS: dict[str, tuple[str, int, str, tuple[str, ...]]] = {
    "ice": ("Which states did ICE go through?", 16, "ice", ("stream_id", "component_id", "ice")),
    "pairs": (
        "Which candidate pairs were selected?", 16, "selected-pair", ("stream_id", "component_id", "selected-pair"),
    ),
    "dtls": ("Which states did DTLS go through?", 16, "dtls", ("stream_id", "component_id", "dtls")),
    "connections": (
        "When was the PeerConnection up, when and why was it hung up?", 16, "connection", ("connection", "reason"),
    ),
    "media": ("When did media come, and when not?", 32, "receiving", ("media", "receiving")),
}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
async def test_what_happened_to_a_handle_in_order(recording: Recording, question: str) -> None:
    line, kind, key, fields = QUESTIONS[question]
    for session, handle in recording.handles():
        told = in_time(
            [e for e in recording.of(kind, key) if (e.get("session_id"), e.get("handle_id")) == (session, handle)]
        )
        rows = recording.query(line, session=session, handle=handle)
        assert rows == [(e["timestamp"], *(e["event"].get(field) for field in fields)) for e in told]


async def test_what_the_plugin_of_a_handle_told(recording: Recording) -> None:
    for session, handle in recording.handles():
        rows = recording.query("What did the plugin tell?", session=session, handle=handle)
        assert [(when, plugin, json.loads(data)) for when, plugin, data in rows] == [
            (e["timestamp"], e["event"]["plugin"], e["event"]["data"])
            for e in in_time(recording.of(64))
            if (e.get("session_id"), e.get("handle_id")) == (session, handle)
        ]


def is_statistics(item: dict[str, Any]) -> bool:
    return item["type"] == 32 and ("base" in item["event"] or "packets-received" in item["event"])


async def test_how_many_statistics_a_handle_has_and_what_they_say(recording: Recording) -> None:
    for session, handle in recording.handles():
        told = [e for e in recording.events if is_statistics(e) and e["handle_id"] == handle]
        where = "WHERE session = ? AND handle = ?"
        assert recording.query("How many statistics are there?", session=session, handle=handle) == [(len(told),)]
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


CALL = "Everything of one call; `calls` and every page of the console name its correlation id."


async def test_a_call_is_there_whole(recording: Recording) -> None:
    calls = recording.ask("SELECT correlation_id, session, handle FROM calls")
    assert calls or not recording.of(8)
    for call, session, handle in calls:
        rows = recording.query(CALL, call=call)
        of_it = {(e["type"], e["timestamp"]) for e in recording.events if e.get("handle_id") == handle}
        assert {(kind, when) for _, when, kind, _, _ in rows} <= of_it
        assert {when for _, when, kind, _, _ in rows if kind == 16} == {
            e["timestamp"] for e in recording.of(16) if (e["session_id"], e["handle_id"]) == (session, handle)
        }
        assert all(isinstance(json.loads(body), dict) for *_, body in rows)


# --- rooms and records -------------------------------------------------------------------------------------------


@pytest.fixture
def home(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    return Home(kind, tmp_path, database_server(kind, request))


async def fill(home: Home, *events: Event) -> None:
    handler = home.store()
    await handler.start()
    await handler.handle(list(events))
    await handler.stop()


async def test_ciccio_and_pippo(home: Home) -> None:
    await fill(home, *recorded("seeds/talk-videoroom.jsonl"))
    # The table that the talk itself printed.
    assert query("Who watches whom in a room, and on which handles?", home, room="1234") == [
        (
            "ciccio", 6706708418803609, "videoroomtest-3REdGHcrZPMk", 5978921396405279, "8361242010771549",
            "pippo", "5265065137454348", 6827135960427146,
        ),
        (
            "pippo", 2273950556695883, "videoroomtest-vZEKMO4F5JiL", 7656381184336435, "5265065137454348",
            "ciccio", "8361242010771549", 3756409443147593,
        ),
    ]  # fmt: skip


async def test_from_which_networks_calls_fail(home: Home) -> None:
    seen = [
        ("192.0.2.0/24", "fault", 5), ("192.0.2.0/24", "good", 6), ("198.51.100.0/24", "good", 7),
        ("192.0.2.0/24", "fault", 8), ("203.0.113.0/24", "fault", 9), (None, "notice", 9), ("192.0.2.0/24", "fault", 4),
    ]  # fmt: skip
    records = [
        {"started_us": 1, "ended_us": ended, "duration_us": 1, "code": "uplink_loss", "severity": severity,
         "actor": "client"} | ({"network": network} if network else {})
        for network, severity, ended in seen
    ]  # fmt: skip
    told = [event(External(schema=CALL_SCHEMA, data=data), emitter="gw", timestamp=10) for data in records]
    await fill(home, *(replace(each, id=n, correlation_id=f"1-2-{n}@gw") for n, each in enumerate(told, 1)))
    rows = query("From which networks do calls fail? `:since` is microseconds.", home, since=5)
    assert [(network, calls, int(faults)) for network, calls, faults in rows[:2]] == [
        ("192.0.2.0/24", 3, 2), ("203.0.113.0/24", 1, 1),
    ]  # fmt: skip
    assert {(network, calls, int(faults)) for network, calls, faults in rows[2:]} == {
        ("198.51.100.0/24", 1, 0), (None, 1, 0),
    }  # fmt: skip
