"""Requests by POST, whatever API they are for: paths, bodies, ids, origins and limits, as Janus's HTTP has them.

API errors are replies like any other, with status 200; other statuses are about paths, origins and limits only.
"""

import asyncio
import re
import secrets
from abc import ABC, abstractmethod
from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from appliance.core.clock import Clock, LoopClock
from appliance.core.errors import ErrorCode, JanusError, shown
from appliance.core.events import Counter
from appliance.core.messages import JsonError, parse
from appliance.net.host import HostGuard
from appliance.net.http_server import HttpServer, addresses
from appliance.transports.door import Door, DoorConfig

BODY_TIMEOUT_S = 10.0
"""For a request's body to arrive."""

_LEADING_DIGITS = re.compile(r"[0-9]{1,19}")


class JsonHttp(ABC):
    """One listener. ``what`` names it in errors, ``transport`` in counts."""

    admin_api = False

    def __init__(
        self,
        config: DoorConfig,
        clock: Clock | None,
        *,
        host: str,
        port: int,
        base_path: str,
        allow_origin: str,
        refuses_foreign: bool,
        what: str,
        tells: bool,
        host_guard: HostGuard | None = None,
    ) -> None:
        """``refuses_foreign``: a page of another origin gets 403, instead of leaving it to its browser.
        ``host_guard``: a request under a name that it does not admit gets 403 too."""
        self.dropped: Tally[str] = Tally()
        """What limits cost, by reason."""
        self._host_guard = host_guard
        self.tells = tells
        """Whether each request is published as an event."""
        self.clock = clock or LoopClock()
        self.base = "/" + base_path.strip("/")
        self.served = 0
        self._door = Door(config, self.clock, allow_origin=allow_origin)
        self._max_message_bytes = config.max_message_bytes
        self._allow_origin = allow_origin
        self._refuses_foreign = refuses_foreign
        app = web.Application(client_max_size=config.max_message_bytes)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = HttpServer(
            app,
            host,
            port,
            what=what,
            cancel_handlers=True,
            tls=self._door.tls,
            max_connections=config.max_connections,
        )

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"{self._door.scheme('http')}://{self._server.authority}{self.base}"

    # --- what an API says -------------------------------------------------------------------------------------

    @abstractmethod
    async def answer(self, message: object, request_id: str) -> dict[str, Any]:
        """Serve one request."""

    @abstractmethod
    def refuse(self, problem: JanusError, request_id: str) -> dict[str, Any]:
        """The reply to what does not even become a request."""

    @abstractmethod
    async def get(self, request: web.Request, request_id: str, parts: list[str]) -> web.Response:
        """Serve a GET; ``info`` and ``ping`` are served already."""

    @abstractmethod
    def tell(self, request_id: str, data: dict[str, Any]) -> None:
        """Publish a transport event."""

    # --- requests ---------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.Response:
        request_id = str(secrets.randbits(64))
        if self.tells:
            self.tell(request_id, {"event": "request", "admin_api": self.admin_api} | addresses(request))
        response = await self._route(request, request_id)
        if self._allow_origin:
            self._add_cors(request, response)
        return response

    async def _route(self, request: web.Request, request_id: str) -> web.Response:
        self.served += 1
        if not self._door.admits(request) or (self._refuses_foreign and self._door.is_foreign(request)):
            return web.Response(status=403)
        if self._host_guard is not None and not self._host_guard.admits(request.headers.get("Host", "")):
            self.dropped["origin"] += 1
            return web.Response(status=403, text="Not known under this name: use localhost, or set a secret.\n")
        if not self._door.within_rate(self._door.address(request)):
            return web.Response(status=429, headers={"Retry-After": "1"})
        if request.method == "OPTIONS":
            return web.Response()
        if request.method not in {"GET", "POST"}:
            problem = JanusError(ErrorCode.TRANSPORT_SPECIFIC, f"Unsupported method {shown(request.method)}")
            return json_response(self.refuse(problem, request_id))
        path = request.path
        if path != self.base and not path.startswith(self.base.rstrip("/") + "/"):
            return web.Response(status=404)
        parts = [part for part in path[len(self.base) :].split("/") if part]
        if len(parts) > 2:
            return web.Response(status=404)
        if request.method == "POST":
            return await self._post(request, request_id, parts)
        if len(parts) == 1 and parts[0] in {"info", "ping"}:
            message = {"janus": parts[0], "transaction": secrets.token_hex(6)}
            return json_response(await self.answer(message, request_id))
        return await self.get(request, request_id, parts)

    async def _post(self, request: web.Request, request_id: str, parts: list[str]) -> web.Response:
        if parts[:1] in (["info"], ["ping"]):
            return web.Response(status=400)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self.dropped["message_bytes"] += 1
            text = f"Message too large, at most {self._max_message_bytes} bytes are read"
            problem = JanusError(ErrorCode.TRANSPORT_SPECIFIC, text)
            return json_response(self.refuse(problem, request_id), status=413)
        except TimeoutError:
            self.dropped["body_timeout"] += 1
            return web.Response(status=408)
        try:
            message = parse(body)
        except JsonError as error:
            problem = JanusError(ErrorCode.INVALID_JSON, f"JSON error: {error}")
            return json_response(self.refuse(problem, request_id))
        session_id = number(parts[0]) if parts else 0
        handle_id = number(parts[1]) if len(parts) > 1 else 0
        if isinstance(message, dict):
            try:
                message = _with_path_ids(message, session_id, handle_id)
            except JanusError as conflict:
                return json_response(self.refuse(conflict, request_id))
        return json_response(await self.answer(message, request_id))

    def _add_cors(self, request: web.Request, response: web.Response) -> None:
        headers, asked = response.headers, request.headers
        headers["Access-Control-Allow-Origin"] = self._allow_origin
        if self._allow_origin != "*":
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

    def connections(self) -> dict[str, Any]:
        """For ``query_transport``."""
        return {"connections": {self._door.scheme("http"): self._server.connections}, "messages": self.served}

    def measure(self) -> Iterable[Counter]:
        """What limits cost, and connections."""
        for reason, count in (self.dropped + self._door.refused + self._server.refused).items():
            yield Counter("transport_limits_total", count, {"transport": "http", "limit": reason})
        yield Counter("transport_connections", self._server.connections, {"transport": "http"})


def number(text: str) -> int:
    """As C's ``strtoull`` reads it: leading digits count, anything else is 0."""
    digits = _LEADING_DIGITS.match(text)
    return int(digits[0]) if digits else 0


def _with_path_ids(message: dict[str, Any], session_id: int, handle_id: int) -> dict[str, Any]:
    for key, value, what in (("session_id", session_id, "session"), ("handle_id", handle_id, "handle")):
        given = message.get(key)
        # What is no integer names none, as everywhere.
        if value and isinstance(given, int) and not isinstance(given, bool) and given not in (0, value):
            text = f"Conflicting {what} ID (payload and path)"
            raise JanusError(ErrorCode.INVALID_REQUEST_PATH, text)
        if value:
            message = {**message, key: value}
    return message


def json_response(content: object, status: int = 200) -> web.Response:
    """A body of JSON."""
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
