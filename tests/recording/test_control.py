"""Recordings by the Admin API, the console's routes and the command, and the bundle dropped back on the console."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.commands.record import RecordError, record_calls
from appliance.console.api import Console
from appliance.core.bus import EventBus
from appliance.core.handler import HandlerContext
from appliance.core.recordings import serve_recordings
from appliance.handlers.recording import RecordingHandler
from appliance.handlers.recording.config import RecordingRules
from tests.clock import FakeClock
from tests.console.recorded import MemoryArchive, recorded
from tests.core.admin_world import AdminWorld

Client = TestClient[web.Request, web.Application]
CALL = "aiortc_echo"


def handler_in(folder: Path, **rules: Any) -> RecordingHandler:
    clock = FakeClock()
    context = HandlerContext(
        clock=clock, data_dir=folder, server_name="here", publish=lambda _body, _about: None, bus=EventBus(clock),
        measured=[],
    )  # fmt: skip
    return RecordingHandler(RecordingRules(**rules), context)


@pytest.fixture
def archive() -> MemoryArchive:
    filled = MemoryArchive()
    filled.add(recorded(CALL))
    return filled


@pytest.fixture
async def client(archive: MemoryArchive, tmp_path: Path) -> AsyncIterator[Client]:
    application = web.Application()
    console = Console(archive, None, recordings=handler_in(tmp_path))
    application.add_routes(console.routes())
    async with TestClient(TestServer(application)) as made:
        yield made
    await console.close()


async def test_rules_come_and_go_over_the_console(client: Client) -> None:
    reply = await client.post("/api/recordings", json={"rule": "next  failed"})
    assert (await reply.json())["rules"] == ["next failed"]
    reply = await client.post("/api/calls/1-2-1@gw/record")
    assert (await reply.json())["rules"] == ["next failed", "call 1-2-1@gw"]
    await client.delete("/api/calls/1-2-1@gw/record")
    reply = await client.delete("/api/recordings", json={"rule": "next failed"})
    assert (await reply.json())["rules"] == []
    reply = await client.get("/api/recordings")
    assert await reply.json() == {"rules": [], "recording": [], "bundles": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/recordings", {"rule": "nonsense"}, 400, "bad_rule"),
        ("POST", "/api/recordings", ["rule"], 400, "bad_rule"),
        ("DELETE", "/api/recordings", {"rule": "failed"}, 404, "unknown_rule"),
        ("GET", "/api/recordings/..%2f..%2fetc%2fpasswd", None, 404, "unknown_bundle"),
        ("GET", "/api/calls/1-2-3@gw/bundle", None, 404, "no_bundle"),
    ],
)
async def test_what_is_refused(client: Client, method: str, path: str, body: Any, status: int, code: str) -> None:
    reply = await client.request(method, path, json=body)
    assert (reply.status, (await reply.json())["error"]["code"]) == (status, code)


async def test_another_site_can_start_nothing(client: Client) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    reply = await client.post("/api/recordings", json={"rule": "failed"}, headers=headers)
    assert reply.status == 403


async def test_a_call_that_was_not_recorded_has_a_bundle_of_its_events_that_explains_the_same(
    client: Client, archive: MemoryArchive
) -> None:
    (name,) = archive.summaries
    live = await (await client.get(f"/api/calls/{name}")).json()
    reply = await client.get(f"/api/calls/{name}/bundle")
    assert reply.status == 200
    bundle = await reply.read()
    with zipfile.ZipFile(io.BytesIO(bundle)) as made:
        assert "was not recorded" in json.loads(made.read("manifest.json"))["packets_missing"]
    listed = await (await client.get("/api/recordings")).json()
    again = await client.get(f"/api/recordings/{listed['bundles'][0]['name']}")
    assert await again.read() == bundle
    analysed = await (await client.post("/api/analyse?name=call.zip", data=bundle)).json()
    (call,) = analysed["calls"]
    for key in ("code", "sentence", "severity", "actor"):
        assert call["verdict"][key] == live["verdict"][key]


async def test_the_command(
    client: Client, archive: MemoryArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    url = str(client.make_url("/"))
    await record_calls("list", "", url, said.append)
    await record_calls("start", "room 1234", url, said.append)
    await record_calls("stop", "room 1234", url, said.append)
    nothing = "Nothing is recorded, and no rule is in force."
    assert said == [nothing, "rule       room 1234", nothing]
    with pytest.raises(RecordError, match="400: rule 'x': wanted failed"):
        await record_calls("start", "x", url, said.append)
    with pytest.raises(RecordError, match="wanted a rule"):
        await record_calls("stop", "", url, said.append)
    with pytest.raises(RecordError, match="Is the appliance running"):
        await record_calls("list", "", "http://127.0.0.1:9", said.append)
    (call,) = archive.summaries
    await client.get(f"/api/calls/{call}/bundle")
    said.clear()
    await record_calls("list", "", url, said.append)
    name = said[0].split()[1]
    await record_calls("fetch", name, url, said.append)
    assert zipfile.is_zipfile(tmp_path / name)
    with pytest.raises(RecordError, match="File exists"):
        await record_calls("fetch", name, url, said.append)


async def test_the_admin_api_asks_the_collector() -> None:
    world = AdminWorld()
    session = world.say("create")["data"]["id"]
    handle = world.say("attach", session_id=session, plugin="janus.plugin.echotest")["data"]["id"]
    ids = {"session_id": session, "handle_id": handle}
    for rest, rule in (
        ({"rule": "next failed"}, "next failed"),
        (ids, f"handle {handle}"),
        ({"session_id": session}, f"session {session}"),
    ):
        answer = await world.admin.request({"janus": "start_recording", "transaction": "t"} | rest)
        assert (answer["janus"], answer["rules"]) == ("success", [rule])
    answer = await world.admin.request({"janus": "start_recording", "transaction": "t"})
    assert answer["error"] == {"code": 456, "reason": "Missing mandatory element (rule)"}
    world.collector.away = "it is not connected"
    answer = await world.admin.request({"janus": "list_recordings", "transaction": "t"})
    assert answer["error"]["reason"] == "The collector, which records: it is not connected"


def test_what_a_gateway_asks(tmp_path: Path) -> None:
    handler = handler_in(tmp_path)
    assert serve_recordings(handler, "start_recording", {"rule": "failed"}) == {"rules": ["failed"], "recording": []}
    assert serve_recordings(handler, "list_recordings", {})["rules"] == ["failed"]
    for recordings, verb, args, problem in (
        (None, "list_recordings", {}, LookupError),
        (handler, "stop_recording", {"rule": "next failed"}, LookupError),
        (handler, "start_recording", {"rule": 5}, ValueError),
    ):
        with pytest.raises(problem):
            serve_recordings(recordings, verb, args)


def test_settings_that_can_not_be_meant() -> None:
    for wrong in ({"rules": ("nonsense",)}, {"mask": "faces"}, {"max_bundles": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong)) if "rules" not in wrong else "wanted failed"):
            RecordingRules(**wrong)
