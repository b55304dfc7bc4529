"""Shortens a packet's payload to what a datagram may carry, so that it can be seen what was cut."""

import msgspec

from appliance.hep import layout
from appliance.hep.message import HepEncodeError, PayloadType, chunk_name

CUT_HEADER = b"X-Payload-Cut"
"""Of a SIP message: the length that its body had."""


def cut(packet: bytes, limit: int) -> bytes:
    """The same packet in at most ``limit`` bytes, a shorter payload in it; it has to be the last chunk, as ours is.

    SIP stays SIP (whole lines of the body, its new length, and a header :data:`CUT_HEADER`), JSON stays JSON
    (``{"truncated": <bytes>, "text": <its beginning>}``), anything else ends with ``[cut from <bytes> bytes]``.

    :raises HepEncodeError: ``limit`` has no room for a payload worth sending.
    """
    offset, kind = layout.HEADER_SIZE, -1
    while True:
        chunk = int.from_bytes(packet[offset + 2 : offset + 4])
        size = int.from_bytes(packet[offset + 4 : offset + 6])
        if chunk == layout.PROTOCOL_TYPE:
            kind = packet[offset + layout.HEADER_SIZE]
        if offset + size >= len(packet) or size < layout.HEADER_SIZE:
            break
        offset += size
    if chunk != layout.PAYLOAD:
        raise HepEncodeError(f"packet: its last chunk is {chunk_name(chunk)}, wanted the payload")
    head = offset + layout.HEADER_SIZE
    payload = _cut_payload(kind, packet[head:], limit - head)
    return b"".join((
        packet[:4],
        (head + len(payload)).to_bytes(2),
        packet[6 : offset + 4],
        (layout.HEADER_SIZE + len(payload)).to_bytes(2),
        payload,
    ))  # fmt: skip


def _cut_payload(kind: int, payload: bytes, room: int) -> bytes:
    if kind == PayloadType.SIP:
        short = _cut_sip(payload, room)
    elif payload[:1] == b"{":
        # Escaped once more, a character may take six bytes.
        text = payload[: max(0, room - 64)].decode("utf-8", "replace")
        short = _json(payload, text)
        while len(short) > room and text:
            text = text[: len(text) - max(1, (len(short) - room) // 6)]
            short = _json(payload, text)
    else:
        mark = b" [cut from %d bytes]" % len(payload)
        short = payload[: max(0, room - len(mark))].decode("utf-8", "ignore").encode() + mark
    if len(short) > room:
        raise HepEncodeError(f"payload: {len(payload)} bytes can't be cut to {room}")
    return short


def _json(payload: bytes, text: str) -> bytes:
    return msgspec.json.encode({"truncated": len(payload), "text": text})


def _cut_sip(payload: bytes, room: int) -> bytes:
    head, _, body = payload.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"content-length:", b"l:"))]
    start = b"\r\n".join([*lines, CUT_HEADER + b": %d bytes" % len(body)])
    left = body[: max(0, room - len(start) - len(b"\r\nContent-Length: 65507\r\n\r\n"))]
    left = left[: left.rfind(b"\n") + 1]
    if body and not left:
        start = b"\r\n".join(line for line in start.split(b"\r\n") if not line.lower().startswith(b"content-type:"))
    return start + b"\r\nContent-Length: %d\r\n\r\n" % len(left) + left
