"""The Janus API over real HTTP, on a clock that moves when the test says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.core import events
from appliance.core.gateway import GatewayConfig
from appliance.transports.http import HttpTransport
from tests.core.world import FakeClient, JsonObject, World
from tests.transports.turns import until

RECORDED = Path(__file__).parent.parent / "data" / "janus-1.4" / "http_errors.api.jsonl"


class Server:
    """A world with an HTTP transport, and a client of it."""

    def __init__(self, world: World, transport: HttpTransport, client: aiohttp.ClientSession) -> None:
        self.world = world
        self.transport = transport
        self.client = client
        self.root = f"http://127.0.0.1:{transport.port}"

    async def ask(self, method: str, path: str, **rest: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        async with self.client.request(method, self.root + path, allow_redirects=False, **rest) as response:
            text = await response.text()
            self.world.settle()
            return response.status, json.loads(text) if text else "", response

    async def post(self, path: str, janus: str, **rest: Any) -> JsonObject:
        status, reply, _ = await self.ask("POST", path, json={"janus": janus, "transaction": "t", **rest})
        assert status == 200
        answer: JsonObject = reply
        return answer

    async def session(self) -> str:
        return f"/janus/{(await self.post('/janus', 'create'))['data']['id']}"

    async def handle(self, session: str) -> str:
        return f"{session}/{(await self.post(session, 'attach', plugin='janus.plugin.echotest'))['data']['id']}"

    async def poll(self, session: str, query: str = "") -> "asyncio.Task[tuple[int, Any, aiohttp.ClientResponse]]":
        """A long poll that has come to wait, or is answered already."""
        client = self.transport.clients[int(session.split("/")[2])]
        waiting = len(client._polls)
        task = asyncio.create_task(self.ask("GET", session + query))
        await until(lambda: len(client._polls) != waiting or task.done())
        return task


async def serve(config: HttpTransport.Config, api: GatewayConfig | None = None) -> AsyncIterator[Server]:
    world = World(api, start=True)
    transport = HttpTransport(config, world.clock)
    await transport.start(world.gateway)
    try:
        async with aiohttp.ClientSession() as client:
            yield Server(world, transport, client)
    finally:
        await transport.stop()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async for each in serve(HttpTransport.Config(port=0)):
        yield each


async def test_the_recorded_conversation_word_for_word(server: Server) -> None:
    """Statuses, headers and bodies of a real Janus 1.4.1; the 30 s of its polls pass on our clock."""
    ids: dict[str, str] = {}
    replayed = 0
    for text in RECORDED.read_text().splitlines():
        line = text
        for theirs, ours in ids.items():
            line = line.replace(theirs, ours)
        exchange = json.loads(line)
        request, wanted = exchange["request"], exchange["reply"]
        body = request if isinstance(request, str) else json.dumps(request)
        if exchange["method"] == "GET" and "maxev" in exchange["path"] and "keepalive" in str(wanted):
            path, _, query = exchange["path"].partition("?")
            poll = await server.poll(path, f"?{query}")
            server.world.clock.advance(29.9)
            assert not poll.done()
            server.world.clock.advance(0.1)
            status, reply, response = await poll
        else:
            data = body if exchange["method"] in {"POST", "PUT"} else None
            status, reply, response = await server.ask(exchange["method"], exchange["path"], data=data)
        if exchange["method"] == "PUT":
            # Janus closes the connection, which tells a client nothing.
            assert (status, reply["error"]) == (200, {"code": 450, "reason": "Unsupported method PUT"})
            continue
        if isinstance(reply, dict) and "data" in reply:
            ids[str(wanted["data"]["id"])] = str(reply["data"]["id"])
            wanted["data"]["id"] = reply["data"]["id"]
        if isinstance(reply, dict) and reply.get("janus") in {"server_info", "pong"}:
            # The server makes the transaction up.
            assert (reply["janus"], len(reply["transaction"])) == (wanted["janus"], 12)
            reply = wanted
        assert (status, json.dumps(reply)) == (exchange["status"], json.dumps(wanted)), exchange
        for name, value in exchange["headers"].items():
            assert response.headers[name] == value, exchange
        replayed += 1
    assert replayed == 37


async def test_each_request_is_an_event_and_create_names_its_own(server: Server) -> None:
    await server.session()
    await server.ask("GET", "/other")
    told = [body for body in server.world.bodies() if isinstance(body, events.Transport)]
    created = next(body for body in server.world.bodies() if isinstance(body, events.Session))
    assert created.transport == events.TransportRef("janus.transport.http", told[0].id)
    assert told[0].id.isdigit()
    assert told[0].id != told[1].id
    assert list(told[0].data) == ["event", "admin_api", "ip", "port", "local_ip", "local_port", "user_agent"]
    assert told[0].data["event"] == "request"
    assert (told[0].data["ip"], told[0].data["local_port"]) == ("127.0.0.1", server.transport.port)
    # The request comes first, then what it did.
    assert server.world.kinds()[1][0] == 128


async def test_maxev_decides_between_object_and_array(server: Server) -> None:
    session = await server.session()
    session_id = int(session.split("/")[2])
    client = server.transport.clients[session_id]

    async def poll(query: str) -> Any:
        for number in range(3):
            client.push(session_id, {"janus": "event", "session_id": session_id, "n": number})
        status, reply, _ = await server.ask("GET", session + query)
        assert status == 200
        client.take(100)
        return reply

    assert (await poll(""))["n"] == 0
    assert (await poll("?maxev=1"))["n"] == 0
    assert (await poll("?maxev=0"))["n"] == 0
    assert (await poll("?maxev=x"))["n"] == 0
    assert [one["n"] for one in await poll("?maxev=2")] == [0, 1]
    assert [one["n"] for one in await poll("?rid=1795227514395&maxev=10")] == [0, 1, 2]
    keepalive = await server.poll(session, "?maxev=2")
    server.world.clock.advance(30)
    assert (await keepalive)[1] == [{"janus": "keepalive"}]


async def test_an_event_wakes_every_poll(server: Server) -> None:
    session = await server.session()
    handle = await server.handle(session)
    polls = [await server.poll(session) for _ in range(3)]
    assert not any(poll.done() for poll in polls)
    await server.post(handle, "message", body={"audio": True})
    replies = [reply for _, reply, _ in await asyncio.gather(*polls)]
    assert replies[0]["plugindata"]["data"]["result"] == "ok"
    assert replies[1:] == [{"janus": "keepalive"}] * 2


async def test_a_poll_keeps_the_session_alive(server: Server) -> None:
    session = await server.session()
    for _ in range(4):
        poll = await server.poll(session)
        server.world.clock.advance(30)
        assert (await poll)[1] == {"janus": "keepalive"}
    server.world.clock.advance(25)
    poll = await server.poll(session)
    server.world.clock.advance(25)
    assert not poll.done()
    server.world.clock.advance(5)
    await poll
    server.world.clock.advance(62)
    assert (await server.ask("GET", session))[0] == 404


async def test_a_session_that_times_out_says_so_to_its_poll(server: Server) -> None:
    session = await server.session()
    server.world.clock.advance(59)
    # Nothing asks any more, but a poll of before still waits: it began at 59 s, so it ends first by a keepalive.
    poll = await server.poll(session, "?maxev=5")
    server.world.gateway.sessions[int(session.split("/")[2])].last_activity -= 60
    server.world.clock.advance(3)
    assert (await poll)[1] == [{"janus": "timeout", "session_id": int(session.split("/")[2])}]
    assert (await server.ask("GET", session))[0] == 404
    assert server.transport.clients == {}


async def test_a_poll_of_a_destroyed_session_ends(server: Server) -> None:
    session = await server.session()
    poll = await server.poll(session)
    assert (await server.post(session, "destroy"))["janus"] == "success"
    assert (await poll)[1] == {"janus": "keepalive"}
    assert (await server.ask("GET", session))[0] == 404


async def test_a_client_that_goes_away_takes_nothing_with_it(server: Server) -> None:
    session = await server.session()
    poll = await server.poll(session)
    client = server.transport.clients[int(session.split("/")[2])]
    poll.cancel()
    await until(lambda: not client._polls)
    client.push(int(session.split("/")[2]), {"janus": "event", "session_id": 1})
    assert (await server.ask("GET", session))[1]["janus"] == "event"


async def test_the_queue_of_a_session_is_bounded() -> None:
    async for server in serve(HttpTransport.Config(port=0, max_queued_events=3)):
        session = await server.session()
        session_id = int(session.split("/")[2])
        for number in range(5):
            server.transport.clients[session_id].push(session_id, {"n": number})
        reply = (await server.ask("GET", session + "?maxev=100"))[1]
        assert [one["n"] for one in reply] == [2, 3, 4]
        assert server.transport.dropped == {"queue_full": 2}


async def test_the_polls_of_a_session_are_bounded(server: Server) -> None:
    session = await server.session()
    polls = [await server.poll(session) for _ in range(16)]
    last = asyncio.create_task(server.ask("GET", session))
    assert (await polls[0])[1] == {"janus": "keepalive"}
    assert not any(poll.done() for poll in polls[1:])
    server.world.clock.advance(30)
    await asyncio.gather(*polls, last)


async def test_paths(server: Server) -> None:
    session = await server.session()
    handle = await server.handle(session)
    assert (await server.ask("GET", "/janus"))[0] == 404
    assert (await server.ask("GET", "/janusx"))[0] == 404
    assert (await server.ask("POST", handle + "/more", data="{}"))[0] == 404
    assert (await server.ask("POST", "/janus/info", data="{}"))[0] == 400
    status, _, response = await server.ask("GET", handle)
    assert (status, response.headers["Location"]) == (302, session)
    assert (await server.ask("GET", "/janus/nonsense"))[0] == 404
    assert (await server.post(session + "/", "keepalive"))["janus"] == "ack"
    # Leading digits count, as C reads numbers.
    assert (await server.post(session + "x", "keepalive"))["janus"] == "ack"


async def test_ids_may_be_in_the_body_but_not_differ(server: Server) -> None:
    session = await server.session()
    session_id, handle_id = (int(part) for part in (await server.handle(session)).split("/")[2:])
    ids: JsonObject = {"session_id": session_id, "handle_id": handle_id}
    assert (await server.post("/janus", "keepalive", **ids))["janus"] == "ack"
    assert (await server.post(f"{session}/{handle_id}", "keepalive", **ids))["janus"] == "ack"
    # What is no integer, or 0, names no session: the path does.
    nothings: tuple[Any, ...] = (None, 0, True, "5", [5], {}, 5.5)
    for nothing in nothings:
        assert (await server.post(session, "keepalive", session_id=nothing))["janus"] == "ack"
    for path, body, reason in (
        (session, {"session_id": 5}, "Conflicting session ID (payload and path)"),
        (f"{session}/{handle_id}", {"handle_id": 5}, "Conflicting handle ID (payload and path)"),
    ):
        refused = await server.post(path, "keepalive", **body)
        assert refused == {"janus": "error", "error": {"code": 457, "reason": reason}}
        assert server.world.kinds()[-1] == (256, 5, 457)


async def test_an_empty_body_and_one_too_large() -> None:
    async for server in serve(HttpTransport.Config(port=0, max_message_bytes=100)):
        status, reply, _ = await server.ask("POST", "/janus", data=b"")
        assert (status, reply["error"]["code"]) == (200, 454)
        assert reply["error"]["reason"] == "JSON error: on line 1: '[' or '{' expected near end of file"
        status, reply, _ = await server.ask("POST", "/janus", data=b"x" * 101)
        assert (status, reply["error"]["reason"]) == (413, "Message too large, at most 100 bytes are read")
        assert server.transport.dropped == {"message_bytes": 1}


async def test_connections_are_bounded() -> None:
    async for server in serve(HttpTransport.Config(port=0, max_connections=1)):
        session = await server.session()
        poll = await server.poll(session)
        status, _, response = await server.ask("GET", "/janus/ping")
        assert (status, response.headers["Connection"]) == (503, "close")
        server.world.clock.advance(30)
        assert (await poll)[0] == 200
        counts = {c.name: c.value for c in server.transport.measure()}
        assert (counts["transport_connections"], counts["transport_limits_total"]) == (1, 1)


async def test_a_preflight_is_allowed_what_it_asks(server: Server) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    status, _, response = await server.ask("OPTIONS", "/janus/5", headers=asked | {"Origin": "http://a.example"})
    assert status == 200
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Access-Control-Allow-Methods"] == "POST"
    assert response.headers["Access-Control-Allow-Headers"] == "content-type"
    assert response.headers["Access-Control-Max-Age"] == "86400"


async def test_one_origin() -> None:
    config = HttpTransport.Config(port=0, allow_origin="http://a.example", enforce_cors=True)
    async for server in serve(config):
        status, _, response = await server.ask("GET", "/janus/ping", headers={"Origin": "http://a.example"})
        assert status == 200
        assert response.headers["Access-Control-Allow-Origin"] == "http://a.example"
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Vary"] == "Origin"
        assert (await server.ask("GET", "/janus/ping", headers={"Origin": "http://b.example"}))[0] == 403
        assert (await server.ask("GET", "/janus/ping"))[0] == 200


async def test_polls_need_the_secret_too() -> None:
    async for server in serve(HttpTransport.Config(port=0), GatewayConfig(api_secret="hush")):
        session_id = (await server.post("/janus", "create", apisecret="hush"))["data"]["id"]
        for query in ("", "?apisecret=no", "?token=hush"):
            assert (await server.ask("GET", f"/janus/{session_id}{query}"))[0] == 403
        assert (await server.ask("GET", "/janus/1?apisecret=hush"))[0] == 404
        poll = await server.poll(f"/janus/{session_id}", "?apisecret=hush")
        server.world.clock.advance(30)
        assert (await poll)[0] == 200
        counts = {tuple(c.labels.values()): c.value for c in server.transport.measure() if "request" in c.labels}
        assert counts == {("http", "poll", "error"): 4, ("http", "poll", "success"): 1}


async def test_a_session_of_another_transport_can_be_claimed(server: Server) -> None:
    other = FakeClient()
    session_id = server.world.say("create", client=other)["data"]["id"]
    path = f"/janus/{session_id}"
    assert (await server.ask("GET", path))[0] == 404
    assert (await server.post(path, "keepalive"))["janus"] == "ack"
    assert (await server.post(path, "claim"))["janus"] == "success"
    assert other.over == [(session_id, False)]
    poll = await server.poll(path)
    assert (await server.post(path, "claim"))["janus"] == "success"
    assert not poll.done()
    server.world.say("claim", client=other, session_id=session_id)
    assert (await poll)[1] == {"janus": "keepalive"}


async def test_stopping_answers_the_polls() -> None:
    world = World()
    transport = HttpTransport(HttpTransport.Config(port=0), world.clock)
    await transport.start(world.gateway)
    assert transport.url == f"http://127.0.0.1:{transport.port}/janus"
    async with aiohttp.ClientSession() as client:
        server = Server(world, transport, client)
        poll = await server.poll(await server.session())
        async with asyncio.timeout(1.5):
            await transport.stop()
        assert (await poll)[1] == {"janus": "keepalive"}
