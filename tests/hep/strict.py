"""A capture server that is as strict as the strictest one in use.

Written from what heplify-server 1.60.3 with Homer 7/10 was seen to refuse, drop or spoil, and without any of
``appliance.hep``: what passes here is stored there.
"""

import json
from ipaddress import ip_address
from typing import Any, NamedTuple

WIDTHS = {1: 1, 2: 1, 3: 4, 4: 4, 5: 16, 6: 16, 7: 2, 8: 2, 9: 4, 10: 4, 11: 1, 12: 4, 13: 2}
SPOILED_TABLES = {34, 35, 200, 201, 202}
"""35 and what shares its table are read as RTP reports, 200 to 202 as telemetry."""


class RefusedError(Exception):
    """The capture server would not store it, or would store something else."""


class Stored(NamedTuple):
    """A row."""

    src: str
    dst: str
    src_port: int
    dst_port: int
    protocol: int
    timestamp_us: int
    payload_type: int
    correlation_id: str
    node_name: str
    payload: str


def need(condition: bool, why: str) -> None:
    if not condition:
        raise RefusedError(why)


def receive(datagram: bytes) -> Stored:
    """One datagram, or one frame of a stream. :raises RefusedError: with the reason."""
    need(len(datagram) <= 65_507, "too long")
    need(datagram[:4] == b"HEP3", "neither hep nor protobuf")
    need(int.from_bytes(datagram[4:6], "big") == len(datagram), "HEP packet length differs")
    chunks: dict[int, bytes] = {}
    rest = datagram[6:]
    while rest:
        need(len(rest) >= 6, "cut chunk")
        vendor, kind, length = (int.from_bytes(rest[at : at + 2], "big") for at in (0, 2, 4))
        need(6 <= length <= len(rest), "chunk length")
        body, rest = rest[6:length], rest[length:]
        need(vendor == 0 or kind >= 0x40, "a vendor's chunk replaces a generic one: vendors are ignored")
        need(kind not in chunks, "the last of two chunks wins")
        need(kind not in WIDTHS or len(body) == WIDTHS[kind], f"chunk {kind} should be {WIDTHS.get(kind)} long")
        need(kind != 0x10, "compressed payload is not handled")
        chunks[kind] = body
    number = {kind: int.from_bytes(body, "big") for kind, body in chunks.items()}
    family = number.get(1)
    need(family in (2, 10), "family")
    src, dst = (chunks[3], chunks[4]) if family == 2 else (chunks[5], chunks[6])
    need(number[10] < 1_000_000, "microseconds carried into seconds")
    need(number[9] > 0, "time replaced by now")
    for kind in (0x0E, 0x11, 0x13):
        text = chunks.get(kind, b"").decode("utf-8")
        json.loads(f'{{"x":"{text}"}}')  # as it is written into the header, unescaped
    payload = chunks.get(0x0F, b"").decode("utf-8")
    need("\0" not in payload, "NUL is stripped")
    correlation_id = chunks.get(0x11, b"").decode()
    stored = Stored(
        str(ip_address(src)),
        str(ip_address(dst)),
        number[7],
        number[8],
        number[2],
        number[9] * 1_000_000 + number[10],
        number[11],
        correlation_id,
        chunks.get(0x13, b"").decode() or str(number[12]),
        payload,
    )
    _check_payload(stored)
    return stored


def _check_payload(stored: Stored) -> None:
    need(stored.payload_type not in SPOILED_TABLES, "table of another kind")
    need(stored.payload_type in (1, 5, 100), "a table that Homer does not read")
    need(bool(stored.correlation_id), "no correlation id: not stored")
    need(bool(stored.payload), "no payload: not stored")
    if stored.payload_type == 1:
        headers = sip_headers(stored.payload)
        need(headers["call-id"] == stored.correlation_id, "log and RTCP do not attach")
    elif stored.payload_type == 5:
        report = json.loads(stored.payload)
        need(report["type"] in (200, 201, 202), "packet type")
        need(len(report["report_blocks"]) <= 1, "only the first block is read")
        need(report["report_count"] == len(report["report_blocks"]), "count")
        for block in report["report_blocks"]:
            need(all(isinstance(value, int) for value in block.values()), "numbers")


def sip_headers(text: str) -> dict[str, Any]:
    """The headers of one SIP message. :raises RefusedError: it is none (RFC 3261 section 8.1.1, and more)."""
    need(len(text) > 32, "short")
    head, end, body = text.partition("\r\n\r\n")
    need(bool(end), "no SIP eof found")
    first, *lines = head.split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        need(bool(colon) and name.replace("-", "").isalnum(), f"header {line!r}")
        need(name.lower() not in headers, f"{name} twice")
        headers[name.lower()] = value
    request = not first.startswith("SIP/2.0 ")
    wanted = ["via", "from", "to", "call-id", "cseq", "content-length"] + ["max-forwards"] * request
    need(all(headers.get(name) for name in wanted), f"header missing in {first}")
    method = headers["cseq"].partition(" ")[2]
    need(len(method) >= 3, "CSeq")
    need(not request or (first.startswith(f"{method} sip:") and first.endswith(" SIP/2.0")), first)
    need(int(headers["content-length"]) == len(body.encode()), "Content-Length")
    need(("content-type" in headers) == bool(body), "Content-Type")
    need(";tag=" in headers["from"] and ";branch=z9hG4bK" in headers["via"], "tag, branch")
    return headers | {"first": first, "body": body}
