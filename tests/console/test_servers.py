"""What a server has now, asked of a real Janus's recorded Admin API."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from appliance.console.servers import MAX_SESSIONS, ServerRoutes, client_of
from appliance.console.settings import ServerAddress
from appliance.net.admin_client import AdminRefusedError
from appliance.net.link_connection import RequestRefusedError
from tests.console.recorded import MemoryArchive
from tests.console.recorded_janus import SECRET, RecordedJanus, serving
from tests.console.serve import application
from tests.console.test_api import only

SESSION, HANDLE = 7624429535209244, 2492544362644531

Client = TestClient[Any, Any]


@pytest.fixture
async def janus(tmp_path: Path) -> AsyncIterator[tuple[RecordedJanus, ServerAddress]]:
    recorded = RecordedJanus()
    async with serving(recorded, tmp_path) as address:
        yield recorded, address


@pytest.fixture
async def client(archive: MemoryArchive, janus: tuple[RecordedJanus, ServerAddress]) -> AsyncIterator[Client]:
    servers = ServerRoutes([client_of(janus[1])], archive)
    async with TestClient(TestServer(application(archive, servers=servers))) as made:
        yield made


async def get(client: Client, path: str, status: int = 200) -> Any:
    async with client.get(path) as reply:
        assert reply.status == status, await reply.text()
        return await reply.json()


async def post(client: Client, path: str, value: Any = None, status: int = 200) -> Any:
    async with client.post(path, json=value) as reply:
        assert reply.status == status, await reply.text()
        return await reply.json()


async def test_a_server_its_sessions_and_their_handles(client: Client) -> None:
    assert await get(client, "/api/servers") == {"servers": ["janus-ref"]}
    server = await get(client, "/api/servers/janus-ref")
    assert (server["info"]["name"], server["info"]["version_string"]) == ("Janus WebRTC Server", "1.4.1")
    assert (server["status"]["session_timeout"], server["status"]["log_level"]) == (60, 4)
    assert (server["sessions"], server["total"], server["found"]) == ([SESSION], 1, 1)
    assert (await get(client, "/api/servers/janus-ref?find=123456789"))["sessions"] == []
    assert (await get(client, "/api/servers/janus-ref?find=7624"))["sessions"] == [SESSION]
    session = await get(client, f"/api/servers/janus-ref/sessions/{SESSION}")
    assert session == {
        "session": SESSION,
        "total": 1,
        "handles": [
            {
                "handle": HANDLE, "plugin": "janus.plugin.echotest", "opaque_id": "opaque-echo", "room": None,
                "ice": "ready", "dtls": "connected", "up": True,
            }
        ],
    }  # fmt: skip
    handle = await get(client, f"/api/servers/janus-ref/sessions/{SESSION}/handles/{HANDLE}")
    assert handle["info"]["plugin_specific"]["audio_codec"] == "opus"


async def test_what_is_changed_arrives_as_janus_wants_it(
    client: Client, janus: tuple[RecordedJanus, ServerAddress]
) -> None:
    place = f"/api/servers/janus-ref/sessions/{SESSION}"
    await post(client, f"{place}/handles/{HANDLE}/hangup")
    await post(client, f"{place}/destroy")
    await post(client, "/api/servers/janus-ref/settings", {"name": "log_level", "value": 4})
    await post(client, "/api/servers/janus-ref/settings", {"name": "accepting-new-sessions", "value": True})
    told = [{key: value for key, value in one.items() if key != "transaction"} for one in janus[0].asked]
    with_secret = {"admin_secret": SECRET}
    assert told == [
        {"path": f"/admin/{SESSION}/{HANDLE}", "janus": "hangup_webrtc"} | with_secret,
        {"path": f"/admin/{SESSION}", "janus": "destroy_session"} | with_secret,
        {"path": "/admin", "janus": "set_log_level", "level": 4} | with_secret,
        {"path": "/admin", "janus": "accept_new_sessions", "accept": True} | with_secret,
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "wanted {"),
        ({"name": "admin_secret", "value": "x"}, "name: 'admin_secret' came, wanted one of log_level"),
        ({"name": ["log_level"], "value": 4}, "name: "),
        ({"name": "log_level", "value": True}, "log_level: 'True' came, wanted an integer from 0 to"),
        ({"name": "log_level", "value": -1}, "log_level: '-1' came"),
        ({"name": "accepting-new-sessions", "value": 1}, "wanted true or false"),
    ],
)
async def test_a_setting_that_is_none_is_not_passed_on(
    client: Client, janus: tuple[RecordedJanus, ServerAddress], value: Any, message: str
) -> None:
    said = await post(client, "/api/servers/janus-ref/settings", value, status=400)
    assert message in said["error"]["message"] and janus[0].asked == []


async def test_a_call_is_hung_up_where_it_is(
    client: Client, archive: MemoryArchive, janus: tuple[RecordedJanus, ServerAddress]
) -> None:
    call = archive.summaries[only(archive, "opq-echo_http")]
    path = f"/admin/{call.session_id}/{call.handle_id}"
    janus[0].answers[path, "hangup_webrtc"] = {"janus": "success"}
    await post(client, f"/api/calls/{call.correlation_id}/hangup")
    assert [one["path"] for one in janus[0].asked] == [path]
    await post(client, "/api/calls/1-2-3@gw/hangup", status=404)


async def test_a_call_of_a_server_that_is_not_configured_can_not_be(archive: MemoryArchive) -> None:
    async with TestClient(TestServer(application(archive, servers=ServerRoutes([], archive)))) as client:
        said = await post(client, f"/api/calls/{only(archive, 'opq-echo_http')}/hangup", status=404)
        assert said["error"]["message"] == (
            "the Admin API of 'janus-ref' is not configured; console.admin would name it"
        )


class Linked:
    """Gateways that are connected: one, which knows one handle."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def request(self, server: str, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        if server != "janus-ref":
            raise LookupError(f"no gateway {server!r} is connected")
        if self.asked:
            raise RequestRefusedError("no such session 1")
        self.asked.append((verb, args))
        return {"hung_up": True}


async def test_a_gateway_of_ours_hangs_up_over_its_link(archive: MemoryArchive) -> None:
    linked, call = Linked(), archive.summaries[only(archive, "opq-echo_http")]
    servers = ServerRoutes([], archive, gateways=linked)
    async with TestClient(TestServer(application(archive, servers=servers))) as client:
        await post(client, f"/api/calls/{call.correlation_id}/hangup")
        assert linked.asked == [("hangup", {"session_id": call.session_id, "handle_id": call.handle_id})]
        said = await post(client, f"/api/calls/{call.correlation_id}/hangup", status=502)
        assert said["error"]["message"] == "janus-ref: no such session 1"


@pytest.mark.parametrize(
    "path", ["sessions/0", "sessions/x", "sessions/-1", "sessions/1/handles/x", "sessions/99999999999999999999"]
)
async def test_an_id_that_is_none_is_refused(client: Client, path: str) -> None:
    assert "wanted an id" in (await get(client, f"/api/servers/janus-ref/{path}", 400))["error"]["message"]


async def test_what_is_not_there_and_what_can_not_be_reached(
    client: Client, janus: tuple[RecordedJanus, ServerAddress], archive: MemoryArchive
) -> None:
    await get(client, "/api/servers/another", 404)
    assert (await get(client, "/api/servers/janus-ref/sessions/1234", 404))["error"]["message"] == (
        "janus-ref: No such session 1234 (458)"
    )
    address = ServerAddress(name="gone", url="http://127.0.0.1:9/admin")
    async with TestClient(TestServer(application(archive, servers=ServerRoutes([client_of(address)])))) as lone:
        said = await get(lone, "/api/servers/gone", 502)
    assert said["error"]["code"] == "unreachable" and said["error"]["message"].startswith("gone: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b'{"janus": "error", "error": "x"}', "no reason (0)"),
    ],
)
async def test_an_answer_that_is_none_is_said_to_be(
    client: Client, janus: tuple[RecordedJanus, ServerAddress], body: bytes, message: str
) -> None:
    janus[0].garbled = body
    assert message in (await get(client, "/api/servers/janus-ref", 502))["error"]["message"]


async def test_a_wrong_secret_is_the_servers_refusal_and_is_not_shown(
    janus: tuple[RecordedJanus, ServerAddress], tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("not this one")
    client = client_of(ServerAddress(name="j", url=janus[1].url, secret_file=str(tmp_path / "wrong")))
    with pytest.raises(AdminRefusedError, match=r"Unauthorized request .* \(403\)$") as refusal:
        await client.ask("list_sessions")
    assert "not this one" not in str(refusal.value)
    await client.close()


async def test_a_great_many_sessions_are_cut(client: Client, janus: tuple[RecordedJanus, ServerAddress]) -> None:
    many = list(range(1, 100_001))
    janus[0].answers["/admin", "list_sessions"] = {"janus": "success", "sessions": [*many, "x", None]}
    server = await get(client, "/api/servers/janus-ref")
    assert (server["total"], len(server["sessions"])) == (100_000, MAX_SESSIONS)


@pytest.mark.parametrize("url", ["", "janus:7088", "ftp://janus/admin", "http://user:pw@janus/admin"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(ValueError, match=r"admin: j: url: .*wanted http://host:7088/admin"):
        client_of(ServerAddress(name="j", url=url))
