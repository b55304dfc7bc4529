"""Two gateways in a row: who publishes at one is seen at the other, and key frame requests cross back."""

import asyncio
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import aioice.ice
import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from appliance.core.clock import LoopClock
from appliance.core.events import Event
from appliance.core.gateway import Gateway, GatewayConfig
from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import RoomConfig, VideoRoomConfig
from tests.core.world import FakeClient
from tests.media.harness import engine
from tests.peers.phone import SmallVideo

JsonObject = dict[str, Any]
KEY = b64encode(bytes(range(30))).decode()
ROOM = RoomConfig(room=1234, dummy_publisher=True)


class Site(FakeClient):
    """One gateway, and its only client."""

    async def start(self) -> None:
        self.engine = await engine()
        self.plugin = VideoRoom(VideoRoomConfig(remote_publisher_ports=[], rooms=[ROOM]))
        self.events: list[Event] = []
        self.gateway = Gateway(
            GatewayConfig(),
            LoopClock(),
            self.events.append,
            self.engine,
            {VideoRoom.package: self.plugin},
            server_name="site",
        )
        self.answers: asyncio.Queue[JsonObject] = asyncio.Queue()
        self.session_id = self.say("create")["data"]["id"]
        self.phones: list[RTCPeerConnection] = []

    def push(self, session_id: int, message: JsonObject) -> None:
        super().push(session_id, message)
        if "transaction" in message:
            self.answers.put_nowait(message)

    def say(self, janus: str, **rest: Any) -> JsonObject:
        return self.gateway.request({"janus": janus, "transaction": "t"} | rest, self)

    def attach(self) -> JsonObject:
        attached = self.say("attach", session_id=self.session_id, plugin=VideoRoom.package)
        return {"session_id": self.session_id, "handle_id": attached["data"]["id"]}

    def ask(self, request: str, **body: Any) -> JsonObject:
        """What is answered at once."""
        reply = self.say("message", **self.attach(), body={"request": request, "room": 1234, **body})
        data: JsonObject = reply["plugindata"]["data"]
        assert "error" not in data, data
        return data

    async def tell(
        self, ids: JsonObject, request: str, jsep: RTCSessionDescription | None = None, **body: Any
    ) -> tuple[JsonObject, RTCSessionDescription | None]:
        rest = {} if jsep is None else {"jsep": {"type": jsep.type, "sdp": jsep.sdp}}
        self.say("message", **ids, body={"request": request, **body}, **rest)
        async with asyncio.timeout(10):
            answer = await self.answers.get()
        data: JsonObject = answer["plugindata"]["data"]
        assert "error" not in data, data
        return data, RTCSessionDescription(**answer["jsep"]) if "jsep" in answer else None

    def phone(self) -> RTCPeerConnection:
        made = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.phones.append(made)
        return made

    async def stop(self) -> None:
        for phone in self.phones:
            await phone.close()
        self.gateway.shutdown()
        self.plugin.close()
        await self.engine.stop()


@pytest.fixture
async def sites(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Site, Site]]:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    here, there = Site(), Site()
    await here.start()
    await there.start()
    yield here, there
    await here.stop()
    await there.stop()


async def publish(site: Site) -> tuple[RTCPeerConnection, Any, JsonObject]:
    """A phone that publishes everything: it, its data channel, and what the room says of its streams."""
    phone, ids = site.phone(), site.attach()
    phone.addTrack(AudioStreamTrack())
    phone.addTrack(SmallVideo())
    channel = phone.createDataChannel("chat")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await phone.setLocalDescription(await phone.createOffer())
    await site.tell(ids, "join", room=1234, ptype="publisher", id=1)
    configured, answer = await site.tell(ids, "publish", phone.localDescription)
    assert answer is not None
    await phone.setRemoteDescription(answer)
    async with asyncio.timeout(20):
        await opened.wait()
    return phone, channel, configured


async def subscribe(
    site: Site, streams: list[JsonObject], *, data: bool = True
) -> tuple[JsonObject, dict[str, Any], asyncio.Queue[str]]:
    """A phone that sees them: its handle, its tracks by kind, and what comes on its data channel."""
    phone, ids = site.phone(), site.attach()
    tracks: dict[str, Any] = {}
    messages: asyncio.Queue[str] = asyncio.Queue()
    phone.on("track", lambda track: tracks.setdefault(track.kind, track))
    _, offer = await site.tell(ids, "join", room=1234, ptype="subscriber", streams=streams)
    assert offer is not None
    await phone.setRemoteDescription(offer)
    opened = asyncio.Event()
    if data:
        channel = phone.createDataChannel("JanusDataChannel")
        channel.on("message", messages.put_nowait)
        channel.on("open", opened.set)
    await phone.setLocalDescription(await phone.createAnswer())
    await site.tell(ids, "start", phone.localDescription)
    async with asyncio.timeout(20):
        await (opened.wait() if data else asyncio.sleep(0))
    return ids, tracks, messages


@pytest.mark.parametrize("secret", [{}, {"srtp_suite": 80, "srtp_crypto": KEY}])
async def test_a_publisher_crosses_to_another_gateway(sites: tuple[Site, Site], secret: JsonObject) -> None:
    here, there = sites
    _, channel, configured = await publish(here)
    added = there.ask("add_remote_publisher", id=7, streams=configured["streams"], **secret)
    address = {"host": added["ip"], "port": added["port"], "rtcp_port": added["rtcp_port"]}
    here.ask("publish_remotely", publisher_id=1, remote_id="there", **address, **secret)

    # The picture begins as one of nobody, and is switched.
    (dummy,) = [one for one in there.ask("listparticipants")["participants"] if "dummy" in one]
    picture = next(one["mid"] for one in configured["streams"] if one["type"] == "video")
    wanted: list[JsonObject] = [
        {"feed": 7, "mid": one["mid"]} for one in configured["streams"] if one["mid"] != picture
    ]
    ids, tracks, messages = await subscribe(there, [{"feed": dummy["id"], "mid": "1"}, *wanted])
    async with asyncio.timeout(20):
        assert (await tracks["audio"].recv()).sample_rate == 48_000
    outlet = next(room for room in here.plugin._rooms).participants[1].remotizations["there"].outlet
    before = outlet.requests
    switched, _ = await there.tell(ids, "switch", streams=[{"feed": 7, "mid": picture, "sub_mid": "0"}])
    assert switched["changes"] == 1
    async with asyncio.timeout(20):
        frames = [await tracks["video"].recv() for _ in range(5)]
    assert {(frame.width, frame.height) for frame in frames} == {(160, 120)}
    (line,) = [one for peer in here.engine.peers for one in peer.lines if one.medium.mid == picture]
    # What a picture begins with was asked for across both, and of the publisher itself.
    assert outlet.requests > before
    assert line.plis_sent > 0
    channel.send("hello over there")
    async with asyncio.timeout(20):
        assert await messages.get() == "hello over there"

    here.ask("unpublish_remotely", publisher_id=1, remote_id="there")
    sent = outlet.sent
    async with asyncio.timeout(5):
        while counted(there)["received"] < sent:  # noqa: ASYNC110  # a turn of the loop at a time
            await asyncio.sleep(0)
    assert counted(there) == {"received": sent, "foreign": 0, "malformed": 0, "forged": 0, "unknown": 0}


async def test_ffmpeg_sends_a_publisher(sites: tuple[Site, Site]) -> None:
    _, there = sites
    picture = {"mid": "v", "mindex": 1, "type": "video", "codec": "vp8"}
    added = there.ask("add_remote_publisher", id=7, streams=[picture])
    done = threading.Event()
    sender = asyncio.create_task(asyncio.to_thread(_film, added, done), name="ffmpeg")
    try:
        _, tracks, _ = await subscribe(there, [{"feed": 7, "mid": "v"}], data=False)
        async with asyncio.timeout(20):
            frame = await tracks["video"].recv()
    finally:
        done.set()
        await sender
    assert (frame.width, frame.height) == (160, 120)
    counts = counted(there)
    assert counts.pop("received") > 0
    assert set(counts.values()) == {0}


def _film(added: JsonObject, done: threading.Event) -> None:
    """25 pictures a second, each whole, as the stream of m-line 1; its sender reports tell where it is."""
    url = f"rtp://127.0.0.1:{added['port']}?rtcpport={added['rtcp_port']}&pkt_size=1200"
    with av.open(url, "w", format="rtp", options={"ssrc": "1010"}) as container:
        stream = container.add_stream("libvpx", rate=25, options={"deadline": "realtime", "cpu-used": "8", "g": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        number = 0
        while not done.wait(0.04):
            frame = av.VideoFrame(160, 120, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes((number % 256,)) * plane.buffer_size)
            frame.pts, number = number, number + 1
            container.mux(stream.encode(frame))


def counted(site: Site) -> dict[str, float]:
    return {
        one.labels["outcome"]: one.value
        for one in site.plugin.measure()
        if one.name == "remote_publisher_datagrams_total"
    }
