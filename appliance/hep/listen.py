"""HEPv3 packets for people and for other tools: a line, a JSON object, the packet that was inside."""

import asyncio
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from appliance.hep.listener import HepListener
from appliance.hep.message import UDP, HepMessage
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
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)[:width]


def _time(timestamp_us: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(timestamp_us // 1_000_000)


def format_line(message: HepMessage) -> str:
    """One packet as one line."""
    kind = TYPE_NAMES.get(message.payload_type, str(message.payload_type))
    source, destination = endpoint(message.src, message.src_port), endpoint(message.dst, message.dst_port)
    return (
        f"{_time(message.timestamp_us)}.{message.timestamp_us % 1_000_000:06d}Z {kind:<4} {source} -> {destination} "
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
        record["other"] = [{"vendor": c.vendor, "type": c.type, "body": c.body.hex()} for c in message.other]
    return msgspec.json.encode(record)


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


async def listen(
    write_line: Callable[[str], None],
    *,
    host: str = "127.0.0.1",
    port: int = 9060,
    as_json: bool = False,
    write_packet: Callable[[int, bytes], None] | None = None,
    until: asyncio.Event | None = None,
    started: Callable[[HepListener], None] | None = None,
) -> HepListener:
    """Show packets until ``until`` is set, or whoever reads the lines goes away: what ``appliance listen`` does.

    :param write_packet: takes the time in microseconds and an IP packet, see :func:`inner_packet`.
    :raises OSError: the port can't be had.
    """

    done = until or asyncio.Event()

    def show(message: HepMessage) -> None:
        try:
            write_line(to_json(message).decode() if as_json else format_line(message))
        except BrokenPipeError:
            done.set()
        if write_packet is not None:
            write_packet(message.timestamp_us, inner_packet(message))

    async with HepListener(show, host=host, port=port) as listener:
        if started is not None:
            started(listener)
        await done.wait()
    return listener
