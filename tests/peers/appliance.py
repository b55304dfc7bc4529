"""The appliance itself as two processes on free ports, as ``appliance run`` starts them."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from appliance.core.events import VERDICT_SCHEMA
from appliance.supervisor import Supervisor


def free_settings(data: Path) -> list[str]:
    """Options that put everything on ports the system chooses, and all files below ``data``."""
    values = {
        "server.data_dir": data,
        "server.name": "test",
        "server.log_level": "warning",
        "transports.http.port": 0,
        "transports.websocket.port": 0,
        "admin.http_port": 0,
        "admin.websocket_port": 0,
        "media.port": 0,
        "console.port": 0,
        "listener.port": 0,
        "intake.http.port": 0,
        "handlers.hep.enabled": "false",
    }
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


class Running:
    """Addresses by name (``http``, ``websocket``, ``web``), and what the console tells."""

    def __init__(self, supervisor: Supervisor, addresses: dict[str, str], restarted: asyncio.Event) -> None:
        self.supervisor = supervisor
        self.addresses = addresses
        self.following = asyncio.Event()
        self.restarted = restarted
        """A process that had died is back."""
        self._verdicts: dict[int, dict[str, Any]] = {}
        self._changed = asyncio.Condition()

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

    async def follow(self) -> None:
        """Note every verdict as the collector publishes it."""
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"{self.web}/events?types=external"
        with suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as reply:
                self.following.set()
                async for line in reply.content:
                    item = json.loads(line) if line.strip() else {}
                    if item.get("event", {}).get("schema") == VERDICT_SCHEMA:
                        async with self._changed:
                            self._verdicts[item["session_id"]] = item
                            self._changed.notify_all()

    async def call(self, session_id: int, *, seconds: float = 20.0) -> dict[str, Any]:
        """The call of this session as the console explains it, once its last verdict is there."""

        def final() -> bool:
            item = self._verdicts.get(session_id)
            return item is not None and bool(item["event"]["data"]["final"])

        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(final)
        explained: dict[str, Any] = await self.get(f"/api/calls/{self._verdicts[session_id]['correlation_id']}")
        return explained


@asynccontextmanager
async def appliance(data: Path, options: Sequence[str] = ()) -> AsyncIterator[Running]:
    """Run both processes until the block ends. ``options`` are further ``section.key=value`` settings."""
    further = [part for option in options for part in ("--set", option)]
    restarted = asyncio.Event()
    supervisor = Supervisor([*free_settings(data), *further], on_restart=lambda _role, _ready: restarted.set())
    addresses = await supervisor.start()
    running = Running(supervisor, addresses, restarted)
    following = asyncio.create_task(running.follow(), name="follow verdicts")
    try:
        await running.following.wait()
        yield running
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await supervisor.stop()
