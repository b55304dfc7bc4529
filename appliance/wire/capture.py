"""IP packets of a capture file of either format, as offsets into it: a hundred thousand in a fraction of a second.

:class:`~appliance.wire.pcap.Reader` makes a value of each datagram; this makes none, for who looks at headers alone.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from appliance.wire import pcapng
from appliance.wire.links import behind_link
from appliance.wire.pcap import (
    FILE_HEADER_SIZE,
    MAX_PACKET,
    RECORD_HEADER_SIZE,
    LinkType,
    PcapDecodeError,
    Reader,
    Skipped,
    Source,
    is_pcapng,
)

_IP6_OPTIONS = frozenset({0, 43, 60})
_AUTHENTICATION = 51
"""The IPsec header that encrypts nothing (RFC 4302), of either version."""
_IP4 = struct.Struct("!2xH2xHxB2x").unpack_from


class Segment(NamedTuple):
    """What an IP packet carries."""

    protocol: int
    """6 TCP, 17 UDP, ..."""
    addresses: bytes
    """Source, then destination: 8 or 32 bytes."""
    start: int
    end: int
    """Of what was captured."""
    length: int
    """As sent."""


def ip_packets(data: Source, skipped: Skipped) -> Iterator[tuple[int, int, int]]:
    """Of every IP packet: timestamp in µs, where it begins and ends in the file.

    :raises PcapDecodeError: the file is no capture, or broken so that what follows can't be found.
    """
    if is_pcapng(data):
        for timestamp_us, link, start, end in pcapng.packets(data, skipped):
            found = behind_link(data, link, start, end)
            if found is None:
                skipped.not_ip += 1
            else:
                yield timestamp_us, found, end
        return
    # The constructor reads the header, and says in words what is wrong with it.
    reader = Reader(data)
    magic = data[:4]
    order = "<" if magic[0] in {0xD4, 0x4D} else ">"
    record = struct.Struct(f"{order}IIII").unpack_from
    again = struct.unpack(f"{order}I", magic)[0]
    divisor = 1000 if reader.nanoseconds else 1
    link = int(reader.link_type)
    ethernet = reader.link_type is LinkType.ETHERNET
    offset, total = FILE_HEADER_SIZE, len(data)
    while offset < total:
        if total - offset < RECORD_HEADER_SIZE:
            skipped.cut_records += 1
            return
        seconds, fraction, captured, _ = record(data, offset)
        if seconds == again and data[offset : offset + FILE_HEADER_SIZE] == data[:FILE_HEADER_SIZE]:
            skipped.appended += 1
            offset += FILE_HEADER_SIZE
            continue
        if captured > MAX_PACKET:
            raise PcapDecodeError(f"record at byte {offset} has {captured} bytes, wanted at most {MAX_PACKET}")
        start = offset + RECORD_HEADER_SIZE
        offset = start + captured
        if offset > total:
            skipped.cut_records += 1
            return
        if ethernet and captured > 34 and data[start + 12] == 8 and data[start + 13] == 0:
            yield seconds * 1_000_000 + fraction // divisor, start + 14, offset
            continue
        found = behind_link(data, link, start, offset)
        if found is None:
            skipped.not_ip += 1
        else:
            yield seconds * 1_000_000 + fraction // divisor, found, offset


def segment(data: Source, start: int, end: int, skipped: Skipped) -> Segment | None:
    """What is in an IP packet; ``None``, counted, for a later fragment and for headers that contradict each other."""
    if data[start] >> 4 == 4:
        total, fragment, protocol = _IP4(data, start)
        offset = start + 4 * (data[start] & 0x0F)
        if offset < start + 20 or offset >= end:
            skipped.malformed += 1
            return None
        if fragment & 0x1FFF:
            skipped.fragments += 1
            return None
        # Offloaded segments are captured with a total of 0, before the card has cut them.
        length = total - (offset - start) if total else end - offset
        if protocol == _AUTHENTICATION and end - offset >= 12:
            size = 4 * (data[offset + 1] + 2)
            protocol, offset, length = data[offset], offset + size, length - size
        return Segment(protocol, data[start + 12 : start + 20], offset, min(end, offset + length), length)
    if end - start < 48:
        skipped.malformed += 1
        return None
    length = int.from_bytes(data[start + 4 : start + 6], "big") or end - start - 40
    protocol, offset = data[start + 6], start + 40
    stop = offset + length
    for _ in range(8):
        if end - offset < 8:
            break
        if protocol in _IP6_OPTIONS:
            protocol, offset = data[offset], offset + 8 + 8 * data[offset + 1]
        elif protocol == _AUTHENTICATION:
            protocol, offset = data[offset], offset + 4 * (data[offset + 1] + 2)
        elif protocol == 44:
            if int.from_bytes(data[offset + 2 : offset + 4], "big") >> 3:
                skipped.fragments += 1
                return None
            protocol, offset = data[offset], offset + 8
        else:
            break
    if offset >= end:
        skipped.malformed += 1
        return None
    return Segment(protocol, data[start + 8 : start + 40], offset, min(end, stop), max(0, stop - offset))
