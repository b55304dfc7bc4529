"""A real call from end to end: aiortc as the client, our transports, gateway, EchoTest and media engine."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from appliance.core import events
from appliance.core.clock import LoopClock
from appliance.core.events import Event, from_janus
from appliance.core.gateway import Gateway, GatewayConfig
from appliance.core.transport import ApiTransport
from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from appliance.plugins.echotest import EchoTest
from appliance.transports.http import HttpTransport
from appliance.transports.websocket import WebSocketTransport
from tests.peers.caller import Journal, Server, caller
from tests.peers.phone import Phone

RECORDED = Path(__file__).parent / "data" / "janus-1.4" / "aiortc_echo.jsonl"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    journal, clock = Journal(), LoopClock()
    engine = Engine(MediaConfig(port=0), clock)
    await engine.start()
    plugins = {EchoTest.package: EchoTest(EchoTest.Config())}
    gateway = Gateway(GatewayConfig(), clock, journal.add, engine, plugins, server_name="call", measured=[engine])
    transports: list[ApiTransport] = [
        HttpTransport(HttpTransport.Config(port=0)),
        WebSocketTransport(WebSocketTransport.Config(port=0)),
    ]
    gateway.start(transports)
    try:
        for transport in transports:
            await transport.start(gateway)
        yield Server(journal, {transport.name: transport.url for transport in transports})
    finally:
        gateway.shutdown()
        for transport in transports:
            await transport.stop()
        await engine.stop()


def kind_of(item: Event) -> tuple[Any, ...]:
    body: Any = item.body
    words = [getattr(body, name) for name in ("name", "owner", "ice", "dtls", "connection") if hasattr(body, name)]
    return (int(item.type), item.subtype, *words)


def order_of(items: list[Event]) -> list[tuple[Any, ...]]:
    """What a Janus tells of a handle, without what repeats (statistics, candidates after the first of a kind)."""
    kinds: list[tuple[Any, ...]] = []
    for item in items:
        if item.type in {128, 256} or item.body.extension or isinstance(item.body, events.MediaStats):
            continue
        kind = kind_of(item)
        if kind not in kinds or kind[0] == 64:
            kinds.append(kind)
    return kinds


def recorded_order() -> list[tuple[Any, ...]]:
    lines = RECORDED.read_text().splitlines()
    return order_of([item for line in lines for item in from_janus(json.loads(line)["event"])])


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_call(server: Server, kind: str) -> None:
    journal = server.journal
    phone = Phone()
    async with caller(server, kind) as client:
        await client.begin(opaque_id="phone")
        body = {"audio": True, "video": True}
        assert (await client.ask("message", body=body, jsep=await phone.offer()))["janus"] == "ack"
        answered = await client.next("event")
        assert answered["plugindata"]["data"] == {"echotest": "event", "result": "ok"}
        await phone.answer(answered["jsep"])
        await client.next("webrtcup")
        media = [await client.next("media") for _ in range(2)]
        assert {(one["mid"], one["type"], one["receiving"]) for one in media} == {
            ("0", "audio", True), ("1", "video", True),
        }  # fmt: skip
        async with asyncio.timeout(15):
            assert await phone.texts.get() == "Janus EchoTest here! You wrote: hello over datachannel"
            await phone.frames["audio"].wait()
            await phone.frames["video"].wait()
        await journal.media_flow()
        await client.ask("message", body={"audio": True, "video": False})
        await client.next("event")
        await client.ask("message", body={"audio": True, "video": True, "bitrate": 128000})
        await client.next("event")
        assert (await client.ask("hangup"))["janus"] == "success"
        assert (await client.next("event"))["plugindata"]["data"]["result"] == "done"
        assert (await client.next("hangup"))["reason"] == "Janus API"
        await client.ask("detach")
        await client.next("detached")
        handle_id = client.ids.pop("handle_id")
        await client.ask("destroy")
        await journal.until(lambda one: one == events.Session(name="destroyed"))
    await phone.close()

    assert order_of(journal.items) == recorded_order()
    of_handle = [item for item in journal.items if item.handle_id is not None]
    assert {(item.handle_id, item.opaque_id) for item in of_handle} == {(handle_id, "phone")}
    last = {item.body.media: item.body for item in of_handle if isinstance(item.body, events.MediaStats)}
    assert set(last) == {"audio", "video", "data"}
    assert last["audio"].codec == "opus"
    assert last["video"].codec == "vp8"
    for stats in (last["audio"], last["video"]):
        assert (stats.packets_received or 0) > 5
        assert (stats.packets_sent or 0) > 5
        assert stats.lost == 0
    failed = [item.body for item in journal.items if isinstance(item.body, events.MediaFault | events.ApiError)]
    assert failed == []


async def test_a_client_that_closes(server: Server) -> None:
    """pc_close: the client ends its PeerConnection and keeps its session."""
    phone = Phone()
    async with caller(server, "websocket") as client:
        await client.begin()
        await client.ask("message", body={}, jsep=await phone.offer())
        await phone.answer((await client.next("event"))["jsep"])
        await client.next("webrtcup")
        await client.next("media")
        await client.next("media")
        await phone.close()
        assert (await client.next("event"))["plugindata"]["data"]["result"] == "done"
        assert (await client.next("hangup"))["reason"] == "DTLS alert"
        assert (await client.ask("keepalive"))["janus"] == "ack"


async def test_an_offer_whose_request_is_refused_can_be_made_again(server: Server) -> None:
    phone = Phone()
    async with caller(server, "websocket") as client:
        await client.begin()
        offer = await phone.offer()
        await client.ask("message", body={"audio": "x"}, jsep=offer)
        refused = await client.next("event")
        assert refused["plugindata"]["data"]["error_code"] == 413
        assert "jsep" not in refused
        await client.ask("message", body={"audio": True}, jsep=offer)
        await phone.answer((await client.next("event"))["jsep"])
        await client.next("webrtcup")
        await phone.close()
