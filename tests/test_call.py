"""A real call from end to end: aiortc as the client, our transports, gateway, EchoTest and media engine."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

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

RECORDED = Path(__file__).parent / "data" / "janus-1.4" / "aiortc_echo.jsonl"
JsonObject = dict[str, Any]


class Journal:
    """Everything that was published, and waiting for it."""

    def __init__(self) -> None:
        self.items: list[Event] = []
        self._grown = asyncio.Event()

    def add(self, item: Event) -> None:
        self.items.append(item)
        self._grown.set()

    async def until(self, condition: Callable[[events.Body], bool], count: int = 1) -> None:
        async with asyncio.timeout(15):
            while sum(condition(item.body) for item in self.items) < count:
                self._grown.clear()
                await self._grown.wait()

    async def media_flow(self) -> None:
        """Until more than a few packets of sound and of picture were told to have come and to have gone back."""
        await self.until(lambda one: _flows(one, "audio"))
        await self.until(lambda one: _flows(one, "video"))


def _flows(told: events.Body, medium: str) -> bool:
    if not isinstance(told, events.MediaStats) or told.media != medium:
        return False
    return min(told.packets_received or 0, told.packets_sent or 0) > 5


class Server:
    def __init__(self, journal: Journal, urls: dict[str, str]) -> None:
        self.journal = journal
        self.urls = urls


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


class Caller:
    """A Janus client: requests are answered, notifications wait in :attr:`told`."""

    def __init__(self) -> None:
        self.ids: JsonObject = {}
        self.told: asyncio.Queue[JsonObject] = asyncio.Queue()
        self.began = asyncio.Event()

    async def begin(self, **rest: Any) -> None:
        """A session, and a handle on EchoTest."""
        self.ids["session_id"] = (await self.ask("create"))["data"]["id"]
        self.began.set()
        self.ids["handle_id"] = (await self.ask("attach", plugin="janus.plugin.echotest", **rest))["data"]["id"]

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        raise NotImplementedError

    async def next(self, janus: str) -> JsonObject:
        async with asyncio.timeout(15):
            message = await self.told.get()
        assert message["janus"] == janus, message
        return message


class HttpCaller(Caller):
    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        super().__init__()
        self._url = url
        self._client = client

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        path = "".join(f"/{number}" for number in self.ids.values())
        message = {"janus": janus, "transaction": secrets.token_hex(6), **rest}
        async with self._client.post(self._url + path, json=message) as response:
            answer: JsonObject = await response.json()
            assert answer["transaction"] == message["transaction"]
            return answer

    async def listen(self) -> None:
        await self.began.wait()
        while True:
            async with self._client.get(f"{self._url}/{self.ids['session_id']}?maxev=10") as response:
                if response.status == 404:
                    return
                for message in await response.json():
                    if message["janus"] != "keepalive":
                        self.told.put_nowait(message)


class WebSocketCaller(Caller):
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__()
        self._socket = socket
        self._answers: dict[str, asyncio.Future[JsonObject]] = {}

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        transaction = secrets.token_hex(6)
        answer: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._answers[transaction] = answer
        await self._socket.send_json({"janus": janus, "transaction": transaction, **self.ids, **rest})
        async with asyncio.timeout(15):
            return await answer

    async def listen(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame.data)
            answer = self._answers.pop(message.get("transaction"), None)
            if answer is not None:
                answer.set_result(message)
            else:
                self.told.put_nowait(message)


@asynccontextmanager
async def caller(server: Server, kind: str) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as client:
        one: HttpCaller | WebSocketCaller
        if kind == "http":
            one = HttpCaller(server.urls["janus.transport.http"], client)
        else:
            url = server.urls["janus.transport.websockets"]
            one = WebSocketCaller(await client.ws_connect(url, protocols=("janus-protocol",)))
        listener = asyncio.create_task(one.listen(), name="listener")
        try:
            yield one
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)


class SmallVideo(VideoStreamTrack):  # type: ignore[misc]  # aiortc has no types
    """Noise, small enough to be cheap to encode."""

    async def recv(self) -> Any:
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame(width=160, height=120)
        for plane in frame.planes:
            plane.update(secrets.token_bytes(plane.buffer_size))
        frame.pts, frame.time_base = pts, time_base
        return frame


class Phone:
    """aiortc with a microphone, a camera and a data channel; keeps what comes back."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pc.addTrack(AudioStreamTrack())
        self.pc.addTrack(SmallVideo())
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.frames: dict[str, asyncio.Event] = {"audio": asyncio.Event(), "video": asyncio.Event()}
        self._tasks: list[asyncio.Task[None]] = []
        channel = self.pc.createDataChannel("JanusDataChannel")
        channel.on("open", lambda: channel.send("hello over datachannel"))
        channel.on("message", self.texts.put_nowait)
        self.pc.on("track", lambda track: self._tasks.append(asyncio.create_task(self._watch(track))))

    async def _watch(self, track: Any) -> None:
        for _ in range(5):
            await track.recv()
        self.frames[track.kind].set()

    async def offer(self) -> JsonObject:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return {"type": "offer", "sdp": self.pc.localDescription.sdp, "trickle": False}

    async def answer(self, jsep: JsonObject) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp=jsep["sdp"], type=jsep["type"]))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pc.close()


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
