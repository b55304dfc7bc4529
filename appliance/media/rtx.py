"""Retransmission streams (RFC 4588): what a client sends again under an SSRC of its own is put back where it belongs.

A stream is known to be another's retransmission by its payload type. Which one's is told by the description
(``a=ssrc-group:FID``), or else by what is asked for: the stream that misses the packet (RFC 4588 section 5.3), of
simulcast the one whose id the retransmission carries (RFC 8852).
"""

import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from appliance.media.receive import RxStream
from appliance.media.simulcast import REPAIRED_RID
from appliance.wire.extensions import extension
from appliance.wire.rtp import RtpDecodeError, header_length

if TYPE_CHECKING:
    from appliance.media.line import Line

_SSRC = struct.Struct("!I")


class Repairs:
    """The retransmission streams of one peer. They are no streams of their own: nothing is reported about them."""

    def __init__(self, streams: Mapping[int, RxStream]) -> None:
        self.payload_types: frozenset[int] = frozenset()
        """Those that mean a retransmission."""
        self.ssrcs: dict[int, int] = {}
        """What they are retransmissions of, by their SSRC."""
        self.received = self.restored = 0
        self.unneeded = 0
        """Packets that did not miss: a client probes with what it has sent already, and with padding."""
        self._streams = streams

    def agree(self, lines: "Iterable[Line]") -> None:
        """Take what was negotiated."""
        used = [line for line in lines if line.rtx_payload_type >= 0]
        self.payload_types = frozenset(line.rtx_payload_type for line in used)
        for line in used:
            self.ssrcs |= line.remote_repairs

    def forget(self, ssrc: int) -> None:
        """A source is gone, be it of retransmissions or of what they repeat."""
        self.ssrcs.pop(ssrc, None)
        for repair in [repair for repair, about in self.ssrcs.items() if about == ssrc]:
            del self.ssrcs[repair]

    def restore(self, view: memoryview, length: int, ssrc: int) -> RxStream | None:
        """Make a retransmission the packet that it repeats, two bytes shorter; ``None`` where nobody misses it."""
        self.received += 1
        stream = self._restored(view, length, ssrc)
        if stream is None:
            self.unneeded += 1
        else:
            self.restored += 1
        return stream

    def _restored(self, view: memoryview, length: int, ssrc: int) -> RxStream | None:
        try:
            start = header_length(view[:length])
        except RtpDecodeError:
            return None
        padding = view[length - 1] if view[0] & 0x20 else 0
        if length - padding < start + 2:
            return None
        sequence = view[start] << 8 | view[start + 1]
        stream = self._stream_of(ssrc, view, length, sequence)
        missing = None if stream is None else stream.missing.get(sequence)
        if stream is None or missing is None:
            return None
        # Whoever probes with it may have been asked or not: to the counters it is no packet that came late.
        missing[2] += 1
        view[1] = view[1] & 0x80 | stream.payload_type
        view[2:4] = view[start : start + 2]
        _SSRC.pack_into(view, 8, stream.ssrc)
        view[start : length - 2] = view[start + 2 : length]
        return stream

    def _stream_of(self, ssrc: int, view: memoryview, length: int, sequence: int) -> RxStream | None:
        about = self.ssrcs.get(ssrc)
        if about is not None:
            return self._streams.get(about)
        payload_type = view[1] & 0x7F
        missed_by = [
            stream
            for stream in self._streams.values()
            if stream.line.rtx_payload_type == payload_type
            and sequence in stream.missing
            and _may_repeat(view, length, stream)
        ]
        if len(missed_by) != 1:
            return None
        self.ssrcs[ssrc] = missed_by[0].ssrc
        return missed_by[0]


def _may_repeat(view: memoryview, length: int, stream: RxStream) -> bool:
    encodings, number = stream.line.encodings, stream.line.extensions.get(REPAIRED_RID)
    if encodings is None or number is None:
        return True
    rid = extension(view, length, number)
    return rid is None or encodings.of_rid(rid) == stream.substream


def repeated(packet: bytes, *, payload_type: int, sequence: int, ssrc: int) -> bytearray:
    """The retransmission of a plain packet (RFC 4588 section 4): its number stands before its payload."""
    start = header_length(packet)
    again = bytearray(packet[:start])
    again[1] = again[1] & 0x80 | payload_type
    again[2:4] = sequence.to_bytes(2, "big")
    again[8:12] = _SSRC.pack(ssrc)
    again += packet[2:4]
    again += packet[start:]
    return again
