"""Reads what the store keeps, for the console. Own connections that can't write, in threads of their own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, Row, or_, select
from sqlalchemy.exc import SQLAlchemyError

from appliance.core.archive import CallGroup, CallSummary, EndedCall, Member, RecordFilter, UsualPhase
from appliance.core.events import Event, EventDecodeError, body_from_json
from appliance.handlers.store import fleet, members, schema
from appliance.handlers.store.database import StoreError
from appliance.handlers.store.rows import INFERRED
from appliance.handlers.store.writer import LOOKUP

logger = logging.getLogger(__name__)

MAX_CALLS = 1_000
MAX_NEAR = 200
"""Events of the server or a transport that are told with a call."""
AFTER_CALL_US = 10_000_000
"""A gap or a restart so soon after the end still explains it."""

T = TypeVar("T")


class StoreArchive:
    """Contract: :class:`appliance.core.archive.Archive`."""

    def __init__(self, flush: Callable[[], Awaitable[None]]) -> None:
        """``flush`` writes what waits, so that the newest events are found."""
        self._flush = flush
        self._engine: Engine | None = None
        self._threads: ThreadPoolExecutor | None = None

    def open(self, engine: Engine) -> None:
        """Read from here from now on."""
        self._engine = engine
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="store archive")

    def close(self) -> None:
        """Wait for what is being read, and end."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

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
        """Newest first; at most :data:`MAX_CALLS`. :raises StoreError: the store can't be read."""
        table = schema.calls
        query = select(table).order_by(table.c.started_us.desc()).limit(max(0, min(limit, MAX_CALLS)))
        if before_us is not None:
            query = query.where(table.c.started_us < before_us)
        if live is not None:
            query = query.where(table.c.ended_us.is_(None) if live else table.c.ended_us.is_not(None))
        if group is not None:
            query = query.where(table.c.correlation_id.in_(fleet.in_group(*group)))
        if codes is not None:
            query = query.where(table.c.verdict_code.in_(codes))
        if search:
            # The correlation id holds session, handle and server.
            where = (
                table.c.correlation_id, table.c.opaque_id, table.c.room, table.c.client_address,
                table.c.selected_pair, table.c.plugin,
            )  # fmt: skip
            said = table.c.verdict_code.icontains(search.replace(" ", "_"), autoescape=True)
            query = query.where(or_(said, *(column.icontains(search, autoescape=True) for column in where)))
        return await self._read(lambda connection: [_summary(row) for row in connection.execute(query)])

    async def call(self, correlation_id: str) -> CallSummary | None:
        """One call. :raises StoreError: the store can't be read."""
        query = select(schema.calls).where(schema.calls.c.correlation_id == correlation_id)

        def read(connection: Connection) -> CallSummary | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else _summary(row)

        return await self._read(read)

    async def events(self, correlation_id: str, *, limit: int = 20_000) -> Sequence[Event]:
        """In order of time; beyond ``limit`` statistics are thinned out first. :raises StoreError: can't be read."""
        return await self._read(lambda connection: _events(connection, correlation_id, limit))

    async def groups(
        self, by: str, *, since_us: int, until_us: int, server: str | None = None, code: str | None = None
    ) -> Sequence[CallGroup]:
        """Most faults first. :raises KeyError: ``by`` is no dimension. :raises StoreError: the store can't be read."""
        return await self._read(
            lambda connection: fleet.groups(
                connection, by, since_us=since_us, until_us=until_us, server=server, code=code
            )
        )

    async def members(
        self, *, room: str | None = None, user: str | None = None, server: str | None = None, since_us: int = 0
    ) -> Sequence[Member]:
        """The latest to join first. :raises StoreError: the store can't be read."""
        return await self._read(
            lambda connection: members.members(connection, room=room, user=user, server=server, since_us=since_us)
        )

    async def records(self, wanted: RecordFilter) -> Sequence[EndedCall]:
        """The latest told first. :raises StoreError: the store can't be read."""
        return await self._read(lambda connection: fleet.records(connection, wanted))

    async def usual_phases(self, server: str) -> dict[str, UsualPhase]:
        """Of the latest good calls. :raises StoreError: the store can't be read."""
        return await self._read(lambda connection: fleet.usual_phases(connection, server))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        engine, threads = self._engine, self._threads
        if engine is None or threads is None:
            raise StoreError("the store is not running")
        await self._flush()

        def run() -> T:
            try:
                with engine.connect() as connection:
                    return work(connection)
            except SQLAlchemyError as problem:
                raise StoreError(f"the store can't be read: {problem.args[0] if problem.args else problem}") from None

        return await asyncio.get_running_loop().run_in_executor(threads, run)


def _summary(row: Row[Any]) -> CallSummary:
    return CallSummary(
        correlation_id=row.correlation_id,
        server=row.server,
        session_id=row.session,
        handle_id=row.handle,
        opaque_id=row.opaque_id,
        plugin=row.plugin,
        room=row.room,
        client_address=row.client_address,
        selected_pair=row.selected_pair,
        started_us=row.started_us,
        ended_us=row.ended_us,
        verdict=msgspec.json.decode(row.verdict) if row.verdict else None,
    )


def _events(connection: Connection, correlation_id: str, limit: int) -> list[Event]:
    events = schema.events
    of_call = (
        select(events.c.id, events.c.type, events.c.subtype)
        .where(events.c.correlation_id == correlation_id)
        .order_by(events.c.id)
    )
    found = connection.execute(of_call).all()
    ids = set(_thinned([(row.id, row.type == 32 and row.subtype >= 3) for row in found], limit))
    row = connection.execute(select(schema.calls).where(schema.calls.c.correlation_id == correlation_id)).one_or_none()
    if row is not None:
        ids.update(_around(connection, row))
    wanted = sorted(ids)
    kept: list[Event] = []
    for start in range(0, len(wanted), LOOKUP):
        rows = connection.execute(select(events).where(events.c.id.in_(wanted[start : start + LOOKUP])))
        for stored in rows:
            try:
                kept.append(_event(stored))
            except EventDecodeError as problem:
                logger.warning("store: event %d can't be read: %s", stored.id, problem)
    # Not by number alone: a gateway tells a new collector again what the old one had.
    kept.sort(key=lambda item: (item.timestamp, item.id))
    return kept


def _thinned(found: list[tuple[int, bool]], limit: int) -> list[int]:
    """Ids, at most ``limit``: every state change, and of the statistics an even choice."""
    if len(found) <= limit:
        return [number for number, _ in found]
    states = [number for number, expendable in found if not expendable][:limit]
    others = [number for number, expendable in found if expendable]
    room = limit - len(states)
    return states + [others[index * len(others) // room] for index in range(room)]


def _around(connection: Connection, call: Row[Any]) -> set[int]:
    """Numbers of what is not the call's own and explains it: handle, session, API connection, server."""
    sessions, handles, core, events = schema.sessions.c, schema.handles.c, schema.core.c, schema.events.c
    ids: set[int] = set()
    ids.update(
        connection.execute(
            select(handles.id).where(
                handles.session == call.session, handles.handle == call.handle, handles.server == call.server
            )
        ).scalars()
    )
    ids.update(
        connection.execute(
            select(events.id)
            .where(events.session == call.session, events.handle.is_(None), events.server == call.server)
            .limit(MAX_NEAR)
        ).scalars()
    )
    created_by = select(sessions.transport_id, sessions.timestamp).where(
        sessions.session == call.session, sessions.server == call.server, sessions.transport_id.is_not(None)
    )
    for transport_id, when_us in connection.execute(created_by.limit(2)).all():
        ids.update(_of_connection(connection, call.server, transport_id, when_us))
    during = select(core.id).where(
        core.server == call.server,
        core.timestamp >= call.started_us,
        or_(core.name == "gap", core.value.in_(("started", "shutdown"))),
    )
    if call.ended_us is not None:
        during = during.where(core.timestamp <= call.ended_us + AFTER_CALL_US)
    ids.update(connection.execute(during.limit(MAX_NEAR)).scalars())
    return ids


def _of_connection(connection: Connection, server: str, transport_id: str, created_us: int) -> list[int]:
    """The API connection that made a session at ``created_us``, and its end. Janus uses the ids again, HTTP's soon."""
    transports = schema.transports.c
    ours = select(transports.id, transports.event).where(
        transports.transport_id == transport_id, transports.server == server
    )
    before = ours.where(transports.timestamp <= created_us).order_by(transports.timestamp.desc()).limit(1)
    after = ours.where(transports.timestamp > created_us).order_by(transports.timestamp).limit(1)
    opened, next_one = connection.execute(before).one_or_none(), connection.execute(after).one_or_none()
    if opened is None:
        return [] if next_one is None else [next_one.id]
    if next_one is not None and _says_disconnected(next_one.event):
        return [opened.id, next_one.id]
    return [opened.id]


def _says_disconnected(text: str) -> bool:
    data = msgspec.json.decode(text)
    return isinstance(data, dict) and data.get("event") == "disconnected"


def _event(row: Row[Any]) -> Event:
    return Event(
        emitter=row.server or "",
        type=row.type,
        subtype=row.subtype,
        timestamp=row.timestamp,
        session_id=row.session,
        handle_id=row.handle,
        opaque_id=row.opaque_id,
        id=row.id,
        correlation_id=row.correlation_id,
        inferred=row.body.endswith(INFERRED),
        event=body_from_json(row.type, row.subtype, row.body),
    )
