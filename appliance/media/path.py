"""The way of a packet: SRTP in, RTP statistics, routes, SRTP out. One :class:`MediaPath` for each peer.

:meth:`MediaPath.receive` runs for every packet; what it does rarely is in methods of its own.
"""

import struct
from collections.abc import Callable
from typing import Any

from appliance.core.clock import Clock
from appliance.core.events import Body
from appliance.core.peer import Tap, WireTap
from appliance.media import srtp
from appliance.media.activity import Activity
from appliance.media.bandwidth import BandwidthEstimate
from appliance.media.config import MAX_REPORTED_SSRCS, SLOT_BYTES
from appliance.media.faults import Faults
from appliance.media.line import Line
from appliance.media.pair import Pair
from appliance.media.pictures import passed
from appliance.media.port import Port
from appliance.media.receive import RxStream
from appliance.media.recovery import Recovery
from appliance.media.send import copy_into
from appliance.media.sources import Sources
from appliance.media.twcc import Arrivals, Sent
from appliance.media.udp import MediaReceiver, Slot, address_of, contents, pinned
from appliance.wire import rtcp, twcc
from appliance.wire.extensions import two_bytes_at

_HEADER = struct.Struct("!BBHII")
_unpack_header = _HEADER.unpack_from
_unprotect = srtp.unprotect
_LENGTH = srtp.LENGTH
_RTCP = bytearray(SLOT_BYTES)
"""Where RTCP is encrypted before it is sent; one for all, as LENGTH is."""
_RTCP_PIN, (_RTCP_POINTER,) = srtp.pointers(_RTCP, SLOT_BYTES, 1)


class MediaPath:
    """Everything of one peer that packets meet.

    ``rtcp_received`` gets decrypted RTCP, parsed; ``dropped`` counts refused datagrams for the whole engine.
    """

    def __init__(
        self,
        clock: Clock,
        emit: Callable[[Body], None],
        rtcp_received: Callable[[list[rtcp.Packet], float], None],
        rtcp_ssrc: int,
        dropped: Callable[[str], None],
        estimate: BandwidthEstimate,
    ) -> None:
        self.lines: list[Line] = []
        self.sources = Sources(self._forget_source)
        self.streams, self.repairs = self.sources.streams, self.sources.repairs
        self.port: Port | None = None
        self.name: Any = None
        """The peer's address, pinned for the kernel."""
        self.queue: Callable[[Any, int, Any], None] = _nobody
        self.rtcp_ssrc = rtcp_ssrc
        """What our own feedback is signed with."""
        self.faults, self.activity = Faults(emit, dropped), Activity(emit)
        self.received = 0
        """Authenticated datagrams, as proof of life."""
        self.relay_estimate: Callable[[int, float], None] = _nobody
        """A receiver of this peer's media tells what it can take (bits per second, now)."""
        self.tap: Tap | None = None
        """Is shown every packet in plain, while somebody captures."""
        self.wire: WireTap | None = None
        """Is shown every datagram, while somebody records, or those that are no media; set by :meth:`show_wire`."""
        self._media_tap: WireTap | None = None
        self.recovery = Recovery(clock, self.streams, self.send_rtcp, rtcp_ssrc)
        self.mind_losses, self.request_keyframe = self.recovery.mind_losses, self.recovery.request_keyframe
        self.arrivals, self.sent = Arrivals(self, clock), Sent(estimate)
        self._rtcp_received = rtcp_received
        self._rx: srtp.Context | None = None
        self._tx: srtp.Context | None = None
        self._rx_handle: Any = None
        self._tx_handle: Any = None
        self._key = b""
        self._transport_extension = 0
        self._rtcp_sources: set[int] = set()

    # --- set-up ------------------------------------------------------------------------------------------

    def set_lines(self, lines: list[Line]) -> None:
        """Take what was negotiated. Streams that are running keep running."""
        self.lines = lines
        used = [line for line in lines if line.is_rtp]
        self.sources.agree(used)
        self._transport_extension = next(
            (line.extensions[twcc.EXTENSION] for line in used if twcc.EXTENSION in line.extensions), 0
        )
        for line in used:
            if line.tx is not None:
                line.tx.transport_wide = twcc.EXTENSION in line.extensions
        self._let_out()

    def _let_out(self) -> None:
        # What the client has not agreed to yet, it could take for something else.
        for line in self.lines:
            if line.tx is not None:
                line.tx.context = self._tx_handle if line.is_rtp and line.agreed else None

    def set_route(self, pair: Pair) -> None:
        """Send to this pair from now on."""
        self._flush()
        self.port = pair.port
        self._key = pair.key
        self.name = pinned(pair.key)
        self._choose_queue()

    def show_wire(self, tap: WireTap | None, *, media: bool) -> None:
        """Show every datagram to ``tap``. Without one, or ``media``, nothing of this is on the way of a packet."""
        self.wire, self._media_tap = tap, tap if media else None
        self._choose_queue()

    def _choose_queue(self) -> None:
        port, tap = self.port, self._media_tap
        if port is None:
            return
        self.queue = queue = port.queue
        if tap is None:
            return
        local, remote = (port.announced, port.port), address_of(self._key)

        def shown(base: Any, length: int, name: Any) -> None:
            tap(contents(base, length), False, local, remote)
            queue(base, length, name)

        self.queue = shown

    def receiver(self, port: Port, key: bytes) -> MediaReceiver:
        """What takes the packets of a proven address: :meth:`receive`, behind a tap where there is one."""
        tap = self._media_tap
        if tap is None:
            return self.receive
        receive, local, remote = self.receive, (port.announced, port.port), address_of(key)

        def shown(slot: Slot, length: int, now: float) -> None:
            tap(slot[0][:length].tobytes(), True, local, remote)
            receive(slot, length, now)

        return shown

    def set_keys(self, sending: bytes, receiving: bytes, profile: srtp.Profile) -> None:
        """DTLS is done: packets can flow."""
        self._tx = srtp.Context(sending, profile, outbound=True)
        self._rx = srtp.Context(receiving, profile, outbound=False)
        self._tx_handle, self._rx_handle = self._tx.handle, self._rx.handle
        self._let_out()

    @property
    def ready(self) -> bool:
        """There are keys."""
        return self._rx_handle is not None

    def close(self) -> None:
        """No packet goes in or out any more."""
        self._flush()
        self.recovery.close()
        self.arrivals.close()
        for line in self.lines:
            for stream in line.streams:
                stream.keyframes.forget()
            for sink in line.sinks:
                sink.fed_by = None
            line.clear_sinks()
            if line.tx is not None:
                line.tx.context = None
                line.tx.unroute()
                line.tx.forget()
        self.queue = _nobody
        self.port = None
        self._rx = self._tx = self._rx_handle = self._tx_handle = None

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after :meth:`close`."""
        lines, self.lines = self.lines, []
        for line in lines:
            line.let_go()
        for part in (self.sources, self.recovery, self.arrivals, self.faults, self.activity):
            part.let_go()
        self.relay_estimate = _nobody
        del self._rtcp_received

    def _flush(self) -> None:
        # What is queued points to the pinned address, which is about to go.
        if self.port is not None:
            self.port.flush()

    # --- every packet ------------------------------------------------------------------------------------

    def receive(self, slot: Slot, length: int, now: float) -> None:
        """Take one datagram in the range of RTP and RTCP, from an address that is proven."""
        view = slot[0]
        if length < 12 or self._rx_handle is None:
            self.faults.refuse("malformed")
            return
        _, second, sequence, timestamp, ssrc = _unpack_header(view)
        if 191 < second < 224:
            self._receive_rtcp(slot, length, now)
            return
        stream = self.streams.get(ssrc)
        _LENGTH[0] = length
        status = _unprotect(self._rx_handle, slot[1], _LENGTH)
        if status:
            self._refused(status, stream, ssrc)
            return
        length = _LENGTH[0]
        self.received += 1
        if self.tap is not None:
            self.tap(view[:length].tobytes(), True)
        at = 0
        if self._transport_extension and view[0] & 0x10:
            at = two_bytes_at(view, length, self._transport_extension)
            if at:
                self.arrivals.record(view[at] << 8 | view[at + 1], now)
        if stream is None:
            if second & 0x7F in self.repairs.payload_types:
                stream = self._restored(view, length, ssrc, now)
                length -= 2
                _, second, sequence, timestamp, ssrc = _unpack_header(view)
            else:
                stream = self._new_stream(view, length, ssrc, second & 0x7F, sequence, now)
            if stream is None:
                return
        if second & 0x7F != stream.payload_type:
            self.faults.refuse("unknown_payload_type", ssrc)
            return
        if not stream.received(sequence, timestamp, length, now):
            return
        stream.transport_at, pictures, routes = at, stream.pictures, None
        if pictures is not None and timestamp != pictures.started:
            routes = pictures.look(view, length, timestamp)
        if not stream.live:
            self.activity.began(stream)
        if stream.listener is not None:
            stream.listener(view[:length])
        sinks = stream.sinks
        if not sinks:
            return
        if len(sinks) > 1:
            for sink in sinks[1:]:
                if sink.path.port is not None:
                    copy = copy_into(sink.path.port.spare(), slot, length)
                    sink.forward(copy, length, second, sequence, timestamp, stream)
        sinks[0].forward(slot, length, second, sequence, timestamp, stream)
        if routes is not None:
            passed(routes)

    # --- now and then ------------------------------------------------------------------------------------

    def _refused(self, status: int, stream: RxStream | None, ssrc: int) -> None:
        if status in srtp.REPLAYED and stream is not None:
            stream.duplicates += 1
        self.faults.refuse(srtp.STATUS.get(status, "srtp_auth"), ssrc if stream is not None else None)

    def _new_stream(
        self, view: memoryview, length: int, ssrc: int, payload_type: int, sequence: int, now: float
    ) -> RxStream | None:
        line = self.sources.line_of(view, length, ssrc, payload_type)
        fault = "unknown_ssrc"
        if line is not None:
            fault = "unknown_payload_type"
            if payload_type == line.payload_type:
                substream = self.sources.substream_of(line, view, length, ssrc)
                if substream is None:
                    # Of simulcast, and it does not say which: its next packets will.
                    self.faults.refuse("unknown_ssrc", ssrc)
                    self.sources.refuse(ssrc)
                    return None
                evicted = self.sources.evicted
                stream = self.sources.add(ssrc, line, sequence, now, substream)
                if stream is not None:
                    if self.sources.evicted > evicted:
                        self.faults.note("ssrc_evicted")
                    if line.medium.kind == "video":
                        self.request_keyframe(line, stream)
                    return stream
                fault = "ssrc_limit"
        self.faults.refuse(fault, ssrc)
        self.sources.refuse(ssrc)
        return None

    def _restored(self, view: memoryview, length: int, ssrc: int, now: float) -> RxStream | None:
        if not self.sources.heard_repair(ssrc, now):
            self.faults.refuse("ssrc_limit", ssrc)
            self.sources.refuse(ssrc)
            return None
        return self.repairs.restore(view, length, ssrc)

    def _forget_source(self, ssrc: int) -> None:
        if self._rx_handle is not None:
            srtp.forget(self._rx_handle, ssrc)

    def _receive_rtcp(self, slot: Slot, length: int, now: float) -> None:
        source = int.from_bytes(slot[0][4:8], "big")
        if source not in self._rtcp_sources and len(self._rtcp_sources) >= MAX_REPORTED_SSRCS:
            self.faults.refuse("ssrc_limit", source)
            return
        _LENGTH[0] = length
        status = srtp.unprotect_rtcp(self._rx_handle, slot[1], _LENGTH)
        if status:
            self.faults.refuse(srtp.STATUS.get(status, "srtp_auth"))
            return
        self.received += 1
        if self.tap is not None:
            self.tap(slot[0][: _LENGTH[0]].tobytes(), True)
        self._rtcp_sources.add(source)
        try:
            packets = rtcp.parse_compound(slot[0][: _LENGTH[0]])
        except rtcp.RtcpDecodeError:
            self.faults.refuse("malformed")
            return
        self._rtcp_received(packets, now)

    @property
    def media_ssrc(self) -> int:
        """One of the streams that came; 0 before the first."""
        return next(reversed(self.streams), 0)

    def send_rtcp(self, packets: list[rtcp.Packet]) -> bool:
        """Encrypt and send; false when there is nobody to send to, or it is too large."""
        data = rtcp.build_compound(packets)
        length = len(data)
        if self._tx_handle is None or self.port is None or length > SLOT_BYTES - srtp.OVERHEAD:
            return False
        if self.tap is not None:
            self.tap(data, False)
        _RTCP[:length] = data
        _LENGTH[0] = length
        if srtp.protect_rtcp(self._tx_handle, _RTCP_POINTER, _LENGTH):
            return False
        self.send_raw(bytes(_RTCP[: _LENGTH[0]]))
        return True

    def send_raw(self, data: bytes) -> None:
        """Send what is encrypted already, or needs no encryption."""
        if self.port is not None:
            if self.wire is not None:
                self.wire(data, False, (self.port.announced, self.port.port), address_of(self._key))
            self.port.send(data, self._key)

    def refresh(self) -> None:
        """Whoever listens here begins to: ask the sources of what it sees for key frames."""
        for line in self.lines:
            tx = line.tx
            if line.medium.kind == "video" and tx is not None and tx.fed_by is not None and tx.fed_by.path is not self:
                tx.request_keyframe()


def _nobody(*_: Any) -> None:
    """Whom packets go to before there is a pair, and estimates are told."""
