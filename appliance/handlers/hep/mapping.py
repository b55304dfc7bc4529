"""What each event becomes in HEP: events in, messages out; time is an argument.

Offers and answers are shown as SIP (type 1), RTCP reports as Homer's JSON (type 5), everything else as the event's
JSON (type 100); :mod:`appliance.handlers.hep.kinds` has the rule for each kind, and
:mod:`appliance.handlers.hep.ladder` finds the candidates and states that are shown as SIP too. All messages of a
PeerConnection carry its correlation id, which is also the SIP Call-ID: equal, or Homer does not bring them together.
What belongs to a session alone carries ``<session_id>@<server>``.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, TypeGuard

from msgspec.structs import replace

from appliance.core.correlation import safe_server_name
from appliance.core.events import (
    VERDICT_SCHEMA,
    Body,
    Connection,
    Event,
    External,
    Handle,
    Jsep,
    MediaStats,
    Plugin,
    RtcpReport,
    SelectedPair,
    Session,
)
from appliance.handlers.hep.addresses import AddressBook, path
from appliance.handlers.hep.call import Call
from appliance.handlers.hep.kinds import Ends, Sender, rule
from appliance.handlers.hep.legs import LegBook
from appliance.handlers.hep.log_json import cut_record, record
from appliance.handlers.hep.outgoing import MapperConfig, Outgoing
from appliance.handlers.hep.raw_sip import raw_sip
from appliance.handlers.hep.rtcp_json import MadeReports, reports
from appliance.handlers.hep.sip import LOCAL, REMOTE, Dialog, End
from appliance.hep.message import HepEncodeError, PayloadType

ANSWERS = {"answer": "200 OK", "pranswer": "183 Session Progress"}
ENDED_BY_CLIENT = frozenset({"Janus API", "DTLS alert", "Detach", "Session destroyed", ""})
"""Reasons for which the client sends the BYE: it asked, or it closed its PeerConnection."""
MAX_MEDIA = 100
"""Media of one call whose statistics are remembered."""


class HepMapper:
    """Keeps what one message needs of earlier events, within bounds."""

    def __init__(self, config: MapperConfig) -> None:
        self._config = config
        self._book = AddressBook(config.api_address)
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._due: deque[tuple[float, Call]] = deque()
        """Calls that have ended, by when the wait for their verdict is over."""
        self._session_ends: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._legs = LegBook(config.max_calls)
        self.skipped: dict[str, int] = {"unattached": 0, "empty_report": 0, "invalid": 0, "replayed": 0}
        """Events that became no message, by reason."""
        self.cut = 0
        """Payloads that were longer than a packet carries."""
        self.forgotten = 0
        """Calls and sessions that had to make room."""

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def forgotten_sessions(self) -> int:
        """Sessions whose addresses had to make room."""
        return self._book.forgotten_sessions

    def change(self, **settings: Any) -> None:
        """Change some of its settings for the events to come."""
        self._config = replace(self._config, **settings)

    def take(self, item: Event, now: float) -> list[Outgoing]:
        """The messages of one event; ``now`` is monotonic, in seconds."""
        if self._config.masker is not None:
            item = self._config.masker.event(item)
        self._book.note(item)
        self._legs.note(item)
        out: list[Outgoing] = []
        key = self._key(item)
        if key is None:
            self.skipped["unattached"] += 1
            return out
        try:
            call = self._call(key, item, out)
            out.extend(self._map(call, item, now))
        except HepEncodeError:
            self.skipped["invalid"] += 1
        if item.replayed:
            # A collector that has just started learns of the calls that are up; Homer had this when it happened.
            self.skipped["replayed"] += 1
            return []
        return out

    def _key(self, item: Event) -> str | None:
        if item.session_id is None:
            return f"server@{safe_server_name(item.emitter)}" if self._config.unattached else None
        if item.correlation_id is not None:
            return item.correlation_id
        return f"{item.session_id}@{safe_server_name(item.emitter)}"

    def _call(self, key: str, item: Event, out: list[Outgoing]) -> Call:
        call = self._calls.get(key)
        if call is None:
            call = Call(key, self._book.api_path(item.emitter, item.session_id))
            self._calls[key] = call
            if len(self._calls) > self._config.max_calls:
                _, oldest = self._calls.popitem(last=False)
                self.forgotten += 1
                out.extend(self._release(oldest))
        else:
            self._calls.move_to_end(key)
        return call

    def _map(self, call: Call, item: Event, now: float) -> Iterator[Outgoing]:
        body = item.event
        wanted = bool(int.__and__(item.type, self._config.wanted))
        if isinstance(body, Jsep) and self._config.jsep_as_sip and body.jsep.type in ("offer", *ANSWERS):
            if wanted:
                yield self._sip(call, item, body)
            return
        if isinstance(body, RtcpReport):
            if wanted:
                yield from self._rtcp(call, item, body)
            return
        if isinstance(body, SelectedPair):
            call.select(body)
        elif isinstance(body, Session):
            self._note_session(item, body)
        if wanted:
            yield self._log(call, item)
            yield from self._beside(call, item)
        if isinstance(body, Connection) and body.connection == "hangup":
            self._end(call, item, body.reason or "", now)
        elif isinstance(body, Handle) and body.name == "detached":
            reason = self._session_ends.get((item.emitter, item.session_id or 0), "Detach")
            self._end(call, item, reason, now)
            self._legs.leave(item)
        elif _is_last_word(body):
            call.verdict = body
            yield from self._release(call)

    def _note_session(self, item: Event, body: Session) -> None:
        if body.name != "created":
            words = "Session timeout" if body.name == "timeout" else "Session destroyed"
            _remember(self._session_ends, (item.emitter, item.session_id or 0), words, self._config.max_calls)

    def _beside(self, call: Call, item: Event) -> Iterator[Outgoing]:
        """What an event becomes beside its JSON."""
        body = item.event
        if isinstance(body, MediaStats):
            yield from self._made_up(call, item, body)
        elif isinstance(body, Plugin):
            yield from self._raw_sip(item, body)
        elif self._config.ladder_states and call.dialog is not None and not call.dialog.ended and call.bye is None:
            rung = call.ladder.rung(body)
            if rung is not None:
                template = call.template(self._config, media=False, inward=rung.owner == REMOTE)
                payload = call.dialog.info(rung.owner, rung.subject, self._link(call, item), fragment=rung.fragment)
                if len(payload) <= template.room:
                    yield Outgoing(call.correlation_id, template, item.timestamp, PayloadType.SIP, payload)

    # --- type 1 ----------------------------------------------------------------------------------------------

    def _sip(self, call: Call, item: Event, body: Jsep) -> Outgoing:
        inward = body.owner == REMOTE
        owner = REMOTE if inward else LOCAL
        template = call.template(self._config, media=False, inward=inward)
        if call.dialog is None:
            call.dialog = self._dialog(call, item)
        sdp = body.jsep.sdp.replace("\0", " ").encode("utf-8", "replace")
        call.ladder.described(owner, body.jsep.sdp)
        link = self._link(call, item)
        if body.jsep.type == "offer":
            payload = call.dialog.offer(owner, sdp, template.room, link)
        else:
            payload = call.dialog.answer(owner, sdp, template.room, link, status=ANSWERS[body.jsep.type])
        if not payload.endswith(sdp):
            self.cut += 1
        return Outgoing(call.correlation_id, template, item.timestamp, PayloadType.SIP, payload)

    def _link(self, call: Call, item: Event) -> str:
        return self._legs.link(item, self._legs.of(item), call.correlation_id)

    def _dialog(self, call: Call, item: Event) -> Dialog:
        leg = self._legs.of(item)
        leg.user = leg.user or item.opaque_id or ""
        return Dialog(
            call.correlation_id,
            call.api,
            leg,
            handle=str(item.handle_id),
            server_name=safe_server_name(item.emitter),
            ids={
                "X-Session-ID": str(item.session_id),
                "X-Handle-ID": str(item.handle_id),
                "X-Opaque-ID": item.opaque_id or "",
            },
        )

    def _raw_sip(self, item: Event, body: Plugin) -> Iterator[Outgoing]:
        """A real SIP message, under its own Call-ID."""
        found = raw_sip(body)
        if found is None:
            return
        unknown = self._book.unknown
        ends = path(found.src or unknown.client, found.dst or unknown.server, found.protocol)
        template = self._config.template(found.call_id, ends.client, ends.server, found.protocol)
        payload = found.payload
        if len(payload) > template.room:
            self.cut += 1
            payload = payload[: template.room]
        yield Outgoing(found.call_id, template, item.timestamp, PayloadType.SIP, payload)

    def _end(self, call: Call, item: Event, reason: str, now: float) -> None:
        if call.dialog is not None and not call.dialog.ended and call.bye is None:
            owner = REMOTE if reason in ENDED_BY_CLIENT else LOCAL
            call.bye = (item, End(owner, reason))
        if not call.ending:
            call.ending = True
            self._due.append((now + self._config.verdict_wait_s, call))

    def _release(self, call: Call) -> Iterator[Outgoing]:
        """The BYE, if one is held."""
        held = call.take_bye()
        if held is None or call.dialog is None:
            return
        item, end = held
        template = call.template(self._config, media=False, inward=end.owner == REMOTE)
        payload = call.dialog.bye(end, self._link(call, item))
        yield Outgoing(call.correlation_id, template, item.timestamp, PayloadType.SIP, payload)

    def next_due(self) -> float | None:
        """When :meth:`due` has something to do."""
        return self._due[0][0] if self._due else None

    def due(self, now: float) -> list[Outgoing]:
        """What was held long enough; the calls that have ended are forgotten."""
        out: list[Outgoing] = []
        while self._due and self._due[0][0] <= now:
            _, call = self._due.popleft()
            out.extend(self._release(call))
            if self._calls.get(call.correlation_id) is call:
                del self._calls[call.correlation_id]
        return out

    def flush(self) -> list[Outgoing]:
        """Everything that is still held, because the program ends."""
        return self.due(float("inf"))

    # --- types 5 and 100 -------------------------------------------------------------------------------------

    def _rtcp(self, call: Call, item: Event, body: RtcpReport) -> Iterator[Outgoing]:
        call.tells_rtcp = True
        template = call.template(self._config, media=True, inward=body.direction == "in")
        told = False
        for payload in reports(body, item.timestamp):
            told = True
            yield Outgoing(call.correlation_id, template, item.timestamp, PayloadType.RTCP_JSON, payload, True)
        if not told:
            self.skipped["empty_report"] += 1

    def _made_up(self, call: Call, item: Event, body: MediaStats) -> Iterator[Outgoing]:
        """Reports for servers that tell no RTCP; ours tells whether the peer has reported, and so is known."""
        if call.tells_rtcp or body.has_reports is not None:
            return
        medium = body.mid or body.media
        made = call.made_reports.get(medium)
        if made is None:
            made = MadeReports(f"{call.correlation_id}/{medium}")
            if len(call.made_reports) < MAX_MEDIA:
                call.made_reports[medium] = made
        for inward, payload in made.take(body):
            template = call.template(self._config, media=True, inward=inward)
            yield Outgoing(call.correlation_id, template, item.timestamp, PayloadType.RTCP_JSON, payload, True)

    def _log(self, call: Call, item: Event) -> Outgoing:
        its = rule(type(item.event))
        inward = its.sender is Sender.CLIENT or (isinstance(item.event, Jsep) and item.event.owner == REMOTE)
        template = call.template(self._config, media=its.ends is Ends.MEDIA, inward=inward)
        leg = self._legs.of(item)
        payload = record(item, room=leg.room, display=leg.display)
        if len(payload) > template.room:
            self.cut += 1
            payload = cut_record(item, payload, template.room)
        return Outgoing(call.correlation_id, template, item.timestamp, PayloadType.LOG, payload, its.expendable)


def _is_last_word(body: Body) -> TypeGuard[External]:
    """A verdict that no other replaces, as a live one may be."""
    return isinstance(body, External) and body.schema == VERDICT_SCHEMA and body.data.get("final", True) is not False


def _remember(table: OrderedDict[tuple[str, int], str], key: tuple[str, int], value: str, limit: int) -> None:
    table[key] = value
    if len(table) > limit:
        table.popitem(last=False)
