"""What a gateway hands to the collector: one call's packets and messages in a file of msgpack. Pure."""

from typing import Any

import msgspec
from msgspec import Struct

from appliance.core.recording import Address

VERSION = 1


class PartsError(ValueError):
    """The file is none of ours, or of another version."""


class Datagram(Struct, frozen=True, array_like=True, gc=False):
    """As it was on the wire."""

    timestamp_us: int
    incoming: bool
    local: Address
    remote: Address
    data: bytes


class Plain(Struct, frozen=True, array_like=True, gc=False):
    """An RTP or RTCP packet, decrypted; ``length`` is what it had before its payload was left out."""

    timestamp_us: int
    incoming: bool
    length: int
    data: bytes


class Said(Struct, frozen=True, array_like=True, gc=False):
    """A message of the Janus API."""

    timestamp_us: int
    incoming: bool
    message: dict[str, Any]


class Parts(Struct, kw_only=True):
    """All of a call that its gateway kept."""

    version: int = VERSION
    wire: list[Datagram] = []
    plain: list[Plain] = []
    messages: list[Said] = []
    keys: list[str] = []
    lost: dict[str, int] = {}
    """What was not kept, by why: ``full``, ``total``; ``aged`` left the buffer in time."""


def encode(parts: Parts) -> bytes:
    """For :func:`decode`."""
    return msgspec.msgpack.encode(parts)


def decode(data: bytes) -> Parts:
    """:raises PartsError: see there."""
    try:
        parts = msgspec.msgpack.decode(data, type=Parts)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise PartsError(f"the gateway's part of a recording can't be read: {problem}") from None
    if parts.version != VERSION:
        raise PartsError(f"the gateway's part of a recording has version {parts.version}, wanted {VERSION}")
    return parts
