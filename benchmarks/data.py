"""What messages on data channels cost: EchoTest sends each back, this gateway and Janus in turn, in the same run.

SCTP is aiortc's here, in Python, and usrsctp in Janus. Only what the client really got back counts.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.figures import Figure
from benchmarks.load import Echoes, cpu_seconds
from benchmarks.servers import Server, ours
from tests.peers import namespace
from tests.peers.janus import Janus, janus

CALLS = 5
SECONDS = 6.0
ROUNDS = 3


class Case(NamedTuple):
    """Messages of ``size`` bytes, so many a second on each call."""

    size: int
    rate: float


CASES = [Case(100, 50), Case(16_384, 5)]


class Channel:
    """A call with a data channel alone."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel = self.connection.createDataChannel("bench")
        self.opened = asyncio.Event()
        self.echoed = 0
        self.channel.on("open", self.opened.set)
        self.channel.on("message", self._count)

    def _count(self, _message: object) -> None:
        self.echoed += 1

    async def connect(self, ask: Callable[..., Any]) -> None:
        """Offer, take the answer, wait until the channel is open."""
        session = (await ask("", janus="create"))["data"]["id"]
        path = f"/{session}"
        handle = (await ask(path, janus="attach", plugin="janus.plugin.echotest"))["data"]["id"]
        await self.connection.setLocalDescription(await self.connection.createOffer())
        jsep = {"type": "offer", "sdp": self.connection.localDescription.sdp, "trickle": False}
        await ask(f"{path}/{handle}", janus="message", body={"audio": True}, jsep=jsep)
        answer = None
        while answer is None:
            answer = next((item["jsep"] for item in await ask(f"{path}?maxev=5") if "jsep" in item), None)
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type="answer"))
        async with asyncio.timeout(15):
            await self.opened.wait()


async def _pump(channels: list[Channel], case: Case, seconds: float) -> int:
    # In text: Janus's EchoTest answers text with a prefix, and ours does too.
    message = "x" * case.size
    total = case.rate * len(channels)
    began, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        while sent < elapsed * total:
            channels[sent % len(channels)].channel.send(message)
            sent += 1
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    return sent


async def _measure(server: Server | Janus, case: Case) -> float:
    """Microseconds of CPU for each message that came back."""
    async with aiohttp.ClientSession() as http:

        async def ask(path: str, **message: Any) -> Any:
            body = {"transaction": "data", **message} if message else None
            async with http.request("POST" if message else "GET", server.url + path, json=body) as reply:
                return await reply.json(content_type=None)

        channels = [Channel() for _ in range(CALLS)]
        for channel in channels:
            await channel.connect(ask)
        await _pump(channels, case, 1.0)
        before, cpu = sum(channel.echoed for channel in channels), cpu_seconds(server.pid)
        await _pump(channels, case, SECONDS)
        used, echoed = cpu_seconds(server.pid) - cpu, sum(channel.echoed for channel in channels) - before
        for channel in channels:
            await channel.connection.close()
    return 1e6 * used / max(1, echoed)


async def _run() -> None:
    Echoes().install(namespace.ADDRESS)
    found: list[dict[str, list[float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        async with ours(data / "ours", namespace.ADDRESS) as gateway, janus(data / "janus") as peer:
            for case in CASES:
                both: dict[str, list[float]] = {"ours": [], "janus": []}
                for _ in range(ROUNDS):
                    both["ours"].append(await _measure(gateway, case))
                    both["janus"].append(await _measure(peer, case))
                print(f"  {case} {both}", file=sys.stderr)
                found.append(both)
    print(json.dumps(found))


def main() -> list[Figure]:
    """One figure for each size; nothing was promised of them."""
    done = namespace.run_inside(["-m", "benchmarks.data"], timeout=300)
    if done.returncode:
        raise RuntimeError(f"the measured run failed:\n{done.stdout}")
    figures: list[Figure] = []
    for case, both in zip(CASES, json.loads(done.stdout.splitlines()[-1]), strict=True):
        mine, theirs = statistics.median(both["ours"]), statistics.median(both["janus"])
        ratio = statistics.median(a / b for a, b in zip(both["ours"], both["janus"], strict=True))
        name = f"data channel, CPU per echoed message of {case.size} B / Janus"
        figures.append(Figure(name, ratio, "x", "", f"ours {mine:.0f} us, Janus {theirs:.0f} us"))
    return figures


if __name__ == "__main__":
    asyncio.run(_run())
