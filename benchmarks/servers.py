"""The gateway that benchmarks measure: both processes on free ports, events on, only the collector's outputs off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from appliance.supervisor import Child
from tests.peers.janus import free_port


class Server(NamedTuple):
    """Where a gateway serves the Janus API over HTTP, and its process. Janus as a peer has the same attributes."""

    url: str
    pid: int


@asynccontextmanager
async def ours(data: Path, address: str) -> AsyncIterator[Server]:
    """Run gateway and collector until the block ends; media is received at ``address``."""
    port = free_port()
    shared = [
        "--set", f"server.data_dir={data}",
        "--set", f"transports.http.port={port}",
        "--set", "transports.websocket.port=0",
        "--set", "admin.enabled=false",
        "--set", f'media.addresses=["{address}"]',
        "--set", "media.port=0",
        "--set", "console.port=0",
        "--set", "listener.port=0",
        "--set", "handlers.hep.enabled=false",
        "--set", "intake.http.port=0",
        "--set", "server.log_level=warning",
    ]  # fmt: skip
    collector, gateway = Child("collector", [*shared, "collect"]), Child("gateway", [*shared, "gateway"])
    await asyncio.gather(collector.start(), gateway.start())
    try:
        assert gateway.process is not None
        yield Server(f"http://127.0.0.1:{port}/janus", gateway.process.pid)
    finally:
        await gateway.stop()
        await collector.stop()
