"""The console: the routes of its pages and of their JSON.

Everything is read-only and a function of what the archive holds, so the page of a call from last week, of a Janus
server's call and of a live one are the same page.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from zlib import crc32

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct
from msgspec.structs import asdict

import appliance
from appliance.console import parameters
from appliance.console.analyse import Analysis
from appliance.console.answer import error_response, json_response, lines_response, raw_response
from appliance.console.calls import calls_response
from appliance.console.fleet import fleet_response
from appliance.console.guard import (
    SECURITY_HEADERS,
    content_security_policy,
    origin_of,
    other_site,
)
from appliance.console.live import Live
from appliance.console.members import members_response
from appliance.console.nettest import NetworkTests
from appliance.console.openapi import description
from appliance.console.operations import (
    CALL,
    CALLS,
    DESCRIPTION,
    EVENT_LINES,
    EVENTS,
    FLEET,
    MEMBERS,
    RECORDS,
    WEBRTC_STATS,
    CallAnswer,
    EventLine,
    EventsAnswer,
)
from appliance.console.pages import Page, load_pages, page_response
from appliance.console.parameters import BadParameterError
from appliance.console.recordings import RecordingRoutes
from appliance.console.records import records_response
from appliance.console.servers import ServerRoutes
from appliance.console.settings import Addresses, ConsoleSettings, Options, janus_addresses, link_templates
from appliance.console.turn import Turn
from appliance.core.archive import Archive, CallSummary, HepJournal, UsualPhase
from appliance.core.clock import Clock, LoopClock
from appliance.core.events import MASK_WORDS, Event, EventType, encode_json, parse_mask
from appliance.core.recordings import Recordings
from appliance.core.webrtc_stats import stats_of
from appliance.diagnosis.explain import describe_event, explain
from appliance.net.host import host_name

logger = logging.getLogger(__name__)

MAX_EVENTS = 20_000
"""Events of a call that are read; the page says so where there are more."""
EXPLAINED_CALLS = 16
"""Explanations kept, so that several people looking at one call cost one."""
THREAD_FROM_EVENTS = 1000
"""A call with more events than this is explained in a thread: the event loop also ships HEP and answers scrapes."""
MAX_WATCHERS = 32
"""Browser pages that get live updates at once; a further one is told to come back later."""
LIVE_INTERVAL_S = 1.0
"""How often the list of calls is looked at for changes while somebody watches."""
TYPE_WORDS = {int(kind): word for word, kind in MASK_WORDS.items() if word not in {"all", "none"}}


class Explained(Struct, frozen=True):
    """One explanation as it goes out, and the state of the archive that it is of."""

    version: str
    body: bytes


class Console:
    """The web page of the operator. Mount :meth:`routes`, and call :meth:`close` when the server stops.

    ``archive`` is ``None`` where no store keeps calls: the pages then say so.

    :raises ValueError: a link template or the TURN server in the settings is no good.
    """

    def __init__(
        self,
        archive: Archive | None,
        journal: HepJournal | None,
        settings: ConsoleSettings | None = None,
        *,
        recordings: Recordings | None = None,
        servers: ServerRoutes | None = None,
        clock: Clock | None = None,
        tests: NetworkTests | None = None,
        live_interval_s: float = LIVE_INTERVAL_S,
        max_watchers: int = MAX_WATCHERS,
    ) -> None:
        self._archive = archive
        self._journal = journal
        self._settings = settings or Options()
        self._clock = clock or LoopClock()
        self._links = link_templates(self._settings)
        self._turn = Turn(self._settings.turn_urls, self._settings.turn_secret_file)
        self._pages = load_pages()
        self._recordings = RecordingRoutes(recordings, archive)
        self._servers = servers or ServerRoutes()
        self._tests = tests or NetworkTests(archive, self._clock)
        self._explained: OrderedDict[str, Explained] = OrderedDict()
        self._live = Live(self._clock, interval_s=live_interval_s, max_watchers=max_watchers)

    def routes(self) -> list[web.RouteDef]:
        """Everything that the console answers."""
        pages = (
            ("/", self._shell),
            ("/call/{correlation_id}", self._shell),
            ("/fleet", self._shell),
            ("/live", self._shell),
            ("/code/{code}", self._shell),
            ("/together", self._shell),
            ("/demo", self._demo),
            ("/demo/videoroom", self._room),
            ("/static/{path:.*}", self._static),
            ("/favicon.ico", self._icon),
        )
        data = (
            ("/api/config", self._config),
            ("/api/live", self._stream),
            (CALLS.path, self._calls),
            (RECORDS.path, self._records),
            (FLEET.path, self._fleet),
            (MEMBERS.path, self._members),
            (DESCRIPTION.path, self._description),
            (CALL.path, self._call),
            (EVENTS.path, self._events),
            (EVENT_LINES.path, self._download),
            (WEBRTC_STATS.path, self._webrtc_stats),
            ("/api/calls/{correlation_id}/hep", self._hep),
            *self._recordings.data(),
            *self._servers.data(),
            ("/api/{path:.*}", self._nothing),
        )
        return [
            *(web.get(path, _with_headers(handler)) for path, handler in pages),
            *(web.get(path, _with_headers(_for_own_pages(handler))) for path, handler in data),
            *(
                web.route(method, path, _with_headers(_for_own_pages(handler)))
                for method, path, handler in (*self._recordings.changes(), *self._servers.changes())
            ),
            web.post("/api/analyse", _with_headers(_for_own_pages(Analysis().post))),
            web.post("/api/test/{code}", _with_headers(_for_own_pages(self._tests.figures))),
            web.post("/api/test/{code}/load", _with_headers(_for_own_pages(self._tests.load))),
        ]

    async def close(self) -> None:
        """End the live updates, so that the server need not wait for browsers."""
        await self._live.close()
        await self._servers.close()

    # --- pages ---------------------------------------------------------------------------------------------------

    async def _shell(self, request: web.Request) -> web.Response:
        return page_response(self._pages["index.html"], request)

    async def _demo(self, request: web.Request) -> web.Response:
        return self._calling(self._pages["demo.html"], request)

    async def _room(self, request: web.Request) -> web.Response:
        return self._calling(self._pages["room.html"], request)

    def _calling(self, page: Page, request: web.Request) -> web.Response:
        """A page that may reach the gateway too."""
        response = page_response(page, request)
        reached = janus_addresses(self._settings, host_name(request.headers.get("Host", "")))
        response.headers["Content-Security-Policy"] = content_security_policy(map(origin_of, reached))
        return response

    async def _static(self, request: web.Request) -> web.Response:
        page: Page | None = self._pages.get(request.match_info["path"])
        if page is None:
            return error_response(404, "not_found", "the console has no such file")
        return page_response(page, request)

    async def _icon(self, request: web.Request) -> web.Response:
        return page_response(self._pages["icon.svg"], request)

    # --- JSON ----------------------------------------------------------------------------------------------------

    async def _nothing(self, request: web.Request) -> web.Response:
        return error_response(404, "not_found", f"the console has no {request.path[:200]!r}")

    async def _config(self, request: web.Request) -> web.Response:
        http, websocket = janus_addresses(self._settings, host_name(request.headers.get("Host", "")))
        return json_response(
            Addresses(
                janus_http=http,
                janus_websocket=websocket,
                version=appliance.__version__,
                links=self._links,
                turn=self._turn.access(self._clock.wall_us() // 1_000_000),
            )
        )

    async def _calls(self, request: web.Request) -> web.Response:
        return await calls_response(request, self._kept(), self._clock.wall_us())

    async def _records(self, request: web.Request) -> web.Response:
        return await records_response(request, self._kept())

    async def _description(self, request: web.Request) -> web.Response:
        DESCRIPTION.read(request)
        return json_response(description())

    async def _fleet(self, request: web.Request) -> web.Response:
        return await fleet_response(request, self._kept(), self._clock.wall_us())

    async def _members(self, request: web.Request) -> web.Response:
        return await members_response(request, self._kept())

    async def _call(self, request: web.Request) -> web.Response:
        correlation_id = CALL.read(request)["correlation_id"]
        started = self._clock.monotonic()
        summary = await self._kept().call(correlation_id)
        if summary is None:
            return _unknown_call(correlation_id)
        events = await self._kept().events(correlation_id, limit=MAX_EVENTS)
        usual = await self._kept().usual_phases(summary.server)
        version = _version(summary, events, usual)
        if version in request.headers.get("If-None-Match", ""):
            response = web.Response(status=304)
        else:
            response = raw_response(await self._explain(version, summary, events, usual))
        response.headers["ETag"] = f'"{version}"'
        response.headers["Cache-Control"] = "no-cache"
        self._live.costs(correlation_id, self._clock.monotonic() - started)
        return response

    async def _explain(
        self, version: str, summary: CallSummary, events: Sequence[Event], usual: Mapping[str, UsualPhase]
    ) -> bytes:
        known = self._explained.get(summary.correlation_id)
        if known is not None and known.version == version:
            return known.body
        if len(events) > THREAD_FROM_EVENTS:
            body = await asyncio.to_thread(_explanation, summary, events, usual)
        else:
            body = _explanation(summary, events, usual)
        self._explained[summary.correlation_id] = Explained(version, body)
        self._explained.move_to_end(summary.correlation_id)
        if len(self._explained) > EXPLAINED_CALLS:
            self._explained.popitem(last=False)
        return body

    async def _events(self, request: web.Request) -> web.Response:
        asked = EVENTS.read(request)
        correlation_id, limit, offset, around = (
            asked[name] for name in ("correlation_id", "limit", "offset", "around")
        )
        try:
            mask = parse_mask(asked["types"] or "") or EventType.ALL
        except ValueError as error:
            raise BadParameterError(f"types: {error}") from None
        every = await self._kept().events(correlation_id, limit=MAX_EVENTS)
        if not every and await self._kept().call(correlation_id) is None:
            return _unknown_call(correlation_id)
        counts: dict[str, int] = {}
        for item in every:
            word = TYPE_WORDS.get(item.type, "other")
            counts[word] = counts.get(word, 0) + 1
        chosen = every if mask == EventType.ALL else [item for item in every if item.type & mask]
        if around:
            position = next((index for index, item in enumerate(chosen) if item.id == around), None)
            if position is None:
                return error_response(404, "unknown_event", f"event {around} is not among these events of the call")
            offset = position // limit * limit
        return json_response(
            EventsAnswer(
                events=[
                    EventLine(
                        type=TYPE_WORDS.get(item.type, "other"),
                        text=describe_event(item),
                        event=msgspec.Raw(encode_json(item)),
                    )
                    for item in chosen[offset : offset + limit]
                ],
                offset=offset,
                total=len(chosen),
                counts=counts,
                cut=len(every) >= MAX_EVENTS,
            )
        )

    async def _download(self, request: web.Request) -> web.Response:
        correlation_id = EVENT_LINES.read(request)["correlation_id"]
        events = await self._kept().events(correlation_id, limit=MAX_EVENTS)
        if not events:
            return _unknown_call(correlation_id)
        return lines_response(map(encode_json, events), correlation_id)

    async def _webrtc_stats(self, request: web.Request) -> web.Response:
        correlation_id = WEBRTC_STATS.read(request)["correlation_id"]
        events = await self._kept().events(correlation_id, limit=MAX_EVENTS)
        if not events:
            return _unknown_call(correlation_id)
        found = (msgspec.json.encode(one) for item in events for one in stats_of(item))
        return lines_response(found, f"{correlation_id}.webrtc-stats")

    async def _hep(self, request: web.Request) -> web.Response:
        correlation_id = parameters.correlation_id(request)
        packets = [] if self._journal is None else self._journal.sent(correlation_id)
        return json_response({"enabled": self._journal is not None, "packets": packets})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        archive = self._kept()
        if self._live.full:
            response = error_response(503, "too_many", f"{self._live.watchers} pages get live updates already")
            response.headers["Retry-After"] = "10"
            return response
        return await self._live.stream(request, archive, parameters.text(request, "call") or None)

    def _kept(self) -> Archive:
        if self._archive is None:
            raise NoArchiveError
        return self._archive


class NoArchiveError(Exception):
    """Nothing keeps calls, so there is nothing to show."""


# --- pieces ------------------------------------------------------------------------------------------------------


def _for_own_pages(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        if other_site(request):
            return error_response(403, "other_site", "the console's data is for its own pages")
        try:
            return await handler(request)
        except BadParameterError as error:
            return error_response(400, "bad_parameter", str(error))
        except NoArchiveError:
            return error_response(503, "no_store", "no store keeps calls; enable one with handlers.store.enabled")
        except (ConnectionError, asyncio.CancelledError, web.HTTPException):
            raise
        except Exception:
            logger.exception("console: %s failed", request.path)
            return error_response(500, "internal", "the console failed at this; the collector's log says why")

    return answer


def _with_headers(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await handler(request)
        if not response.prepared:
            response.headers.setdefault("Content-Security-Policy", content_security_policy())
            for name, value in SECURITY_HEADERS.items():
                response.headers[name] = value
        return response

    return answer


def _explanation(summary: CallSummary, events: Sequence[Event], usual: Mapping[str, UsualPhase]) -> bytes:
    # A call may be over without any event of its own that says so: its server was started again.
    found = explain(events, final=True if summary.ended_us is not None else None)
    cut = len(events) >= MAX_EVENTS
    return msgspec.json.encode(CallAnswer(**asdict(found), call=summary, usual_phases=usual, cut=cut))


def _version(summary: CallSummary, events: Sequence[Event], usual: Mapping[str, UsualPhase]) -> str:
    """Changes whenever the explanation may: events are only ever appended."""
    last = events[-1] if events else None
    stamp = f"{len(events)}-{last.id}-{last.timestamp}" if last else "0"
    return f"{stamp}-{crc32(msgspec.json.encode((summary, usual))):08x}"


def _unknown_call(correlation_id: str) -> web.Response:
    return error_response(404, "unknown_call", f"no call {correlation_id!r} is known; it may have been too long ago")
