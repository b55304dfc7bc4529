"""One JSON a text frame, both ways, whatever API it is for: sockets, their queues and their limits."""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from appliance.core.clock import Clock, LoopClock
from appliance.core.errors import ErrorCode, JanusError
from appliance.core.events import Counter
from appliance.core.messages import JsonError, parse
from appliance.net.host import HostGuard
from appliance.net.http_server import HttpServer, addresses
from appliance.transports.door import Door, DoorConfig


class WebSocketClient:
    """One socket: the sessions it has, and a bounded queue of what it is to be sent."""

    transport = "janus.transport.websockets"

    def __init__(self, owner: "JsonWebSocket", socket: web.WebSocketResponse, address: str) -> None:
        self.id = str(secrets.randbits(64))
        self.address = address
        self.overrun = asyncio.Event()
        """The client reads too slowly: it has to go."""
        self._owner = owner
        self._socket = socket
        self._queue: deque[str] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()

    def session_began(self, session_id: int) -> None:
        """Nothing to do: whatever the socket's sessions are told goes the same way."""

    def session_over(self, session_id: int, *, timeout: bool) -> None:
        """Nothing to do: the socket may create another."""

    def push(self, session_id: int, message: dict[str, Any]) -> None:
        """Queue a notification."""
        self.send(message)

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message, in order; a queue that is full is the end of the socket."""
        if self.overrun.is_set():
            return
        text = msgspec.json.encode(message).decode()
        if self._queued_bytes + len(text) > self._owner.max_queued_bytes:
            self._owner.dropped["queue_full"] += 1
            self.overrun.set()
            return
        self._queue.append(text)
        self._queued_bytes += len(text)
        self._filled.set()

    async def write(self) -> None:
        """Send what is queued, for as long as the socket lives."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                text = self._queue.popleft()
                await self._socket.send_str(text)
                self._queued_bytes -= len(text)


class JsonWebSocket(ABC):
    """One listener, on any path. ``what`` names it in errors."""

    admin_api = False

    def __init__(
        self,
        config: DoorConfig,
        clock: Clock | None,
        *,
        host: str,
        port: int,
        subprotocol: str,
        allow_origin: str,
        heartbeat_s: float,
        max_queued_bytes: int,
        what: str,
        tells: bool,
        host_guard: HostGuard | None = None,
    ) -> None:
        self.dropped: Tally[str] = Tally()
        """What limits cost, by reason."""
        self._host_guard = host_guard
        self.tells = tells
        """Whether connections made and ended are published as events."""
        self.max_queued_bytes = max_queued_bytes
        self._subprotocol = subprotocol
        self._heartbeat_s = heartbeat_s
        self._door = Door(config, clock or LoopClock(), allow_origin=allow_origin)
        self._limit = config.requests_per_second
        self._max_message_bytes = config.max_message_bytes
        self._sockets: set[web.WebSocketResponse] = set()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_shutdown.append(self._close_all)
        self._server = HttpServer(
            app, host, port, what=what, tls=self._door.tls, max_connections=config.max_connections
        )

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"{self._door.scheme('ws')}://{self._server.authority}/"

    async def stop(self) -> None:
        """Stop listening and close every socket (1001)."""
        await self._server.stop()

    # --- what an API says -------------------------------------------------------------------------------------

    @abstractmethod
    async def answer(self, message: object, client: WebSocketClient) -> dict[str, Any]:
        """Serve one request."""

    @abstractmethod
    def refuse(self, problem: JanusError, client: WebSocketClient) -> dict[str, Any]:
        """The reply to what does not even become a request."""

    @abstractmethod
    def tell(self, client: WebSocketClient, data: dict[str, Any]) -> None:
        """Publish a transport event."""

    @abstractmethod
    def gone(self, client: WebSocketClient) -> None:
        """A socket is closed."""

    # --- sockets ----------------------------------------------------------------------------------------------

    async def _close_all(self, app: web.Application) -> None:
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse(
            protocols=(self._subprotocol,),
            max_msg_size=self._max_message_bytes,
            heartbeat=self._heartbeat_s or None,
            compress=False,
            timeout=2.0,
        )
        await socket.prepare(request)
        await self._serve(request, socket)
        return socket

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self._door.admits(request):
            return web.Response(status=403)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            text = f"This is a WebSocket server: connect with subprotocol {self._subprotocol}.\n"
            return web.Response(status=426, text=text, headers={"Upgrade": "websocket"})
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if self._subprotocol not in [each.strip() for each in offered.split(",")]:
            text = f"Sec-WebSocket-Protocol: {offered!r} came, wanted {self._subprotocol}\n"
            return web.Response(status=400, text=text)
        if self._host_guard is not None and not self._host_guard.admits(request.headers.get("Host", "")):
            self.dropped["origin"] += 1
            return web.Response(status=403, text="Not known under this name: use localhost, or set a secret.\n")
        if self._door.is_foreign(request):
            return web.Response(status=403, text="This origin may not connect.\n")
        if not self._door.within_rate(self._door.address(request)):
            return web.Response(status=429, headers={"Retry-After": "1"})
        return None

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        client = WebSocketClient(self, socket, self._door.address(request))
        self._sockets.add(socket)
        if self.tells:
            self.tell(client, {"event": "connected", "admin_api": self.admin_api} | addresses(request))
        writer = asyncio.create_task(client.write(), name=f"websocket writer {client.id}")
        overrun = asyncio.create_task(client.overrun.wait(), name=f"websocket guard {client.id}")
        reader = asyncio.create_task(self._read(socket, client), name=f"websocket reader {client.id}")
        tasks = (writer, overrun, reader)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sockets.discard(socket)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.tells:
                self.tell(client, {"event": "disconnected"})
            self.gone(client)
        if client.overrun.is_set():
            # It does not read, so it would not read a close frame either.
            if request.transport is not None:
                request.transport.abort()
        elif not socket.closed:
            await socket.close()

    async def _read(self, socket: web.WebSocketResponse, client: WebSocketClient) -> None:
        async for frame in socket:
            if frame.type is WSMsgType.ERROR:
                self.dropped["message_bytes" if _is_too_big(frame.data) else "bad_frame"] += 1
                return
            if frame.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                continue
            client.send(await self._reply(frame.data, client))
            # One socket's burst leaves the others their turn, and what was put off its own.
            await asyncio.sleep(0)

    async def _reply(self, data: str | bytes, client: WebSocketClient) -> dict[str, Any]:
        try:
            message = parse(data)
        except JsonError as error:
            text = f"Invalid Janus API request - <string>({error.line},{error.column}): {error.detail}"
            return self.refuse(JanusError(ErrorCode.INVALID_JSON, text), client)
        if not self._door.within_rate(client.address):
            text = f"Too many requests: at most {self._limit} a second from one address"
            refusal = self.refuse(JanusError(ErrorCode.TRANSPORT_SPECIFIC, text), client)
            transaction = message.get("transaction") if isinstance(message, dict) else None
            return refusal | ({"transaction": transaction} if isinstance(transaction, str) else {})
        return await self.answer(message, client)

    # --- counts -----------------------------------------------------------------------------------------------

    def connections(self) -> dict[str, Any]:
        """For ``query_transport``."""
        return {"connections": len(self._sockets)}

    def measure(self) -> Iterable[Counter]:
        """What limits cost, and connections."""
        for reason, count in (self.dropped + self._door.refused + self._server.refused).items():
            yield Counter("transport_limits_total", count, {"transport": "websocket", "limit": reason})
        yield Counter("transport_connections", len(self._sockets), {"transport": "websocket"})


def _is_too_big(problem: object) -> bool:
    return isinstance(problem, WebSocketError) and problem.code == WSCloseCode.MESSAGE_TOO_BIG
