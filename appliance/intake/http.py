"""Takes what Janus's event handlers post over HTTP (sampleevh): on any path, because a wrong one loses everything.

sampleevh takes any status for success and repeats only what the network lost, so the status is for people: 200 once
the events are on their way, 400 with words for what is no JSON or no event.
"""

import asyncio
import logging
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiohttp import web
from msgspec import Struct

from appliance.core.clock import Clock
from appliance.core.deliveries import Deliveries, digest
from appliance.core.events import Counter, Event, EventDecodeError
from appliance.core.intake import Deliver, ProgressOfEach
from appliance.intake import dialect
from appliance.intake.doubles import Doubles
from appliance.intake.journal import YIELD_EVERY, Journal
from appliance.net.basic_auth import authorizes
from appliance.net.host import HostGuard, is_loopback
from appliance.net.http_server import HttpServer

logger = logging.getLogger(__name__)

READ_TIMEOUT = 15.0
"""Seconds for one body; sampleevh itself gives up after 10."""
AGAIN_S = 60.0
"""In which a sender repeats what it heard no answer to: sampleevh waits 10 s for one, and repeats five times."""
MAX_REQUESTS = 256
"""At the same time; sampleevh has one."""
MAX_CONNECTIONS = 10_000
"""Of as many Janus servers, which keep theirs."""


class HttpIntakeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[intake.http]``."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8081
    user: str = ""
    """With a password: what ``backend_user`` and ``backend_pwd`` of sampleevh must be."""
    password: str = ""
    """What Janus sends as ``backend_pwd``."""
    max_body_bytes: int = 8 * 2**20
    """Of one POST, after decompression."""
    journal_max_mb: float = 32
    """Of disk, for what is answered and not stored yet: a collector that is killed reads it again when it is back.
    Nothing is flushed to the disk itself, so a machine that fails may lose it. 0: no journal."""


class HttpIntake:
    """Contract: :class:`appliance.core.intake.Intake`."""

    Config = HttpIntakeConfig
    name = "http"

    def __init__(self, config: HttpIntakeConfig, clock: Clock) -> None:
        """:raises ValueError: a user without a password, or the reverse, or a size below 0."""
        if bool(config.user) != bool(config.password):
            raise ValueError("user and password are wanted together, or neither")
        self.received = 0
        self.malformed = 0
        self.doubles = 0
        """Bodies that had come before: their sender had heard no answer."""
        self.unauthorized = 0
        self.refused = 0
        """Requests turned away for their method, size or encoding, or because too many came at once."""
        self._config = config
        self._journal = Journal(self.name, config.journal_max_mb, clock)
        self._clock = clock
        self._known = Doubles()
        self._deliver: Deliver | None = None
        # Who has the password is no page that got a name of its own to point here.
        self._host_guard = HostGuard() if is_loopback(config.host) and not config.password else None
        self._running = 0
        self._logged = False
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._server = HttpServer(
            application,
            config.host,
            config.port,
            what="intake.http (events of Janus servers)",
            grace_s=1.0,
            max_connections=MAX_CONNECTIONS,
        )

    @property
    def port(self) -> int:
        """The one that was had; the configured one while not running."""
        return self._server.port

    @property
    def url(self) -> str:
        """What a Janus server's ``backend`` is set to."""
        return f"http://{self._server.authority}"

    def keep_in(self, folder: Path, progress: ProgressOfEach, deliveries: Deliveries) -> None:
        """Contract: :class:`appliance.core.intake.KeepsJournal`."""
        self._journal.open(folder, progress, deliveries)

    async def start(self, deliver: Deliver) -> None:
        """Listen. :raises OSError: the address can't be had; the message names it."""
        self._deliver = deliver
        self._journal.begin(self._once_more, deliver)
        await self._server.start()

    async def stop(self) -> None:
        """Close; a request that is being read is refused, so its sender repeats it."""
        self._deliver = None
        await self._server.stop()
        await self._journal.stop()

    def measure(self) -> Iterable[Counter]:
        """Events and requests by outcome."""
        counts = {"ok": self.received, "malformed": self.malformed, "refused": self.refused}
        for outcome, value in (counts | {"duplicate": self.doubles}).items():
            yield Counter("intake_events_total", value, {"intake": self.name, "outcome": outcome})
        yield from self._journal.measure()
        for reason, count in self._server.refused.items():
            yield Counter("http_connections_refused_total", count, {"listener": "intake", "reason": reason})
        yield Counter("auth_failures_total", self.unauthorized, {"api": "intake"})

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        if request.method != "POST":
            self.refused += 1
            text = "This is where Janus's event handlers post their events: set backend to this address.\n"
            return web.Response(status=405, text=text, headers={"Allow": "POST"})
        if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
            # No event handler sends these, every browser does: a web page must not put calls into the console.
            self.refused += 1
            return _last(web.Response(status=403, text="events are not taken from web pages\n"))
        if self._host_guard is not None and not self._host_guard.admits(request.headers.get("Host", "")):
            self.refused += 1
            return _last(web.Response(status=403, text="not known under this name: use localhost or its address\n"))
        if not self._authorized(request.headers.get("Authorization", "")):
            self.unauthorized += 1
            headers = {"WWW-Authenticate": 'Basic realm="events"'}
            return _last(web.Response(status=401, text="user and password are wanted\n", headers=headers))
        if self._running >= MAX_REQUESTS:
            self.refused += 1
            return _last(web.Response(status=503, text=f"{MAX_REQUESTS} requests are being read already\n"))
        self._running += 1
        try:
            return await self._take(request)
        finally:
            self._running -= 1

    def _authorized(self, header: str) -> bool:
        config = self._config
        return not config.password or authorizes(header, config.user, config.password)

    async def _take(self, request: web.BaseRequest) -> web.Response:
        # Who gives up waiting posts it again.
        await self._journal.ready.wait()
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                body = await self._body(request)
        except TimeoutError:
            self.refused += 1
            return _last(web.Response(status=408, text=f"the body took longer than {READ_TIMEOUT:.0f} s\n"))
        except _RefusedError as refusal:
            self.refused += 1
            self._note(request, refusal.text)
            return _last(web.Response(status=refusal.status, text=f"{refusal.text}\n"))
        try:
            document = dialect.decode(body)
        except EventDecodeError as problem:
            self.malformed += 1
            self._note(request, str(problem))
            return web.Response(status=400, text=f"{problem}\n")
        items = document if isinstance(document, list) else [document]
        deliver = self._deliver
        problems: list[str] = []
        if deliver is not None and self._is_double(body):
            self.doubles += 1
        elif deliver is not None:
            with self._journal.keeping(body, len(items), deliver) as keeping:
                problems = await self._read(items, keeping)
            if len(problems) == len(items):
                # Whoever tries again is told again.
                self._known.forget(digest(body))
        if problems:
            self._note(request, problems[0])
            return web.Response(status=400, text=f"{len(problems)} refused: {problems[0]}\n")
        return web.Response()

    def _is_double(self, body: bytes) -> bool:
        # An event names its microsecond, so equal bytes are the same events.
        now = self._clock.monotonic()
        before = self._known.last(digest(body), now)
        return (before is not None and now - before < AGAIN_S) or self._journal.is_double(body)

    async def _once_more(self, body: bytes, deliver: Deliver) -> None:
        document = dialect.decode(body)
        await self._read(document if isinstance(document, list) else [document], deliver)

    async def _read(self, items: list[Any], deliver: Deliver) -> list[str]:
        """Deliver every event that is one; return what is wrong with the others."""
        problems: list[str] = []
        for count, item in enumerate(items, 1):
            try:
                found: list[Event] = list(dialect.read_one(item))
            except EventDecodeError as problem:
                self.malformed += 1
                problems.append(str(problem)[:300])
                continue
            for event in found:
                self.received += 1
                deliver(event)
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return problems

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self._config.max_body_bytes
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
            raise _RefusedError(415, f"Content-Encoding {encoding[:40]!r} came, wanted gzip, deflate or none")
        # 32: gzip or zlib, by the header.
        inflate = zlib.decompressobj(wbits=32 + 15) if encoding not in {"identity", ""} else None
        parts: list[bytes] = []
        size = 0
        async for chunk in request.content.iter_any():
            part = chunk
            if inflate is not None:
                try:
                    part = inflate.decompress(chunk, limit - size + 1)
                except zlib.error as error:
                    raise _RefusedError(400, f"{encoding}: {error}") from None
            size += len(part)
            if size > limit:
                raise _RefusedError(413, f"body: wanted at most {limit} bytes")
            parts.append(part)
        if inflate is not None and not inflate.eof:
            raise _RefusedError(400, f"{encoding}: the body ends too early")
        return b"".join(parts)

    def _note(self, request: web.BaseRequest, problem: str) -> None:
        # Once, for whoever sets it up; the counts tell the rest.
        if not self._logged:
            self._logged = True
            logger.warning("events from %s refused: %s; counting further ones in silence", request.remote, problem)


class _RefusedError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def _last(response: web.Response) -> web.Response:
    """The body has not been read to its end: what follows on the connection is no request."""
    response.force_close()
    return response
