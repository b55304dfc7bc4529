"""EchoTest sessions that send pre-baked RTP, against any gateway that speaks the Janus API over HTTP.

The client is aiortc for signalling, ICE, DTLS and SRTP; no codec works, and what comes back is only counted, so that
most of the machine is left to the gateway that is measured.
"""

import asyncio
import os
import re
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import aioice.ice
import aiortc.rtcdtlstransport
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class _Silent(MediaStreamTrack):  # type: ignore[misc]
    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class Echoes:
    """Counts what comes back, in place of aiortc's router and decoders."""

    def __init__(self) -> None:
        self.count = 0

    def install(self, address: str) -> None:
        async def count(_transport: object, _data: bytes, arrival_time_ms: int) -> None:
            del arrival_time_ms
            self.count += 1

        aiortc.rtcdtlstransport.RTCDtlsTransport._handle_rtp_data = count
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]


@dataclass
class Caller:
    """One EchoTest session with an established PeerConnection."""

    session_id: int
    handle_id: int
    connection: Any
    transport: Any
    ssrc: int
    payload_type: int
    sequence: int = 0
    timestamp: int = 0
    poll: "asyncio.Task[None] | None" = None

    async def send(self, payload: bytes) -> None:
        header = struct.pack(
            "!BBHII", 0x80, self.payload_type, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc
        )
        self.sequence += 1
        self.timestamp += 960
        await self.transport._send_rtp(header + payload)


@dataclass
class Load:
    """Some callers of one gateway."""

    url: str
    http: aiohttp.ClientSession
    callers: list[Caller] = field(default_factory=list)

    async def _post(self, path: str, **message: Any) -> dict[str, Any]:
        async with self.http.post(self.url + path, json={"transaction": "load", **message}) as reply:
            answer: dict[str, Any] = await reply.json(content_type=None)
            return answer

    async def _keep_polling(self, session_id: int) -> None:
        while True:
            try:
                async with self.http.get(f"{self.url}/{session_id}?maxev=10") as reply:
                    await reply.read()
            except aiohttp.ClientError:
                return

    async def call(self) -> Caller:
        """Set one call up; returns once ICE and DTLS are done."""
        session = (await self._post("", janus="create"))["data"]["id"]
        plugin = "janus.plugin.echotest"
        handle = (await self._post(f"/{session}", janus="attach", plugin=plugin, opaque_id="load"))["data"]["id"]
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connected = asyncio.Event()

        def note() -> None:
            if connection.connectionState == "connected":
                connected.set()

        connection.on("connectionstatechange", note)

        sender = connection.addTrack(_Silent())
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        await self._post(
            f"/{session}/{handle}",
            janus="message",
            body={"audio": True},
            jsep={"type": "offer", "sdp": offer, "trickle": False},
        )
        answer = None
        while answer is None:
            async with self.http.get(f"{self.url}/{session}?maxev=5") as reply:
                events = await reply.json(content_type=None)
            answer = next((item["jsep"] for item in events if "jsep" in item), None)
        await connection.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type=answer["type"]))
        async with asyncio.timeout(15):
            await connected.wait()
        match = re.search(r"a=rtpmap:(\d+) opus", answer["sdp"])
        assert match is not None, answer["sdp"]
        caller = Caller(session, handle, connection, sender.transport, sender._ssrc, int(match[1]))
        caller.poll = asyncio.create_task(self._keep_polling(session))
        self.callers.append(caller)
        return caller

    async def pump(self, packets_per_second: float, payload_size: int, seconds: float) -> int:
        """Send from every caller in turn, in bursts each 10 ms; returns how many went out."""
        payload = bytes(payload_size)
        total = len(self.callers) * packets_per_second
        began, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < seconds:
            while sent < int(elapsed * total):
                await self.callers[sent % len(self.callers)].send(payload)
                sent += 1
            await asyncio.sleep(0.01)
        return sent

    async def close(self) -> None:
        for caller in self.callers:
            if caller.poll is not None:
                caller.poll.cancel()
            await self._post(f"/{caller.session_id}", janus="destroy")
            await caller.connection.close()
        self.callers.clear()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads, in ticks of 10 ms."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 -- a pseudo file
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
