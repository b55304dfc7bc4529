"""The packets of captures in the order of time, as one capture: for files whose packets are in another, and for those
that are parts of one.
"""

from collections.abc import Sequence
from typing import IO

from appliance.wire.capture import ip_packets
from appliance.wire.pcap import LinkType, PcapDecodeError, Skipped, Source, Writer

MAX_PACKETS = 5_000_000
"""That are put in order in memory, with some 150 bytes for each."""


def in_order(sources: Sequence[Source], out: IO[bytes], skipped: Skipped) -> None:
    """Write every IP packet of them.

    :raises PcapDecodeError: one is no capture, or they have more packets than the limit.
    """
    found: list[tuple[int, int, int, int]] = []
    for index, data in enumerate(sources):
        for timestamp_us, start, end in ip_packets(data, skipped):
            found.append((timestamp_us, index, start, end))
            if len(found) > MAX_PACKETS:
                raise PcapDecodeError(
                    f"more than {MAX_PACKETS} packets to put in order (Wireshark's reordercap does it)"
                )
    found.sort()
    writer = Writer(link_type=LinkType.RAW)
    out.write(writer.file_header())
    for timestamp_us, index, start, end in found:
        out.write(writer.packet(timestamp_us * 1000, sources[index][start:end]))
    out.flush()
