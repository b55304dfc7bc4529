"""The appliance itself as two processes on free ports, as ``appliance run`` starts them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from appliance.supervisor import Supervisor


def free_settings(data: Path) -> list[str]:
    """Options that put everything on ports the system chooses, and all files below ``data``."""
    values = {
        "server.data_dir": data,
        "server.name": "test",
        "server.log_level": "warning",
        "transports.http.port": 0,
        "transports.websocket.port": 0,
        "media.port": 0,
        "console.port": 0,
        "listener.port": 0,
        "intake.http.port": 0,
        "handlers.hep.enabled": "false",
    }
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


class Running:
    """Addresses by name (``http``, ``websocket``, ``web``), and what the console tells."""

    def __init__(self, supervisor: Supervisor, addresses: dict[str, str]) -> None:
        self.supervisor = supervisor
        self.addresses = addresses

    @property
    def janus(self) -> str:
        return self.addresses["http"]

    @property
    def web(self) -> str:
        return self.addresses["web"]

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as http, http.get(self.web + path) as reply:
            assert reply.status == 200, f"{path}: {reply.status}: {await reply.text()}"
            return await (reply.json() if "json" in reply.content_type else reply.text())

    async def call(self, session_id: int, *, final: bool = True, seconds: float = 10.0) -> dict[str, Any]:
        """The call of this session as the console explains it, once it has a (final) verdict."""
        async with asyncio.timeout(seconds):
            while True:
                found = (await self.get(f"/api/calls?search={session_id}"))["calls"]
                if found and found[0].get("verdict") and (found[0]["verdict"]["final"] or not final):
                    explained: dict[str, Any] = await self.get(f"/api/calls/{found[0]['correlation_id']}")
                    return explained
                await asyncio.sleep(0.05)


@asynccontextmanager
async def appliance(data: Path, options: Sequence[str] = ()) -> AsyncIterator[Running]:
    """Run both processes until the block ends. ``options`` are further ``section.key=value`` settings."""
    further = [part for option in options for part in ("--set", option)]
    supervisor = Supervisor([*free_settings(data), *further])
    addresses = await supervisor.start()
    try:
        yield Running(supervisor, addresses)
    finally:
        await supervisor.stop()
