"""A Janus API client over HTTP with aiortc behind it: one EchoTest call with audio, video and a data channel."""

import asyncio
import contextlib
import fractions
import secrets
import time
from typing import Any

import aiohttp
import aioice.ice
import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack

PLUGIN = "janus.plugin.echotest"
REPLY_TIMEOUT = 15.0


class CallError(RuntimeError):
    """The call did not come about; the message says at which step."""


class MovingPicture(MediaStreamTrack):  # type: ignore[misc]  # aiortc has no types
    """A small picture with a bar that moves, 15 a second: cheap to encode, and a decoder sees that it moves."""

    kind = "video"
    WIDTH, HEIGHT, RATE = 320, 180, 15

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._began: float | None = None

    async def recv(self) -> Any:
        """The next frame, in time."""
        if self._began is None:
            self._began = time.monotonic()
        wait = self._began + self._count / self.RATE - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        frame = av.VideoFrame(self.WIDTH, self.HEIGHT, "yuv420p")
        luma = bytearray(b"\x40" * (frame.planes[0].line_size * self.HEIGHT))
        bar = (self._count * 4) % (self.HEIGHT - 8) * frame.planes[0].line_size
        luma[bar : bar + 8 * frame.planes[0].line_size] = b"\xe0" * (8 * frame.planes[0].line_size)
        frame.planes[0].update(bytes(luma))
        for plane in frame.planes[1:]:
            plane.update(b"\x80" * (plane.line_size * plane.height))
        frame.pts = self._count * (90000 // self.RATE)
        frame.time_base = fractions.Fraction(1, 90000)
        self._count += 1
        return frame


class EchoCall:
    """One call from attach to hangup."""

    def __init__(self, url: str, *, address: str = "127.0.0.1") -> None:
        """``address``: our own, the only one that is offered."""
        self.url = url
        self._address = address
        self.session_id = 0
        self.handle_id = 0
        self.notified: list[str] = []
        """``janus`` of everything that the long poll brought."""
        self.data_received: list[str] = []
        self.frames_received = {"audio": 0, "video": 0}
        self.connection: Any = None
        self._http: aiohttp.ClientSession | None = None
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue(100)
        self._tasks: set[asyncio.Task[None]] = set()
        self._data_came = asyncio.Event()
        self._frames_came = asyncio.Condition()

    async def __aenter__(self) -> "EchoCall":
        # aioice leaves loopback out; a call on one machine has nothing else that surely works.
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [self._address]
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.connection is not None:
            await self.connection.close()
        if self._http is not None:
            await self._http.close()

    async def _post(self, path: str, **message: Any) -> dict[str, Any]:
        assert self._http is not None
        async with self._http.post(self.url + path, json={"transaction": secrets.token_hex(6), **message}) as reply:
            answer: dict[str, Any] = await reply.json()
        if answer.get("janus") == "error":
            error = answer["error"]
            raise CallError(f"{message['janus']} was refused: {error['code']} {error['reason']}")
        return answer

    async def _poll(self) -> None:
        assert self._http is not None
        while True:
            try:
                async with self._http.get(f"{self.url}/{self.session_id}?maxev=10") as reply:
                    if reply.status != 200:
                        return
                    told = await reply.json()
            except aiohttp.ClientError as problem:
                # The server went; whoever waits for something from it is told so.
                told = [{"janus": "gone", "error": str(problem)}]
            for item in told:
                self.notified.append(item["janus"])
                await self._events.put(item)
            if self.notified[-1:] == ["gone"]:
                return

    async def _consume(self, track: Any) -> None:
        with contextlib.suppress(Exception):  # the track ends with an exception of its own
            while True:
                await track.recv()
                async with self._frames_came:
                    self.frames_received[track.kind] += 1
                    self._frames_came.notify_all()

    def _own(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def place(self) -> None:
        """Create, attach, offer, connect. :raises CallError: with the step that failed."""
        self.session_id = (await self._post("", janus="create"))["data"]["id"]
        self._own(asyncio.create_task(self._poll(), name="long poll"))
        attached = await self._post(f"/{self.session_id}", janus="attach", plugin=PLUGIN, opaque_id="demo")
        self.handle_id = attached["data"]["id"]
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTrack(AudioStreamTrack())
        self.connection.addTrack(MovingPicture())
        channel = self.connection.createDataChannel("JanusDataChannel")
        channel.on("open", lambda: channel.send("hello from the demo"))

        def came(message: Any) -> None:
            self.data_received.append(str(message))
            self._data_came.set()

        channel.on("message", came)
        self.connection.on("track", lambda track: self._own(asyncio.create_task(self._consume(track))))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self._post(
            f"/{self.session_id}/{self.handle_id}",
            janus="message",
            body={"audio": True, "video": True},
            jsep={"type": "offer", "sdp": self.connection.localDescription.sdp, "trickle": False},
        )
        answer = await self._wait_for(lambda item: "jsep" in item, "an answer to the offer")
        description = RTCSessionDescription(sdp=answer["jsep"]["sdp"], type=answer["jsep"]["type"])
        await self.connection.setRemoteDescription(description)
        await self._wait_for(lambda item: item["janus"] == "webrtcup", "the PeerConnection")

    async def _wait_for(self, wanted: Any, what: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                while True:
                    item = await self._events.get()
                    if wanted(item):
                        return item
                    if "error" in item or item["janus"] == "hangup":
                        raise CallError(f"waiting for {what}: {item}")
        except TimeoutError:
            raise CallError(f"waited {REPLY_TIMEOUT:.0f} s for {what}") from None

    async def wait_for_data(self) -> None:
        """Until the data channel has echoed. :raises CallError: it does not."""
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                await self._data_came.wait()
        except TimeoutError:
            raise CallError(f"waited {REPLY_TIMEOUT:.0f} s for the data channel's echo") from None

    async def wait_for_frames(self, kind: str, count: int) -> None:
        """Until so many further frames have come back. :raises CallError: they do not."""
        wanted = self.frames_received[kind] + count
        try:
            async with asyncio.timeout(REPLY_TIMEOUT), self._frames_came:
                await self._frames_came.wait_for(lambda: self.frames_received[kind] >= wanted)
        except TimeoutError:
            raise CallError(f"waited {REPLY_TIMEOUT:.0f} s for {count} {kind} frames") from None

    async def hang_up(self) -> None:
        """Hang up, detach, destroy, as a polite client does."""
        await self._post(f"/{self.session_id}/{self.handle_id}", janus="hangup")
        await self._wait_for(lambda item: item["janus"] == "hangup", "the hangup")
        await self._post(f"/{self.session_id}/{self.handle_id}", janus="detach")
        await self._post(f"/{self.session_id}", janus="destroy")
