"""The example transport: a package of its own, found through its entry point."""

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.components import Components
from tests.core.world import JsonObject, World
from tests.examples.install import install
from tests.peers.appliance import appliance
from tests.transports.turns import until


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Any]]:
    for path in install("lines", tmp_path):
        monkeypatch.syspath_prepend(path)
    importlib.invalidate_caches()
    yield Components("transports").load("lines")
    sys.modules.pop("lines_transport", None)


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, line: bytes) -> JsonObject:
        self.writer.write(line + b"\n")
        return await self.hear()

    async def hear(self) -> JsonObject:
        async with asyncio.timeout(5):
            message: JsonObject = json.loads(await self.reader.readline())
            return message


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def serving(lines: type[Any], **settings: Any) -> AsyncIterator[tuple[World, Any]]:
    world, transport = World(), lines(lines.Config(port=0, **settings))
    await transport.start(world.gateway)
    try:
        yield world, transport
    finally:
        await transport.stop()


async def test_requests_are_answered_and_events_follow(lines: type[Any]) -> None:
    async with serving(lines) as (world, transport), connected(transport.url) as peer:
        created = await peer.ask(b'{"janus": "create", "transaction": "1"}')
        assert (created["janus"], created["transaction"]) == ("success", "1")
        world.gateway.sessions[created["data"]["id"]].expire()
        assert (await peer.hear())["janus"] == "timeout"


async def test_what_is_no_json_is_refused_and_the_next_is_served(lines: type[Any]) -> None:
    async with serving(lines) as (_, transport), connected(transport.url) as peer:
        assert (await peer.ask(b"{"))["error"]["code"] == 454
        assert (await peer.ask(b'{"janus": "ping", "transaction": "2"}'))["janus"] == "pong"


async def test_a_line_that_is_too_long_ends_the_connection_and_its_sessions(lines: type[Any]) -> None:
    async with serving(lines, max_message_bytes=1000) as (world, transport), connected(transport.url) as peer:
        await peer.ask(b'{"janus": "create", "transaction": "1"}')
        peer.writer.write(b"x" * 5000)
        assert await peer.reader.read() == b""
        await until(lambda: not world.gateway.sessions)


async def test_there_is_room_for_so_many(lines: type[Any]) -> None:
    async with serving(lines, max_connections=1) as (_, transport), connected(transport.url) as peer:
        await peer.ask(b'{"janus": "ping", "transaction": "1"}')
        with pytest.raises((ConnectionError, json.JSONDecodeError)):
            async with connected(transport.url) as other:
                await other.ask(b'{"janus": "ping", "transaction": "1"}')
        assert [count.value for count in transport.measure()] == [1, 1]


async def test_the_appliance_finds_it_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", ":".join(install("lines", site)))
    async with (
        appliance(tmp_path / "data", ["transports.lines.port=0"]) as running,
        connected(running.addresses["lines"]) as peer,
    ):
        told = await peer.ask(b'{"janus": "info", "transaction": "1"}')
        assert told["transports"]["example.transport.lines"]["name"] == "Lines transport"
