"""The Janus API over real WebSockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from appliance.core import events
from appliance.transports.websocket import WebSocketTransport
from tests.core.fake_media import OFFER
from tests.core.world import JsonObject, World
from tests.transports.turns import until


class Server:
    """A world with a WebSocket transport."""

    def __init__(self, world: World, transport: WebSocketTransport, client: aiohttp.ClientSession) -> None:
        self.world = world
        self.transport = transport
        self.client = client

    async def connect(self, **rest: Any) -> aiohttp.ClientWebSocketResponse:
        options = {"protocols": ("janus-protocol",)} | rest
        return await self.client.ws_connect(self.transport.url, **options)

    async def until(self, count: int) -> None:
        """Until so many transport events were published."""
        await until(lambda: sum(item.type == 128 for item in self.world.events) >= count)


async def serve(config: WebSocketTransport.Config) -> AsyncIterator[Server]:
    world = World()
    transport = WebSocketTransport(config)
    await transport.start(world.gateway)
    try:
        async with aiohttp.ClientSession() as client:
            yield Server(world, transport, client)
    finally:
        await transport.stop()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async for each in serve(WebSocketTransport.Config(port=0)):
        yield each


async def ask(socket: aiohttp.ClientWebSocketResponse, janus: str, **rest: Any) -> JsonObject:
    await socket.send_str(json.dumps({"janus": janus, "transaction": "t", **rest}))
    answer: JsonObject = await socket.receive_json()
    return answer


async def test_a_call(server: Server) -> None:
    """The messages of the recorded reneg_icerestart, its first and last ones."""
    socket = await server.connect()
    assert socket.protocol == "janus-protocol"
    session_id = (await ask(socket, "create"))["data"]["id"]
    attached = await ask(socket, "attach", session_id=session_id, plugin="janus.plugin.echotest")
    ids = {"session_id": session_id, "handle_id": attached["data"]["id"]}
    offer = {"type": "offer", "sdp": OFFER}
    assert (await ask(socket, "message", **ids, body={"audio": True}, jsep=offer))["hint"] == "I'm taking my time!"
    server.world.settle()
    assert (await socket.receive_json())["jsep"]["type"] == "answer"
    server.world.media.peer.connect()
    assert [(await socket.receive_json())["janus"] for _ in range(3)] == ["webrtcup", "media", "media"]
    assert (await ask(socket, "hangup", **ids))["janus"] == "success"
    server.world.settle()
    assert [(await socket.receive_json())["janus"] for _ in range(2)] == ["event", "hangup"]
    assert (await ask(socket, "detach", **ids))["janus"] == "success"
    server.world.settle()
    assert (await socket.receive_json())["janus"] == "detached"
    assert (await ask(socket, "destroy", session_id=session_id))["janus"] == "success"
    server.world.settle()
    await socket.close()
    await server.until(2)
    connected, disconnected = (body for body in server.world.bodies() if isinstance(body, events.Transport))
    assert connected.data | {"port": 0, "local_port": 0, "user_agent": "x"} == {
        "event": "connected", "admin_api": False, "ip": "127.0.0.1", "port": 0,
        "local_ip": "127.0.0.1", "local_port": 0, "user_agent": "x",
    }  # fmt: skip
    assert disconnected.data == {"event": "disconnected"}
    created = next(body for body in server.world.bodies() if isinstance(body, events.Session))
    assert created.transport == events.TransportRef("janus.transport.websockets", connected.id)
    assert connected.id == disconnected.id


async def test_a_session_ends_with_its_socket(server: Server) -> None:
    socket = await server.connect()
    other = await server.connect()
    session_id = (await ask(socket, "create"))["data"]["id"]
    await ask(socket, "attach", session_id=session_id, plugin="janus.plugin.echotest")
    kept = (await ask(other, "create"))["data"]["id"]
    server.world.events.clear()
    await socket.close()
    await server.until(1)
    # janus-1.4: 128 disconnected, 1 destroyed, 2 detached.
    assert server.world.kinds() == [(128, ""), (1, "destroyed"), (2, "detached")]
    assert list(server.world.gateway.sessions) == [kept]
    await other.close()


async def test_a_burst_is_answered_in_order(server: Server) -> None:
    socket = await server.connect()
    for number in range(100):
        await socket.send_str(json.dumps({"janus": "ping", "transaction": str(number)}))
    assert [(await socket.receive_json())["transaction"] for _ in range(100)] == [str(n) for n in range(100)]
    await socket.close()


async def test_text_that_is_no_json_is_answered_and_harms_nothing(server: Server) -> None:
    socket = await server.connect()
    await socket.send_str("this is not json")
    assert await socket.receive_json() == {
        "janus": "error",
        "error": {
            "code": 454,
            # As a real Janus 1.4.1 has it over its other message-based transport.
            "reason": "Invalid Janus API request - <string>(1,4): '[' or '{' expected near 'this'",
        },
    }
    await socket.send_str("[1]")
    assert (await socket.receive_json())["error"] == {"code": 455, "reason": "JSON error: not an object"}
    await socket.send_bytes(b'{"janus": "ping", "transaction": "t"}')
    assert (await socket.receive_json())["janus"] == "pong"
    await socket.close()


async def test_the_subprotocol_is_asked_for(server: Server) -> None:
    for protocols in ((), ("janus-admin-protocol",)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await server.connect(protocols=protocols)
        assert refusal.value.status == 400
    socket = await server.connect(protocols=("other", "janus-protocol"))
    assert socket.protocol == "janus-protocol"
    await socket.close()
    async with server.client.get(server.transport.url.replace("ws:", "http:")) as response:
        assert response.status == 426
        assert "janus-protocol" in await response.text()
    told = [body.id for body in server.world.bodies() if isinstance(body, events.Transport)]
    assert len(set(told)) == 1, "who was refused never connected"


async def test_one_origin() -> None:
    async for server in serve(WebSocketTransport.Config(port=0, allow_origin="http://a.example")):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await server.connect(origin="http://b.example")
        assert refusal.value.status == 403
        for origin in ("http://a.example", None):
            await (await server.connect(origin=origin)).close()


async def test_connections_and_frames_are_bounded() -> None:
    async for server in serve(WebSocketTransport.Config(port=0, max_connections=1, max_message_bytes=1000)):
        socket = await server.connect()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await server.connect()
        assert refusal.value.status == 503
        await socket.send_str(" " * 1001)
        frame = await socket.receive()
        assert (frame.type, frame.data) == (aiohttp.WSMsgType.CLOSE, 1009)
        await server.until(2)
        counters = list(server.transport.measure())
        limits = {c.labels["limit"]: c.value for c in counters if c.name == "transport_limits_total"}
        assert limits == {"connections": 1, "message_bytes": 1}
        assert {c.name: c.value for c in counters}["transport_connections"] == 0


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    async for server in serve(WebSocketTransport.Config(port=0, max_queued_bytes=100_000)):
        socket = await server.connect()
        other = await server.connect()
        session_id = (await ask(socket, "create"))["data"]["id"]
        session = server.world.gateway.sessions[session_id]
        async with asyncio.timeout(10):
            # The kernel's buffers take some first.
            while server.transport.dropped["queue_full"] == 0:
                session.push({"janus": "event", "session_id": session_id, "filler": "x" * 50_000})
                await asyncio.sleep(0)
        await server.until(3)
        assert session_id not in server.world.gateway.sessions
        assert (await ask(other, "ping"))["janus"] == "pong"
        await other.close()


async def test_stopping_closes_the_sockets() -> None:
    world = World()
    transport = WebSocketTransport(WebSocketTransport.Config(port=0))
    await transport.start(world.gateway)
    async with aiohttp.ClientSession() as client:
        socket = await client.ws_connect(transport.url, protocols=("janus-protocol",))
        await ask(socket, "create")
        stopping = asyncio.create_task(transport.stop())
        frame = await socket.receive()
        assert (frame.type, frame.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        await stopping
    assert world.gateway.sessions == {}
