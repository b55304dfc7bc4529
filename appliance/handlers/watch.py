"""Shows the events as they come to whoever asks over HTTP: what ``appliance watch`` reads.

``GET /events?types=webrtc,media&session=..&handle=..&correlation=..`` answers with one JSON object a line for as long
as the client stays. A client that does not read loses its own lines, and is told how many.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from aiohttp import web
from msgspec import Struct

from appliance.core.events import Counter, Event, EventType, encode_json, parse_mask
from appliance.core.handler import HandlerContext

MAX_WATCHERS = 32
MAX_LINES = 2000
"""Lines kept for a client that reads slowly."""
QUIET_LINE_SECONDS = 15.0
"""An empty line each so often tells both sides that the other is there."""


class WatchConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.watch]``."""

    enabled: bool = True
    events: str = "all"


class _Watcher:
    """One client and what it wants."""

    def __init__(self, mask: EventType, session: int | None, handle: int | None, correlation: str | None) -> None:
        self.lines: deque[bytes] = deque()
        self.lost = 0
        self.woken = asyncio.Event()
        self._mask = mask
        self._session = session
        self._handle = handle
        self._correlation = correlation

    def wants(self, item: Event) -> bool:
        return bool(
            item.type & self._mask
            and self._session in (None, item.session_id)
            and self._handle in (None, item.handle_id)
            and self._correlation in (None, item.correlation_id)
        )

    def offer(self, line: bytes) -> None:
        if len(self.lines) >= MAX_LINES:
            self.lost += 1
            return
        self.lines.append(line)
        self.woken.set()

    def take(self) -> bytes:
        self.woken.clear()
        block = b"".join(self.lines)
        self.lines.clear()
        if self.lost:
            block += b'{"lost":%d}\n' % self.lost
            self.lost = 0
        return block


class WatchHandler:
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config = WatchConfig
    name = "watch"

    def __init__(self, config: WatchConfig, context: HandlerContext) -> None:
        self._wanted = parse_mask(config.events)
        self._watchers: set[_Watcher] = set()
        self._refused = 0
        self._lost = 0
        context.measured.append(self)

    @property
    def mask(self) -> EventType:
        """Nothing while nobody watches."""
        return self._wanted if self._watchers else EventType.NONE

    @mask.setter
    def mask(self, wanted: EventType) -> None:
        self._wanted = wanted

    async def start(self) -> None:
        """Nothing to open: clients come through :meth:`routes`."""

    async def handle(self, batch: Sequence[Event]) -> None:
        """Give each event to the clients that want it; encoded once."""
        if not self._watchers:
            return
        for item in batch:
            line: bytes | None = None
            for watcher in self._watchers:
                if watcher.wants(item):
                    line = line or encode_json(item) + b"\n"
                    lost = watcher.lost
                    watcher.offer(line)
                    self._lost += watcher.lost - lost

    async def stop(self) -> None:
        """Let the clients go."""
        for watcher in self._watchers:
            watcher.woken.set()
        self._watchers.clear()

    def measure(self) -> Iterable[Counter]:
        """Clients now, refused ones, and lines that slow ones lost."""
        yield Counter("watch_clients", len(self._watchers))
        yield Counter("watch_clients_refused_total", self._refused)
        yield Counter("watch_lines_lost_total", self._lost)

    def routes(self) -> list[web.RouteDef]:
        """For the collector's web server."""
        return [web.get("/events", self._stream)]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        try:
            watcher = _Watcher(
                parse_mask(query.get("types", "all")),
                int(query["session"]) if "session" in query else None,
                int(query["handle"]) if "handle" in query else None,
                query.get("correlation"),
            )
        except ValueError as problem:
            raise web.HTTPBadRequest(text=f"{problem}\n") from None
        if len(self._watchers) >= MAX_WATCHERS:
            self._refused += 1
            raise web.HTTPServiceUnavailable(text=f"{MAX_WATCHERS} clients watch already\n")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        self._watchers.add(watcher)
        try:
            while watcher in self._watchers:
                try:
                    async with asyncio.timeout(QUIET_LINE_SECONDS):
                        await watcher.woken.wait()
                except TimeoutError:
                    await response.write(b"\n")
                    continue
                await response.write(watcher.take())
        except ConnectionError:
            pass
        finally:
            self._watchers.discard(watcher)
        return response
