"""Backends that take, refuse or hold back what they are told to, and events to send them."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from appliance.core.bus import EventBus, Subscription
from appliance.core.clock import LoopClock
from appliance.core.events import Event, Session, event
from appliance.handlers.output.base import OutputHandler
from tests.handlers.harness import context


def numbered(first: int, count: int) -> list[Event]:
    """Events that name themselves by their session."""
    return [event(Session(name="created"), emitter="s", timestamp=n, session_id=n) for n in range(first, first + count)]


class Backend:
    """Takes events over HTTP and WebSockets; ``answers`` are the statuses to come, 200 after them."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        """As they were when they had been taken, whatever was answered."""
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.protocols: list[str] = []
        self.peers: set[Any] = set()
        self.open = asyncio.Event()
        """While it is not set nothing is read."""
        self.open.set()
        self.port = 0
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/events"

    @property
    def sessions(self) -> list[int]:
        """Of the events that were taken with 2xx, in order."""
        found = [json.loads(body) for body in self.bodies]
        return [item["session_id"] for body in found for item in (body if isinstance(body, list) else [body])]

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        if "Upgrade" in request.headers:
            return await self._socket(request)
        self.headers.append(dict(request.headers))
        body = await request.read()
        await self.open.wait()
        status = self.answers.pop(0) if self.answers else 200
        if 200 <= status < 300:
            self.bodies.append(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        return web.Response(status=status, headers={"Location": self.url} if status // 100 == 3 else {})

    async def _socket(self, request: web.BaseRequest) -> web.WebSocketResponse:
        offered = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if each]
        self.protocols += offered
        socket = web.WebSocketResponse(protocols=offered)
        await socket.prepare(request)
        while True:
            await self.open.wait()
            frame = await socket.receive()
            if frame.type is not WSMsgType.TEXT:
                return socket
            self.bodies.append(frame.data.encode())


@asynccontextmanager
async def backend() -> AsyncIterator[Backend]:
    server = Backend()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def running(
    make: Callable[[Any], OutputHandler], folder: Path, *, depth: int = 10_000
) -> AsyncIterator[tuple[OutputHandler, EventBus, Subscription]]:
    """The handler behind a bus, as in a collector."""
    handler = make(context(folder, LoopClock()))
    bus = EventBus(LoopClock())
    subscription = bus.add(handler, depth=depth)
    async with bus:
        assert subscription in bus.subscriptions, "it did not start"
        yield handler, bus, subscription


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for what the other side has to do."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # nothing tells us but the look itself
            await asyncio.sleep(0.005)
