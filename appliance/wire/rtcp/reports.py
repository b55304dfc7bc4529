"""Sender and receiver reports, and what else RFC 3550 and RFC 3611 put beside them."""

import struct
from collections.abc import Sequence

from msgspec import Struct

from appliance.wire.rtcp.packet import (
    APPLICATION,
    EXTENDED_REPORT,
    GOODBYE,
    RECEIVER_REPORT,
    SENDER_REPORT,
    SOURCE_DESCRIPTION,
    Packet,
    framed,
    ssrc_bytes,
)

CNAME = 1
SENDER_INFO = struct.Struct("!QIII")
REPORT_BLOCK = struct.Struct("!IIIIII")


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
        return REPORT_BLOCK.pack(
            self.ssrc, self.fraction_lost << 24 | lost, self.highest_sequence, self.jitter, self.lsr, self.dlsr
        )


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
        sender = SENDER_INFO.pack(self.ntp_time, self.rtp_timestamp, self.packet_count, self.octet_count)
        body = ssrc_bytes(self.ssrc) + sender + _blocks(self.reports) + self.extension
        return framed(SENDER_REPORT, len(self.reports), body)


class ReceiverReport(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.4.2."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""

    def build(self) -> bytes:
        """At most 31 report blocks."""
        body = ssrc_bytes(self.ssrc) + _blocks(self.reports) + self.extension
        return framed(RECEIVER_REPORT, len(self.reports), body)


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
        data = ssrc_bytes(self.ssrc) + b"".join(bytes((kind, len(value))) + value for kind, value in self.items)
        return data + bytes(4 - len(data) % 4)


class Sdes(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.5."""

    chunks: tuple[SdesChunk, ...]

    def build(self) -> bytes:
        """At most 31 chunks."""
        return framed(SOURCE_DESCRIPTION, len(self.chunks), b"".join(chunk.build() for chunk in self.chunks))


class Bye(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.6."""

    ssrcs: tuple[int, ...]
    reason: str | None = None

    def build(self) -> bytes:
        """At most 31 sources; the reason is cut at 255 bytes."""
        body = b"".join(map(ssrc_bytes, self.ssrcs))
        if self.reason is not None:
            text = self.reason.encode()[:255]
            body += bytes((len(text),)) + text
            body += bytes(-len(body) & 3)
        return framed(GOODBYE, len(self.ssrcs), body)


class App(Packet, frozen=True, kw_only=True):
    """RFC 3550 section 6.7."""

    subtype: int
    ssrc: int
    name: bytes
    """4 bytes."""
    data: bytes = b""

    def build(self) -> bytes:
        """``data`` is a multiple of 4 bytes."""
        return framed(APPLICATION, self.subtype, ssrc_bytes(self.ssrc) + self.name + self.data)


class ExtendedReport(Packet, frozen=True, kw_only=True):
    """RFC 3611, its blocks kept raw."""

    ssrc: int
    blocks: bytes
    reserved: int = 0

    def build(self) -> bytes:
        """As it was read."""
        return framed(EXTENDED_REPORT, self.reserved, ssrc_bytes(self.ssrc) + self.blocks)


def sdes_cname(ssrc: int, cname: str) -> Sdes:
    """The source description that every full compound carries. The name is cut at 255 bytes."""
    return Sdes(chunks=(SdesChunk(ssrc, ((CNAME, cname.encode()[:255]),)),))


def _blocks(reports: Sequence[ReportBlock]) -> bytes:
    return b"".join([report.build() for report in reports])
