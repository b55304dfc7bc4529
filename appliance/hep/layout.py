"""The layout of HEPv3, declared once (HEP3 Network Protocol Specification, revision 37).

Everything else derives from this declaration: the decoder's widths, the templates' packers, the tests' reference
encoder. Bytes in, containers out; the rest of the house uses :class:`appliance.hep.message.HepMessage`.
"""

from typing import Any, NamedTuple

from construct import (
    Bytes,
    Const,
    Construct,
    ExprAdapter,
    FocusedSeq,
    GreedyBytes,
    GreedyRange,
    Int8ub,
    Int16ub,
    Int32ub,
    Int64ub,
    Prefixed,
    Struct,
    Switch,
    Terminated,
    obj_,
)

MAGIC = b"HEP3"
HEADER_SIZE = 6
"""Bytes before a body: magic and length, or vendor, type and length."""
MAX_PACKET = 65_507
"""Bytes; what a UDP datagram carries. Over TCP, receivers close the connection at the first larger packet."""
VENDOR_GENERIC = 0
VENDORS = {
    0: "generic", 1: "FreeSWITCH", 2: "Kamailio", 3: "OpenSIPS", 4: "Asterisk", 5: "Homer", 6: "SipXecs", 7: "Yeti",
    8: "Genesys",
}  # fmt: skip

IP_FAMILY = 0x0001
IP_PROTOCOL = 0x0002
IPV4_SOURCE = 0x0003
IPV4_DESTINATION = 0x0004
IPV6_SOURCE = 0x0005
IPV6_DESTINATION = 0x0006
SOURCE_PORT = 0x0007
DESTINATION_PORT = 0x0008
SECONDS = 0x0009
MICROSECONDS = 0x000A
PROTOCOL_TYPE = 0x000B
AGENT_ID = 0x000C
AUTH_KEY = 0x000E
PAYLOAD = 0x000F
CORRELATION_ID = 0x0011
NODE_NAME = 0x0013


class ChunkType(NamedTuple):
    """One row of the specification's table."""

    id: int
    name: str
    body: Construct


CHUNK_TYPES = (
    ChunkType(IP_FAMILY, "ip_family", Int8ub),  # 2 = IPv4, 10 = IPv6
    ChunkType(IP_PROTOCOL, "ip_protocol", Int8ub),  # 6 TCP, 17 UDP, 132 SCTP
    ChunkType(IPV4_SOURCE, "ipv4_source", Bytes(4)),
    ChunkType(IPV4_DESTINATION, "ipv4_destination", Bytes(4)),
    ChunkType(IPV6_SOURCE, "ipv6_source", Bytes(16)),
    ChunkType(IPV6_DESTINATION, "ipv6_destination", Bytes(16)),
    ChunkType(SOURCE_PORT, "source_port", Int16ub),
    ChunkType(DESTINATION_PORT, "destination_port", Int16ub),
    ChunkType(SECONDS, "seconds", Int32ub),  # since the Unix epoch
    ChunkType(MICROSECONDS, "microseconds", Int32ub),  # added to the seconds
    ChunkType(PROTOCOL_TYPE, "protocol_type", Int8ub),  # one byte, so never 1000
    ChunkType(AGENT_ID, "agent_id", Int32ub),
    ChunkType(0x000D, "keep_alive_s", Int16ub),
    ChunkType(AUTH_KEY, "auth_key", GreedyBytes),
    ChunkType(PAYLOAD, "payload", GreedyBytes),
    ChunkType(0x0010, "compressed_payload", GreedyBytes),
    ChunkType(CORRELATION_ID, "correlation_id", GreedyBytes),
    ChunkType(0x0012, "vlan", Int16ub),
    ChunkType(NODE_NAME, "node_name", GreedyBytes),
    ChunkType(0x0014, "source_mac", Int64ub),
    ChunkType(0x0015, "destination_mac", Int64ub),
    ChunkType(0x0016, "ethernet_type", Int16ub),
    ChunkType(0x0017, "tcp_flags", Int8ub),
    ChunkType(0x0018, "ip_tos", Int8ub),
    ChunkType(0x0020, "mos", Int16ub),
    ChunkType(0x0021, "r_factor", Int16ub),
    ChunkType(0x0022, "geo_location", GreedyBytes),
    ChunkType(0x0023, "jitter", Int32ub),
    ChunkType(0x0024, "transaction_type", GreedyBytes),
    ChunkType(0x0025, "payload_json_keys", GreedyBytes),
    ChunkType(0x0026, "tag_values", GreedyBytes),
    ChunkType(0x0027, "tag_type", Int16ub),
    ChunkType(0x0028, "event_type", Int16ub),
    ChunkType(0x0029, "group_id", GreedyBytes),
)
"""The generic chunks. Source MAC is 0x0014, not 0x0023 as in older texts; 0x0013 is the node's name."""

NAMES = {row.id: row.name for row in CHUNK_TYPES}
BODIES: dict[int, Any] = {row.id: row.body for row in CHUNK_TYPES}

# Both lengths of the protocol count their own header; a length below 6 is refused by Prefixed.
Length = ExprAdapter(Int16ub, obj_ - HEADER_SIZE, obj_ + HEADER_SIZE)

Chunk = Struct(
    "vendor" / Int16ub,
    "type" / Int16ub,
    "body"
    / Prefixed(
        Length,
        # Keyed by vendor too: another vendor's 0x000f is not the payload. What is unknown is kept as bytes.
        # Terminated, because a two-byte 0x000b must be refused, not read by its first byte.
        Switch(
            lambda context: (context.vendor, context.type),
            {
                (VENDOR_GENERIC, row.id): FocusedSeq("value", "value" / row.body, Terminated)
                for row in CHUNK_TYPES
                if row.body is not GreedyBytes
            },
            default=GreedyBytes,
        ),
    ),
)

Packet = Struct(
    "magic" / Const(MAGIC),
    # GreedyRange swallows the error of a broken last chunk; Terminated reports it.
    "content" / Prefixed(Length, Struct("chunks" / GreedyRange(Chunk), Terminated)),
    Terminated,
)
"""A whole packet: ``{"content": {"chunks": [{"vendor", "type", "body"}, ...]}}``."""
