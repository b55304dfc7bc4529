"""Blocks of a pcapng file that hold packets (draft-ietf-opsawg-pcapng). Pure: offsets into the file, nothing copied."""

import struct
from collections.abc import Iterator

from appliance.wire.pcap import MAX_PACKET, PcapDecodeError, Skipped, Source, is_pcapng

SECTION = 0x0A0D0D0A
INTERFACE = 1
PACKET = 2
SIMPLE_PACKET = 3
ENHANCED_PACKET = 6
SECRETS = 10
_TLS_KEY_LOG = 0x544C534B
MAX_INTERFACES = 1_000
_BYTE_ORDER = 0x1A2B3C4D
_OPTION_RESOLUTION = 9
_OPTION_OFFSET = 14


class _Interface:
    __slots__ = ("divisor", "factor", "link_type", "offset_us", "snaplen")

    def __init__(self, link_type: int, snaplen: int) -> None:
        self.link_type = link_type
        self.snaplen = snaplen
        self.factor, self.divisor = 1, 1
        self.offset_us = 0

    def resolution(self, code: int) -> None:
        """``if_tsresol``: a negative power of ten, or of two where the top bit is set."""
        ticks = 2 ** (code & 0x7F) if code & 0x80 else 10**code
        self.factor, self.divisor = (1, ticks // 1_000_000) if ticks % 1_000_000 == 0 else (1_000_000, ticks)


def packets(data: Source, skipped: Skipped) -> Iterator[tuple[int, int, int, int]]:
    """Of every packet: timestamp in µs, link type, where it begins and ends in the file.

    :raises PcapDecodeError: a length contradicts the format, so that what follows can't be found.
    """
    if not is_pcapng(data):
        raise PcapDecodeError(f"file begins with {data[:4].hex() or 'nothing'}, wanted a pcapng section header")
    total, offset, order = len(data), 0, "<"
    interfaces: list[_Interface] = []
    head, enhanced = struct.Struct("<II"), struct.Struct("<IIIII")
    while offset < total:
        if total - offset < 12:
            skipped.cut_records += 1
            return
        if data[offset : offset + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[offset + 8 : offset + 12] == _BYTE_ORDER.to_bytes(4, "little") else ">"
            head, enhanced = struct.Struct(f"{order}II"), struct.Struct(f"{order}IIIII")
            interfaces = []
        kind, length = head.unpack_from(data, offset)
        end = offset + length
        if length < 12 or length & 3:
            raise PcapDecodeError(f"block at byte {offset} has length {length}, wanted a multiple of 4 from 12")
        if end > total:
            skipped.cut_records += 1
            return
        if kind == ENHANCED_PACKET and length >= 32:
            number, high, low, captured, _ = enhanced.unpack_from(data, offset + 8)
            if number < len(interfaces) and captured <= length - 32:
                one = interfaces[number]
                ticks = high << 32 | low
                start = offset + 28
                yield ticks * one.factor // one.divisor + one.offset_us, one.link_type, start, start + captured
            else:
                skipped.malformed += 1
        elif kind == INTERFACE and length >= 20 and len(interfaces) < MAX_INTERFACES:
            interfaces.append(_interface(data, offset + 8, end - 4, order))
        elif kind == PACKET and length >= 32:
            # The obsolete form: interface and drop count are 16 bits each.
            number = struct.unpack_from(f"{order}H", data, offset + 8)[0]
            _, high, low, captured, _ = enhanced.unpack_from(data, offset + 8)
            if number < len(interfaces) and captured <= min(length - 32, MAX_PACKET):
                one = interfaces[number]
                start = offset + 28
                stamp = (high << 32 | low) * one.factor // one.divisor + one.offset_us
                yield stamp, one.link_type, start, start + captured
            else:
                skipped.malformed += 1
        elif kind == SIMPLE_PACKET:
            # It has no time, and a call is nothing without.
            skipped.malformed += 1
        offset = end


def key_logs(data: Source) -> Iterator[bytes]:
    """The TLS key logs before the first packet: Decryption Secrets Blocks, which have to precede what they open."""
    total, offset, order = len(data), 0, "<"
    while total - offset >= 20:
        if data[offset : offset + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[offset + 8 : offset + 12] == _BYTE_ORDER.to_bytes(4, "little") else ">"
        kind, length, what, size = struct.unpack_from(f"{order}IIII", data, offset)
        if length < 12 or length & 3 or kind in {PACKET, SIMPLE_PACKET, ENHANCED_PACKET}:
            return
        if kind == SECRETS and what == _TLS_KEY_LOG and size <= min(length, total - offset) - 20:
            yield data[offset + 16 : offset + 16 + size]
        offset += length


def _interface(data: Source, start: int, end: int, order: str) -> _Interface:
    link_type, _, snaplen = struct.unpack_from(f"{order}HHI", data, start)
    found = _Interface(link_type, snaplen)
    found.resolution(6)
    offset = start + 8
    while end - offset >= 4:
        code, size = struct.unpack_from(f"{order}HH", data, offset)
        if code == 0 or size > end - offset - 4:
            break
        if code == _OPTION_RESOLUTION and size >= 1:
            found.resolution(data[offset + 4])
        elif code == _OPTION_OFFSET and size >= 8:
            found.offset_us = struct.unpack_from(f"{order}q", data, offset + 4)[0] * 1_000_000
        offset += 4 + (size + 3 & ~3)
    return found
