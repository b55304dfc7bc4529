"""The Janus API over real Unix sockets of both kinds."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.core.admin import AdminApi
from appliance.core.admin_tools import AdminTools
from appliance.core.transport import KeepsFiles
from appliance.transports.unix import UnixConfig, UnixTransport
from tests.core.admin_world import FakeCaptures, FakeCollector, FakeLogs, FakeNetwork
from tests.core.fake_media import OFFER
from tests.core.world import JsonObject, World
from tests.transports.turns import until

KINDS = {"SEQPACKET": socket.SOCK_SEQPACKET, "DGRAM": socket.SOCK_DGRAM}


class Served:
    def __init__(self, world: World, transport: UnixTransport, folder: Path) -> None:
        self.world = world
        self.transport = transport
        self.folder = folder

    @asynccontextmanager
    async def connect(self, *, admin: bool = False, bind: bool = True) -> AsyncIterator["Peer"]:
        config = self.transport.config
        with socket.socket(socket.AF_UNIX, KINDS[config.type]) as end:
            end.setblocking(False)
            if config.type == "DGRAM" and bind:
                end.bind(str(self.folder / f"client{id(end)}"))
            end.connect(config.admin_path if admin else config.path)
            yield Peer(end)

    def told(self) -> list[JsonObject]:
        return [item.event.data for item in self.world.events if item.type == 128]


class Peer:
    def __init__(self, end: socket.socket) -> None:
        self.end = end

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.end, data)

    async def hear(self) -> JsonObject:
        async with asyncio.timeout(5):
            message: JsonObject = json.loads(await asyncio.get_running_loop().sock_recv(self.end, 2**20))
            return message

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        await self.say(json.dumps({"janus": janus, "transaction": "t", **rest}).encode())
        return await self.hear()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def serving(folder: Path, kind: str, **settings: Any) -> AsyncIterator[Served]:
    world = World()
    config = UnixConfig(path=str(folder / "janus"), admin_path=str(folder / "admin"), type=kind, **settings)  # type: ignore[arg-type]  # one of two words
    transport = UnixTransport(config)
    tools = AdminTools(captures=FakeCaptures(), network=FakeNetwork(), collector=FakeCollector(), logs=FakeLogs())
    transport.serve_admin(AdminApi(world.gateway, tools))
    await transport.start(world.gateway)
    try:
        yield Served(world, transport, folder)
    finally:
        await transport.stop()


async def test_a_call(tmp_path: Path, kind: str) -> None:
    async with serving(tmp_path, kind) as served, served.connect() as peer:
        session_id = (await peer.ask("create"))["data"]["id"]
        attached = await peer.ask("attach", session_id=session_id, plugin="janus.plugin.echotest")
        ids = {"session_id": session_id, "handle_id": attached["data"]["id"]}
        offer = {"type": "offer", "sdp": OFFER}
        assert (await peer.ask("message", **ids, body={"audio": True}, jsep=offer))["janus"] == "ack"
        served.world.settle()
        assert (await peer.hear())["jsep"]["type"] == "answer"
        served.world.media.peer.connect()
        assert [(await peer.hear())["janus"] for _ in range(3)] == ["webrtcup", "media", "media"]
        assert (await peer.ask("destroy", session_id=session_id))["janus"] == "success"
        assert served.told()[0].items() >= {"event": "connected", "admin_api": False}.items()


async def test_without_a_path_it_is_in_the_data_directory(tmp_path: Path) -> None:
    transport = UnixTransport(UnixConfig())
    assert isinstance(transport, KeepsFiles)
    transport.open(tmp_path)
    await transport.start(World().gateway)
    assert transport.url == f"unix:{tmp_path}/janus.sock"
    assert mode_of(tmp_path / "janus.sock") == 0o600
    await transport.stop()


async def test_the_admin_api_has_its_own_path_and_the_owner_alone_comes_in(tmp_path: Path, kind: str) -> None:
    async with serving(tmp_path, kind) as served:
        async with served.connect(admin=True) as peer:
            assert (await peer.ask("ping"))["janus"] == "pong"
            assert (await peer.ask("list_sessions"))["sessions"] == []
        for name in ("janus", "admin"):
            assert mode_of(tmp_path / name) == 0o600
        assert not served.transport.exposes_admin
    assert not (tmp_path / "janus").exists()


async def test_what_is_no_json_or_too_long_is_answered_and_the_rest_goes_on(tmp_path: Path, kind: str) -> None:
    async with serving(tmp_path, kind, max_message_bytes=2000) as served, served.connect() as peer:
        for data, code in ((b"{", 454), (b"[" * 1999, 454), (b"\xff", 454), (b" " * 3000, 450), (b"[]", 454)):
            await peer.say(data)
            assert (await peer.hear())["error"]["code"] in {code, 455}, data[:10]
        assert (await peer.ask("ping"))["janus"] == "pong"
        assert served.transport.exchange.limits == {"message_bytes": 1}


async def test_a_session_ends_with_its_socket(tmp_path: Path) -> None:
    async with serving(tmp_path, "SEQPACKET") as served:
        async with served.connect() as peer:
            await peer.ask("create")
            assert len(served.world.gateway.sessions) == 1
        await until(lambda: not served.world.gateway.sessions)
        await until(lambda: {"event": "disconnected"} in served.told())


async def test_a_socket_whose_session_timed_out_is_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, "SEQPACKET") as served, served.connect() as peer:
        await peer.ask("create")
        served.world.gateway.start()
        for _ in range(70):
            served.world.clock.advance(1.0)
        assert (await peer.hear())["janus"] == "timeout"
        async with asyncio.timeout(5):
            assert await asyncio.get_running_loop().sock_recv(peer.end, 100) == b""


async def test_who_can_not_be_answered_is_not_served(tmp_path: Path) -> None:
    async with serving(tmp_path, "DGRAM") as served:
        async with served.connect(bind=False) as peer:
            await peer.say(b'{"janus":"create","transaction":"t"}')
            await until(lambda: served.transport.exchange.limits["bad_frame"] == 1)
        assert not served.world.gateway.sessions


async def test_a_path_that_is_gone_ends_its_sessions(tmp_path: Path) -> None:
    async with serving(tmp_path, "DGRAM") as served:
        async with served.connect() as peer:
            session_id = (await peer.ask("create"))["data"]["id"]
        async with served.connect() as other:
            await other.ask("ping")
        client = next(iter(served.transport._doors[0].clients))
        client.push(session_id, {"janus": "event"})
        await until(lambda: not served.world.gateway.sessions)


async def test_there_is_room_for_so_many(tmp_path: Path) -> None:
    async with serving(tmp_path, "SEQPACKET", max_connections=1) as served, served.connect() as peer:
        assert (await peer.ask("ping"))["janus"] == "pong"
        async with served.connect() as other:
            assert await asyncio.get_running_loop().sock_recv(other.end, 100) == b""
        assert served.transport.exchange.limits["connections"] == 1
        assert served.transport.query({"request": "connections"}) == {"result": 200, "connections": 1}


async def test_a_path_that_somebody_serves_is_refused(tmp_path: Path, kind: str) -> None:
    async with serving(tmp_path, kind):
        with pytest.raises(OSError, match="somebody listens there already"):
            async with serving(tmp_path, kind):
                pass


def test_one_path_for_both_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted two, or one"):
        UnixTransport(UnixConfig(path="/x", admin_path="/x"))
