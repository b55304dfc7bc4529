"""The sources of one peer: which m-line an SSRC belongs to, and how many there may be.

libsrtp keeps a context for each SSRC that authenticates, and we a stream. A peer may have :data:`MAX_STREAMS`; beyond
that a new source takes the place of one that has fallen silent, so that SSRCs which somebody invented, or which a
client has long left behind, keep nobody out for long.
"""

from collections.abc import Callable, Iterable

from appliance.media.config import MAX_STREAMS
from appliance.media.line import Line
from appliance.media.pictures import Pictures
from appliance.media.receive import RxStream
from appliance.media.rtx import Repairs
from appliance.media.simulcast import RID
from appliance.wire.extensions import extension

SDES_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
IDLE_SECONDS = 5.0
"""Silence after which a source gives way to a new one."""
STRAY_IDLE_SECONDS = 0.5
"""The same of a source that sent next to nothing."""
_STRAY_PACKETS = 5


class Sources:
    """Streams by SSRC, and retransmissions beside. ``forget`` frees what decryption keeps of an SSRC."""

    def __init__(self, forget: Callable[[int], None]) -> None:
        self.streams: dict[int, RxStream] = {}
        self.repairs = Repairs(self.streams)
        self.evicted = 0
        """Sources that gave way to others."""
        self._forget = forget
        self._repairs_heard: dict[int, float] = {}
        """When each SSRC of retransmissions was heard last."""
        self._declared: dict[int, Line] = {}
        self._by_payload: dict[int, Line] = {}
        self._by_mid: dict[bytes, Line] = {}
        self._mid_extension = 0

    def let_go(self) -> None:
        """Know nobody any more: its path is closed."""
        self.agree(())
        self.streams.clear()
        del self._forget

    def agree(self, lines: Iterable[Line]) -> None:
        """Take what was negotiated."""
        used = [line for line in lines if line.is_rtp]
        self._declared = {ssrc: line for line in used for ssrc in (*line.remote_ssrcs, *line.remote_repairs)}
        payloads: dict[int, list[Line]] = {}
        for line in used:
            payloads.setdefault(line.payload_type, []).append(line)
        self._by_payload = {number: found[0] for number, found in payloads.items() if len(found) == 1}
        self._by_mid = {line.medium.mid.encode(): line for line in used}
        self._mid_extension = next((line.extensions[SDES_MID] for line in used if SDES_MID in line.extensions), 0)
        self.repairs.agree(used)

    def line_of(self, view: memoryview, length: int, ssrc: int, payload_type: int) -> Line | None:
        """Find the m-line of a source: by its SSRC in the description, its MID, its payload type (RFC 8843 9.2)."""
        line = self._declared.get(ssrc)
        if line is None and self._mid_extension:
            mid = extension(view, length, self._mid_extension)
            if mid is not None:
                line = self._by_mid.get(mid)
        if line is None:
            line = self._by_payload.get(payload_type)
        return line

    def substream_of(self, line: Line, view: memoryview, length: int, ssrc: int) -> int | None:
        """Which encoding of a line a source is: by its SSRC or its RID. ``None``: one of them, and unknown which."""
        if line.encodings is None:
            return 0
        found = line.substreams.get(ssrc)
        if found is None and RID in line.extensions:
            found = line.encodings.of_rid(extension(view, length, line.extensions[RID]))
            # A client says which only until it knows that we have heard (RFC 8852 section 3.3).
            if found is not None and len(line.substreams) < MAX_STREAMS:
                line.substreams[ssrc] = found
        return found

    def add(self, ssrc: int, line: Line, sequence: int, now: float, substream: int = 0) -> RxStream | None:
        """A stream for a source that has authenticated; ``None`` where there is no room for it."""
        if not self._make_room(ssrc, now):
            return None
        stream = RxStream(ssrc, line.payload_type, line.clock_rate, line, sequence, substream)
        if line.medium.kind == "video":
            stream.pictures = Pictures(line)
        line.attach(stream)
        self.streams[ssrc] = stream
        line.streams.append(stream)
        return stream

    def heard_repair(self, ssrc: int, now: float) -> bool:
        """A retransmission has authenticated; false where there is no room for its source."""
        if ssrc not in self._repairs_heard and not self._make_room(ssrc, now):
            return False
        self._repairs_heard[ssrc] = now
        return True

    def refuse(self, ssrc: int) -> None:
        """A source that has authenticated is of no use."""
        self._forget(ssrc)

    def _make_room(self, ssrc: int, now: float) -> bool:
        if len(self.streams) + len(self._repairs_heard) < MAX_STREAMS:
            return True
        silent = [(now - when, other) for other, when in self._repairs_heard.items()]
        silent += [(now - stream.arrived, other) for other, stream in self.streams.items()]
        # Longest silent first; what the description names stays longest, and has its place whoever else is loud.
        for idle, other in sorted(silent, key=lambda item: (item[1] in self._declared, -item[0])):
            if idle >= self._patience(other) or (ssrc in self._declared and other not in self._declared):
                self._evict(other)
                return True
        return False

    def _patience(self, ssrc: int) -> float:
        stream = self.streams.get(ssrc)
        return STRAY_IDLE_SECONDS if stream is not None and stream.packets < _STRAY_PACKETS else IDLE_SECONDS

    def _evict(self, ssrc: int) -> None:
        self.evicted += 1
        self._repairs_heard.pop(ssrc, None)
        self.repairs.forget(ssrc)
        stream = self.streams.pop(ssrc, None)
        if stream is not None:
            stream.keyframes.forget()
            stream.line.retire(stream)
        self._forget(ssrc)
