"""Puts the fragments of IP packets together (RFC 791 section 3.2, RFC 8200 section 4.5): a HEP packet or a handshake is
often longer than its path carries at once.
"""

import struct

from msgspec import Struct, field

from appliance.wire.pcap import Source

MAX_WAITING = 256
"""Packets of which not all is there."""
MAX_PARTS = 128
_IP4 = struct.Struct("!2xHHHxB").unpack_from
_IP6_OPTIONS = frozenset({0, 43, 60})
_FRAGMENT = 44


class Fragment(Struct, frozen=True):
    """One part of a packet."""

    key: tuple[bytes, int, int]
    """Addresses, identification, protocol."""
    header: bytes
    """Of the IP packet that it is a part of, without its length."""
    offset: int
    more: bool
    payload: bytes
    length: int
    """Of the payload, as sent."""


class _Waiting(Struct):
    parts: dict[int, Fragment] = field(default_factory=dict)
    total: int | None = None


class Fragments:
    """:meth:`take` gives a packet once it is whole; ``given_up`` counts those of which a part never came."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, int, int], _Waiting] = {}
        self.given_up = 0

    def take(self, fragment: Fragment) -> list[bytes]:
        """The packet that is whole now, or what there is of one that is waited for no longer: its first part."""
        out = []
        waiting = self._waiting.get(fragment.key)
        if waiting is None:
            if len(self._waiting) >= MAX_WAITING:
                out += self._given_up(next(iter(self._waiting)))
            waiting = self._waiting[fragment.key] = _Waiting()
        if len(waiting.parts) >= MAX_PARTS:
            return out
        waiting.parts.setdefault(fragment.offset, fragment)
        if not fragment.more:
            waiting.total = fragment.offset + fragment.length
        at = 0
        while at in waiting.parts and waiting.parts[at].length:
            at += waiting.parts[at].length
        if waiting.total is not None and at >= waiting.total and 0 in waiting.parts:
            del self._waiting[fragment.key]
            out.append(_joined(waiting))
        return out

    def rest(self) -> list[bytes]:
        """At the end: the first parts of those that never became whole."""
        return [packet for key in list(self._waiting) for packet in self._given_up(key)]

    def _given_up(self, key: tuple[bytes, int, int]) -> list[bytes]:
        waiting = self._waiting.pop(key)
        self.given_up += 1
        if 0 not in waiting.parts:
            return []
        waiting.total = waiting.total or max(part.offset + part.length for part in waiting.parts.values())
        return [_joined(waiting)]


def may_be_fragment(data: Source, start: int) -> bool:
    """By its first bytes alone: whether :func:`fragment_of` has to look."""
    if data[start] >> 4 == 4:
        return (data[start + 6] << 8 | data[start + 7]) & 0x3FFF != 0
    return data[start + 6] == _FRAGMENT or data[start + 6] in _IP6_OPTIONS


def fragment_of(data: bytes) -> Fragment | None:
    """What an IP packet is a part of; ``None``: it is whole, or no such packet."""
    if data[0] >> 4 == 4:
        size = 4 * (data[0] & 15)
        if len(data) < 20 or size < 20:
            return None
        total, identification, word, protocol = _IP4(data)
        if not word & 0x3FFF:
            return None
        header = data[:2] + b"\0\0" + data[4:6] + b"\0\0" + data[8:size]
        key = data[12:20], identification, protocol
        return _fragment(key, header, (word & 0x1FFF) * 8, word & 0x2000, data[size:total], total - size)
    if len(data) < 48:
        return None
    following, at = data[6], 40
    for _ in range(8):
        if following not in _IP6_OPTIONS or at + 8 > len(data):
            break
        following, at = data[at], at + 8 + 8 * data[at + 1]
    if following != _FRAGMENT or at + 8 > len(data):
        return None
    protocol, _, word, identification = struct.unpack_from("!BBHI", data, at)
    if not word & 0xFFF9:
        return None
    length = 40 + int.from_bytes(data[4:6], "big") - at - 8
    header = data[:4] + b"\0\0" + bytes([protocol]) + data[7:40]
    key = data[8:40], identification, protocol
    return _fragment(key, header, word & 0xFFF8, word & 1, data[at + 8 : at + 8 + max(0, length)], length)


def _fragment(
    key: tuple[bytes, int, int], header: bytes, offset: int, more: int, payload: bytes, length: int
) -> Fragment | None:
    if length <= 0 or offset + length > 65_535:
        return None
    return Fragment(key, header, offset, bool(more), payload, length)


def _joined(waiting: _Waiting) -> bytes:
    """The packet, as far as the capture has it without a hole."""
    payload = b""
    while (part := waiting.parts.get(len(payload))) is not None:
        payload += part.payload
        if len(part.payload) < part.length:
            break
    header, total = waiting.parts[0].header, waiting.total or 0
    if header[0] >> 4 == 4:
        return header[:2] + min(0xFFFF, len(header) + total).to_bytes(2, "big") + header[4:] + payload
    return header[:4] + min(0xFFFF, total).to_bytes(2, "big") + header[6:] + payload
