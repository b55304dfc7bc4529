"""Bytes into packets: reduced-size packets (RFC 5506) as well as full compounds."""

import struct

from appliance.wire.rtcp.feedback import MAX_LOST, Fir, Nack, Pli, Remb, TransportFeedback
from appliance.wire.rtcp.packet import (
    APPLICATION,
    EXTENDED_REPORT,
    GOODBYE,
    HEAD,
    PAYLOAD_FEEDBACK,
    RECEIVER_REPORT,
    SENDER_REPORT,
    SOURCE_DESCRIPTION,
    TRANSPORT_FEEDBACK,
    Packet,
    RtcpDecodeError,
    Unknown,
)
from appliance.wire.rtcp.reports import (
    REPORT_BLOCK,
    SENDER_INFO,
    App,
    Bye,
    ExtendedReport,
    ReceiverReport,
    ReportBlock,
    Sdes,
    SdesChunk,
    SenderReport,
)

MAX_PACKETS = 64
"""Packets of one compound."""
_REMB_HEAD = struct.Struct("!I4sBBH")


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
        first, packet_type, words = HEAD.unpack_from(data, offset)
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


def _parse(packet_type: int, count: int, body: bytes) -> Packet:
    reader = _READERS.get(packet_type)
    return Unknown(packet_type=packet_type, count=count, body=body) if reader is None else reader(count, body)


def _sender_report(count: int, body: bytes) -> Packet:
    _want("sender report", body, 24 + 24 * count)
    ntp_time, rtp_timestamp, packet_count, octet_count = SENDER_INFO.unpack_from(body, 4)
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
    for ssrc, loss, highest, jitter, lsr, dlsr in REPORT_BLOCK.iter_unpack(body[offset : offset + 24 * count]):
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
