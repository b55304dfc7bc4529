"""The Janus API over HTTP: requests by POST, notifications by long poll (Janus's ``janus.transport.http``).

API errors are replies like any other, with status 200; other statuses are about paths, origins and long polls only.
"""

import asyncio
import re
import secrets
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from appliance.core.clock import Clock, LoopClock
from appliance.core.errors import ErrorCode, JanusError, shown
from appliance.core.events import Counter
from appliance.core.messages import JsonError, parse
from appliance.core.transport import Api, ModuleInfo
from appliance.net.http_server import HttpServer, addresses

LONG_POLL_S = 30.0
"""After so long without anything to tell, a long poll is answered with a keepalive."""
BODY_TIMEOUT_S = 10.0
"""For a request's body to arrive."""
KEEPALIVE = {"janus": "keepalive"}
MAX_POLLS = 16
"""Long polls of one session at once; the oldest is answered when one more comes."""
MAX_EVENTS = 1000
"""Events that one long poll can take at once, whatever its ``maxev``."""

_LEADING_DIGITS = re.compile(r"[0-9]{1,19}")


class HttpClient:
    """A session's end of the line: a bounded queue of what it is to be told, and the polls that wait for it."""

    transport = "janus.transport.http"

    def __init__(self, owner: "HttpTransport", request_id: str) -> None:
        self.id = request_id
        self._owner = owner
        self._queue: deque[dict[str, Any]] = deque()
        self._polls: deque[asyncio.Future[None]] = deque()

    def session_began(self, session_id: int) -> None:
        """From now on polls of this session come here."""
        self._owner.clients[session_id] = self

    def push(self, session_id: int, message: dict[str, Any]) -> None:
        """Queue, the oldest making room, and wake every poll: the first takes all, the others get a keepalive."""
        if len(self._queue) >= self._owner.config.max_queued_events:
            self._queue.popleft()
            self._owner.dropped["queue_full"] += 1
        self._queue.append(message)
        self._wake()

    def session_over(self, session_id: int, *, timeout: bool) -> None:
        """End the polls that wait; what was queued goes out with the first of them."""
        if self._owner.clients.get(session_id) is self:
            del self._owner.clients[session_id]
        self._wake()

    def _wake(self) -> None:
        while self._polls:
            self._end(self._polls.popleft())

    @staticmethod
    def _end(poll: "asyncio.Future[None]") -> None:
        if not poll.done():
            poll.set_result(None)

    def take(self, count: int) -> list[dict[str, Any]]:
        """Up to ``count`` events, oldest first."""
        return [self._queue.popleft() for _ in range(min(count, len(self._queue)))]

    async def wait(self, clock: Clock) -> None:
        """Until something is queued, the session is over, or 30 s have passed."""
        if self._queue:
            return
        poll: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._polls) >= MAX_POLLS:
            self._end(self._polls.popleft())
            self._owner.dropped["polls"] += 1
        self._polls.append(poll)
        timer = clock.call_later(LONG_POLL_S, lambda: self._end(poll))
        try:
            await poll
        finally:
            timer.cancel()
            if poll in self._polls:
                self._polls.remove(poll)


class HttpTransport:
    """Serves the Janus API at ``http://host:port/base_path``."""

    class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``[transports.http]``."""

        enabled: bool = True
        host: str = "127.0.0.1"
        port: int = 8088
        base_path: str = "/janus"
        """The path of the API, below which sessions and handles have theirs."""
        events: bool = True
        """Publish a transport event (type 128) for each request."""
        allow_origin: str = "*"
        """What web pages may use the API: ``*``, or one origin (``https://example.org``)."""
        enforce_cors: bool = False
        """Refuse (403) requests that a page of another origin makes, instead of leaving it to its browser."""
        max_message_bytes: int = 1_048_576
        """Of one request; a larger one is refused."""
        max_queued_events: int = 1000
        """Of one session between two long polls; the oldest is dropped."""
        max_connections: int = 10_000
        """At once; a further one is closed."""

    name = "janus.transport.http"
    info = ModuleInfo("HTTP transport", "The appliance's authors", "The Janus API over HTTP.", "0.0.2", 2)

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.clients: dict[int, HttpClient] = {}
        """By session."""
        self.dropped: Tally[str] = Tally()
        """What limits cost, by reason."""
        self._clock = clock or LoopClock()
        self._polls: Tally[str] = Tally()
        self._api: Api | None = None
        self._base = "/" + config.base_path.strip("/")
        app = web.Application(client_max_size=config.max_message_bytes)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = HttpServer(app, config.host, config.port, what="Janus API over HTTP", cancel_handlers=True)

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"http://{self._server.authority}{self._base}"

    async def start(self, api: Api) -> None:
        """Listen. :raises OSError: the address can't be had."""
        self._api = api
        await self._server.start()

    async def stop(self) -> None:
        """Answer the polls that wait, and stop listening."""
        for session_id, client in list(self.clients.items()):
            client.session_over(session_id, timeout=False)
        await self._server.stop()

    @property
    def _core(self) -> Api:
        assert self._api is not None
        return self._api

    # --- requests ---------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.Response:
        request_id = str(secrets.randbits(64))
        if self.config.events:
            self._tell(request, request_id)
        response = await self._route(request, request_id)
        self._add_cors(request, response)
        return response

    def _tell(self, request: web.Request, request_id: str) -> None:
        data: dict[str, Any] = {"event": "request", "admin_api": False}
        self._core.transport_event(self.name, request_id, data | addresses(request))

    async def _route(self, request: web.Request, request_id: str) -> web.Response:
        if self._server.connections > self.config.max_connections:
            self.dropped["connections"] += 1
            response = web.Response(status=503)
            response.force_close()
            return response
        if self._is_foreign(request):
            return web.Response(status=403)
        if request.method == "OPTIONS":
            return web.Response()
        if request.method not in {"GET", "POST"}:
            problem = JanusError(ErrorCode.TRANSPORT_SPECIFIC, f"Unsupported method {shown(request.method)}")
            return _json(self._core.refuse(problem, HttpClient(self, request_id)))
        path = request.path
        if path != self._base and not path.startswith(self._base.rstrip("/") + "/"):
            return web.Response(status=404)
        parts = [part for part in path[len(self._base) :].split("/") if part]
        if len(parts) > 2:
            return web.Response(status=404)
        if request.method == "POST":
            return await self._post(request, request_id, parts)
        return await self._get(request, request_id, parts)

    async def _post(self, request: web.Request, request_id: str, parts: list[str]) -> web.Response:
        if parts[:1] in (["info"], ["ping"]):
            return web.Response(status=400)
        client = HttpClient(self, request_id)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self.dropped["message_bytes"] += 1
            text = f"Message too large, at most {self.config.max_message_bytes} bytes are read"
            return _json(self._core.refuse(JanusError(ErrorCode.TRANSPORT_SPECIFIC, text), client), status=413)
        except TimeoutError:
            self.dropped["body_timeout"] += 1
            return web.Response(status=408)
        try:
            message = parse(body)
        except JsonError as error:
            problem = JanusError(ErrorCode.INVALID_JSON, f"JSON error: {error}")
            return _json(self._core.refuse(problem, client))
        session_id = _number(parts[0]) if parts else 0
        handle_id = _number(parts[1]) if len(parts) > 1 else 0
        if isinstance(message, dict):
            try:
                message = _with_path_ids(message, session_id, handle_id)
            except JanusError as conflict:
                return _json(self._core.refuse(conflict, client, session_id))
            named = message.get("session_id")
            known = self.clients.get(named) if isinstance(named, int) else None
            if known is not None:
                client, client.id = known, request_id
        return _json(self._core.request(message, client))

    async def _get(self, request: web.Request, request_id: str, parts: list[str]) -> web.Response:
        if not parts:
            return web.Response(status=403)
        if len(parts) == 1 and parts[0] in {"info", "ping"}:
            message = {"janus": parts[0], "transaction": secrets.token_hex(6)}
            return _json(self._core.request(message, HttpClient(self, request_id)))
        if len(parts) == 2:
            return web.Response(status=302, headers={"Location": f"{self._base.rstrip('/')}/{_number(parts[0])}"})
        return await self._long_poll(request, _number(parts[0]))

    async def _long_poll(self, request: web.Request, session_id: int) -> web.Response:
        if not self._core.authorized(request.query.get("apisecret"), request.query.get("token")):
            self._polls["error"] += 1
            return web.Response(status=403)
        client = self.clients.get(session_id)
        if client is None or not self._core.session_exists(session_id):
            self._polls["error"] += 1
            return web.Response(status=404)
        self._polls["success"] += 1
        self._core.touch(session_id)
        wanted = max(1, _number(request.query.get("maxev", "1")))
        await client.wait(self._clock)
        taken: list[Any] = client.take(min(wanted, MAX_EVENTS)) or [KEEPALIVE]
        return _json(taken if wanted > 1 else taken[0])

    # --- origins ----------------------------------------------------------------------------------------------

    def _is_foreign(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin")
        allowed = self.config.allow_origin
        return self.config.enforce_cors and allowed != "*" and origin is not None and origin != allowed

    def _add_cors(self, request: web.Request, response: web.Response) -> None:
        headers, asked = response.headers, request.headers
        headers["Access-Control-Allow-Origin"] = self.config.allow_origin
        if self.config.allow_origin != "*":
            headers["Access-Control-Allow-Credentials"] = "true"
            headers["Vary"] = "Origin"
        headers["Access-Control-Max-Age"] = "86400"
        for question, reply in (
            ("Access-Control-Request-Method", "Access-Control-Allow-Methods"),
            ("Access-Control-Request-Headers", "Access-Control-Allow-Headers"),
        ):
            if question in asked:
                headers[reply] = asked[question]

    # --- counts -----------------------------------------------------------------------------------------------

    def measure(self) -> Iterable[Counter]:
        """Long polls, what limits cost, and connections."""
        for outcome, count in self._polls.items():
            labels = {"transport": "http", "request": "poll", "outcome": outcome}
            yield Counter("api_requests_total", count, labels)
        for reason, count in self.dropped.items():
            yield Counter("transport_limits_total", count, {"transport": "http", "limit": reason})
        yield Counter("transport_connections", self._server.connections, {"transport": "http"})


def _number(text: str) -> int:
    """As C's ``strtoull`` reads it: leading digits count, anything else is 0."""
    digits = _LEADING_DIGITS.match(text)
    return int(digits[0]) if digits else 0


def _with_path_ids(message: dict[str, Any], session_id: int, handle_id: int) -> dict[str, Any]:
    for key, value, what in (("session_id", session_id, "session"), ("handle_id", handle_id, "handle")):
        if value and message.get(key) not in (None, value):
            text = f"Conflicting {what} ID (payload and path)"
            raise JanusError(ErrorCode.INVALID_REQUEST_PATH, text)
        if value:
            message = {**message, key: value}
    return message


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
