"""The Admin API over real HTTP and WebSockets: who is let in, and what is told of it."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from appliance.core import events
from appliance.core.admin import AdminApi
from appliance.core.admin_tools import AdminTools
from appliance.transports.admin import AdminConfig, AdminHttp, AdminWebSocket, check_exposure
from tests.core.admin_world import FakeCaptures, FakeCollector, FakeLogs, FakeNetwork
from tests.core.world import JsonObject, World

FORBIDDEN = "Unauthorized request (wrong or missing secret/token)"


class Doors:
    def __init__(self, world: World, http: AdminHttp, socket: AdminWebSocket, client: aiohttp.ClientSession) -> None:
        self.world = world
        self.http = http
        self.socket = socket
        self.client = client

    async def ask(self, method: str, path: str = "", **rest: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        async with self.client.request(method, self.http.url + path, **rest) as reply:
            return reply.status, await reply.json() if reply.content_type.endswith("json") else "", reply

    async def post(self, janus: str, path: str = "", **rest: Any) -> JsonObject:
        status, answer, _ = await self.ask("POST", path, json={"janus": janus, "transaction": "t"} | rest)
        assert status == 200
        reply: JsonObject = answer
        return reply


async def open_doors(**settings: Any) -> AsyncIterator[Doors]:
    config = AdminConfig(**{"http_port": 0, "websocket_port": 0} | settings)
    world = World()
    tools = AdminTools(captures=FakeCaptures(), network=FakeNetwork(), collector=FakeCollector(), logs=FakeLogs())
    api = AdminApi(world.gateway, tools, config.secret)
    http, socket = AdminHttp(config, api, world.clock), AdminWebSocket(config, api, world.clock)
    await http.start()
    await socket.start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Doors(world, http, socket, client)
    finally:
        await http.stop()
        await socket.stop()


async def test_over_http() -> None:
    async for doors in open_doors(secret="hush"):
        session_id = doors.world.session()
        assert (await doors.post("list_sessions", admin_secret="hush"))["sessions"] == [session_id]
        assert (await doors.post("list_sessions"))["error"] == {"code": 403, "reason": FORBIDDEN}
        assert (await doors.post("list_handles", f"/{session_id}", admin_secret="hush"))["handles"] == []
        conflict = await doors.post("list_handles", f"/{session_id}", session_id=5)
        assert conflict["error"]["reason"] == "Conflicting session ID (payload and path)"
        for path, what in (("/info", "server_info"), ("/ping", "pong")):
            status, answer, _ = await doors.ask("GET", path)
            assert (status, answer["janus"]) == (200, what)
        for method, path, status in (
            ("GET", "", 400),
            ("GET", f"/{session_id}", 400),
            ("POST", "/ping", 400),
            ("POST", "/1/2/3", 404),
            ("GET", "/../janus", 404),
        ):
            assert (await doors.ask(method, path))[0] == status
        _, broken, _ = await doors.ask("POST", data=b"this is no JSON")
        assert broken["error"]["code"] == 454
        told = [body for body in doors.world.bodies() if isinstance(body, events.Transport)]
        assert {(body.transport, body.data["event"], body.data["admin_api"]) for body in told} == {
            ("janus.transport.http", "request", True)
        }
        assert "hush" not in str(doors.world.events)


async def test_over_websocket() -> None:
    async for doors in open_doors(secret="hush"):
        socket = await doors.client.ws_connect(doors.socket.url, protocols=("janus-admin-protocol",))
        await socket.send_json({"janus": "list_sessions", "transaction": "t", "admin_secret": "hush"})
        assert await socket.receive_json() == {"janus": "success", "transaction": "t", "sessions": []}
        await socket.send_str("no JSON")
        assert (await socket.receive_json())["error"]["code"] == 454
        await socket.close()
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await doors.client.ws_connect(doors.socket.url, protocols=("janus-protocol",))


async def test_web_pages_stay_outside() -> None:
    page = {"Origin": "http://127.0.0.1:8080"}
    async for doors in open_doors():
        status, _, reply = await doors.ask("POST", json={"janus": "ping", "transaction": "t"}, headers=page)
        assert (status, "Access-Control-Allow-Origin" in reply.headers) == (403, False)
        assert (await doors.ask("OPTIONS", headers=page))[0] == 403
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await doors.client.ws_connect(doors.socket.url, protocols=("janus-admin-protocol",), headers=page)
        _, answer, reply = await doors.ask("GET", "/ping")
        assert (answer["janus"], "Access-Control-Allow-Origin" in reply.headers) == ("pong", False)


async def test_the_page_that_is_named_comes_in() -> None:
    async for doors in open_doors(allow_origin="https://ops.example"):
        status, _, reply = await doors.ask("GET", "/ping", headers={"Origin": "https://ops.example"})
        assert (status, reply.headers["Access-Control-Allow-Origin"]) == (200, "https://ops.example")
        assert (await doors.ask("GET", "/ping", headers={"Origin": "https://other.example"}))[0] == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "gateway.example"])
def test_others_come_in_only_where_there_is_a_secret(host: str) -> None:
    with pytest.raises(ValueError, match="wanted secret or secret_file"):
        check_exposure(AdminConfig(host=host), "")
    check_exposure(AdminConfig(host=host), "hush")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_comes_in_without(host: str) -> None:
    check_exposure(AdminConfig(host=host), "")


@pytest.mark.parametrize(("secret", "status"), [("", 403), ("s3cret", 200)])
async def test_a_name_that_may_have_been_pointed_here_is_refused_where_no_secret_guards(
    secret: str, status: int
) -> None:
    async for doors in open_doors(secret=secret):
        for host, expected in (("evil.example:7088", status), ("localhost:7088", 200), ("127.0.0.1", 200)):
            code, _, _ = await doors.ask("GET", "/info", headers={"Host": host})
            assert code == expected
        protocols = ("janus-admin-protocol",)
        headers = {"Host": "evil.example"}
        if secret:
            await (await doors.client.ws_connect(doors.socket.url, protocols=protocols, headers=headers)).close()
            continue
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await doors.client.ws_connect(doors.socket.url, protocols=protocols, headers=headers)
        assert refusal.value.status == 403
