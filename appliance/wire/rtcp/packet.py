"""What every RTCP packet has (RFC 3550 section 6.1): the head, a type, and a way back into bytes."""

import struct
from collections.abc import Iterable

from msgspec import Struct

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
APPLICATION = 204
TRANSPORT_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206
EXTENDED_REPORT = 207

HEAD = struct.Struct("!BBH")


class RtcpDecodeError(ValueError):
    """Malformed RTCP; says which field, its value, and what was wanted."""


class Packet(Struct, frozen=True, kw_only=True):
    """What every RTCP packet can do."""

    def build(self) -> bytes:
        """The whole packet with its common header."""
        raise NotImplementedError


class Unknown(Packet, frozen=True, kw_only=True):
    """A packet type, or a feedback format, that has no class here."""

    packet_type: int
    count: int
    """The five bits after version and padding: a count, a subtype or a format."""
    body: bytes

    def build(self) -> bytes:
        """As it was read."""
        return framed(self.packet_type, self.count, self.body)


def build_compound(packets: Iterable[Packet]) -> bytes:
    """All of them in one datagram."""
    return b"".join([packet.build() for packet in packets])


def framed(packet_type: int, count: int, body: bytes) -> bytes:
    """A body with its head. :raises ValueError: the count or the size has no place in one."""
    if not 0 <= count <= 31:
        raise ValueError(f"count of packet type {packet_type} is {count}, wanted 0..31")
    if len(body) % 4:
        raise ValueError(f"body of packet type {packet_type} has {len(body)} bytes, wanted a multiple of 4")
    return HEAD.pack(0x80 | count, packet_type, len(body) // 4) + body


def ssrc_bytes(number: int) -> bytes:
    """4 bytes."""
    return number.to_bytes(4, "big")
