"""Reads what any Janus since December 2016 posts into the one model. Pure: values in, values out.

The differences are told apart by what is there, never by a setting. A value whose unit a version leaves uncertain is
left out, because no value is better than a wrong one.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from appliance.core.events import (
    Core,
    Event,
    EventDecodeError,
    External,
    MediaStats,
    Plugin,
    Transport,
    Unknown,
    from_janus,
)

MAX_DEPTH = 32
"""Of nesting in what is kept as it came; Janus's own bodies have at most 6."""
MAX_ID = 2**53
"""Janus's ids are JSON integers below this."""
MAX_COUNT = 2**63
"""No counter of Janus is larger, and no database takes more."""
MAX_LOST = 2**31
"""``lost_lastsec`` beyond is a counter that went below zero (seen in 1.x until 2022)."""

_WEBRTC_KEYS = {
    "ice": 1,
    "local-candidate": 2,
    "remote-candidate": 3,
    "selected-pair": 4,
    "dtls": 5,
    "connection": 6,
}
_MEDIA_KEYS = {"receiving": 1, "slow_link": 2, "base": 3, "packets-received": 3}
_TRUTH = {"true": True, "false": False}
_FLAGS = {"audio", "video", "data", "is_private", "muted", "recording", "admin_api", "simulcast", "permanent"}
"""Names in plugins' data that hold truth values, beside every ``..._active``."""

_Id = Annotated[int, Meta(ge=0, lt=MAX_ID)]


class _Statistics(Struct):
    """What nearly every event is, as Janus 1.x writes it and within all bounds: it is read in one go."""

    type: Literal[32]
    subtype: Literal[3]
    timestamp: Annotated[int, Meta(ge=0, le=MAX_COUNT - 1)]
    session_id: _Id
    handle_id: _Id
    event: MediaStats
    emitter: str = ""
    opaque_id: str | None = None


def read(value: object) -> Iterator[Event]:
    """The events of one JSON document: an object, an array of them, or arrays within (combined statistics).

    :raises EventDecodeError: an object is no event; those before it have been yielded.
    """
    for item in value if isinstance(value, list) else [value]:
        yield from read_one(item)


def read_one(item: object) -> Iterator[Event]:
    """The events of one object: several where statistics are combined. :raises EventDecodeError: it is no event."""
    if isinstance(item, dict):
        if item.get("type") == 32 and item.get("subtype") == 3 and (plain := _statistics(item)) is not None:
            yield plain
            return
        item = _modern(item)
    for found in from_janus(item):
        yield checked(found)


def _statistics(item: dict[str, Any]) -> Event | None:
    """``None``: it is something else, or needs a closer look."""
    try:
        plain = msgspec.convert(item, _Statistics)
    except msgspec.ValidationError:
        return None
    body = plain.event
    if body.media != "data" and (body.codec is None or body.rtt is None):
        # Older dialects, whose jitter or codec :func:`_modern_media` sees to.
        return None
    return Event(
        emitter=plain.emitter,
        type=plain.type,
        subtype=plain.subtype,
        timestamp=plain.timestamp,
        session_id=plain.session_id,
        handle_id=plain.handle_id,
        opaque_id=plain.opaque_id,
        event=body,
    )


def _beyond_bounds(found: Event, name: str, number: int, limit: int) -> EventDecodeError:
    return EventDecodeError(f"event of type {found.type}: {name}: {number} came, wanted 0 to {limit - 1}")


def _modern(item: dict[str, Any]) -> dict[str, Any]:
    """The object as Janus 1.x would have written it."""
    kind, bodies = item.get("type"), item.get("event")
    first = bodies[0] if isinstance(bodies, list) and bodies else bodies
    if not isinstance(first, dict):
        return item
    if not item.get("subtype"):
        item = {**item, "subtype": _subtype(kind, first)}
    if kind == 2 and "opaque_id" not in item and isinstance(first.get("opaque_id"), str):
        item = {**item, "opaque_id": first["opaque_id"]}
    if isinstance(bodies, list):
        return {**item, "event": [_modern_body(kind, each) if isinstance(each, dict) else each for each in bodies]}
    body = _modern_body(kind, first)
    # What nearly every one is.
    return item if body is first else {**item, "event": body}


def _subtype(kind: object, body: dict[str, Any]) -> int:
    """What a server before 0.9.1 does not say."""
    if kind == 16:
        return next((number for key, number in _WEBRTC_KEYS.items() if key in body), 0)
    if kind == 32:
        return next((number for key, number in _MEDIA_KEYS.items() if key in body), 0)
    if kind == 256:
        return 2 if body.get("status") == "shutdown" else 1
    return 0


def _modern_body(kind: object, body: dict[str, Any]) -> dict[str, Any]:
    if kind == 1 and isinstance(transport := body.get("transport"), dict) and isinstance(transport.get("id"), int):
        return {**body, "transport": {**transport, "id": str(transport["id"])}}
    if kind == 16 and isinstance(pair := body.get("selected-pair"), str):
        return {**body, "selected-pair": " ".join(pair.split())}
    if kind == 32:
        return _modern_media(body)
    if kind == 64 and isinstance(data := body.get("data"), dict):
        return {**body, "data": {key: _flag(key, value) for key, value in data.items()}}
    if kind == 128 and isinstance(number := body.get("id"), int):
        return {**body, "id": str(number)}
    return body


def _modern_media(body: dict[str, Any]) -> dict[str, Any]:
    if isinstance(said := body.get("receiving"), str) and said in _TRUTH:
        return {**body, "receiving": _TRUTH[said]}
    if isinstance(lost := body.get("lost_lastsec"), int) and not 0 <= lost < MAX_LOST:
        return {key: value for key, value in body.items() if key != "lost_lastsec"}
    drop: set[str] = set()
    if "lsr" in body and "rtt" not in body:
        # Before 0.3.0: the talk of 2017 prints 134488 for the jitter of a healthy call's first second.
        drop = {"jitter-local", "jitter-remote"}
    if "codec" not in body:
        # The last 0.x versions name the codec by medium.
        named = body.get(f"{body.get('media')}-codec")
        if isinstance(named, str):
            body = {**body, "codec": named}
    numbers = [value for value in body.values() if value.__class__ is int or value.__class__ is float]
    if not drop and (not numbers or (max(numbers) < MAX_COUNT and min(numbers) >= -MAX_COUNT)):
        # What nearly every one is, and there are many.
        return body
    return {key: value for key, value in body.items() if key not in drop and not _beyond(value)}


def _beyond(value: object) -> bool:
    return isinstance(value, int | float) and not -MAX_COUNT <= value < MAX_COUNT


def _flag(key: str, value: object) -> object:
    if isinstance(value, str) and value in _TRUTH and (key in _FLAGS or key.endswith("_active")):
        return _TRUTH[value]
    return value


def checked(item: Event) -> Event:
    """Pass on an event that every handler can encode again.

    :raises EventDecodeError: its time, an id or its kind is beyond all measure; or what is kept as it came is nested
        too deeply, or holds a number beyond 64 bits.
    """
    if not 0 <= item.timestamp < MAX_COUNT:
        raise _beyond_bounds(item, "timestamp", item.timestamp, MAX_COUNT)
    if item.session_id is not None and not 0 <= item.session_id < MAX_ID:
        raise _beyond_bounds(item, "session_id", item.session_id, MAX_ID)
    if item.handle_id is not None and not 0 <= item.handle_id < MAX_ID:
        raise _beyond_bounds(item, "handle_id", item.handle_id, MAX_ID)
    if not 0 < item.type < 2**15 or not 0 <= item.subtype < 2**15:
        raise EventDecodeError(f"event: type {item.type}, subtype {item.subtype} came, wanted small numbers")
    body = item.event
    if isinstance(body, Plugin | Transport | External):
        kept: object = body.data
    elif isinstance(body, Core):
        kept = body.info
    elif isinstance(body, Unknown):
        kept = body.content
    else:
        return item
    level: list[object] = [kept]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return item
        for value in level:
            if isinstance(value, int) and _beyond(value):
                raise EventDecodeError(f"event of type {item.type}: a number beyond 64 bits came")
    raise EventDecodeError(f"event of type {item.type}: nested deeper than {MAX_DEPTH}")


def decode(body: bytes) -> object:
    """JSON to values. :raises EventDecodeError: it is no JSON, or nested beyond all measure."""
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventDecodeError(f"JSON: {error}") from None
    return value
