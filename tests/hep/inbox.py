"""What stands at both ends of a client: a listener's inbox, and its waiting."""

import asyncio

from appliance.hep.message import HepMessage


class Pauses:
    """Stands for asyncio.sleep: tells how long the client wants to wait, and goes on when the test says so."""

    def __init__(self) -> None:
        self.wanted: asyncio.Queue[float] = asyncio.Queue()
        self._over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self._over.clear()
        self.wanted.put_nowait(seconds)
        await self._over.wait()

    async def next(self) -> float:
        async with asyncio.timeout(5):
            return await self.wanted.get()

    def end(self) -> None:
        self._over.set()


class Inbox:
    """What a listener got."""

    def __init__(self) -> None:
        self.messages: list[HepMessage] = []
        self._more = asyncio.Event()

    def __call__(self, message: HepMessage) -> None:
        self.messages.append(message)
        self._more.set()

    async def have(self, number: int) -> list[HepMessage]:
        async with asyncio.timeout(5):
            while len(self.messages) < number:
                self._more.clear()
                await self._more.wait()
        return self.messages
