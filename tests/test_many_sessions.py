"""What sessions leave behind when they are over: nothing, and at once, whoever ends them and however."""

import asyncio
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from appliance.core.gateway import Gateway, GatewayConfig
from appliance.media.engine import Engine
from appliance.plugins.echotest import EchoTest
from tests.clock import FakeClock
from tests.core.world import FakeClient
from tests.media.client import Client
from tests.media.harness import engine

COUNT = 200
OURS = ("appliance.core.", "appliance.media.", "appliance.plugins.")
CLIENTS = {
    "appliance.media.dtls.Dtls",
    "appliance.media.flight.Flight",
    "appliance.media.handshake.PeerHandshake",
    "appliance.media.srtp.Context",
}
"""Classes of the engine that the clients of these tests use as well: DTLS with its parts, and SRTP."""


class Callers:
    """Calls through the whole core and engine, with the test's own clock and clients."""

    def __init__(self, engine: Engine, clock: FakeClock) -> None:
        self.engine = engine
        self.clock = clock
        self.gateway = Gateway(
            GatewayConfig(), clock, lambda _event: None, engine, {EchoTest.package: EchoTest(EchoTest.Config())}
        )
        self.calls: list[tuple[int, int, FakeClient, Client]] = []

    def call(self, *, kinds: tuple[str, ...]) -> None:
        """A connected EchoTest call that has sent something."""
        api = FakeClient()

        def ask(janus: str, **rest: Any) -> Any:
            return self.gateway.request({"janus": janus, "transaction": "t", **rest}, api)["data"]["id"]

        session = ask("create")
        handle = ask("attach", session_id=session, plugin=EchoTest.package)
        client = Client(self.engine, self.clock, kinds=kinds)
        ids = {"session_id": session, "handle_id": handle, "transaction": "t"}
        jsep = {"type": "offer", "sdp": client.offer(), "trickle": False}
        self.gateway.request({"janus": "message", **ids, "body": {"audio": True}, "jsep": jsep}, api)
        self.clock.advance(0)
        client.take(next(message["jsep"]["sdp"] for message in api.sent if "jsep" in message))
        client.connect()
        for number in range(3):
            client.send_rtp(kinds[0], number, 960 * number)
        client.pump()
        assert len(client.packets) == 3
        self.calls.append((session, handle, api, client))

    def end(self) -> None:
        """By destroying the session, by hanging up first, by the client's goodbye, and by its silence."""
        silent: list[Client] = []
        for number, (session, handle, api, client) in enumerate(self.calls):
            if number % 4 == 1:
                ids = {"session_id": session, "handle_id": handle, "transaction": "t"}
                self.gateway.request({"janus": "hangup", **ids}, api)
            if number % 4 == 2:
                assert client.dtls is not None
                client.dtls.close()
            if number % 4 == 3:
                silent.append(client)
            else:
                client.pump()
                self.gateway.request({"janus": "destroy", "session_id": session, "transaction": "t"}, api)
                client.close()
        self.clock.advance(60)
        for session, _, api, _ in self.calls[3::4]:
            self.gateway.request({"janus": "destroy", "session_id": session, "transaction": "t"}, api)
        for client in silent:
            client.close()
        self.calls.clear()
        self.clock.advance(0)


def objects() -> Counter[str]:
    """Those of the gateway that are alive, by class."""
    kinds = Counter(map(type, gc.get_objects()))
    named = {f"{kind.__module__}.{kind.__qualname__}": count for kind, count in kinds.items()}
    return Counter({name: count for name, count in named.items() if name.startswith(OURS) and name not in CLIENTS})


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.fixture
def no_search() -> Iterator[None]:
    """Python does not look for circles meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest_asyncio.fixture
async def callers(request: pytest.FixtureRequest) -> AsyncIterator[Callers]:
    """To an engine whose sockets are read when a call pumps; its parameter is ``media.ice``."""
    clock = FakeClock()
    found = await engine(clock, ice=getattr(request, "param", "lite"))
    for port in found.ports:
        asyncio.get_running_loop().remove_reader(port.fd)
    yield Callers(found, clock)
    await found.stop()


def warm_up(callers: Callers) -> None:
    """Let it make what is made once."""
    for _ in range(4):
        callers.call(kinds=("audio",))
    callers.end()


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize("callers", ["lite", "full"], indirect=True)
@pytest.mark.parametrize("kinds", [("audio", "video"), ("audio", "data")])
async def test_an_ended_session_leaves_no_object(callers: Callers, kinds: tuple[str, ...]) -> None:
    warm_up(callers)
    before = objects()
    for _ in range(8):
        callers.call(kinds=kinds)
    assert objects()["appliance.media.peer.Peer"] == 8
    callers.end()
    # What aiortc's SCTP left to be run.
    await asyncio.sleep(0)
    assert objects() - before == Counter()
    assert callers.engine.peers == set()


async def test_sessions_leave_no_memory_tasks_or_sockets(callers: Callers) -> None:
    def held() -> tuple[int, int, Counter[str]]:
        gc.collect()
        return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir())), objects()

    warm_up(callers)
    before = held()
    growth: list[int] = []
    # The first times are for what a process keeps to use again; what leaks does so each time.
    while len(growth) < 8 and min(growth[2:], default=COUNT * 15) >= COUNT * 15:
        memory = resident_kib()
        for _ in range(COUNT):
            callers.call(kinds=("audio", "video"))
        assert len(callers.gateway.sessions) == COUNT
        callers.end()
        assert held() == before
        growth.append(resident_kib() - memory)
    assert min(growth[2:]) < COUNT * 15, growth
