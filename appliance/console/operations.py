"""What the query API answers: one table of paths and parameters, which reads requests and describes the API."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from msgspec import Raw, Struct

from appliance.console import parameters
from appliance.console.parameters import MAX_TEXT, BadParameterError
from appliance.core.archive import DIMENSIONS, CallGroup, CallSummary, EndedCall, Member, UsualPhase
from appliance.diagnosis.explain import Explanation
from appliance.diagnosis.fleet import Outlier

LAST_US = 2**63 - 1
MAX_RECORDS = 5_000
"""In one answer."""


class Parameter(Struct, frozen=True, kw_only=True):
    """Of the query, or of the path where it is named there."""

    name: str
    about: str
    schema: dict[str, Any]
    read: Callable[[web.Request], Any]
    """Raises BadParameterError."""
    in_path: bool = False


class Operation(Struct, frozen=True, kw_only=True):
    """A path that is read with GET."""

    name: str
    """As client libraries call it."""
    path: str
    about: str
    parameters: Sequence[Parameter] = ()
    answer: type[Any] | None = None
    """``None`` where it is no JSON object of a fixed shape."""
    content: Sequence[str] = ("application/json",)
    statuses: Sequence[int] = ()
    """That it may answer beside those that all do."""
    wants_store: bool = True

    def read(self, request: web.Request) -> dict[str, Any]:
        """Every parameter by name. :raises BadParameterError: one that is unknown, or is not what is wanted."""
        known = [parameter.name for parameter in self.parameters if not parameter.in_path]
        for name in request.query:
            if name not in known:
                wanted = f"wanted one of {', '.join(known)}" if known else "wanted none"
                raise BadParameterError(f"{name[:MAX_TEXT]}: there is no such parameter, {wanted}")
            if len(request.query.getall(name)) > 1:
                raise BadParameterError(f"{name}: it came more than once, wanted one")
        return {parameter.name: parameter.read(request) for parameter in self.parameters}


def whole(name: str, about: str, *, default: int | None = None, least: int = 0, most: int = LAST_US) -> Parameter:
    """``None`` where it is absent and has no default."""
    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    if default is not None:
        schema["default"] = default

    def read(request: web.Request) -> int | None:
        if default is None and name not in request.query:
            return None
        return parameters.integer(request, name, default or 0, least, most)

    return Parameter(name=name, about=about, schema=schema, read=read)


def words(name: str, about: str) -> Parameter:
    """``None`` where it is absent or blank."""
    schema = {"type": "string", "maxLength": MAX_TEXT}
    return Parameter(
        name=name, about=about, schema=schema, read=lambda request: parameters.text(request, name).strip() or None
    )


def one_of(name: str, about: str, choices: Sequence[str]) -> Parameter:
    """The first where it is absent."""
    schema = {"type": "string", "enum": list(choices), "default": choices[0]}
    return Parameter(
        name=name, about=about, schema=schema, read=lambda request: parameters.choice(request, name, choices)
    )


def flag(name: str, about: str) -> Parameter:
    """``None`` where it is absent."""
    return Parameter(
        name=name, about=about, schema={"type": "boolean"}, read=lambda request: parameters.optional_flag(request, name)
    )


# --- answers -------------------------------------------------------------------------------------------------


class CallsAnswer(Struct, frozen=True, kw_only=True):
    """Of ``/api/calls``."""

    calls: Sequence[CallSummary]
    before: int | None
    """Ask with it for the next page; null at the end."""
    now_us: int


class CallAnswer(Explanation, kw_only=True):
    """Of ``/api/calls/{correlation_id}``."""

    call: CallSummary
    usual_phases: Mapping[str, UsualPhase]
    """Of the latest good calls of its server, by the phase's name."""
    cut: bool
    """There are more events than are read."""


class EventLine(Struct, frozen=True, kw_only=True):
    """An event and what it says."""

    type: str
    """Word of an event mask; ``other`` where there is none."""
    text: str
    event: Raw
    """The whole of it, a JSON object."""


class EventsAnswer(Struct, frozen=True, kw_only=True):
    """Of ``/api/calls/{correlation_id}/events``."""

    events: Sequence[EventLine]
    offset: int
    total: int
    """Of those types."""
    counts: dict[str, int]
    """Of all types, by their words."""
    cut: bool
    """There are more events than are read."""


class RecordsAnswer(Struct, frozen=True, kw_only=True):
    """Of ``/api/records``."""

    records: Sequence[EndedCall]
    before: int | None
    """Ask with it for the next page; null at the end."""


class FleetAnswer(Struct, frozen=True, kw_only=True):
    """Of ``/api/fleet``."""

    by: str
    since_us: int
    until_us: int
    groups: Sequence[CallGroup]
    outliers: Sequence[Outlier]


class MembersAnswer(Struct, frozen=True, kw_only=True):
    """Of ``/api/members``."""

    members: Sequence[Member]


# --- the table -----------------------------------------------------------------------------------------------

CORRELATION = Parameter(
    name="correlation_id",
    about="Of the call: session-handle-n@server.",
    schema={"type": "string", "maxLength": MAX_TEXT},
    read=parameters.correlation_id,
    in_path=True,
)
SERVER = words("server", "Only of this server.")
ANY = "any"
"""Severity of a verdict, or none at all."""

CALLS = Operation(
    name="calls",
    path="/api/calls",
    about="Calls, live and past, newest first.",
    parameters=(
        whole("limit", "At most so many.", default=100, least=1, most=500),
        whole("before", "Those that began before, in microseconds: `before` of the last answer; 0 for the newest."),
        words("search", "Within ids, opaque id, room, addresses, plugin and verdict code."),
        flag("live", "Only those that are up, or only those that are over."),
        one_of("severity", "Only those whose newest verdict is so.", (ANY, "fault", "notice", "good")),
        one_of("by", "With `key`: only those that are over and have this in common.", (ANY, *DIMENSIONS)),
        words("key", "Of a group of `/api/fleet`."),
    ),
    answer=CallsAnswer,
)
CALL = Operation(
    name="call",
    path="/api/calls/{correlation_id}",
    about="One call explained: verdict, evidence, phases, quality.",
    parameters=(CORRELATION,),
    answer=CallAnswer,
    statuses=(304, 404),
)
EVENTS = Operation(
    name="events",
    path="/api/calls/{correlation_id}/events",
    about="The events of a call in order, each with a line that says what it is.",
    parameters=(
        CORRELATION,
        whole("limit", "At most so many.", default=200, least=1, most=2000),
        whole("offset", "So many are passed over.", default=0, most=20_000),
        whole("around", "The page that this event is on, by its number.", default=0),
        words("types", "Words of an event mask, e.g. `webrtc,jsep`."),
    ),
    answer=EventsAnswer,
    statuses=(404,),
)
EVENT_LINES = Operation(
    name="eventLines",
    path="/api/calls/{correlation_id}/events.jsonl",
    about="The events of a call, a JSON object a line.",
    parameters=(CORRELATION,),
    content=("application/x-ndjson",),
    statuses=(404,),
)
WEBRTC_STATS = Operation(
    name="webrtcStats",
    path="/api/calls/{correlation_id}/webrtc-stats.jsonl",
    about="The statistics of a call by the W3C's names (`inbound-rtp`, `packetsReceived`, jitter in seconds, ...), as"
    " the server sees it: an object of `getStats()` a line.",
    parameters=(CORRELATION,),
    content=("application/x-ndjson",),
    statuses=(404,),
)
RECORDS = Operation(
    name="records",
    path="/api/records",
    about="Records of calls that are over, the latest first.",
    parameters=(
        whole("since", "That ended at this time or later, in microseconds since the epoch."),
        whole("until", "That ended before this time, in microseconds since the epoch."),
        SERVER,
        words("room", "Only of this room."),
        words("network", "Only from this network, e.g. `192.0.2.0/24`."),
        words("browser", "Only of this browser."),
        words("code", "Only with this verdict."),
        whole("limit", "At most so many.", default=100, least=1, most=MAX_RECORDS),
        whole("before", "Those told before the record of this number: `before` of the last answer."),
        one_of("format", "JSON, or CSV with a line of names.", ("json", "csv")),
    ),
    answer=RecordsAnswer,
    content=("application/json", "text/csv"),
)
FLEET = Operation(
    name="fleet",
    path="/api/fleet",
    about="Calls that are over by what they have in common, and where faults are more frequent than elsewhere.",
    parameters=(
        one_of("by", "What they have in common.", DIMENSIONS),
        whole("since", "That ended at this time or later, in microseconds; a day before `until` where absent."),
        whole("until", "That ended before this time, in microseconds; now where absent."),
        SERVER,
        words("code", "Only with this verdict."),
    ),
    answer=FleetAnswer,
)
MEMBERS = Operation(
    name="members",
    path="/api/members",
    about="Who was in a room, or where a user was: who watches whom, on which handles. Wants `room` or `user`.",
    parameters=(
        words("room", "The room."),
        words("user", "An opaque id or a display name."),
        SERVER,
        whole("since", "Who joined at this time or later, in microseconds since the epoch.", default=0),
    ),
    answer=MembersAnswer,
)
DESCRIPTION = Operation(name="description", path="/api/openapi.json", about="This description.", wants_store=False)

OPERATIONS = (CALLS, CALL, EVENTS, EVENT_LINES, WEBRTC_STATS, RECORDS, FLEET, MEMBERS, DESCRIPTION)
"""All that are described."""
