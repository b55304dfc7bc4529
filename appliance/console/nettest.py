"""What a browser found in the network test of ``/demo``, kept with its call, and leave for its load test.

Whoever tests their network need not be one who may look at calls, so both requests are open to all. What they can do is
bounded: figures become an event of a test call that the store knows to be recent, once; and they are validated field by
field, since an operator reads them.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from appliance.console.answer import error_response, json_response
from appliance.console.parameters import small_body
from appliance.core.archive import Archive, CallSummary
from appliance.core.clock import Clock
from appliance.core.events import Body, Event, External, event
from appliance.core.events.session import NETTEST_SCHEMA
from appliance.core.network import network_of

Publish = Callable[[Body, Event], None]
"""Adds an event to the call that another one is about."""

MAX_BODY = 4096
CODE = re.compile(r"[0-9A-Z]{6}")
"""As the page makes them; the alphabet is its own business."""
RECENT_S = 900.0
"""How long after a test's call began its figures are taken."""
WINDOW_S = 60.0
PER_WINDOW = 240
"""Requests of all in that time, and of one address: an office tests at once, through one."""
PER_WINDOW_OF_ADDRESS = 30
MAX_KNOWN = 4096
"""Codes and addresses remembered."""
LOAD_S = 6
LOAD_BPS = 8_000_000
"""What a browser may send for so long: enough for several pictures, little for a server's line."""
MAX_LOADS = 4
"""Load tests at a time: 32 Mbit/s each way, as echoes."""
LOAD_LEAVE_S = 10.0
"""After which another may begin in its place: a page that is closed gives nothing back."""

Ratio = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[float, Meta(ge=0, le=60_000)]
Rate = Annotated[float, Meta(ge=0, le=100_000_000_000)]
Way = Literal["ok", "fail", "none", "untested"]


class Figures(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``appliance.nettest``: by the browser's own statistics. up is from the browser; ``None``: not measured."""

    tone: Literal["ok", "warn", "fail"]
    sentence: Annotated[str, Meta(max_length=300)]
    """As the person was told."""
    udp: Way
    tcp: Way
    turn: Way
    """none: the gateway, or the configuration, has none."""
    used: Literal["udp", "tcp"] | None = None
    seconds: Annotated[float, Meta(ge=0, le=600)] | None = None
    """Of the echo."""
    rtt_ms: Milliseconds | None = None
    loss_up: Ratio | None = None
    loss_down: Ratio | None = None
    jitter_up_ms: Milliseconds | None = None
    jitter_down_ms: Milliseconds | None = None
    bitrate_up_bps: Rate | None = None
    bitrate_down_bps: Rate | None = None
    estimate_bps: Rate | None = None
    """That the browser's congestion control gave its way out at the end."""
    load_up_bps: Rate | None = None
    """Carried under load, best of its seconds."""
    load_down_bps: Rate | None = None
    load_dropped: Ratio | None = None
    """Of what the browser sent under load: much where a line drops what is above its rate, instead of queueing it."""


class Budget:
    """Requests in a window of time, in all and for each address."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = 0.0
        self._of: dict[str, int] = {}
        self._all = 0

    def takes(self, address: str) -> bool:
        """Whether one more is within it; it counts then."""
        now = self._clock.monotonic()
        if now - self._since >= WINDOW_S:
            self._since, self._all = now, 0
            self._of.clear()
        network = network_of(address)
        count = self._of.get(network, 0) + 1
        if self._all >= PER_WINDOW or count > PER_WINDOW_OF_ADDRESS:
            return False
        self._all += 1
        self._of[network] = count
        return True


class NetworkTests:
    """The two requests. ``address`` says who asks; ``publish`` is ``None`` where figures can't become an event."""

    def __init__(
        self,
        archive: Archive | None,
        clock: Clock,
        publish: Publish | None = None,
        address: Callable[[web.Request], str] | None = None,
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._publish = publish
        self._address = address or _remote
        self._budget = Budget(clock)
        self._told: OrderedDict[str, None] = OrderedDict()
        self._loads: dict[str, float] = {}
        """By address: when its load test is over, monotonic."""

    async def figures(self, request: web.Request) -> web.Response:
        """``POST /api/test/{code}``: :class:`Figures`."""
        if not self._budget.takes(self._address(request)):
            return _busy("too many tests at a time", WINDOW_S)
        body = await small_body(request, MAX_BODY)
        if len(body) > MAX_BODY:
            return error_response(413, "too_large", f"figures have at most {MAX_BODY} bytes")
        try:
            found = msgspec.json.decode(body, type=Figures)
        except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
            return error_response(400, "bad_figures", str(problem))
        call = await self._call(request)
        code = request.match_info["code"]
        if call is None or self._publish is None:
            return error_response(404, "unknown_test", "no test with that code is going on or just over")
        if code in self._told:
            return error_response(409, "told", "the figures of that test have been taken")
        self._told[code] = None
        if len(self._told) > MAX_KNOWN:
            self._told.popitem(last=False)
        browser = "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))[:200]
        data = {"code": code, "browser": browser, **msgspec.to_builtins(found)}
        self._publish(External(schema=NETTEST_SCHEMA, data=data), _about(call))
        return json_response({})

    async def load(self, request: web.Request) -> web.Response:
        """``POST /api/test/{code}/load``: for how long and how much this test may send, if it may now."""
        address, now = network_of(self._address(request)), self._clock.monotonic()
        if not self._budget.takes(address):
            return _busy("too many tests at a time", WINDOW_S)
        self._loads = {one: until for one, until in self._loads.items() if until > now}
        if address in self._loads or len(self._loads) >= MAX_LOADS:
            return _busy("others test their bandwidth at this moment", LOAD_LEAVE_S)
        if await self._call(request) is None:
            return error_response(404, "unknown_test", "no test with that code is going on or just over")
        if address in self._loads or len(self._loads) >= MAX_LOADS:
            return _busy("others test their bandwidth at this moment", LOAD_LEAVE_S)
        self._loads[address] = now + LOAD_LEAVE_S
        return json_response({"seconds": LOAD_S, "bitrate_bps": LOAD_BPS})

    async def _call(self, request: web.Request) -> CallSummary | None:
        code = request.match_info["code"]
        if self._archive is None or not CODE.fullmatch(code):
            return None
        wanted = f"test-{code}"
        calls = await self._archive.calls(limit=5, search=wanted)
        oldest = self._clock.wall_us() - RECENT_S * 1e6
        return next((call for call in calls if call.opaque_id == wanted and call.started_us > oldest), None)


def _remote(request: web.Request) -> str:
    return request.remote or ""


def _about(call: CallSummary) -> Event:
    """An event of that call: what the figures are about."""
    about = event(
        External(schema=NETTEST_SCHEMA, data={}),
        emitter=call.server,
        timestamp=call.started_us,
        session_id=call.session_id,
        handle_id=call.handle_id,
        opaque_id=call.opaque_id,
    )
    return msgspec.structs.replace(about, correlation_id=call.correlation_id)


def _busy(why: str, after_s: float) -> web.Response:
    response = error_response(429, "too_many", why)
    response.headers["Retry-After"] = str(int(after_s))
    return response
