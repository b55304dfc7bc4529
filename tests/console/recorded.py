"""An archive in memory, filled from recorded events of a real Janus: what the console is tested and shown with."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, create_engine, insert

from appliance.core.archive import CallGroup, CallSummary, EndedCall, Member, RecordFilter, SentPacket, UsualPhase
from appliance.core.correlation import Correlator
from appliance.core.events import (
    CALL_SCHEMA,
    Event,
    External,
    Handle,
    SelectedPair,
    Session,
    Transport,
    encode_json,
    event,
    from_janus,
)
from appliance.core.events import (
    Connection as ConnectionState,
)
from appliance.diagnosis.explain import explain
from appliance.diagnosis.record import record
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import judge
from appliance.handlers.store import fleet, members, schema
from appliance.handlers.store.records import call_record
from appliance.handlers.store.rows import rows_of

TRACES = Path(__file__).parent.parent / "data" / "janus-1.4"


def trace(name: str) -> Iterator[Any]:
    """The events of one recording as Janus sent them."""
    for line in (TRACES / f"{name}.jsonl").read_text("utf-8").splitlines():
        item = json.loads(line)
        yield item["event"] if "t_arrival_us" in item else item


def recorded(name: str) -> list[Event]:
    """The same, typed."""
    return [event for item in trace(name) for event in from_janus(item)]


def moved(events: Iterable[Event], start_us: int) -> list[Event]:
    """The same events as if the first had been at ``start_us``."""
    listed = list(events)
    shift = start_us - listed[0].timestamp
    return [replace(item, timestamp=item.timestamp + shift) for item in listed]


def another(item: Event, number: int) -> Event:
    """The event as if of another session: the same recording can be shown more than once."""
    session_id = None if item.session_id is None else item.session_id + number
    handle_id = None if item.handle_id is None else item.handle_id + number
    return replace(item, session_id=session_id, handle_id=handle_id)


class MemoryArchive:
    """Implements :class:`appliance.core.archive.Archive` with lists."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Event]] = {}
        self.summaries: dict[str, CallSummary] = {}
        self._correlator = Correlator()
        self._ids = 0
        self._sessions: dict[int, list[Event]] = {}
        self._transports: dict[str, list[Event]] = {}

    def add(self, events: Iterable[Event]) -> list[str]:
        """Stamp, keep, and bring the summaries up to date; the correlation ids that were touched."""
        touched: dict[str, None] = {}
        for came in events:
            self._ids += 1
            item = replace(came, id=self._ids, correlation_id=self._correlator.of(came))
            body = item.event
            if isinstance(body, Transport):
                self._transports.setdefault(body.id, []).append(item)
            elif item.correlation_id is not None:
                touched[item.correlation_id] = None
                if item.correlation_id not in self.kept:
                    self.kept[item.correlation_id] = list(self._sessions.get(item.session_id or 0, []))
                self.kept[item.correlation_id].append(item)
            elif item.session_id is not None:
                about = (
                    list(self._transports.get(body.transport.id, []))
                    if isinstance(body, Session) and body.transport
                    else []
                )
                self._sessions.setdefault(item.session_id, []).extend([*about, item])
                for correlation_id, kept in self.kept.items():
                    if correlation_id.startswith(f"{item.session_id}-"):
                        kept.append(item)
                        touched[correlation_id] = None
        for correlation_id in touched:
            self.summaries[correlation_id] = _summary(correlation_id, self.kept[correlation_id])
        return list(touched)

    async def calls(
        self,
        *,
        limit: int = 100,
        before_us: int | None = None,
        search: str | None = None,
        live: bool | None = None,
        codes: Sequence[str] | None = None,
        group: tuple[str, str] | None = None,
    ) -> Sequence[CallSummary]:
        among = set(self.summaries)
        if group is not None:
            with self._records() as connection:
                among = set(connection.execute(fleet.in_group(*group)).scalars())
        found = sorted(self.summaries.values(), key=lambda call: -call.started_us)
        return [
            call
            for call in found
            if call.correlation_id in among
            and (before_us is None or call.started_us < before_us)
            and (live is None or live == (call.ended_us is None))
            and (search is None or search.lower() in _searched(call) or search.replace(" ", "_") in _searched(call))
            and (codes is None or (call.verdict or {}).get("code") in codes)
        ][:limit]

    async def call(self, correlation_id: str) -> CallSummary | None:
        return self.summaries.get(correlation_id)

    async def groups(
        self, by: str, *, since_us: int, until_us: int, server: str | None = None, code: str | None = None
    ) -> Sequence[CallGroup]:
        with self._records() as connection:
            return fleet.groups(connection, by, since_us=since_us, until_us=until_us, server=server, code=code)

    async def members(
        self, *, room: str | None = None, user: str | None = None, server: str | None = None, since_us: int = 0
    ) -> Sequence[Member]:
        with self._records() as connection:
            return members.members(connection, room=room, user=user, server=server, since_us=since_us)

    async def records(self, wanted: RecordFilter) -> Sequence[EndedCall]:
        with self._records() as connection:
            return fleet.records(connection, wanted)

    async def usual_phases(self, server: str) -> dict[str, UsualPhase]:
        with self._records() as connection:
            return fleet.usual_phases(connection, server)

    @contextmanager
    def _records(self) -> Iterator[Connection]:
        """The records of all that ended, where the store's own queries find them."""
        engine = create_engine("sqlite://")
        with engine.begin() as connection:
            schema.metadata.create_all(connection)
            for correlation_id, kept in self.kept.items():
                timeline = Timeline.fold(kept, points=0)
                if timeline.ended_us is None:
                    continue
                data = msgspec.to_builtins(record(timeline, judge(timeline)))
                item = event(External(schema=CALL_SCHEMA, data=data), emitter="", timestamp=0)
                row = call_record(replace(item, correlation_id=correlation_id, id=timeline.ended_us))
                assert row is not None
                connection.execute(insert(schema.callrecords), row)
            for name, rows in rows_of([item for kept in self.kept.values() for item in kept if item.handle_id]).items():
                if rows and name in {"participants", "subscriptions", "handles"}:
                    table = schema.metadata.tables[name]
                    connection.execute(insert(table), [dict(zip(table.c.keys(), row, strict=True)) for row in rows])
            for call in self.summaries.values():
                row = {
                    name: getattr(call, name, None)
                    for name in schema.calls.c.keys()  # noqa: SIM118  # of a collection that iterates over its columns
                    if name != "verdict"
                }
                handle = {"session": call.session_id, "handle": call.handle_id}
                connection.execute(
                    insert(schema.calls), row | handle | {"verdict_code": (call.verdict or {}).get("code")}
                )
            yield connection
        engine.dispose()

    async def events(self, correlation_id: str, *, limit: int = 20_000) -> Sequence[Event]:
        return self.kept.get(correlation_id, [])[:limit]


class MemoryJournal:
    """Implements :class:`appliance.core.archive.HepJournal` with one packet an event that has a time."""

    def __init__(self, archive: MemoryArchive) -> None:
        self._archive = archive

    def sent(self, correlation_id: str) -> Sequence[SentPacket]:
        types = {8: 1, 16: 100, 32: 5}
        return [
            SentPacket(
                timestamp_us=item.timestamp,
                payload_type=types[item.type],
                source="127.0.0.1:54336",
                destination="127.0.0.1:8088",
                size=len(encode_json(item)) + 120,
                summary=encode_json(item).decode()[:80],
            )
            for item in self._archive.kept.get(correlation_id, [])
            if item.type in types
        ][-50:]


def _searched(call: CallSummary) -> str:
    code = (call.verdict or {}).get("code")
    return " ".join(map(str, (call.correlation_id, call.opaque_id, call.room, call.client_address, code))).lower()


def _summary(correlation_id: str, events: Sequence[Event]) -> CallSummary:
    own = [item for item in events if item.correlation_id == correlation_id]
    ended = next((item.timestamp for item in own if _ends(item)), None)
    addresses = [item.event.data for item in events if isinstance(item.event, Transport) and "ip" in item.event.data]
    address = addresses[0] if addresses else {}
    explanation: dict[str, Any] = msgspec.to_builtins(explain(events))
    return CallSummary(
        correlation_id=correlation_id,
        server=own[0].emitter,
        session_id=own[0].session_id or 0,
        handle_id=own[0].handle_id or 0,
        opaque_id=next((item.opaque_id for item in own if item.opaque_id), None),
        plugin=next((item.event.plugin for item in own if isinstance(item.event, Handle)), None),
        client_address=f"{address['ip']}:{address['port']}" if "port" in address else address.get("ip"),
        selected_pair=next((item.event.pair for item in own if isinstance(item.event, SelectedPair)), None),
        started_us=own[0].timestamp,
        ended_us=ended,
        verdict=explanation["verdict"],
    )


def _ends(item: Event) -> bool:
    match item.event:
        case ConnectionState(connection="hangup") | Handle(name="detached"):
            return True
    return False
