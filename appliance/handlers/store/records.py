"""Call records and what plugins tell of their rooms, as rows. Pure; what no column takes is cut or left out."""

from collections.abc import Iterator
from typing import Any

import msgspec

from appliance.core.events import CALL_SCHEMA, Event, External, Plugin
from appliance.handlers.store import schema
from appliance.handlers.store.values import big, number, text

MAX_FEEDS = 100
"""Feeds of one subscription."""
_WIDTHS: dict[str, int | None] = {
    column.name: getattr(column.type, "length", None) for column in schema.callrecords.columns
}
_INTEGERS = {column.name for column in schema.callrecords.columns if column.type is schema.BIG}
_RENAMED = {"session": "session_id", "handle": "handle_id", "verdict_code": "code"}
_OWN = {"id", "record", "correlation_id"}
_json = msgspec.json.Encoder()


def call_record(item: Event) -> dict[str, Any] | None:
    """The row of ``callrecords`` that an event is; ``None`` where it is none, or lacks what a row must have."""
    body = item.event
    if not isinstance(body, External) or body.schema != CALL_SCHEMA or item.correlation_id is None:
        return None
    phases = body.data.get("phases_us")
    flat = (
        body.data | {f"{name}_us": value for name, value in phases.items()} if isinstance(phases, dict) else body.data
    )
    row: dict[str, Any] = {
        "correlation_id": text(item.correlation_id, 128),
        "id": item.id,
        "record": _json.encode(body.data).decode(),
    }
    for name, width in _WIDTHS.items():
        if name not in _OWN:
            value = flat.get(_RENAMED.get(name, name))
            row[name] = text(str(value), width) if width and value is not None else number(value)
            if name in _INTEGERS:
                row[name] = big(value) if isinstance(value, int) else None
    needed = (row["started_us"], row["ended_us"], row["duration_us"], row["verdict_code"])
    return None if None in needed else row


def room_rows(item: Event, body: Plugin) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Tables and rows of a plugin's event: of a room, of somebody in it, of what somebody watches.

    Janus's VideoRoom before 1.0 names one feed, later ones a list of streams. The AudioBridge has its words; the
    TextRoom has its own, and names in place of ids.
    """
    data = body.data
    room, word = _id(data.get("room")), data.get("event", data.get("textroom"))
    if room is None or not isinstance(word, str):
        return
    head = (item.id, item.timestamp, big(item.session_id), big(item.handle_id), room, text(word, 32))
    tail = (text(item.correlation_id, 128), text(item.emitter, 64))
    private_id = data.get("private_id")
    private = big(private_id) if isinstance(private_id, int) else None
    feeds = _feeds(data)
    own = _id(data.get("id", data.get("username")))
    if feeds:
        for feed in feeds:
            yield "subscriptions", (*head, feed, private, *tail)
    elif own is not None:
        display = data.get("display")
        yield "participants", (*head, own, private, text(display, 255) if isinstance(display, str) else None, *tail)
    else:
        yield "rooms", (*head, *tail)


def _feeds(data: dict[str, Any]) -> list[str]:
    streams = data.get("streams")
    named = [data.get("feed")]
    if isinstance(streams, list):
        named += [stream.get("feed_id") for stream in streams[:MAX_FEEDS] if isinstance(stream, dict)]
    return list(dict.fromkeys(feed for each in named if (feed := _id(each)) is not None))


def _id(value: Any) -> str | None:
    """Of a room or feed: a number, or a string where the plugin is configured so."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return text(str(value), 255)
