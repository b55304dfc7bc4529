"""aiortc as a client: microphone, camera and data channel."""

import asyncio
import secrets
from typing import Any

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from tests.peers.caller import JsonObject


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
