"""RTCP of one peer: what its reports and feedback mean, and the reports it is sent.

Sender reports are ours, about streams that are somebody else's: packet counts are what we sent, the NTP time is ours
(so that round trips come out right), and the RTP timestamp is moved along to it by the source's own reports.
"""

from collections.abc import Callable, Iterator

from appliance.core.clock import Clock
from appliance.core.events import Body, ReportBlock, RtcpReport, SenderInfo
from appliance.media.clocks import NtpClock
from appliance.media.config import MTU
from appliance.media.line import Line
from appliance.media.path import MediaPath
from appliance.wire import rtcp

CNAME = "janus"
REMB_INTERVAL = 0.9
"""Seconds between two bitrate caps: one goes with each second's reports, which may come a little early."""
RELAY_INTERVAL = 0.2
"""Seconds between two estimates that are passed on."""
BOTTLENECK = 0.8
"""Estimates below this share of what flows are passed on."""
_MAX_BLOCKS = 31


class Reports:
    """Reads and writes the RTCP of one path."""

    def __init__(
        self, path: MediaPath, clock: Clock, ntp: NtpClock, emit: Callable[[Body], None], *, max_bitrate: int
    ) -> None:
        self.bitrate = 0
        """What the client may send, bits per second; 0 is no cap."""
        self.counts: dict[str, int] = {}
        """RTCP packets received, by kind."""
        self._path = path
        self._clock = clock
        self._ntp = ntp
        self._emit = emit
        self._max_bitrate = max_bitrate
        self._last_remb = 0.0

    def let_go(self) -> None:
        """Know nobody any more: its path is closed."""
        del self._path, self._emit

    # --- in ----------------------------------------------------------------------------------------------

    def received(self, packets: list[rtcp.Packet], now: float) -> None:
        """Handle a compound."""
        for packet in packets:
            kind = type(packet).__name__
            self.counts[kind] = self.counts.get(kind, 0) + 1
            match packet:
                case rtcp.SenderReport():
                    stream = self._path.streams.get(packet.ssrc)
                    if stream is not None:
                        stream.sender_report(packet.ntp_time, packet.rtp_timestamp, now)
                    self._blocks(packet.reports)
                    self._tell("in", packet)
                case rtcp.ReceiverReport():
                    self._blocks(packet.reports)
                    self._tell("in", packet)
                case rtcp.Nack():
                    self._nack(packet, now)
                case rtcp.Pli():
                    self._keyframe_wanted(packet.media_ssrc, is_fir=False)
                case rtcp.Fir():
                    for ssrc, _ in packet.entries[:_MAX_BLOCKS]:
                        self._keyframe_wanted(ssrc, is_fir=True)
                case rtcp.Remb():
                    self._estimate(packet, now)
                case rtcp.TransportFeedback():
                    self._path.sent.feedback(packet, now)
                case _:
                    pass

    def _blocks(self, blocks: tuple[rtcp.ReportBlock, ...]) -> None:
        middle = self._ntp.now() >> 16 & 0xFFFFFFFF
        for block in blocks:
            line = self._line_of(block.ssrc)
            if line is not None:
                line.reported(block, middle)

    def _nack(self, packet: rtcp.Nack, now: float) -> None:
        line = self._line_of(packet.media_ssrc)
        if line is None or line.tx is None:
            return
        line.nacks_received += len(packet.lost)
        for sequence in packet.lost:
            line.tx.retransmit(sequence, now)

    def _keyframe_wanted(self, ssrc: int, *, is_fir: bool) -> None:
        line = self._line_of(ssrc)
        if line is None or line.tx is None:
            return
        if is_fir:
            line.firs_received += 1
        else:
            line.plis_received += 1
        if not line.tx.held:
            line.tx.request_keyframe()

    def _estimate(self, packet: rtcp.Remb, now: float) -> None:
        """The peer tells what it can receive: whoever feeds it should send no more."""
        lines = [self._line_of(ssrc) for ssrc in packet.ssrcs or (packet.media_ssrc,)]
        about = [line for line in lines if line is not None]
        for line in about:
            line.remb_bps = packet.bitrate_bps
        if about:
            about[0].rembs_received += 1
        sending = [line for line in self._path.lines if line.tx is not None]
        if not sending:
            return
        sending[0].remb_bps = packet.bitrate_bps
        # A receiver estimates little more than what it gets: only an estimate well below that is a bottleneck. Passing
        # on the others would hold the source where it happens to be, or in an echo talk it down.
        flowing = 8 * sum(line.bytes_sent_lastsec for line in sending)
        limit = packet.bitrate_bps if packet.bitrate_bps < BOTTLENECK * flowing else self._max_bitrate
        # What many see must not go down to what the slowest of them can take.
        fed_by = [line.tx.fed_by for line in sending if line.tx is not None and line.tx.fed_by is not None]
        for path in {source.path for source in fed_by if len(source.sinks) == 1}:
            path.relay_estimate(limit, now)

    def _line_of(self, ssrc: int) -> Line | None:
        for line in self._path.lines:
            if line.ssrc == ssrc and line.is_rtp:
                return line
        return None

    # --- out ---------------------------------------------------------------------------------------------

    def send(self, now: float) -> None:
        """Sender and receiver reports about what has flowed since the last ones, and the bitrate cap."""
        blocks = list(self._our_blocks(now))
        packets: list[rtcp.SenderReport | rtcp.ReceiverReport] = []
        for line in self._path.lines:
            tx = line.tx
            if tx is None or tx.packets == tx.reported_packets:
                continue
            tx.reported_packets = tx.packets
            packets.append(
                rtcp.SenderReport(
                    ssrc=line.ssrc,
                    ntp_time=self._ntp.now(),
                    rtp_timestamp=tx.rtp_time(now),
                    packet_count=tx.packets & 0xFFFFFFFF,
                    # Headers are left out by RFC 3550; their extensions are not worth a look at every packet.
                    octet_count=(tx.bytes - 12 * tx.packets) & 0xFFFFFFFF,
                    reports=tuple(blocks[:_MAX_BLOCKS]),
                )
            )
            blocks = blocks[_MAX_BLOCKS:]
        if blocks:
            reports = tuple(blocks[:_MAX_BLOCKS])
            packets.insert(0, rtcp.ReceiverReport(ssrc=self._path.rtcp_ssrc, reports=reports))
        if packets and self._send([*packets, rtcp.sdes_cname(self._path.rtcp_ssrc, CNAME)]):
            for packet in packets:
                self._tell("out", packet)
        if self.bitrate and now - self._last_remb >= REMB_INTERVAL:
            self.send_remb(self.bitrate, now)

    def _our_blocks(self, now: float) -> Iterator[rtcp.ReportBlock]:
        for stream in self._path.streams.values():
            expected = stream.expected - stream.expected_prior
            received = stream.packets - stream.received_prior
            if expected <= 0 and received <= 0:
                continue
            line = stream.line
            line.quality.received(
                expected=expected,
                lost=expected - received,
                retransmitted=stream.retransmissions - stream.retransmissions_prior,
            )
            stream.retransmissions_prior = stream.retransmissions
            yield stream.report(now)

    def send_remb(self, bps: int, now: float) -> None:
        """Tell the client what it may send."""
        lines = [line for line in self._path.lines if line.rembs and line.streams]
        if lines:
            ssrcs = tuple(stream.ssrc for line in lines for stream in line.streams[-_MAX_BLOCKS:])
            self._last_remb = now
            remb = rtcp.Remb(sender_ssrc=self._path.rtcp_ssrc, media_ssrc=0, bitrate_bps=bps, ssrcs=ssrcs)
            if self._send([remb]):
                lines[0].rembs_sent += 1

    def relay_estimate(self, bps: int, now: float) -> None:
        """A receiver of this client's media can take so much; the cap still holds."""
        if now - self._last_remb >= RELAY_INTERVAL:
            self.send_remb(min(bps, self.bitrate) if self.bitrate else bps, now)

    def _send(self, packets: list[rtcp.Packet]) -> bool:
        """In as many datagrams as it takes."""
        sent = True
        batch: list[rtcp.Packet] = []
        size = 0
        for packet in packets:
            length = len(packet.build())
            if batch and size + length > MTU:
                sent = self._path.send_rtcp(batch) and sent
                batch, size = [], 0
            batch.append(packet)
            size += length
        return self._path.send_rtcp(batch) and sent

    def _tell(self, direction: str, packet: rtcp.SenderReport | rtcp.ReceiverReport) -> None:
        sender_info = None
        if isinstance(packet, rtcp.SenderReport):
            sender_info = SenderInfo(
                packet.ntp_time >> 32,
                packet.ntp_time & 0xFFFFFFFF,
                packet.rtp_timestamp,
                packet.packet_count,
                packet.octet_count,
            )
        self._emit(
            RtcpReport(
                direction=direction,
                packet_type=rtcp.RECEIVER_REPORT if sender_info is None else rtcp.SENDER_REPORT,
                ssrc=packet.ssrc,
                mid=self._mid_of(packet),
                sender_info=sender_info,
                blocks=tuple(
                    ReportBlock(
                        block.ssrc,
                        block.fraction_lost,
                        block.packets_lost,
                        block.highest_sequence,
                        block.jitter,
                        block.lsr,
                        block.dlsr,
                    )
                    for block in packet.reports
                ),
            )
        )

    def _mid_of(self, packet: rtcp.SenderReport | rtcp.ReceiverReport) -> str | None:
        """Of the sender, or of what is reported on where that is one medium."""
        for ssrc in (packet.ssrc, *(block.ssrc for block in packet.reports)):
            stream = self._path.streams.get(ssrc)
            line = self._line_of(ssrc) if stream is None else stream.line
            if line is not None:
                return line.medium.mid
        return None
