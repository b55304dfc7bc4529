"""Reads what ended calls have in common, from their records. Queries to be run on one of the archive's connections."""

from collections.abc import Sequence
from statistics import fmean, median, quantiles
from typing import Any

from msgspec.structs import fields
from sqlalchemy import Connection, Select, String, case, cast, func, select

from appliance.core.archive import CallGroup, EndedCall, RecordFilter, UsualPhase
from appliance.handlers.store.schema import callrecords

MAX_GROUPS = 200
"""That are told; those with the fewest calls are left out."""
MAX_ROWS = 20_000
USUAL_CALLS = 500
"""The latest good calls that say what is usual."""
PHASES = ("signalling", "gathering", "ice", "dtls", "first_media")
HOUR_US = 3_600_000_000

_c = callrecords.c
_COLUMNS: dict[str, Any] = {
    "network": _c.network,
    "browser": _c.browser,
    "pair": case((_c.remote_type.is_(None), None), else_=_c.local_type + "-" + _c.remote_type),
    # As Janus writes it: 192.0.2.7:9 [host,udp] <-> 198.51.100.7:5004 [srflx,udp]
    "protocol": case((_c.selected_pair.like("%,tcp]"), "tcp"), (_c.selected_pair.like("%,udp]"), "udp"), else_=None),
    "server": _c.server,
    "room": _c.room,
    "plugin": _c.plugin,
    "code": _c.verdict_code,
    "hour": cast(_c.ended_us - _c.ended_us % HOUR_US, String(32)),
}


def groups(
    connection: Connection, by: str, *, since_us: int, until_us: int, server: str | None, code: str | None
) -> list[CallGroup]:
    """See :meth:`appliance.core.archive.Archive.groups`. :raises KeyError: ``by`` is no dimension."""
    key = _COLUMNS[by].label("key")
    means = [func.avg(column).label(column.name) for column in (_c.loss_in, _c.loss_out, _c.rtt_ms)]
    query = (
        select(key, _c.verdict_code, _c.severity, func.count().label("calls"), *means)
        .where(_c.ended_us >= since_us, _c.ended_us < until_us)
        .group_by(key, _c.verdict_code, _c.severity)
        .order_by(func.count().desc())
        .limit(MAX_ROWS)
    )
    if server is not None:
        query = query.where(_c.server == server)
    if code is not None:
        query = query.where(_c.verdict_code == code)
    parts: dict[str | None, list[Any]] = {}
    for row in connection.execute(query):
        parts.setdefault(row.key, []).append(row)
    found = [_group(value, rows) for value, rows in parts.items()]
    found.sort(key=lambda group: (-group.faults, -group.calls, group.key or ""))
    return found[:MAX_GROUPS]


def in_group(by: str, key: str) -> Select[Any]:
    """The correlation ids of a group of :func:`groups`. :raises KeyError: ``by`` is no dimension."""
    return select(_c.correlation_id).where(_COLUMNS[by] == key)


_NAMED = {"session_id": _c.session, "handle_id": _c.handle, "code": _c.verdict_code}
_RECORD = [_NAMED[field.name] if field.name in _NAMED else _c[field.name] for field in fields(EndedCall)]


def records(connection: Connection, wanted: RecordFilter) -> list[EndedCall]:
    """See :meth:`appliance.core.archive.Archive.records`."""
    query = select(*_RECORD).where(_c.ended_us >= wanted.since_us, _c.ended_us < wanted.until_us)
    for column, value in (
        (_c.server, wanted.server), (_c.room, wanted.room), (_c.network, wanted.network),
        (_c.browser, wanted.browser), (_c.verdict_code, wanted.code),
    ):  # fmt: skip
        if value is not None:
            query = query.where(column == value)
    if wanted.before is not None:
        query = query.where(_c.id < wanted.before)
    names = [field.name for field in fields(EndedCall)]
    rows = connection.execute(query.order_by(_c.id.desc()).limit(min(wanted.limit, MAX_ROWS)))
    return [EndedCall(**dict(zip(names, row, strict=True))) for row in rows]


def _group(key: str | None, rows: Sequence[Any]) -> CallGroup:
    codes: dict[str, int] = {}
    for row in rows:
        codes[row.verdict_code] = codes.get(row.verdict_code, 0) + row.calls
    return CallGroup(
        key=key,
        calls=sum(row.calls for row in rows),
        faults=sum(row.calls for row in rows if row.severity == "fault"),
        codes=dict(sorted(codes.items(), key=lambda item: -item[1])),
        loss_in=_mean([(row.loss_in, row.calls) for row in rows]),
        loss_out=_mean([(row.loss_out, row.calls) for row in rows]),
        rtt_ms=_mean([(row.rtt_ms, row.calls) for row in rows]),
    )


def _mean(parts: Sequence[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in parts if value is not None]
    return fmean([value for value, _ in known], [weight for _, weight in known]) if known else None


def usual_phases(connection: Connection, server: str) -> dict[str, UsualPhase]:
    """See :meth:`appliance.core.archive.Archive.usual_phases`."""
    columns = [_c[f"{phase}_us"] for phase in PHASES]
    query = select(*columns).where(_c.server == server, _c.severity == "good").order_by(_c.id.desc()).limit(USUAL_CALLS)
    rows = connection.execute(query).all()
    found: dict[str, UsualPhase] = {}
    for index, phase in enumerate(PHASES):
        values = [row[index] for row in rows if row[index] is not None]
        if values:
            p95 = quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
            found[phase] = UsualPhase(median_us=round(median(values)), p95_us=round(p95), calls=len(values))
    return found
