"""Events as the JSON of Homer's type 100 (log).

The event's name and body first, for people, then the envelope with its ids as text: 64-bit numbers do not survive
JavaScript. A client's token is left out: capture servers keep what they get in clear.
"""

import re
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from appliance.core.events import KINDS, VERDICT_SCHEMA, Body, Event, External, Handle, Unknown

_ALL: tuple[type[Body], ...] = (*KINDS, Unknown)
NAMES = {kind: re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower() for kind in _ALL}
"""``IceState`` is ``ice-state``."""


class _Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    text: str = ""
    """For people."""
    event: Any
    emitter: str
    type: int
    subtype: int = 0
    timestamp: int
    session_id: str | None = None
    handle_id: str | None = None
    opaque_id: str | None = None
    room: str = ""
    display: str = ""
    id: str | None = None


_encode = msgspec.json.Encoder().encode


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def record(item: Event, *, room: str = "", display: str = "") -> bytes:
    """One event. Its ``id`` makes two equal events different, which receivers that drop duplicates would confuse.

    ``room`` and ``display`` are what is known of the handle.
    """
    body = item.event
    if isinstance(body, Handle) and body.token is not None:
        body = replace(body, token=None)
    return _encode(_record(item, body.content if isinstance(body, Unknown) else body, room, display))


def _record(item: Event, content: Any, room: str = "", display: str = "") -> _Record:
    name, text = NAMES.get(type(item.event), "unknown"), ""
    if isinstance(item.event, External) and item.event.schema == VERDICT_SCHEMA:
        name, text = "verdict", str(item.event.data.get("sentence", ""))[:1000]
    return _Record(
        name=name,
        text=text,
        event=content,
        emitter=item.emitter,
        type=item.type,
        subtype=item.subtype,
        timestamp=item.timestamp,
        session_id=_text(item.session_id),
        handle_id=_text(item.handle_id),
        opaque_id=item.opaque_id,
        room=room,
        display=display,
        id=str(item.id) if item.id else None,
    )


def cut_record(item: Event, whole: bytes, room: int) -> bytes:
    """The same in at most ``room`` bytes: its body is replaced by its size and its beginning."""
    text = whole.partition(b'"event":')[2].decode("utf-8", "replace")
    # Escaped as JSON a character takes six bytes at most; the client chooses the opaque id.
    if item.opaque_id is not None:
        item = replace(item, opaque_id=item.opaque_id[:200])
    return _encode(_record(item, {"truncated": len(whole), "text": text[: max(0, (room - 4096) // 6)]}))
