"""Events as MessagePack for the link and as JSON, and what Janus's own handlers write."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from appliance.core.events.body import Body
from appliance.core.events.envelope import BODY_OF, Event, Unknown


class EventDecodeError(ValueError):
    """The bytes or the object are not an event; the message says which field, what came and what was wanted."""


class _RawEnvelope(Struct, omit_defaults=True):
    type: int
    timestamp: int
    event: msgspec.Raw
    emitter: str = ""
    subtype: int = 0
    session_id: int | None = None
    handle_id: int | None = None
    opaque_id: str | None = None
    id: int = 0
    correlation_id: str | None = None


_msgpack_encoder = msgspec.msgpack.Encoder()
_msgpack_envelope = msgspec.msgpack.Decoder(_RawEnvelope)
_msgpack_bodies = {key: msgspec.msgpack.Decoder(kind) for key, kind in BODY_OF.items()}
_msgpack_any = msgspec.msgpack.Decoder(dict[str, Any])
_json_encoder = msgspec.json.Encoder()
_json_bodies = {key: msgspec.json.Decoder(kind) for key, kind in BODY_OF.items()}
_json_any = msgspec.json.Decoder(dict[str, Any])


def _as_it_came(item: Event) -> Event:
    """An unknown body is its content alone, for who reads it next."""
    body = item.event
    return msgspec.structs.replace(item, event=body.content) if isinstance(body, Unknown) else item


def encode_msgpack(item: Event) -> bytes:
    """Encode for the link between gateway and collector."""
    return _msgpack_encoder.encode(_as_it_came(item))


def decode_msgpack(data: bytes) -> Event:
    """Decode one event of the link. :raises EventDecodeError: it is not one."""
    try:
        raw = _msgpack_envelope.decode(data)
        decoder = _msgpack_bodies.get((raw.type, raw.subtype))
        body: Body = decoder.decode(raw.event) if decoder else Unknown(content=_msgpack_any.decode(raw.event))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventDecodeError(str(error)) from None
    return Event(
        emitter=raw.emitter,
        type=raw.type,
        subtype=raw.subtype,
        timestamp=raw.timestamp,
        session_id=raw.session_id,
        handle_id=raw.handle_id,
        opaque_id=raw.opaque_id,
        id=raw.id,
        correlation_id=raw.correlation_id,
        event=body,
    )


def encode_json(item: Event) -> bytes:
    """JSON of the whole event, with our additions (``id``, ``correlation_id``, extension subtypes)."""
    return _json_encoder.encode(_as_it_came(item))


def body_json(item: Event) -> bytes:
    """JSON of the body alone."""
    if isinstance(item.event, Unknown):
        return _json_encoder.encode(item.event.content)
    return _json_encoder.encode(item.event)


def body_from_json(type: int, subtype: int, data: bytes | str) -> Body:
    """The reverse of :func:`body_json`. :raises EventDecodeError: it is not a body of these numbers."""
    decoder = _json_bodies.get((type, subtype))
    try:
        return decoder.decode(data) if decoder else Unknown(content=_json_any.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventDecodeError(f"body of type {type}, subtype {subtype}: {error}") from None


def to_janus(item: Event) -> dict[str, Any] | None:
    """The event as a Janus backend knows it; ``None`` where Janus has no such kind."""
    if item.body.extension:
        return None
    whole: dict[str, Any] = msgspec.to_builtins(_as_it_came(item))
    whole.pop("id", None)
    whole.pop("correlation_id", None)
    whole.pop("replayed", None)
    whole.pop("inferred", None)
    return whole


def from_janus(item: object) -> Iterator[Event]:
    """Read one object of a Janus event handler (1.x); combined statistics become one event a medium.

    :raises EventDecodeError: it is no event of Janus.
    """
    if not isinstance(item, dict):
        raise EventDecodeError(f"event: {type(item).__name__} came, wanted an object")
    bodies = item.get("event")
    for content in bodies if isinstance(bodies, list) else [bodies]:
        try:
            envelope = msgspec.convert(item, Event, strict=False)
            kind = BODY_OF.get((envelope.type, envelope.subtype))
            if not isinstance(content, dict):
                raise TypeError(f"event: {type(content).__name__} came, wanted an object")
            body = Unknown(content=content) if kind is None else msgspec.convert(content, kind)
        except (msgspec.ValidationError, TypeError) as error:
            raise EventDecodeError(f"event of type {item.get('type')!r}: {error}") from None
        # Ours alone: a Janus server can't know them.
        yield msgspec.structs.replace(envelope, event=body, id=0, correlation_id=None, replayed=False)
