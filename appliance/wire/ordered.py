"""The packets of captures in the order of time, as one capture: for files whose packets are in another, and for those
that are parts of one.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import IO

from appliance.wire.capture import ip_packets
from appliance.wire.pcap import LinkType, PcapDecodeError, Skipped, Source, Writer

MAX_PACKETS = 1_000_000
"""Of a file that is not in order, which takes memory: some 150 bytes for each. Files in order take none."""

_Found = tuple[int, int, int, int]
"""Timestamp in µs, number of the file, where the packet begins and ends in it."""


def in_order(sources: Sequence[Source], out: IO[bytes], skipped: Skipped) -> None:
    """Write every IP packet of them.

    :raises PcapDecodeError: one is no capture, or is out of order and has more packets than the limit.
    """
    writer = Writer(link_type=LinkType.RAW)
    out.write(writer.file_header())
    ordered = [_ordered(index, data, skipped) for index, data in enumerate(sources)]
    for timestamp_us, index, start, end in heapq.merge(*ordered):
        out.write(writer.packet(timestamp_us * 1000, sources[index][start:end]))
    out.flush()


def _ordered(index: int, data: Source, skipped: Skipped) -> Iterable[_Found]:
    before_us, is_ordered = 0, True
    for timestamp_us, _, _ in ip_packets(data, Skipped()):
        if timestamp_us < before_us:
            is_ordered = False
            break
        before_us = timestamp_us
    packets = ((timestamp_us, index, start, end) for timestamp_us, start, end in ip_packets(data, skipped))
    if is_ordered:
        return packets
    found: list[_Found] = []
    for packet in packets:
        found.append(packet)
        if len(found) > MAX_PACKETS:
            raise PcapDecodeError(f"more than {MAX_PACKETS} packets to put in order (Wireshark's reordercap does it)")
    return sorted(found)
