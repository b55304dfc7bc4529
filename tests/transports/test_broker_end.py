"""A transport behind a broker ends when it is told to, though its library may lose what it was told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appliance.transports.broker import BrokerTransport


class Slow(BrokerTransport[None, None]):
    """Publishes as aiomqtt does: ``asyncio.wait_for`` the broker's confirmation."""

    name = "slow"
    short_name = "slow"
    url = "slow:"

    def __init__(self) -> None:
        super().__init__("slow", max_message_bytes=1000, tells=False, admin=False)
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting = asyncio.Event()

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[None]:
        yield

    async def _use(self, line: None) -> None:
        await asyncio.Event().wait()

    async def publish(self, data: bytes, about: None, *, admin: bool) -> None:
        self.waiting.set()
        await asyncio.wait_for(self.confirmed, 60)

    def query(self, request: dict[str, Any]) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("turns", range(6))
async def test_a_confirmation_that_comes_with_the_end_does_not_keep_it_from_ending(turns: int) -> None:
    transport = Slow()
    transport.put(b"{}", None, admin=False)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(transport.pump_while(over))
    await transport.waiting.wait()
    over.set_result(None)
    for _ in range(turns):
        await asyncio.sleep(0)
    if not transport.confirmed.done():
        transport.confirmed.set_result(None)
    async with asyncio.timeout(5):
        await serving
