"""What every kind of event has: its place in Janus's numbering, and the words of a handler's mask."""

from enum import IntFlag
from typing import ClassVar

from msgspec import Struct


class EventType(IntFlag):
    """Bits of a handler's mask; the values are those on the wire (Janus ``eventhandler.h``)."""

    NONE = 0
    SESSION = 1
    HANDLE = 2
    EXTERNAL = 4
    JSEP = 8
    WEBRTC = 16
    MEDIA = 32
    PLUGIN = 64
    TRANSPORT = 128
    CORE = 256
    ALL = 511


MASK_WORDS = {
    "sessions": EventType.SESSION,
    "handles": EventType.HANDLE,
    "external": EventType.EXTERNAL,
    "jsep": EventType.JSEP,
    "webrtc": EventType.WEBRTC,
    "media": EventType.MEDIA,
    "plugins": EventType.PLUGIN,
    "transports": EventType.TRANSPORT,
    "core": EventType.CORE,
    "all": EventType.ALL,
    "none": EventType.NONE,
}
"""Words of an ``events`` setting, as in a Janus event handler's configuration."""


def parse_mask(text: str) -> EventType:
    """Read ``"sessions, webrtc"``. :raises ValueError: a word is unknown; the message names it and the known ones."""
    mask = EventType.NONE
    for word in text.replace(",", " ").split():
        try:
            mask |= MASK_WORDS[word.lower()]
        except KeyError:
            raise ValueError(f"unknown event type {word!r}; known: {', '.join(MASK_WORDS)}") from None
    return mask


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What every body has: its place in the numbering.

    Events are trees that never change, so that no cycle can arise and the garbage collector need not look at them.
    """

    type: ClassVar[EventType] = EventType.NONE
    subtype: ClassVar[int] = 0
    """0 where Janus has no subtypes (all types but 16, 32 and 256)."""
    extension: ClassVar[bool] = False
    """True for what Janus does not emit."""
