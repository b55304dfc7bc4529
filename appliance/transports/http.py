"""The Janus API over HTTP: requests by POST, notifications by long poll (Janus's ``janus.transport.http``)."""

import asyncio
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from appliance.core.clock import Clock
from appliance.core.errors import JanusError
from appliance.core.events import Counter
from appliance.core.transport import Api, ModuleInfo
from appliance.transports.door import DoorConfig
from appliance.transports.json_http import JsonHttp, json_response, number
from appliance.transports.queries import answer_query

LONG_POLL_S = 30.0
"""After so long without anything to tell, a long poll is answered with a keepalive."""
KEEPALIVE = {"janus": "keepalive"}
MAX_POLLS = 16
"""Long polls of one session at once; the oldest is answered when one more comes."""
MAX_EVENTS = 1000
"""Events that one long poll can take at once, whatever its ``maxev``."""


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


class HttpTransport(JsonHttp):
    """Serves the Janus API at ``http://host:port/base_path``."""

    class Config(DoorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``[transports.http]``."""

        enabled: bool = True
        host: str = "127.0.0.1"
        port: int = 8088
        base_path: str = "/janus"
        """Where it is served."""
        events: bool = True
        """Publish a transport event (type 128) for each request."""
        allow_origin: str = "*"
        """What web pages may use the API: ``*``, or one origin (``https://example.org``)."""
        enforce_cors: bool = False
        """Refuse (403) requests that a page of another origin makes, instead of leaving it to its browser."""
        max_queued_events: int = 1000
        """Of one session between two long polls; the oldest is dropped."""

    name = "janus.transport.http"
    info = ModuleInfo("HTTP transport", "The appliance's authors", "The Janus API over HTTP.", "0.0.2", 2)

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        """:raises ValueError: the certificate can't be used."""
        super().__init__(
            config,
            clock,
            host=config.host,
            port=config.port,
            base_path=config.base_path,
            allow_origin=config.allow_origin,
            refuses_foreign=config.enforce_cors,
            what="Janus API over HTTP",
            tells=config.events,
        )
        self.config = config
        self.clients: dict[int, HttpClient] = {}
        """By session."""
        self._polls: Tally[str] = Tally()
        self._api: Api | None = None

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

    async def answer(self, message: object, request_id: str) -> dict[str, Any]:
        """Serve one request, for the client that its session has."""
        named = message.get("session_id") if isinstance(message, dict) else None
        client = self.clients.get(named) if isinstance(named, int) else None
        if client is None:
            client = HttpClient(self, request_id)
        client.id = request_id
        return self._core.request(message, client)

    def refuse(self, problem: JanusError, request_id: str) -> dict[str, Any]:
        """The reply to what does not even become a request."""
        return self._core.refuse(problem, HttpClient(self, request_id))

    def tell(self, request_id: str, data: dict[str, Any]) -> None:
        """Publish a transport event."""
        self._core.transport_event(self.name, request_id, data)

    async def get(self, request: web.Request, request_id: str, parts: list[str]) -> web.Response:
        """A long poll, or the way to one."""
        if not parts:
            return web.Response(status=404)
        if len(parts) == 2:
            return web.Response(status=302, headers={"Location": f"{self.base.rstrip('/')}/{number(parts[0])}"})
        return await self._long_poll(request, number(parts[0]))

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
        wanted = max(1, number(request.query.get("maxev", "1")))
        await client.wait(self.clock)
        taken: list[Any] = client.take(min(wanted, MAX_EVENTS)) or [KEEPALIVE]
        return json_response(taken if wanted > 1 else taken[0])

    # --- the Admin API, and counts ----------------------------------------------------------------------------

    def query(self, request: dict[str, Any]) -> dict[str, Any]:
        """``query_transport``."""
        return answer_query(self, request)

    def measure(self) -> Iterable[Counter]:
        """Long polls, what limits cost, and connections."""
        for outcome, count in self._polls.items():
            labels = {"transport": "http", "request": "poll", "outcome": outcome}
            yield Counter("api_requests_total", count, labels)
        yield from super().measure()
