"""HEPv3 messages as values, and their decoder.

The decoder is a bounds-checked loop over ``struct``, some forty times faster than construct's parse; its widths come
from :mod:`appliance.hep.layout`, and a test holds both equal over arbitrary packets.
"""

from collections.abc import Callable
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from struct import Struct as Packer
from typing import Any

import msgspec
from construct import Bytes, FormatField

from appliance.hep import layout

Address = IPv4Address | IPv6Address

TCP = 6
UDP = 17
FAMILY_V4 = 2
FAMILY_V6 = 10


class PayloadType(IntEnum):
    """Chunk 0x000b, as far as it is used here. It is one byte: 1000 is a database's number, not the wire's."""

    SIP = 1
    RTCP_JSON = 5
    LOG = 100


class HepDecodeError(ValueError):
    """The bytes are not a HEPv3 packet; the message names the chunk, its offset, what came and what was wanted."""


class HepEncodeError(ValueError):
    """A value cannot be put into a HEPv3 packet; the message names the field, its value and what was wanted."""


class OtherChunk(msgspec.Struct, frozen=True):
    """A chunk that :class:`HepMessage` has no field for, kept as it came."""

    vendor: int
    type: int
    body: bytes


class HepMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One captured message."""

    src: Address
    dst: Address
    """Of the same family as ``src``: the packet has one family chunk."""
    src_port: int
    dst_port: int
    protocol: int = UDP
    """IP protocol number."""
    timestamp_us: int
    """Capture time, microseconds since the Unix epoch."""
    payload_type: int
    payload: bytes = b""
    agent_id: int = 0
    node_name: str | None = None
    """The capture agent's name, chunk 0x0013."""
    correlation_id: str | None = None
    auth_key: str | None = None
    """Chunk 0x000e, a secret that travels in clear; not shown by ``repr``."""
    other: tuple[OtherChunk, ...] = ()

    def __repr__(self) -> str:
        return (
            f"HepMessage({self.src}:{self.src_port} -> {self.dst}:{self.dst_port} protocol={self.protocol} "
            f"timestamp_us={self.timestamp_us} payload_type={self.payload_type} {len(self.payload)} bytes "
            f"correlation_id={self.correlation_id!r} node_name={self.node_name!r})"
        )


_chunk_header = Packer("!HHH").unpack_from


def _reader(body: Any) -> tuple[int, Callable[[bytes, int], Any]] | None:
    """Width and reader of a fixed chunk body; ``None`` for one of any length."""
    if isinstance(body, FormatField):
        unpack = Packer(body.fmtstr).unpack_from
        return body.sizeof(), lambda data, offset: unpack(data, offset)[0]
    if isinstance(body, Bytes):
        width = body.sizeof()
        return width, lambda data, offset: data[offset : offset + width]
    return None


_FIXED = {row.id: reader for row in layout.CHUNK_TYPES if (reader := _reader(row.body)) is not None}
_OF_MESSAGE = frozenset({
    layout.IP_FAMILY, layout.IP_PROTOCOL, layout.IPV4_SOURCE, layout.IPV4_DESTINATION, layout.IPV6_SOURCE,
    layout.IPV6_DESTINATION, layout.SOURCE_PORT, layout.DESTINATION_PORT, layout.SECONDS, layout.MICROSECONDS,
    layout.PROTOCOL_TYPE, layout.AGENT_ID, layout.AUTH_KEY, layout.PAYLOAD, layout.CORRELATION_ID, layout.NODE_NAME,
})  # fmt: skip


def chunk_name(kind: int) -> str:
    """``0x000b (protocol_type)``."""
    return f"{kind:#06x} ({layout.NAMES[kind]})" if kind in layout.NAMES else f"{kind:#06x}"


def chunk_value(chunk: OtherChunk) -> int | bytes:
    """What the specification makes of a chunk: a number, or bytes where it says nothing or says octets."""
    reader = _FIXED.get(chunk.type) if chunk.vendor == layout.VENDOR_GENERIC else None
    value: int | bytes = chunk.body if reader is None or reader[0] != len(chunk.body) else reader[1](chunk.body, 0)
    return value


def decode(data: bytes) -> HepMessage:
    """Read one packet, which must be all of ``data``. Of a chunk that comes twice, the last counts.

    Text is read as UTF-8 with replacement characters: a name in another encoding is no reason to lose a packet.

    :raises HepDecodeError: wrong magic, any wrong length, or a mandatory chunk is absent.
    """
    size = len(data)
    if size < layout.HEADER_SIZE:
        raise HepDecodeError(f"packet: {size} bytes came, wanted at least {layout.HEADER_SIZE}")
    if data[:4] != layout.MAGIC:
        raise HepDecodeError(f"packet: starts with {bytes(data[:4])!r}, wanted {layout.MAGIC!r}")
    length = data[4] << 8 | data[5]
    if length != size:
        raise HepDecodeError(f"packet: its length says {length} bytes, {size} came")
    found: dict[int, Any] = {}
    other: list[OtherChunk] = []
    fixed_widths = _FIXED
    offset = layout.HEADER_SIZE
    while offset < size:
        if size - offset < layout.HEADER_SIZE:
            raise HepDecodeError(f"chunk at offset {offset}: {size - offset} bytes left, wanted a header of 6")
        vendor, kind, length = _chunk_header(data, offset)
        start, end = offset + 6, offset + length
        if length < layout.HEADER_SIZE or end > size:
            raise HepDecodeError(
                f"chunk {chunk_name(kind)} at offset {offset}: its length says {length}, wanted 6 to {size - offset}"
            )
        if vendor:
            other.append(OtherChunk(vendor, kind, data[start:end]))
        else:
            fixed = fixed_widths.get(kind)
            if fixed is None:
                value: Any = data[start:end]
            elif fixed[0] == end - start:
                value = fixed[1](data, start)
            else:
                raise HepDecodeError(
                    f"chunk {chunk_name(kind)} at offset {offset}: {end - start} bytes came, wanted {fixed[0]}"
                )
            if kind in _OF_MESSAGE:
                found[kind] = value
            else:
                other.append(OtherChunk(0, kind, data[start:end]))
        offset = end
    return _message(found, tuple(other))


def _message(found: dict[int, Any], other: tuple[OtherChunk, ...]) -> HepMessage:
    try:
        family = found[layout.IP_FAMILY]
        if family == FAMILY_V4:
            src: Address = IPv4Address(found[layout.IPV4_SOURCE])
            dst: Address = IPv4Address(found[layout.IPV4_DESTINATION])
        elif family == FAMILY_V6:
            src = IPv6Address(found[layout.IPV6_SOURCE])
            dst = IPv6Address(found[layout.IPV6_DESTINATION])
        else:
            raise HepDecodeError(f"chunk {chunk_name(layout.IP_FAMILY)}: {family} came, wanted 2 or 10")
        node, correlation, key = (
            found.get(layout.NODE_NAME), found.get(layout.CORRELATION_ID), found.get(layout.AUTH_KEY),
        )  # fmt: skip
        return HepMessage(
            src=src,
            dst=dst,
            src_port=found[layout.SOURCE_PORT],
            dst_port=found[layout.DESTINATION_PORT],
            protocol=found[layout.IP_PROTOCOL],
            timestamp_us=found[layout.SECONDS] * 1_000_000 + found[layout.MICROSECONDS],
            payload_type=found[layout.PROTOCOL_TYPE],
            payload=found.get(layout.PAYLOAD, b""),
            agent_id=found.get(layout.AGENT_ID, 0),
            node_name=None if node is None else str(node, "utf-8", "replace"),
            correlation_id=None if correlation is None else str(correlation, "utf-8", "replace"),
            auth_key=None if key is None else str(key, "utf-8", "replace"),
            other=other,
        )
    except KeyError as missing:
        raise HepDecodeError(f"mandatory chunk {chunk_name(missing.args[0])} is absent") from None
