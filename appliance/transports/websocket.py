"""The Janus API over WebSockets (Janus's ``janus.transport.websockets``): one JSON a text frame, both ways.

A session's notifications go to the socket that created or claimed it, and it ends with its socket.
"""

import asyncio
import secrets
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web
from msgspec import Struct

from appliance.core.errors import ErrorCode, JanusError
from appliance.core.events import Counter
from appliance.core.messages import JsonError, parse
from appliance.core.transport import Api, ModuleInfo
from appliance.net.http_server import HttpServer, addresses

SUBPROTOCOL = "janus-protocol"


class WebSocketClient:
    """One socket: the sessions it has, and a bounded queue of what it is to be sent."""

    transport = "janus.transport.websockets"

    def __init__(self, owner: "WebSocketTransport", socket: web.WebSocketResponse) -> None:
        self.id = str(secrets.randbits(64))
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
        if self._queued_bytes + len(text) > self._owner.config.max_queued_bytes:
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


class WebSocketTransport:
    """Serves the Janus API at ``ws://host:port/``, on any path."""

    class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``[transports.websocket]``."""

        enabled: bool = True
        host: str = "127.0.0.1"
        port: int = 8188
        events: bool = True
        """Publish a transport event (type 128) for each connection made and ended."""
        allow_origin: str = "*"
        """What web pages may connect: ``*``, or one origin. A client that names no origin always may."""
        heartbeat_s: float = 0.0
        """A ping after so long; a client that does not answer within half of it is gone. 0: none."""
        max_message_bytes: int = 1_048_576
        """Of one request; a larger one is refused."""
        max_queued_bytes: int = 4_194_304
        """That wait for one client to read; it is disconnected when there are more."""
        max_connections: int = 10_000
        """At once; a further one is closed."""

    name = "janus.transport.websockets"
    info = ModuleInfo("WebSockets transport", "The appliance's authors", "The Janus API over WebSockets.", "0.0.1", 1)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.dropped: Tally[str] = Tally()
        """What limits cost, by reason."""
        self._api: Api | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_shutdown.append(self._close_all)
        self._server = HttpServer(app, config.host, config.port, what="Janus API over WebSockets")

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"ws://{self._server.authority}/"

    async def start(self, api: Api) -> None:
        """Listen. :raises OSError: the address can't be had."""
        self._api = api
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening and close every socket (1001)."""
        await self._server.stop()

    async def _close_all(self, app: web.Application) -> None:
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            max_msg_size=self.config.max_message_bytes,
            heartbeat=self.config.heartbeat_s or None,
            compress=False,
            timeout=2.0,
        )
        await socket.prepare(request)
        await self._serve(request, socket)
        return socket

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            text = f"This is a WebSocket server: connect with subprotocol {SUBPROTOCOL}.\n"
            return web.Response(status=426, text=text, headers={"Upgrade": "websocket"})
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in [each.strip() for each in offered.split(",")]:
            text = f"Sec-WebSocket-Protocol: {offered!r} came, wanted {SUBPROTOCOL}\n"
            return web.Response(status=400, text=text)
        origin = request.headers.get("Origin")
        if self.config.allow_origin != "*" and origin is not None and origin != self.config.allow_origin:
            return web.Response(status=403, text="This origin may not connect.\n")
        if len(self._sockets) >= self.config.max_connections:
            self.dropped["connections"] += 1
            return web.Response(status=503)
        return None

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        api = self._api
        assert api is not None
        client = WebSocketClient(self, socket)
        self._sockets.add(socket)
        if self.config.events:
            api.transport_event(self.name, client.id, {"event": "connected", "admin_api": False} | addresses(request))
        writer = asyncio.create_task(client.write(), name=f"websocket writer {client.id}")
        overrun = asyncio.create_task(client.overrun.wait(), name=f"websocket guard {client.id}")
        reader = asyncio.create_task(self._read(api, socket, client), name=f"websocket reader {client.id}")
        tasks = (writer, overrun, reader)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sockets.discard(socket)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.config.events:
                api.transport_event(self.name, client.id, {"event": "disconnected"})
            api.gone(client)
        if client.overrun.is_set():
            # It does not read, so it would not read a close frame either.
            if request.transport is not None:
                request.transport.abort()
        elif not socket.closed:
            await socket.close()

    async def _read(self, api: Api, socket: web.WebSocketResponse, client: WebSocketClient) -> None:
        async for frame in socket:
            if frame.type is WSMsgType.ERROR:
                self.dropped["message_bytes" if _is_too_big(frame.data) else "bad_frame"] += 1
                return
            if frame.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                continue
            try:
                message = parse(frame.data)
            except JsonError as error:
                text = f"Invalid Janus API request - <string>({error.line},{error.column}): {error.detail}"
                client.send(api.refuse(JanusError(ErrorCode.INVALID_JSON, text), client))
                continue
            client.send(api.request(message, client))
            # One socket's burst leaves the others their turn, and what was put off its own.
            await asyncio.sleep(0)

    def measure(self) -> Iterable[Counter]:
        """What limits cost, and connections."""
        for reason, count in self.dropped.items():
            yield Counter("transport_limits_total", count, {"transport": "websocket", "limit": reason})
        yield Counter("transport_connections", len(self._sockets), {"transport": "websocket"})


def _is_too_big(problem: object) -> bool:
    return isinstance(problem, WebSocketError) and problem.code == WSCloseCode.MESSAGE_TOO_BIG
