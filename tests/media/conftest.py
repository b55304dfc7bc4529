import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aioice.ice
import pytest
import pytest_asyncio

from appliance.media.engine import Engine
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.harness import Handle, engine


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def server(clock: FakeClock) -> AsyncIterator[Engine]:
    """An engine on a fake clock, whose sockets are read when a test pumps."""
    found = await engine(clock)
    for port in found.ports:
        asyncio.get_running_loop().remove_reader(port.fd)
    yield found
    await found.stop()


@pytest_asyncio.fixture
async def live(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    """An engine on the event loop's own clock, and an aiortc that uses loopback."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    found = await engine(stats_period=0.5)
    yield found
    await found.stop()


Call = Callable[..., tuple[Client, Handle]]


@pytest.fixture
def call(server: Engine, clock: FakeClock) -> Iterator[Call]:
    """Offer and answer between a new client and a new handle; with ``connect`` also ICE and DTLS."""
    clients: list[Client] = []

    def place(*, connect: bool = True, trickle: bool = False, **options: Any) -> tuple[Client, Handle]:
        client, handle = Client(server, clock, **options), Handle(server)
        clients.append(client)
        client.take(handle.answer(client.offer(), trickle=trickle))
        if connect:
            client.connect()
        return client, handle

    yield place
    for client in clients:
        client.close()
