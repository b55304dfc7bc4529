"""HEPv3 packets for people and for other tools: a line, a JSON object, the packet that was inside."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import msgspec

from appliance.hep.layout import NAMES, VENDOR_GENERIC, VENDORS
from appliance.hep.message import UDP, HepMessage, OtherChunk, chunk_value
from appliance.hep.template import endpoint

TYPE_NAMES = {
    1: "SIP", 2: "XMPP", 3: "SDP", 4: "RTP", 5: "RTCP", 34: "RTP-REPORT", 35: "RTP-SHORT-REPORT", 53: "DNS",
    56: "DIAMETER", 60: "CDR", 61: "VERTO", 100: "LOG",
}  # fmt: skip
LINK_TYPE_RAW = 101
"""pcap's LINKTYPE_RAW: packets begin with their IPv4 or IPv6 header."""
LINE_WIDTH = 160


def summary(payload: bytes, width: int = LINE_WIDTH) -> str:
    """The first line of a payload, printable and at most ``width`` characters."""
    head, _, _ = payload[: 4 * width].partition(b"\n")
    text = head.decode("utf-8", "replace").rstrip("\r")
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return text[:width]


@lru_cache(16)
def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


class Filter:
    """Which packets are wanted: of these types, this node and this call; what is not given does not matter."""

    def __init__(self, *, types: Sequence[str] = (), node: str = "", correlation: str = "") -> None:
        """
        :param types: names (``sip``, ``rtcp``, ``log``, ...) or numbers.
        :param node: the capture agent's name, or its number where it has none; ``*`` stands for anything.
        :param correlation: the correlation id, ``*`` as before.
        :raises ValueError: there is no such type.
        """
        self._types = frozenset(_type_number(word) for word in types)
        self._node = node
        self._correlation = correlation

    def __call__(self, message: HepMessage) -> bool:
        """Whether it is wanted."""
        return (
            (not self._types or message.payload_type in self._types)
            and (not self._node or fnmatchcase(message.node_name or str(message.agent_id), self._node))
            and (not self._correlation or fnmatchcase(message.correlation_id or "", self._correlation))
        )


def _type_number(word: str) -> int:
    names = {name.lower(): number for number, name in TYPE_NAMES.items()}
    if word.lower() in names:
        return names[word.lower()]
    if word.isascii() and word.isdigit() and int(word) <= 0xFF:
        return int(word)
    raise ValueError(f"type {word[:40]!r}: wanted 0 to 255 or one of {', '.join(names)}")


def format_line(message: HepMessage) -> str:
    """One packet as one line."""
    kind = TYPE_NAMES.get(message.payload_type, str(message.payload_type))
    source, destination = endpoint(message.src, message.src_port), endpoint(message.dst, message.dst_port)
    seconds, micros = divmod(message.timestamp_us, 1_000_000)
    return (
        f"{_time(seconds)}.{micros:06d}Z {kind:<4} {source} -> {destination} "
        f"{summary((message.correlation_id or '-').encode(), 80)} {summary(message.payload)}"
    )


def to_json(message: HepMessage) -> bytes:
    """One packet as a JSON object. A payload that is JSON is put in as such; the authentication key is left out."""
    record: dict[str, Any] = {
        "src": str(message.src),
        "src_port": message.src_port,
        "dst": str(message.dst),
        "dst_port": message.dst_port,
        "protocol": message.protocol,
        "timestamp_us": message.timestamp_us,
        "payload_type": message.payload_type,
        "agent_id": message.agent_id,
        "node_name": message.node_name,
        "correlation_id": message.correlation_id,
        "payload": _payload(message.payload),
    }
    if message.other:
        record["other"] = [_chunk(chunk) for chunk in message.other]
    return msgspec.json.encode(record)


def _chunk(chunk: OtherChunk) -> dict[str, Any]:
    shown: dict[str, Any] = {"vendor": chunk.vendor, "type": chunk.type, "body": chunk.body.hex()}
    if chunk.vendor == VENDOR_GENERIC and chunk.type in NAMES:
        value = chunk_value(chunk)
        shown["name"] = NAMES[chunk.type]
        shown["value"] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    elif chunk.vendor in VENDORS:
        shown["vendor_name"] = VENDORS[chunk.vendor]
    return shown


def _payload(payload: bytes) -> Any:
    if payload[:1] in {b"{", b"["}:
        try:
            msgspec.json.decode(payload)
            return msgspec.Raw(payload.strip())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return payload.decode("utf-8", "replace")


def inner_packet(message: HepMessage) -> bytes:
    """The message as an IP packet, made up from the chunks: for a pcap of type :data:`LINK_TYPE_RAW`.

    Always UDP, whatever carried it: messages picked out of a TCP stream have no sequence numbers, and Wireshark would
    take all but the first for retransmissions. A payload that an IPv4 packet cannot hold is cut.
    """
    payload = message.payload[: 65_535 - 20 - 8]
    length = 8 + len(payload)
    pseudo = message.src.packed + message.dst.packed + struct.pack("!II", length, UDP)
    ports = struct.pack("!HHH", message.src_port, message.dst_port, length)
    checksum = _checksum(pseudo + ports + payload) or 0xFFFF
    datagram = ports + checksum.to_bytes(2) + payload
    if message.src.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, UDP, 64) + pseudo[:32] + datagram
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, UDP, 0) + pseudo[:8]
    return header[:10] + _checksum(header).to_bytes(2) + header[12:] + datagram


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    # The ones' complement sum of 16-bit words is the number modulo 65535.
    total = int.from_bytes(data + b"\0" * (len(data) % 2)) % 0xFFFF
    return ~total & 0xFFFF
