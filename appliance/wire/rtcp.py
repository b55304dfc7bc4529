"""RTCP (RFC 3550 section 6, RFC 4585, RFC 5104, and REMB as in draft-alvestrand-rmcat-remb-03).

:func:`parse_compound` reads a decrypted datagram into typed packets, each of which builds itself again; the packets
of a compound are joined by plain concatenation. Reduced-size packets (RFC 5506) are as welcome as full compounds.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import ClassVar

from msgspec import Struct

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
APPLICATION = 204
TRANSPORT_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206
EXTENDED_REPORT = 207

CNAME = 1
MAX_PACKETS = 64
"""Packets of one compound."""
MAX_LOST = 1000
"""Sequence numbers that one NACK expands to; the rest is dropped, see :attr:`Nack.capped`."""

_COMMON = struct.Struct("!BBH")
_SENDER = struct.Struct("!QIII")
_REPORT = struct.Struct("!IIIIII")
_REMB_HEAD = struct.Struct("!I4sBBH")


class RtcpDecodeError(ValueError):
    """Malformed RTCP; says which field, its value, and what was wanted."""


class ReportBlock(Struct, frozen=True, kw_only=True):
    """What a receiver saw of one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """0..255: packets lost since the last report, as a fraction of 256."""
    packets_lost: int
    """Cumulative, signed 24 bits: duplicates can make it negative."""
    highest_sequence: int
    """Extended: cycles in the upper 16 bits."""
    jitter: int
    """In units of the source's RTP clock."""
    lsr: int = 0
    """Middle 32 bits of the NTP time of the last sender report; 0 before the first."""
    dlsr: int = 0
    """Delay since that sender report, in 1/65536 s."""

    def build(self) -> bytes:
        """24 bytes; ``packets_lost`` stays at its bounds rather than wrapping."""
        lost = max(-0x800000, min(0x7FFFFF, self.packets_lost)) & 0xFFFFFF
        return _REPORT.pack(
            self.ssrc, self.fraction_lost << 24 | lost, self.highest_sequence, self.jitter, self.lsr, self.dlsr
        )


class Packet(Struct, frozen=True, kw_only=True):
    """What every RTCP packet can do."""

    def build(self) -> bytes:
        """The whole packet with its common header."""
        raise NotImplementedError


class SenderReport(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.4.1."""

    ssrc: int
    ntp_time: int
    """64 bits: seconds since 1900 in the upper half, their fraction in the lower."""
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""
    """Profile-specific words after the report blocks."""

    @property
    def lsr(self) -> int:
        """What the receiver will put into its report's ``lsr``."""
        return self.ntp_time >> 16 & 0xFFFFFFFF

    def build(self) -> bytes:
        """At most 31 report blocks."""
        sender = _SENDER.pack(self.ntp_time, self.rtp_timestamp, self.packet_count, self.octet_count)
        body = _ssrc(self.ssrc) + sender + _blocks(self.reports) + self.extension
        return _packet(SENDER_REPORT, len(self.reports), body)


class ReceiverReport(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.4.2."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""

    def build(self) -> bytes:
        """At most 31 report blocks."""
        body = _ssrc(self.ssrc) + _blocks(self.reports) + self.extension
        return _packet(RECEIVER_REPORT, len(self.reports), body)


class SdesChunk(Struct, frozen=True):
    """Items of one source: type (1 is CNAME) and bytes."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...]

    @property
    def cname(self) -> str | None:
        """``None`` when the chunk has none."""
        for kind, value in self.items:
            if kind == CNAME:
                return value.decode(errors="replace")
        return None

    def build(self) -> bytes:
        """Items, the null octet, and padding to 32 bits."""
        data = _ssrc(self.ssrc) + b"".join(bytes((kind, len(value))) + value for kind, value in self.items)
        return data + bytes(4 - len(data) % 4)


class Sdes(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.5."""

    chunks: tuple[SdesChunk, ...]

    def build(self) -> bytes:
        """At most 31 chunks."""
        return _packet(SOURCE_DESCRIPTION, len(self.chunks), b"".join(chunk.build() for chunk in self.chunks))


class Bye(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.6."""

    ssrcs: tuple[int, ...]
    reason: str | None = None

    def build(self) -> bytes:
        """At most 31 sources; the reason is cut at 255 bytes."""
        body = b"".join(map(_ssrc, self.ssrcs))
        if self.reason is not None:
            text = self.reason.encode()[:255]
            body += bytes((len(text),)) + text
            body += bytes(-len(body) & 3)
        return _packet(GOODBYE, len(self.ssrcs), body)


class App(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.7."""

    subtype: int
    ssrc: int
    name: bytes
    """4 bytes."""
    data: bytes = b""

    def build(self) -> bytes:
        """``data`` is a multiple of 4 bytes."""
        return _packet(APPLICATION, self.subtype, _ssrc(self.ssrc) + self.name + self.data)


class Feedback(Packet, frozen=True, kw_only=True):
    """RFC 4585 section 6.1: what feedback messages share."""

    sender_ssrc: int
    media_ssrc: int


class Nack(Feedback, frozen=True, kw_only=True):
    """Generic NACK (RFC 4585 section 6.2.1)."""

    format: ClassVar[int] = 1
    lost: tuple[int, ...]
    """Sequence numbers in the packet's order, at most :data:`MAX_LOST`."""
    capped: bool = False
    """The packet asked for more."""

    def build(self) -> bytes:
        """Packed into as few (PID, BLP) words as the order allows."""
        words: list[bytes] = []
        pid: int | None = None
        mask = 0
        for number in self.lost:
            if pid is not None and 1 <= (number - pid & 0xFFFF) <= 16:
                mask |= 1 << (number - pid & 0xFFFF) - 1
                continue
            if pid is not None:
                words.append(struct.pack("!HH", pid, mask))
            pid, mask = number, 0
        if pid is not None:
            words.append(struct.pack("!HH", pid, mask))
        return _feedback(TRANSPORT_FEEDBACK, self.format, self, b"".join(words))


class TransportFeedback(Feedback, frozen=True, kw_only=True):
    """Transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions-01), kept raw."""

    format: ClassVar[int] = 15
    control: bytes
    """The feedback control information, a multiple of 4 bytes."""

    def build(self) -> bytes:
        """As it was read."""
        return _feedback(TRANSPORT_FEEDBACK, self.format, self, self.control)


class Pli(Feedback, frozen=True, kw_only=True):
    """Picture Loss Indication (RFC 4585 section 6.3.1)."""

    format: ClassVar[int] = 1

    def build(self) -> bytes:
        """12 bytes."""
        return _feedback(PAYLOAD_FEEDBACK, self.format, self, b"")


class Fir(Feedback, frozen=True, kw_only=True):
    """Full Intra Request (RFC 5104 section 4.3.1)."""

    format: ClassVar[int] = 4
    entries: tuple[tuple[int, int], ...]
    """SSRC and request number 0..255 of each wanted key frame."""

    def build(self) -> bytes:
        """``media_ssrc`` is 0 by the RFC; the sources stand in the entries."""
        control = b"".join(struct.pack("!IB3x", ssrc, number) for ssrc, number in self.entries)
        return _feedback(PAYLOAD_FEEDBACK, self.format, self, control)


class Remb(Feedback, frozen=True, kw_only=True):
    """Receiver Estimated Maximum Bitrate."""

    format: ClassVar[int] = 15
    bitrate_bps: int
    ssrcs: tuple[int, ...]

    def build(self) -> bytes:
        """The bitrate keeps its 18 highest bits."""
        exponent = max(0, self.bitrate_bps.bit_length() - 18)
        mantissa = self.bitrate_bps >> exponent
        control = struct.pack(
            "!4sBBH", b"REMB", len(self.ssrcs), exponent << 2 | mantissa >> 16, mantissa & 0xFFFF
        ) + b"".join(map(_ssrc, self.ssrcs))
        return _feedback(PAYLOAD_FEEDBACK, self.format, self, control)


class ExtendedReport(Packet, frozen=True, kw_only=True):
    """RFC 3611, its blocks kept raw."""

    ssrc: int
    blocks: bytes
    reserved: int = 0

    def build(self) -> bytes:
        """As it was read."""
        return _packet(EXTENDED_REPORT, self.reserved, _ssrc(self.ssrc) + self.blocks)


class Unknown(Packet, frozen=True, kw_only=True):
    """A packet type, or a feedback format, that has no class here."""

    packet_type: int
    count: int
    """The five bits after version and padding: a count, a subtype or a format."""
    body: bytes

    def build(self) -> bytes:
        """As it was read."""
        return _packet(self.packet_type, self.count, self.body)


def parse_compound(data: bytes | bytearray | memoryview) -> list[Packet]:
    """Read every packet of a datagram. :raises RtcpDecodeError: any of it is malformed."""
    data = bytes(data)
    total = len(data)
    packets: list[Packet] = []
    offset = 0
    while offset < total:
        if len(packets) == MAX_PACKETS:
            raise RtcpDecodeError(f"compound has more than {MAX_PACKETS} packets")
        if total - offset < 4:
            raise RtcpDecodeError(f"{total - offset} bytes are left at byte {offset}, wanted at least 4")
        first, packet_type, words = _COMMON.unpack_from(data, offset)
        if first >> 6 != 2:
            raise RtcpDecodeError(f"version at byte {offset} is {first >> 6}, wanted 2")
        if not 192 <= packet_type <= 223:
            raise RtcpDecodeError(f"packet type at byte {offset} is {packet_type}, wanted 192..223")
        end = offset + 4 + 4 * words
        if end > total:
            raise RtcpDecodeError(f"packet at byte {offset} has {end - offset} bytes, wanted at most {total - offset}")
        body = data[offset + 4 : end]
        if first & 0x20:
            if end != total:
                raise RtcpDecodeError(f"packet at byte {offset} is padded, wanted padding in the last one only")
            body = _without_padding(body)
        packets.append(_parse(packet_type, first & 0x1F, body))
        offset = end
    if not packets:
        raise RtcpDecodeError("compound is empty, wanted at least one packet")
    return packets


def build_compound(packets: Iterable[Packet]) -> bytes:
    """All of them in one datagram."""
    return b"".join([packet.build() for packet in packets])


def sdes_cname(ssrc: int, cname: str) -> Sdes:
    """The source description that every full compound carries. The name is cut at 255 bytes."""
    return Sdes(chunks=(SdesChunk(ssrc, ((CNAME, cname.encode()[:255]),)),))


def _parse(packet_type: int, count: int, body: bytes) -> Packet:
    reader = _READERS.get(packet_type)
    return Unknown(packet_type=packet_type, count=count, body=body) if reader is None else reader(count, body)


def _sender_report(count: int, body: bytes) -> Packet:
    _want("sender report", body, 24 + 24 * count)
    ntp_time, rtp_timestamp, packet_count, octet_count = _SENDER.unpack_from(body, 4)
    return SenderReport(
        ssrc=_int32(body, 0),
        ntp_time=ntp_time,
        rtp_timestamp=rtp_timestamp,
        packet_count=packet_count,
        octet_count=octet_count,
        reports=_read_blocks(count, body, 24),
        extension=body[24 + 24 * count :],
    )


def _receiver_report(count: int, body: bytes) -> Packet:
    _want("receiver report", body, 4 + 24 * count)
    return ReceiverReport(ssrc=_int32(body, 0), reports=_read_blocks(count, body, 4), extension=body[4 + 24 * count :])


def _source_description(count: int, body: bytes) -> Packet:
    chunks: list[SdesChunk] = []
    offset = 0
    for _ in range(count):
        _want("SDES chunk", body, offset + 8)  # its SSRC and at least the null octet, padded
        ssrc = _int32(body, offset)
        offset += 4
        items: list[tuple[int, bytes]] = []
        while True:
            if offset >= len(body):
                raise RtcpDecodeError(f"SDES chunk of 0x{ssrc:08x} ends without its null octet")
            kind = body[offset]
            if kind == 0:
                break
            end = offset + 2 + (body[offset + 1] if offset + 1 < len(body) else 0)
            _want(f"SDES item {kind}", body, max(end, offset + 2))
            items.append((kind, body[offset + 2 : end]))
            offset = end
        offset += 4 - offset % 4
        chunks.append(SdesChunk(ssrc, tuple(items)))
    return Sdes(chunks=tuple(chunks))


def _goodbye(count: int, body: bytes) -> Packet:
    _want("BYE", body, 4 * count)
    reason: str | None = None
    if len(body) > 4 * count:
        size = body[4 * count]
        _want("BYE reason", body, 4 * count + 1 + size)
        reason = body[4 * count + 1 : 4 * count + 1 + size].decode(errors="replace")
    return Bye(ssrcs=struct.unpack_from(f"!{count}I", body), reason=reason)


def _application(count: int, body: bytes) -> Packet:
    _want("APP", body, 8)
    return App(subtype=count, ssrc=_int32(body, 0), name=body[4:8], data=body[8:])


def _transport_feedback(form: int, body: bytes) -> Packet:
    _want("transport feedback", body, 8)
    sender, media = struct.unpack_from("!II", body)
    if form == TransportFeedback.format:
        return TransportFeedback(sender_ssrc=sender, media_ssrc=media, control=body[8:])
    if form != Nack.format:
        return Unknown(packet_type=TRANSPORT_FEEDBACK, count=form, body=body)
    lost: list[int] = []
    for pid, mask in struct.iter_unpack("!HH", body[8:]):
        lost.append(pid)
        lost += [pid + bit & 0xFFFF for bit in range(1, 17) if mask >> (bit - 1) & 1]
        if len(lost) > MAX_LOST:
            break
    return Nack(sender_ssrc=sender, media_ssrc=media, lost=tuple(lost[:MAX_LOST]), capped=len(lost) > MAX_LOST)


def _payload_feedback(form: int, body: bytes) -> Packet:
    _want("payload feedback", body, 8)
    sender, media = struct.unpack_from("!II", body)
    if form == Pli.format:
        return Pli(sender_ssrc=sender, media_ssrc=media)
    if form == Fir.format:
        if len(body) % 8:
            raise RtcpDecodeError(f"FIR has {len(body) - 8} bytes of entries, wanted a multiple of 8")
        return Fir(sender_ssrc=sender, media_ssrc=media, entries=tuple(struct.iter_unpack("!IB3x", body[8:])))
    if form != Remb.format or body[8:12] != b"REMB":
        return Unknown(packet_type=PAYLOAD_FEEDBACK, count=form, body=body)
    _want("REMB", body, 16)
    media, _, count, high, low = _REMB_HEAD.unpack_from(body, 4)
    _want(f"REMB of {count} sources", body, 16 + 4 * count)
    return Remb(
        sender_ssrc=sender,
        media_ssrc=media,
        bitrate_bps=((high & 3) << 16 | low) << (high >> 2),
        ssrcs=struct.unpack_from(f"!{count}I", body, 16),
    )


def _extended_report(count: int, body: bytes) -> Packet:
    _want("extended report", body, 4)
    return ExtendedReport(ssrc=_int32(body, 0), blocks=body[4:], reserved=count)


_READERS = {
    SENDER_REPORT: _sender_report,
    RECEIVER_REPORT: _receiver_report,
    SOURCE_DESCRIPTION: _source_description,
    GOODBYE: _goodbye,
    APPLICATION: _application,
    TRANSPORT_FEEDBACK: _transport_feedback,
    PAYLOAD_FEEDBACK: _payload_feedback,
    EXTENDED_REPORT: _extended_report,
}


def _want(what: str, body: bytes, size: int) -> None:
    if len(body) < size:
        raise RtcpDecodeError(f"{what} has {len(body)} bytes after the header, wanted at least {size}")


def _without_padding(body: bytes) -> bytes:
    size = body[-1] if body else 0
    if not 0 < size <= len(body) or size % 4:
        raise RtcpDecodeError(f"padding is {size} bytes, wanted a multiple of 4 within 4..{len(body)}")
    return body[:-size]


def _read_blocks(count: int, body: bytes, offset: int) -> tuple[ReportBlock, ...]:
    blocks: list[ReportBlock] = []
    for ssrc, loss, highest, jitter, lsr, dlsr in _REPORT.iter_unpack(body[offset : offset + 24 * count]):
        lost = loss & 0xFFFFFF
        blocks.append(
            ReportBlock(
                ssrc=ssrc,
                fraction_lost=loss >> 24,
                packets_lost=lost - 0x1000000 if lost & 0x800000 else lost,
                highest_sequence=highest,
                jitter=jitter,
                lsr=lsr,
                dlsr=dlsr,
            )
        )
    return tuple(blocks)


def _int32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "big")


def _ssrc(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _blocks(reports: Sequence[ReportBlock]) -> bytes:
    return b"".join([report.build() for report in reports])


def _packet(packet_type: int, count: int, body: bytes) -> bytes:
    if not 0 <= count <= 31:
        raise ValueError(f"count of packet type {packet_type} is {count}, wanted 0..31")
    if len(body) % 4:
        raise ValueError(f"body of packet type {packet_type} has {len(body)} bytes, wanted a multiple of 4")
    return _COMMON.pack(0x80 | count, packet_type, len(body) // 4) + body


def _feedback(packet_type: int, form: int, packet: Feedback, control: bytes) -> bytes:
    return _packet(packet_type, form, struct.pack("!II", packet.sender_ssrc, packet.media_ssrc) + control)
