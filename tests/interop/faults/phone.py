"""An aiortc client that can be told to fail: what it sends, what it says, and what reaches it."""

import asyncio
import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack
from OpenSSL import SSL

from tests.interop.faults.way import Way
from tests.peers.caller import Caller, JsonObject

Rewrite = Callable[[str], str]
RATE = 48_000
NOISE = random.Random(7).randbytes(1920)
"""20 ms of it."""


def same(text: str) -> str:
    return text


class Voice(AudioStreamTrack):  # type: ignore[misc]  # aiortc has no types
    """Noise, which no codec takes for silence; ``speed`` is that of its timestamps, ``burst`` how many packets
    there are of each second (0: all)."""

    def __init__(self, *, speed: float = 1.0, seconds: float = math.inf, burst: int = 0) -> None:
        super().__init__()
        self._speed = speed
        self._seconds = seconds
        self._burst = burst
        self._start = 0.0
        self._number = 0

    async def recv(self) -> Any:
        loop = asyncio.get_running_loop()
        self._start = self._start or loop.time()
        if self._number * 0.02 >= self._seconds:
            await asyncio.Event().wait()  # a source that has dried up
        await asyncio.sleep(max(0.0, self._start + self._number * 0.02 - loop.time()))
        self._number += 1
        if self._burst and self._number % 50 == self._burst:
            self._number += 50 - self._burst
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(NOISE)
        frame.sample_rate = RATE
        frame.pts, frame.time_base = round(960 * self._speed) * self._number, Fraction(1, RATE)
        return frame


class Withheld(MediaStreamTrack):  # type: ignore[misc]  # aiortc has no types
    """A track from which nothing ever comes."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class Phone:
    """One PeerConnection and its way. Lines are made of ``tracks``, ``receiving`` and ``data``."""

    def __init__(
        self, *tracks: MediaStreamTrack, receiving: tuple[str, ...] = (), data: bool = False, way: Way | None = None
    ) -> None:
        self.way = way or Way()
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for track in tracks:
            self.pc.addTrack(track)
        for kind in receiving:
            self.pc.addTransceiver(kind, direction="recvonly")
        self.channel = self.pc.createDataChannel("JanusDataChannel") if data else None
        self._tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", lambda track: self._tasks.append(asyncio.create_task(_drain(track), name="drain")))

    async def call(
        self,
        api: Caller,
        *,
        offer: Rewrite = same,
        answer: Rewrite = same,
        body: JsonObject | None = None,
        take: bool = True,
    ) -> JsonObject:
        """Offer, and take the answer. ``take``: else it hears it and does nothing."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        self.way.lay(self.pc)
        jsep = {"type": "offer", "sdp": offer(self.pc.localDescription.sdp), "trickle": False}
        said = await api.ask("message", body=body or {}, jsep=jsep)
        if said["janus"] == "error":
            return said
        while "jsep" not in (told := await api.next("event")) and "error" not in told["plugindata"]["data"]:
            continue
        if take and "jsep" in told:
            await self.answered(told["jsep"], answer)
        return told

    def shake_hands_by(self, change: Callable[[SSL.Context], SSL.Context | None]) -> None:
        """Change the DTLS settings, or replace them."""
        (certificate,) = self.pc._RTCPeerConnection__certificates
        usual = certificate._create_ssl_context

        def create(srtp_profiles: Any) -> SSL.Context:
            context = usual(srtp_profiles=srtp_profiles)
            return change(context) or context

        certificate._create_ssl_context = create

    async def answered(self, jsep: JsonObject, answer: Rewrite = same) -> None:
        """Take the server's answer."""
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp=answer(jsep["sdp"]), type=jsep["type"]))

    async def close(self) -> None:
        """Leave, with a close_notify where there is a way for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pc.close()


async def _drain(track: Any) -> None:
    while True:
        await track.recv()
