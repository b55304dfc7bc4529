"""What is sent as one SSRC: a route's packets under numbers of our own, and what is kept of them for NACKs."""

import random
import struct
from typing import TYPE_CHECKING, Any

from appliance.media import playout, srtp
from appliance.media.playout import PlayoutDelay
from appliance.media.receive import RxStream
from appliance.media.rtx import repeated
from appliance.media.selection import Selection
from appliance.media.simulcast import REPAIRED_RID, RID
from appliance.media.udp import Slot
from appliance.wire import twcc
from appliance.wire.extensions import extension_at

if TYPE_CHECKING:
    from appliance.media.line import Line
    from appliance.media.path import MediaPath

_AFTER_FIRST_BYTE = struct.Struct("!BHII")
"""Marker and payload type, sequence number, timestamp, SSRC (RFC 3550 section 5.1)."""
_HISTORY_SLOT_BYTES = 2048
"""What is reckoned for one packet of the history, with what Python keeps beside it."""
_KEPT_BYTES = 1500
"""A larger packet is not sent again: none is that comes over Ethernet."""
_REPEAT_SECONDS = 0.01
"""Between two retransmissions of one packet, so that nobody has it sent a thousand times by one NACK."""
_NEVER = float("-inf")
_pack_into = _AFTER_FIRST_BYTE.pack_into
_protect = srtp.protect
_LENGTH = srtp.LENGTH


class TxStream:
    """One stream towards a peer. Sequence numbers and timestamps stay continuous when its source pauses or changes."""

    __slots__ = (
        "_gap_at",
        "_history",
        "_last_sequence",
        "_last_timestamp",
        "_mask",
        "_rebase",
        "_repeated_at",
        "_rtx_payload_type",
        "_rtx_sequence",
        "_sequence_offset",
        "_timestamp_offset",
        "bytes",
        "clock_rate",
        "context",
        "extension_table",
        "fed_by",
        "held",
        "keyframes",
        "line",
        "packets",
        "path",
        "payload_type",
        "playout",
        "refused",
        "reported_packets",
        "retransmissions",
        "selection",
        "source",
        "ssrc",
        "transport_wide",
    )

    def __init__(self, path: "MediaPath", line: "Line", *, history_bytes: int) -> None:
        self.path = path
        self.line = line
        self.ssrc = line.ssrc
        self.payload_type = line.payload_type
        self.clock_rate = line.clock_rate
        self.context: Any = None
        """libsrtp's, once the peer has keys."""
        self.held = False
        self.fed_by: Line | None = None
        """The line whose packets these are."""
        self.source: RxStream | None = None
        self.selection: Selection | None = None
        """What chooses between a source's encodings, where somebody has asked or there are any."""
        self.extension_table: bytes | None = None
        """The receiver's ids of header extensions by the source's, 0 for what it does not know; ``None``: the same."""
        self.playout: PlayoutDelay | None = None
        """What the receiver is told to wait, where somebody has asked for it."""
        self.transport_wide = False
        """The receiver wants transport-wide sequence numbers, and tells what came of them."""
        self.packets = self.bytes = self.keyframes = 0
        self.retransmissions = 0
        self.refused = 0
        """Packets that libsrtp would not send: too old, or a number that was used before."""
        self.reported_packets = 0
        # Where the numbers ended when the source last stopped.
        self._last_sequence = random.randrange(1 << 15)
        self._last_timestamp = random.randrange(1 << 31)
        self._gap_at: float | None = None
        self._sequence_offset = self._timestamp_offset = 0
        self._rebase = True
        slots = 1 << max(0, (history_bytes // _HISTORY_SLOT_BYTES).bit_length() - 1) if line.nacks else 0
        self._history: list[tuple[int, bytes] | None] | None = [None] * slots if slots else None
        self._mask = slots - 1
        self._repeated_at = [_NEVER] * slots
        self._rtx_payload_type = line.rtx_payload_type
        self._rtx_sequence = random.randrange(1 << 15)

    def set_retransmission(self, payload_type: int) -> None:
        """How the receiver wants packets again: under this payload type and an SSRC of their own; -1: as they were."""
        if payload_type != self._rtx_payload_type and self._history is not None:
            # What is kept for the one is of no use to the other.
            self._history = [None] * len(self._history)
        self._rtx_payload_type = payload_type

    def hold(self) -> None:
        """Let nothing out until :meth:`resume`."""
        if not self.held:
            self.held = True
            if not self._rebase:
                self._end()

    def resume(self) -> None:
        """Go on with what comes next."""
        self.held = False

    def unroute(self) -> None:
        """Nothing feeds it any more."""
        if self.fed_by is not None:
            self.fed_by.remove_sink(self)
            self.fed_by = None
            # Now, since the source may go on for others.
            if not self._rebase:
                self._end()

    def forget(self) -> None:
        """Nothing is sent any more, nor again."""
        self._history = self.selection = None

    @property
    def starts_anew(self) -> bool:
        """The next packet joins on to what ended."""
        return self._rebase

    def skip(self, count: int = 1) -> None:
        """Packets of the source are left out: those after them move up."""
        self._sequence_offset = (self._sequence_offset - count) & 0xFFFF

    def entrance(self, line: "Line") -> "TxStream | Selection":
        """What takes the packets of a line that feeds it."""
        if line.encodings is not None:
            self.select()
        return self.selection if self.selection is not None and self.selection.serves(line) else self

    def select(self) -> Selection:
        """Its selection, made now if there was none."""
        if self.selection is None:
            self.selection = Selection(self)
        return self.selection

    def turn_to(self, source: "Line") -> None:
        """Be fed by that line from now on. Pictures begin with a key frame, and join on to those before."""
        if self.fed_by is not source:
            sent = self.packets > 0
            self.unroute()
            if sent and self.line.medium.kind == "video":
                self.select().switch(self._last_plain())
        self.fed_by = source
        source.add_sink(self)
        if source.medium.kind == "video":
            self.request_keyframe()

    def _last_plain(self) -> bytes | None:
        if self._history is None or self._rtx_payload_type < 0:
            return None
        kept = self._history[self._last_sequence & self._mask]
        return kept[1] if kept is not None and kept[0] == self._last_sequence else None

    def request_keyframe(self) -> None:
        """Ask whoever feeds it."""
        line, stream = self.fed_by, self.source
        if line is not None:
            # Of simulcast, that encoding alone which goes out.
            chosen = line.encodings is not None and stream is not None and stream.line is line
            line.path.request_keyframe(line, stream if chosen else None)

    def _end(self) -> None:
        """The source's last packet is the last of this run of numbers; the next one joins on."""
        source = self.source
        assert source is not None
        self._last_sequence = (source.highest + self._sequence_offset) & 0xFFFF
        self._last_timestamp = (source.timestamp + self._timestamp_offset) & 0xFFFFFFFF
        self._gap_at = source.arrived
        self._rebase = True

    def forward(self, slot: Slot, length: int, second: int, sequence: int, timestamp: int, source: RxStream) -> None:
        """Send the plain packet in ``slot``, changing it there."""
        if self.held or self.context is None:
            return
        if self._rebase or source is not self.source:
            self._take_over(source, sequence, timestamp)
        view, pointer, base = slot
        sequence = (sequence + self._sequence_offset) & 0xFFFF
        timestamp = (timestamp + self._timestamp_offset) & 0xFFFFFFFF
        _pack_into(view, 1, second & 0x80 | self.payload_type, sequence, timestamp, self.ssrc)
        if self.extension_table is not None and view[0] & 0x10:
            renumber_extensions(view, length, self.extension_table)
        if self.playout is not None:
            length = self._told_to_wait(view, length)
        path = self.path
        if self.transport_wide and source.transport_at:
            path.sent.stamp(view, source.transport_at, length, source.arrived)
        if path.tap is not None:
            path.tap(view[:length].tobytes(), False)
        history = self._history
        if history is not None and self._rtx_payload_type >= 0:
            # In plain: what is sent again is another packet, with an SSRC and a number of its own.
            history[sequence & self._mask] = (sequence, view[:length].tobytes()) if length <= _KEPT_BYTES else None
            history = None
        _LENGTH[0] = length
        if _protect(self.context, pointer, _LENGTH):
            self.refused += 1
            return
        size = _LENGTH[0]
        if history is not None:
            # The ciphertext is kept: what is sent again has to be the very same, and costs no encryption then.
            history[sequence & self._mask] = (sequence, view[:size].tobytes()) if size <= _KEPT_BYTES else None
        self.packets += 1
        self.bytes += length
        path.queue(base, size, path.name)

    def _told_to_wait(self, view: memoryview, length: int) -> int:
        number = self.line.extensions.get(playout.EXTENSION)
        return length if self.playout is None or number is None else self.playout.write(view, length, number)

    def _take_over(self, source: RxStream, sequence: int, timestamp: int) -> None:
        """Join a source's numbers to where ours ended."""
        if not self._rebase:
            self._end()
        elapsed = 0.0 if self._gap_at is None else max(0.0, source.arrived - self._gap_at)
        ticks = max(1, int(elapsed * self.clock_rate))
        self._sequence_offset = (self._last_sequence + 1 - sequence) & 0xFFFF
        self._timestamp_offset = (self._last_timestamp + ticks - timestamp) & 0xFFFFFFFF
        self._rebase = False
        self.source = source

    def retransmit(self, sequence: int, now: float) -> bool:
        """Send a packet again; false when it isn't kept any more, or has just been sent again."""
        if self._history is None or self.held:
            return False
        index = sequence & self._mask
        kept = self._history[index]
        if kept is None or kept[0] != sequence or now - self._repeated_at[index] < _REPEAT_SECONDS:
            return False
        self._repeated_at[index] = now
        if self._rtx_payload_type < 0:
            self.path.send_raw(kept[1])
        elif not self._send_repeated(kept[1], now):
            return False
        self.retransmissions += 1
        return True

    def _send_repeated(self, plain: bytes, now: float) -> bool:
        path = self.path
        if self.context is None or path.port is None:
            return False
        self._rtx_sequence = (self._rtx_sequence + 1) & 0xFFFF
        packet = repeated(
            plain, payload_type=self._rtx_payload_type, sequence=self._rtx_sequence, ssrc=self.line.rtx_ssrc
        )
        length = len(packet)
        view, pointer, base = path.port.spare()
        view[:length] = packet
        if self.transport_wide:
            at, size = extension_at(view, length, self.line.extensions[twcc.EXTENSION])
            if size == 2:
                path.sent.stamp(view, at, length, now)
        if path.tap is not None:
            path.tap(view[:length].tobytes(), False)
        _LENGTH[0] = length
        if _protect(self.context, pointer, _LENGTH):
            self.refused += 1
            return False
        path.queue(base, _LENGTH[0], path.name)
        return True

    def rtp_time(self, now: float) -> int:
        """The RTP timestamp that belongs to this moment, for a sender report.

        It follows the source's own sender reports, so that audio and video that the source keeps in step stay so.
        """
        source = self.source
        if source is None:
            return self._last_timestamp
        if source.last_sr_ntp:
            captured = source.line.sender_clock.local(source.last_sr_ntp, source.last_sr_at)
            ticks = source.last_sr_rtp + int((now - captured) * self.clock_rate)
        else:
            ticks = source.timestamp + int((now - source.arrived) * self.clock_rate)
        return (ticks + self._timestamp_offset) & 0xFFFFFFFF


def extension_table(source: dict[str, int], sink: dict[str, int]) -> bytes | None:
    """For :attr:`TxStream.extension_table`: ids by URI of where packets come from and of where they go."""
    # In an echo both are one line; but what is sent is one encoding, whichever it is.
    sink = {uri: number for uri, number in sink.items() if uri not in {RID, REPAIRED_RID}}
    if all(sink.get(uri) == number for uri, number in source.items()):
        return None
    table = bytearray(256)
    for uri, number in source.items():
        table[number] = sink.get(uri, 0)
    return bytes(table)


def renumber_extensions(view: memoryview, length: int, table: bytes) -> None:
    """Give the elements of a header extension other ids in place; those without one become padding (RFC 8285)."""
    start = 12 + 4 * (view[0] & 15)
    if start + 4 > length:
        return
    profile = view[start] << 8 | view[start + 1]
    offset = start + 4
    end = min(length, offset + 4 * (view[start + 2] << 8 | view[start + 3]))
    one_byte = profile == 0xBEDE
    if not one_byte and profile & 0xFFF0 != 0x1000:
        # No elements that we know: nothing of it may go on.
        view[offset:end] = bytes(end - offset)
        return
    while offset < end:
        first = view[offset]
        if first == 0:
            offset += 1
            continue
        if one_byte:
            number, after = first >> 4, offset + 2 + (first & 15)
        else:
            number, after = first, offset + 2 + (view[offset + 1] if offset + 1 < end else 0)
        if after > end or (one_byte and number == 15):
            view[offset:end] = bytes(end - offset)
            return
        own = table[number]
        if not own:
            view[offset:after] = bytes(after - offset)
        elif one_byte:
            view[offset] = own << 4 | first & 15
        else:
            view[offset] = own
        offset = after


def copy_into(spare: Slot, slot: Slot, length: int) -> Slot:
    """Copy a packet for one of several receivers."""
    spare[0][:length] = slot[0][:length]
    return spare
