"""What is in the IP packets of a capture: fragments are put together, tunnels opened."""

from collections.abc import Iterator

from appliance.intake.pcap.tally import Tally
from appliance.wire.capture import Segment, segment
from appliance.wire.fragments import Fragments, fragment_of, may_be_fragment
from appliance.wire.links import TUNNELS, behind_tunnel
from appliance.wire.pcap import Source

MAX_TUNNELS = 4
"""One in the other."""

Found = tuple[Source, Segment]
"""A segment, and the bytes that its offsets are of."""


class Unwrapper:
    """Of one capture."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._fragments = Fragments()

    def open(self, data: Source, start: int, end: int, depth: int = 0) -> Iterator[Found]:
        """What the packet there carries, or makes whole; nothing, counted, where it can't be read."""
        part = fragment_of(data[start:end]) if may_be_fragment(data, start) else None
        if part is None:
            yield from self._whole(data, start, end, depth)
            return
        for packet in self._fragments.take(part):
            yield from self._whole(packet, 0, len(packet), depth)

    def rest(self) -> Iterator[Found]:
        """At the capture's end: the beginnings of packets of which a fragment never came."""
        for packet in self._fragments.rest():
            yield from self._whole(packet, 0, len(packet), 0)
        self._tally.skipped.fragments += self._fragments.given_up

    def _whole(self, data: Source, start: int, end: int, depth: int) -> Iterator[Found]:
        found = segment(data, start, end, self._tally.skipped)
        if found is None:
            return
        if found.protocol not in TUNNELS:
            yield data, found
            return
        inner = behind_tunnel(data, found.protocol, found.start, found.end)
        if inner is None or depth >= MAX_TUNNELS:
            self._tally.other += 1
        else:
            yield from self.open(data, inner, found.end, depth + 1)
