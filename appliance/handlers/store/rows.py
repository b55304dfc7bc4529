"""Turns events into rows. Pure; a value that no database takes is cut or left out, never an error."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from appliance.core.events import (
    Connection,
    Core,
    Counters,
    DtlsState,
    Event,
    Gap,
    Handle,
    IceState,
    Jsep,
    MediaState,
    MediaStats,
    Plugin,
    SelectedPair,
    Session,
    Shutdown,
    Transport,
    body_json,
)
from appliance.handlers.store.records import room_rows
from appliance.handlers.store.values import big, small, text

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]
"""Rows by the name of their table, each in the order of its columns."""

INFERRED = '"inferred":true}'

_json = msgspec.json.Encoder()


def is_kept(item: Event) -> bool:
    """All but the gateway's own counters: those are for Prometheus, which keeps a history of them."""
    return not isinstance(item.event, Counters)


def rows_of(items: Sequence[Event]) -> Rows:
    """One row in ``events`` for each event, and one in the table of its kind where it has one."""
    rows: Rows = {}
    events = rows.setdefault("events", [])
    for item in items:
        correlation = text(item.correlation_id, 128)
        server = text(item.emitter, 64)
        session, handle = big(item.session_id), big(item.handle_id)
        events.append(
            (
                item.id, item.timestamp, session, handle, item.type, item.subtype, text(item.opaque_id, 255),
                body_text(item), correlation, server,
            )
        )  # fmt: skip
        found = _own_row(item)
        if found is None:
            continue
        name, columns = found
        if name == "sessions":
            if session is not None:
                rows.setdefault(name, []).append((item.id, item.timestamp, session, *columns, server))
        elif name == "core":
            rows.setdefault(name, []).append((item.id, item.timestamp, *columns, server))
        else:
            row = (item.id, item.timestamp, session, handle, *columns, correlation, server)
            rows.setdefault(name, []).append(row)
        if isinstance(item.event, Plugin):
            for name, row in room_rows(item, item.event):
                rows.setdefault(name, []).append(row)
    return rows


def body_text(item: Event) -> str:
    """JSON of the body as it is stored: without a client's token, which would open the API to whoever reads it.

    An event that its server did not tell ends with :data:`INFERRED`.
    """
    body = item.event
    if isinstance(body, Handle) and body.token is not None:
        item = replace(item, event=replace(body, token=None))
    found = body_json(item).decode()
    return found if not item.inferred else found[:-1] + ("," if len(found) > 2 else "") + INFERRED


def _own_row(item: Event) -> tuple[str, Row] | None:
    """The table of this kind of event, and its columns between the common ones."""
    match item.event:
        case MediaStats() as body:
            return "stats", _stats(body)
        case Transport() as body:
            return "transports", (text(body.transport, 64), _json.encode(body.data).decode(), text(body.id, 64))
        case IceState() as body:
            return "ice", (small(body.stream_id), small(body.component_id), text(body.ice, 32))
        case DtlsState() as body:
            return "dtls", (
                small(body.stream_id), small(body.component_id), text(body.dtls, 32), small(body.retransmissions)
            )  # fmt: skip
        case MediaState() as body:
            return "media", (
                text(body.media, 32), body.receiving, text(body.mid, 32), small(body.substream), small(body.seconds)
            )  # fmt: skip
        case Jsep() as body:
            return "sdps", (body.owner == "remote", body.jsep.type == "offer", text(body.jsep.sdp))
        case Plugin() as body:
            return "plugins", (text(body.plugin, 64), _json.encode(body.data).decode())
        case SelectedPair() as body:
            return "selectedpairs", _pair(body)
        case Connection() as body:
            return "connections", (text(body.connection, 32), text(body.reason, 255))
        case Session() as body:
            transport = body.transport
            named = (text(transport.transport, 64), text(transport.id, 64)) if transport else (None, None)
            return "sessions", (text(body.name, 32), *named)
        case Handle() as body:
            opaque = body.opaque_id or item.opaque_id
            return "handles", (text(body.name, 32), text(body.plugin, 64), text(opaque, 255))
        case Core() as body:
            return "core", ("status", text(body.status, 64))
        case Shutdown() as body:
            return "core", ("status", text(body.status, 64))
        case Gap() as body:
            return "core", ("gap", text(body.reason, 64))
    return None


def _stats(body: MediaStats) -> Row:
    values = body.rtt_values
    return (
        text(body.media, 32), small(body.base), big(values.lsr) if values else None,
        big(body.lost), big(body.lost_by_remote),
        _ms(body.jitter_local_us, body.jitter_local), _ms(body.jitter_remote_us, body.jitter_remote),
        big(body.packets_sent), big(body.packets_received), big(body.bytes_sent), big(body.bytes_received),
        big(body.nacks_sent), big(body.nacks_received),
        text(body.mid, 32), small(body.mindex), text(body.codec, 32), _ms(body.rtt_us, body.rtt),
    )  # fmt: skip


def _pair(body: SelectedPair) -> Row:
    ends: list[Any] = []
    for end in (body.candidates.local, body.candidates.remote) if body.candidates else ():
        ends += [text(end.address, 64), small(end.port), text(end.type, 32)]
    return small(body.stream_id), small(body.component_id), text(body.pair, 255), *(ends or [None] * 6)


def _ms(micros: int | None, millis: float | None) -> float | None:
    if micros is not None:
        return micros / 1000
    return None if millis is None else float(millis)
