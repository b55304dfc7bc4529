"""Writes events into the database. Blocking: runs in one thread of its own, :mod:`appliance.handlers.store.handler`."""

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from appliance.core.deliveries import Deliveries
from appliance.core.events import Core, Event, Transport
from appliance.handlers.store import database, schema
from appliance.handlers.store.bulk import Bulk
from appliance.handlers.store.calls import Call, CallBook
from appliance.handlers.store.deliveries import note, prune
from appliance.handlers.store.partitions import Partitions
from appliance.handlers.store.records import call_record
from appliance.handlers.store.rows import Rows, body_text, is_kept, rows_of
from appliance.handlers.store.values import text

logger = logging.getLogger(__name__)

PRUNE_ROWS = 5_000
"""Deleted at once: a writer that waits is a queue that grows."""
LOOKUP = 500
"""Keys in one ``IN``."""

_COALESCED = (
    "opaque_id", "plugin", "room", "client_address", "selected_pair", "ended_us", "verdict_code", "verdict",
)  # fmt: skip


class Block:
    """Events as rows, ready to be written, again if need be."""

    def __init__(self, items: Sequence[Event], book: CallBook, deliveries: Deliveries) -> None:
        self.items = [item for item in items if is_kept(item)]
        self.origins = {item.id: origin for item in self.items if (origin := deliveries.of(item.id)) is not None}
        """Of those that a broker brought, and may bring again."""
        self.rows: Rows = rows_of(self.items)
        for item in self.items:
            book.take(item)
        self.calls: list[tuple[Call, dict[str, Any]]] = [(call, call.values()) for call in book.changed()]
        self.late_verdicts = book.late_verdicts()
        self.restarts = book.restarts()
        self.records = {row["correlation_id"]: row for item in self.items if (row := call_record(item)) is not None}
        self.tried = False
        """It may have been written: a connection that is lost during a commit does not tell."""
        self.refused = ""
        """Why the database did not take it as a whole."""
        self.lost = 0
        """Of a refused one: events that the database does not take."""
        self.sorted_out = 0
        """Of a refused one: events that were looked at."""

    def __len__(self) -> int:
        return len(self.items)

    def leave_out(self, numbers: set[int]) -> None:
        """These are stored: a broker had brought them before."""
        if numbers:
            self.items = [item for item in self.items if item.id not in numbers]
            self.rows = rows_of(self.items)


class Writer:
    """The only one that changes the database."""

    def __init__(self, engine: Engine) -> None:
        self.rows = 0
        """Written since the start."""
        self.pruned = 0
        self.kept = 0
        """Events in the database, about."""
        self.last_id = 0
        """The highest number of an event at the start."""
        self.book = CallBook()
        self._engine = engine
        self._bulk = Bulk(engine, schema.EVENT_TABLES)
        self._partitions = Partitions(engine)

    def open(self) -> None:
        """:raises StoreError, SQLAlchemyError: the database can't be used."""
        database.prepare_schema(self._engine)
        self._partitions.forget()
        with self._engine.begin() as connection:
            ids = schema.events.c.id
            self.kept, last = connection.execute(select(func.count(), func.max(ids)).select_from(schema.events)).one()
            self.last_id = max(self.last_id, last or 0)

    def reopen(self) -> None:
        """After a failure: new connections, and the tables if the file has gone. Raises as :meth:`open`."""
        self._engine.dispose()
        self.open()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def prepare(self, items: Sequence[Event], deliveries: Deliveries | None = None) -> Block:
        """Once for each event: calls are counted here."""
        return Block(items, self.book, deliveries or Deliveries())

    def commit(self, block: Block) -> None:
        """All of it, once; of a refused block, what the database takes, event by event.

        :raises SQLAlchemyError: the block can be tried again: what has been written is not written twice.
        """
        if block.refused:
            self._salvage(block)
            return
        again, block.tried = block.tried, True
        if not (again and self._has(block.items)):
            try:
                self._write(block)
            except IntegrityError:
                # The server may have finished a commit that it had not answered, after we looked.
                if not (again and self._has(block.items)):
                    if not block.origins:
                        block.tried = False
                        raise
                    # Or another collector was given what we were, and was quicker; now it is seen.
                    self._write(block)
        for call, _ in block.calls:
            call.stored = True
        self.rows += sum(map(len, block.rows.values()))
        self.kept += len(block)

    def _write(self, block: Block) -> None:
        days = self._partitions.missing(item.id for item in block.items)
        with self._engine.begin() as connection:
            if days:
                self._partitions.make(connection, days)
            if block.origins:
                block.leave_out(note(connection, block.origins))
            for item in block.items:
                if item.replayed:
                    _forget(connection, item)
            self._insert(connection, block.rows)
            self._write_calls(connection, block)
        self._partitions.made(days)

    def _has(self, items: Sequence[Event]) -> bool:
        """Whether the first of them is stored, and so what was written with it."""
        if not items:
            return False
        events, first = schema.events.c, items[0]
        same = (
            events.id == first.id, events.timestamp == first.timestamp, events.type == first.type,
            events.subtype == first.subtype, events.server == text(first.emitter, 64),
        )  # fmt: skip
        with self._engine.connect() as connection:
            return connection.execute(select(events.id).where(*same)).first() is not None

    def _salvage(self, block: Block) -> None:
        while block.sorted_out < len(block):
            item = block.items[block.sorted_out]
            rows = rows_of([item])
            days = self._partitions.missing([item.id])
            try:
                if not (block.tried and self._has([item])):
                    block.tried = True
                    with self._engine.begin() as connection:
                        if days:
                            self._partitions.make(connection, days)
                        self._insert(connection, rows)
                    self._partitions.made(days)
                self.rows += sum(map(len, rows.values()))
                self.kept += 1
            except Exception as problem:
                if isinstance(problem, SQLAlchemyError) and database.is_passing(problem):
                    raise
                # Whatever it is, it is that event's; the first has been logged with the block.
                block.lost += 1
            block.sorted_out += 1
            block.tried = False
        try:
            with self._engine.begin() as connection:
                if block.origins:
                    note(connection, block.origins)
                self._write_calls(connection, block)
            for call, _ in block.calls:
                call.stored = True
        except Exception as problem:
            if isinstance(problem, SQLAlchemyError) and database.is_passing(problem):
                raise
            logger.exception("store: %d calls could not be written", len(block.calls))

    def _insert(self, connection: Connection, rows: Rows) -> None:
        for name, some in rows.items():
            if some:
                self._bulk.insert(connection, name, some)

    # --- calls -----------------------------------------------------------------------------------------------

    def _write_calls(self, connection: Connection, block: Block) -> None:
        calls = schema.calls
        for server, when_us in block.restarts:
            over = calls.c.ended_us.is_(None) & (calls.c.server == server) & (calls.c.started_us < when_us)
            connection.execute(update(calls).where(over).values(ended_us=when_us))
        fresh = [values for call, values in block.calls if not call.stored]
        known = [values for call, values in block.calls if call.stored]
        if fresh:
            # Those of an earlier collector, whose gateway has told us again.
            there = _existing(connection, [values["correlation_id"] for values in fresh])
            known += [values for values in fresh if values["correlation_id"] in there]
            fresh = [values for values in fresh if values["correlation_id"] not in there]
        if fresh:
            connection.execute(insert(calls), fresh)
        if known:
            changes: dict[str, Any] = {
                name: func.coalesce(bindparam(f"new_{name}"), calls.c[name]) for name in _COALESCED
            }
            statement = update(calls).where(calls.c.correlation_id == bindparam("which")).values(changes)
            connection.execute(
                statement,
                [
                    {"which": values["correlation_id"], **{f"new_{name}": values[name] for name in _COALESCED}}
                    for values in known
                ],
            )
        if block.records:
            # A collector that came back judges a call again that it had judged.
            records = schema.callrecords
            for start in range(0, len(block.records), LOOKUP):
                some = list(block.records)[start : start + LOOKUP]
                connection.execute(delete(records).where(records.c.correlation_id.in_(some)))
            connection.execute(insert(records), list(block.records.values()))
        for correlation, (code, verdict) in block.late_verdicts.items():
            connection.execute(
                update(calls).where(calls.c.correlation_id == correlation).values(verdict_code=code, verdict=verdict)
            )

    # --- retention -------------------------------------------------------------------------------------------

    def prune(self, *, before_us: int, max_events: int, now_us: int) -> bool:
        """Delete a portion of what is too old or too much; true when more is left. Ids tell when an event came.

        :raises SQLAlchemyError: nothing was deleted.
        """
        ids = schema.events.c.id
        more = False
        too_much = 0
        days = self._partitions.ahead(now_us)
        with self._engine.begin() as connection:
            if days:
                self._partitions.make(connection, days)
            gone = self._partitions.drop(connection, before_us) if self._partitions.enabled else 0
            excess = self.kept - gone - max_events
            if max_events and excess > 0:
                too_much = connection.execute(select(ids).order_by(ids).limit(1).offset(excess)).scalar() or 0
            for table in schema.EVENT_TABLES:
                by_day = self._partitions.enabled and table in schema.PARTITIONED
                deleted = _prune_table(connection, table, too_much if by_day else max(before_us, too_much))
                more = more or deleted >= PRUNE_ROWS
                if table is schema.events:
                    gone += deleted
            before_us = max(before_us, too_much)
            calls = schema.calls
            connection.execute(delete(calls).where(func.coalesce(calls.c.ended_us, calls.c.started_us) < before_us))
            connection.execute(delete(schema.callrecords).where(schema.callrecords.c.ended_us < before_us))
            prune(connection)
        self._partitions.made(days)
        self.kept -= gone
        self.pruned += gone
        return more


def _existing(connection: Connection, correlations: Sequence[str]) -> set[str]:
    column = schema.calls.c.correlation_id
    found: set[str] = set()
    for start in range(0, len(correlations), LOOKUP):
        some = correlations[start : start + LOOKUP]
        found.update(connection.execute(select(column).where(column.in_(some))).scalars())
    return found


def _forget(connection: Connection, item: Event) -> None:
    """Delete an event that an earlier collector has stored: it comes again, with the number that evidence will name."""
    events = schema.events
    same = [
        events.c.timestamp == item.timestamp,
        events.c.type == item.type,
        events.c.subtype == item.subtype,
        events.c.body == body_text(item),
        events.c.server == text(item.emitter, 64),
    ]
    # Without a session there is no index on events; the tables of these kinds have one.
    if isinstance(item.event, Transport):
        own = schema.transports.c
        found = select(own.id).where(own.transport_id == text(item.event.id, 64), own.timestamp == item.timestamp)
        same.append(events.c.id.in_(_ids(connection, found)))
    elif isinstance(item.event, Core):
        core = schema.core.c
        found = select(core.id).where(core.server == text(item.emitter, 64), core.timestamp == item.timestamp)
        same.append(events.c.id.in_(_ids(connection, found)))
    else:
        same.append(events.c.session.is_not_distinct_from(item.session_id))
        same.append(events.c.handle.is_not_distinct_from(item.handle_id))
    old = _ids(connection, select(events.c.id).where(*same, events.c.id != item.id))
    if old:
        for table in schema.EVENT_TABLES:
            connection.execute(delete(table).where(table.c.id.in_(old)))


def _ids(connection: Connection, query: Select[Any]) -> list[int]:
    return list(connection.execute(query.limit(LOOKUP)).scalars())


def _prune_table(connection: Connection, table: Table, before_us: int) -> int:
    if before_us <= 0:
        return 0
    # In two statements, because MariaDB does not delete from a table that the same statement reads.
    old = select(table.c.id).where(table.c.id < before_us).order_by(table.c.id)
    last = connection.execute(old.limit(1).offset(PRUNE_ROWS - 1)).scalar()
    condition = table.c.id < before_us if last is None else table.c.id <= last
    return connection.execute(delete(table).where(condition)).rowcount
