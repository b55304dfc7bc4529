"""Bad ways between aiortc and the gateway, in both kinds of ICE: a call that can survive does.

Everything here takes the time that it takes; so all cases of a kind run at once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from appliance.core.events import Body, IceState, SelectedPair
from tests.media.harness import Handle, engine
from tests.peers.relay import FAIR, Relay, Weather, relay

LONG = 40.0
"""Seconds that a case may take."""


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


class Call:
    """Sound there and back, and a channel whose messages are echoed."""

    def __init__(self, handle: Handle, way: Relay) -> None:
        self.handle = handle
        self.way = way
        self.echoes: asyncio.Queue[str] = asyncio.Queue()
        self.connection: Any = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel: Any = None
        self._changed = asyncio.Event()
        self._opened = asyncio.Event()
        handle.on_fact = self._look

    def _look(self, _fact: Body) -> None:
        self._changed.set()

    async def place(self) -> None:
        self.connection.addTrack(AudioStreamTrack())
        self.channel = self.connection.createDataChannel("chat")
        self.channel.on("message", self.echoes.put_nowait)
        self.channel.on("open", self._opened.set)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        answer = self.way.divert(self.handle.answer(self.way.hide(self.connection.localDescription.sdp)))
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        async with asyncio.timeout(LONG):
            await self._opened.wait()

    async def until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONG):
            while not found():
                self._changed.clear()
                await self._changed.wait()

    async def flows(self, packets: int = 50) -> None:
        """So many more come, and go back, and a message is echoed."""
        stats = self.handle.peer.lines[0].stats
        begin = stats()

        def more(now: int | None, before: int | None) -> bool:
            return (now or 0) - (before or 0) >= packets

        def enough() -> bool:
            now = stats()
            return more(now.packets_received, begin.packets_received) and more(now.packets_sent, begin.packets_sent)

        await self.until(enough)
        while not self.echoes.empty():
            self.echoes.get_nowait()
        self.channel.send("hello")
        async with asyncio.timeout(LONG):
            assert await self.echoes.get() == "echo: hello"

    def ice(self) -> list[str]:
        return [state.ice for state in self.handle.all(IceState)]


@asynccontextmanager
async def call(ice: str, weather: Weather = FAIR, **settings: Any) -> AsyncIterator[Call]:
    server = await engine(ice=ice, stats_period=0.2, **settings)
    try:
        async with relay(weather=weather) as way:
            placed = Call(Handle(server), way)
            await placed.place()
            yield placed
            await placed.connection.close()
    finally:
        await server.stop()


async def suffers(ice: str, weather: Weather, *happens: str) -> None:
    async with call(ice, weather) as placed:
        await placed.flows(100)
        await placed.until(lambda: all(placed.way.happened[what] for what in happens))
        assert placed.handle.peer.up
        assert placed.handle.hangup() is None


async def storm(ice: str) -> None:
    """A fifth of everything is lost, each way, once the call is up: set-up takes DTLS's timers that long."""
    async with call(ice) as placed:
        placed.way.weather = Weather(lost=0.2)
        await placed.flows(150)
        stats = placed.handle.peer.lines[0].stats
        await placed.until(lambda: placed.way.happened["lost"] > 50 and (stats().lost or 0) > 10)
        assert placed.handle.hangup() is None


async def blacked_out(ice: str) -> None:
    async with call(ice) as placed:
        await placed.flows()
        placed.way.dark = True
        await asyncio.sleep(12)  # what it is about
        assert placed.ice()[-1] == "disconnected"
        placed.way.dark = False
        await placed.flows()
        assert placed.ice()[-2:] == ["connected", "ready"]
        assert placed.handle.hangup() is None
        assert placed.way.happened["dark"]


async def moved(ice: str) -> None:
    async with call(ice) as placed:
        await placed.flows()
        (before,) = placed.handle.all(SelectedPair)
        placed.way.move()
        await placed.until(lambda: len(placed.handle.all(SelectedPair)) > 1)
        await placed.flows()
        after = placed.handle.all(SelectedPair)[-1]
        assert before.candidates is not None
        assert after.candidates is not None
        assert before.candidates.remote.port != after.candidates.remote.port
        assert placed.handle.peer.up
        assert len(placed.handle.opened) == 1


async def lost(ice: str) -> None:
    async with call(ice, ice_disconnected=1.0, ice_timeout=3.0) as placed:
        await placed.flows()
        placed.way.dark = True
        await placed.until(lambda: placed.handle.hangup() is not None)
        assert placed.handle.hangup() == "ICE failed"
        assert placed.ice()[-2:] == ["disconnected", "failed"]


def cases(ice: str) -> list[Awaitable[None]]:
    return [
        suffers(ice, Weather(lost=0.01)),
        suffers(ice, Weather(lost=0.05), "lost"),
        storm(ice),
        suffers(ice, Weather(late=0.2), "late"),
        suffers(ice, Weather(doubled=0.2), "doubled"),
        suffers(ice, Weather(delay=0.15)),
        suffers(ice, Weather(lost=0.05, doubled=0.05, late=0.1, delay=0.05), "lost", "doubled", "late"),
        blacked_out(ice),
        moved(ice),
        lost(ice),
    ]


async def test_what_a_call_survives_and_what_it_does_not() -> None:
    results = await asyncio.gather(*cases("lite"), *cases("full"), return_exceptions=True)
    problems = [found for found in results if isinstance(found, Exception)]
    if problems:
        raise ExceptionGroup("cases that failed", problems)
