"""Reads who was in which room with whom: joins participants, subscriptions, handles and calls, in a few selects."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, or_, select

from appliance.core.archive import Member, Watched
from appliance.handlers.store import schema

MAX_MEMBERS = 200
"""Stays that are told, the latest."""
MAX_ROWS = 5_000
"""Rows of a room's subscriptions and departures that are looked through."""
JOINS = ("joined", "join")
ENDS = ("leaving", "left", "leave", "kicked")
"""Words of VideoRoom, AudioBridge and TextRoom."""

_p = schema.participants.c
_s = schema.subscriptions.c
HandleKey = tuple[str | None, int | None, int | None]
Person = tuple[str | None, str]
"""Server and feed."""


def members(
    connection: Connection, *, room: str | None, user: str | None, server: str | None, since_us: int
) -> list[Member]:
    """See :meth:`appliance.core.archive.Archive.members`."""
    joined = list(connection.execute(_joined(room, user, server, since_us)))
    if not joined:
        return []
    rooms = {row.room for row in joined}
    since_us = min(row.timestamp for row in joined)
    told = select(schema.participants).where(_p.room.in_(rooms), _p.timestamp >= since_us)
    later = list(connection.execute(told.order_by(_p.id.desc()).limit(MAX_ROWS)))
    names = {(row.server, row.room, row.feed): row.display for row in later if row.display}
    watched = _watched(connection, rooms, since_us)
    keys = {_key(row) for row in joined} | {_key(row) for rows in watched.values() for row in rows}
    calls = _by_handle(connection, schema.calls, keys, "started_us")
    attached = _by_handle(connection, schema.handles, keys, "id")
    return [
        _member(row, later, watched.get((row.server, row.room, row.private_id), []), names, calls, attached)
        for row in joined
    ]


def _joined(room: str | None, user: str | None, server: str | None, since_us: int) -> Select[Any]:
    query = (
        select(schema.participants)
        .where(_p.event.in_(JOINS), _p.timestamp >= since_us)
        .order_by(_p.id.desc())
        .limit(MAX_MEMBERS)
    )
    if room is not None:
        query = query.where(_p.room == room)
    if server is not None:
        query = query.where(_p.server == server)
    if user is not None:
        h = schema.handles.c
        known = select(h.handle).where(h.opaque_id == user, h.session == _p.session, h.handle == _p.handle)
        query = query.where(or_(_p.display == user, known.exists()))
    return query


def _watched(connection: Connection, rooms: Iterable[str], since_us: int) -> dict[tuple[Any, Any, Any], list[Any]]:
    """Subscriptions by server, room and private id."""
    query = (
        select(schema.subscriptions)
        .where(_s.room.in_(set(rooms)), _s.timestamp >= since_us, _s.private_id.is_not(None))
        .order_by(_s.id.desc())
        .limit(MAX_ROWS)
    )
    found: dict[tuple[Any, Any, Any], list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault((row.server, row.room, row.private_id), []).append(row)
    return found


def _by_handle(connection: Connection, table: Table, keys: set[HandleKey], order: str) -> dict[HandleKey, Row[Any]]:
    """The latest row of each handle."""
    handles = sorted({handle for _, _, handle in keys if handle is not None})
    found: dict[HandleKey, Row[Any]] = {}
    for start in range(0, len(handles), 500):
        some = handles[start : start + 500]
        for row in connection.execute(select(table).where(table.c.handle.in_(some)).order_by(table.c[order])):
            found[_key(row)] = row
    return found


def _member(
    row: Row[Any],
    later: Sequence[Row[Any]],
    subscriptions: Sequence[Row[Any]],
    names: dict[tuple[Any, Any, Any], str],
    calls: dict[HandleKey, Row[Any]],
    attached: dict[HandleKey, Row[Any]],
) -> Member:
    own = [other for other in later if _is_of(other, row)]
    call, handle = calls.get(_key(row)), attached.get(_key(row))
    watches: dict[tuple[str, int | None], Watched] = {}
    for each in subscriptions:
        received = calls.get(_key(each))
        watches.setdefault(
            (each.feed, each.handle),
            Watched(
                feed=each.feed,
                display=names.get((each.server, each.room, each.feed)),
                handle_id=each.handle,
                correlation_id=received.correlation_id if received is not None else None,
            ),
        )
    return Member(
        server=row.server or "",
        room=row.room,
        session_id=row.session,
        opaque_id=handle.opaque_id if handle is not None else None,
        display=row.display,
        feed=row.feed,
        handle_id=row.handle,
        correlation_id=call.correlation_id if call is not None else None,
        client_address=call.client_address if call is not None else None,
        joined_us=row.timestamp,
        left_us=min((other.timestamp for other in own if other.event in ENDS), default=_ended(call)),
        published=any(other.event == "published" for other in own),
        verdict_code=call.verdict_code if call is not None else None,
        watches=sorted(watches.values(), key=lambda each: (each.display or "", each.feed)),
    )


def _is_of(other: Row[Any], joined: Row[Any]) -> bool:
    """Whether it was told of that stay. Janus's VideoRoom does not say of which handle it was that left."""
    if other.id <= joined.id or (other.feed, other.room) != (joined.feed, joined.room):
        return False
    return _key(other) == _key(joined) or (other.handle is None and other.server == joined.server)


def _ended(call: Row[Any] | None) -> int | None:
    return call.ended_us if call is not None else None


def _key(row: Row[Any]) -> HandleKey:
    return row.server, row.session, row.handle
