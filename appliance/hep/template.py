"""Packers for the messages of one call, generated from the construct declaration.

Building a packet through construct costs some 230 µs. What is the same in all messages of a call (addresses, agent,
node, correlation id) is therefore rendered once, by construct, and what differs becomes one ``struct`` format whose
codes are those of the declaration: a message is one pack and one join, about half a microsecond.
"""

import struct
from functools import lru_cache
from typing import Any

from construct import FormatField

from appliance.hep import layout
from appliance.hep.message import FAMILY_V4, FAMILY_V6, UDP, Address, HepEncodeError, HepMessage

MAX_TEXT = 1024
"""Bytes of a name, an id or a key."""
_VARIABLE = (layout.SECONDS, layout.MICROSECONDS, layout.PROTOCOL_TYPE)
"""Chunks of a fixed width whose value differs from message to message."""


def chunks_of(message: HepMessage) -> list[dict[str, Any]]:
    """The chunks of a message in the conventional order: rising, but what is unknown first and the payload last.

    Receivers that ignore the vendor take the last chunk of a number, so that a foreign one must come before ours.
    """
    v6 = message.src.version == 6
    values: list[tuple[int, int | bytes | None]] = [
        (layout.IP_FAMILY, FAMILY_V6 if v6 else FAMILY_V4),
        (layout.IP_PROTOCOL, message.protocol),
        (layout.IPV6_SOURCE if v6 else layout.IPV4_SOURCE, message.src.packed),
        (layout.IPV6_DESTINATION if v6 else layout.IPV4_DESTINATION, message.dst.packed),
        (layout.SOURCE_PORT, message.src_port),
        (layout.DESTINATION_PORT, message.dst_port),
        (layout.SECONDS, message.timestamp_us // 1_000_000),
        (layout.MICROSECONDS, message.timestamp_us % 1_000_000),
        (layout.PROTOCOL_TYPE, message.payload_type),
        (layout.AGENT_ID, message.agent_id),
        (layout.AUTH_KEY, _octets(message.auth_key)),
        (layout.CORRELATION_ID, _octets(message.correlation_id)),
        (layout.NODE_NAME, _octets(message.node_name)),
        (layout.PAYLOAD, message.payload),
    ]
    known = [{"vendor": 0, "type": kind, "body": body} for kind, body in values if body is not None]
    return [_as_declared(chunk.vendor, chunk.type, chunk.body) for chunk in message.other] + known


def _octets(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "replace")


def _as_declared(vendor: int, kind: int, body: bytes) -> dict[str, Any]:
    declared = layout.BODIES.get(kind) if vendor == layout.VENDOR_GENERIC else None
    return {"vendor": vendor, "type": kind, "body": body if declared is None else declared.parse(body)}


def build(message: HepMessage) -> bytes:
    """Encode through construct: slow, and the reference for :class:`HepTemplate`.

    :raises construct.ConstructError: a value does not fit its chunk.
    """
    return bytes(layout.Packet.build({"content": {"chunks": chunks_of(message)}}))


def encode(message: HepMessage) -> bytes:
    """Encode one message that has no template. :raises HepEncodeError: a value does not fit."""
    template = HepTemplate(
        src=message.src,
        dst=message.dst,
        src_port=message.src_port,
        dst_port=message.dst_port,
        protocol=message.protocol,
        agent_id=message.agent_id,
        node_name=message.node_name,
        correlation_id=message.correlation_id,
        auth_key=message.auth_key,
    )
    if message.other:
        raise HepEncodeError("other: chunks without a field cannot be encoded; use build()")
    return template.render(message.timestamp_us, message.payload_type, message.payload)


def _check_number(field: str, value: int, limit: int) -> None:
    if not 0 <= value <= limit:
        raise HepEncodeError(f"{field}: {value} came, wanted 0 to {limit}")


def _check_text(field: str, value: str | None, *, secret: bool = False) -> None:
    """Receivers write these into JSON as they come: a quote makes them lose the packet, and others of its batch."""
    if value is None:
        return
    came = "a secret" if secret else repr(value[:100])
    if not value or any(letter in '"\\' or not letter.isprintable() for letter in value):
        raise HepEncodeError(f"{field}: {came} came, wanted printable text without quotes and backslashes")
    if len(value.encode("utf-8", "replace")) > MAX_TEXT:
        raise HepEncodeError(f"{field}: {len(value)} characters came, wanted at most {MAX_TEXT} bytes")


class HepTemplate:
    """The messages that go from one address to another for one call."""

    __slots__ = ("_example", "_overhead", "_pack", "_pieces", "room")

    def __init__(
        self,
        *,
        src: Address,
        dst: Address,
        src_port: int,
        dst_port: int,
        protocol: int = UDP,
        agent_id: int = 0,
        node_name: str | None = None,
        correlation_id: str | None = None,
        auth_key: str | None = None,
    ) -> None:
        """:raises HepEncodeError: a value does not fit, or a receiver would choke on it."""
        if src.version != dst.version:
            raise HepEncodeError(f"dst: {dst} came, wanted an address of the same family as {src}")
        _check_number("src_port", src_port, 0xFFFF)
        _check_number("dst_port", dst_port, 0xFFFF)
        _check_number("protocol", protocol, 0xFF)
        _check_number("agent_id", agent_id, 0xFFFFFFFF)
        _check_text("node_name", node_name)
        _check_text("correlation_id", correlation_id)
        _check_text("auth_key", auth_key, secret=True)
        self._example = HepMessage(
            src=src,
            dst=dst,
            src_port=src_port,
            dst_port=dst_port,
            protocol=protocol,
            timestamp_us=0,
            payload_type=0,
            agent_id=agent_id,
            node_name=node_name,
            correlation_id=correlation_id,
            auth_key=auth_key,
        )
        packer, self._pieces = _plan(self._example)
        self._pack = packer.pack
        self._overhead = packer.size
        self.room = layout.MAX_PACKET - packer.size
        """The longest payload, bytes."""

    def render(self, timestamp_us: int, payload_type: int, payload: bytes) -> bytes:
        """One packet. :raises HepEncodeError: the payload is longer than :attr:`room`, or a number does not fit."""
        size = len(payload)
        if size > self.room:
            raise HepEncodeError(f"payload: {size} bytes came, wanted at most {self.room}")
        seconds, micros = divmod(timestamp_us, 1_000_000)
        first, second, third, fourth = self._pieces
        try:
            head = self._pack(
                layout.MAGIC,
                self._overhead + size,
                first,
                seconds,
                second,
                micros,
                third,
                payload_type,
                fourth,
                size + 6,
            )
        except struct.error:
            raise HepEncodeError(
                f"timestamp_us, payload_type: {timestamp_us}, {payload_type} came, wanted 0 to 2^32 s and 0 to 255"
            ) from None
        return head + payload

    def message(self, timestamp_us: int, payload_type: int, payload: bytes) -> HepMessage:
        """The same as a value."""
        example = self._example
        return HepMessage(
            src=example.src,
            dst=example.dst,
            src_port=example.src_port,
            dst_port=example.dst_port,
            protocol=example.protocol,
            timestamp_us=timestamp_us,
            payload_type=payload_type,
            payload=payload,
            agent_id=example.agent_id,
            node_name=example.node_name,
            correlation_id=example.correlation_id,
            auth_key=example.auth_key,
        )

    @property
    def source(self) -> str:
        """``address:port``."""
        return endpoint(self._example.src, self._example.src_port)

    @property
    def destination(self) -> str:
        """``address:port``."""
        return endpoint(self._example.dst, self._example.dst_port)


def endpoint(address: Address, port: int) -> str:
    """``192.0.2.1:5060``, ``[2001:db8::1]:5060``."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


@lru_cache(1024)
def _chunk(kind: int, body: int | bytes) -> bytes:
    """One generic chunk. Calls share most of theirs: the agent, the node, the server's address, all that is 0."""
    return bytes(layout.Chunk.build({"vendor": layout.VENDOR_GENERIC, "type": kind, "body": body}))


def _plan(example: HepMessage) -> tuple[struct.Struct, tuple[bytes, ...]]:
    """Fold everything constant into byte strings between the fields that vary.

    The packer takes magic, length, constant, seconds, constant, microseconds, constant, type, constant, and the length
    of the payload chunk, whose body follows.
    """
    header = layout.Chunk.subcons
    codes = "!4sH"
    constant = b""
    pieces: list[bytes] = []
    for chunk in chunks_of(example):
        kind = chunk["type"]
        whole = _chunk(kind, chunk["body"])
        if kind in _VARIABLE:
            body = layout.BODIES[kind]
            assert isinstance(body, FormatField)
            pieces.append(constant + whole[: -body.sizeof()])
            codes += f"{len(pieces[-1])}s{body.fmtstr[1:]}"
            constant = b""
        elif kind == layout.PAYLOAD:
            # Vendor and type; the length is the packer's last argument.
            pieces.append(constant + whole[: header[0].sizeof() + header[1].sizeof()])
            codes += f"{len(pieces[-1])}sH"
        else:
            constant += whole
    return struct.Struct(codes), tuple(pieces)
