"""One m-line at work: what was negotiated, its streams, and what is counted about it."""

from typing import TYPE_CHECKING

from appliance.core.events import MediaStats, RttValues
from appliance.core.peer import Listener, Medium
from appliance.media.clocks import SenderClock
from appliance.media.hearing import Heard
from appliance.media.quality import Quality
from appliance.media.receive import RxStream
from appliance.media.selection import Selection
from appliance.media.send import TxStream
from appliance.media.simulcast import MAX_SUBSTREAMS, Encodings
from appliance.wire.description import Codec
from appliance.wire.keyframe import STARTS
from appliance.wire.rtcp import ReportBlock

if TYPE_CHECKING:
    from appliance.media.path import MediaPath


_COUNTS = (
    "packets",
    "bytes",
    "lost",
    "retransmissions",
    "reordered",
    "duplicates",
    "nacks_sent",
    "keyframes_received",
)


class Line:
    """Made when an m-line is answered first; kept, with its counters, through renegotiations."""

    def __init__(
        self, medium: Medium, ssrc: int, path: "MediaPath", sender_clock: SenderClock, *, rtx_ssrc: int = 0
    ) -> None:
        self.medium = medium
        self.path = path
        self.ssrc = ssrc
        """Ours."""
        self.rtx_ssrc = rtx_ssrc
        """That of our retransmissions, where the client wants them apart."""
        self.sender_clock = sender_clock
        self.agreed = True
        """The client knows of it as it is; false while an offer of ours waits for its answer."""
        self.codec: Codec | None = None
        self.payload_type = -1
        self.rtx_payload_type = -1
        """That of retransmissions (RFC 4588), both ways; -1: packets are sent again as they were."""
        self.clock_rate = 90_000
        self.nacks = self.plis = self.firs = self.rembs = False
        """Feedback that both sides speak."""
        self.extensions: dict[str, int] = {}
        """URI to id."""
        self.remote_ssrcs: tuple[int, ...] = ()
        self.remote_repairs: dict[int, int] = {}
        """SSRCs of the client's retransmissions to those of its media, as it describes them."""
        self.encodings: Encodings | None = None
        """Simulcast, which the client sends."""
        self.substreams: dict[int, int] = {}
        """Of its SSRCs, as far as they are known."""
        self.remote_msid: str | None = None
        self.streams: list[RxStream] = []
        self._retired: dict[int, dict[str, int]] = {}
        """What streams counted that are gone, by substream."""
        self.sinks: tuple[TxStream, ...] = ()
        """Where what is received goes."""
        self.entrances: tuple[TxStream | Selection, ...] = ()
        """What takes it there."""
        self._listener: Listener | None = None
        self._layer_listeners: dict[int, Listener] = {}
        """Who hears one encoding of simulcast, by substream."""
        self._heard: Heard | None = None
        """What it hears of simulcast, through a selection of its own."""
        self._selected: Selection | None = None
        self.tx: TxStream | None = None
        self.receiving = False
        self.quality = Quality()
        self.nacks_received = 0
        """Sequence numbers asked for, not RTCP packets."""
        self.plis_sent = self.plis_received = self.firs_sent = self.firs_received = self.fir_number = 0
        self.rembs_sent = self.rembs_received = 0
        self.remb_bps = 0
        """The peer's own estimate, 0 before it has told one."""
        self.rtt = 0.0
        """Seconds, of the last receiver report that had one."""
        self.rtt_values: RttValues | None = None
        self.has_reports = False
        self.lost_by_remote = 0
        self.jitter_remote = 0
        """RTP clock ticks."""
        self._remote_highest = 0
        self._nacks_reported = 0
        self._sent_before = self.bytes_sent_lastsec = 0
        self._received_before = [0] * MAX_SUBSTREAMS
        self._received_lastsec = [0] * MAX_SUBSTREAMS
        self._lost_before = (0, 0)

    def adopt(
        self,
        codec: Codec,
        *,
        feedback: tuple[str, ...],
        extensions: dict[str, int],
        remote_ssrcs: tuple[int, ...],
        rtx_payload_type: int = -1,
        remote_repairs: dict[int, int] | None = None,
        encodings: Encodings | None = None,
    ) -> None:
        """Take what was negotiated, now or anew."""
        self.codec = codec
        self.payload_type = codec.payload_type
        self.clock_rate = codec.clock_rate
        self.nacks = "nack" in feedback
        self.plis = "nack pli" in feedback
        self.firs = "ccm fir" in feedback
        self.rembs = "goog-remb" in feedback
        self.extensions = extensions
        self.remote_ssrcs = remote_ssrcs
        self.rtx_payload_type = rtx_payload_type
        self.remote_repairs = remote_repairs or {}
        if encodings != self.encodings:
            self.encodings = encodings
            self.substreams = {} if encodings is None else {ssrc: at for at, ssrc in enumerate(encodings.ssrcs)}
            self._spread()
        for stream in self.streams:
            stream.payload_type, stream.clock_rate = self.payload_type, self.clock_rate
        if self.tx is not None:
            self.tx.payload_type, self.tx.clock_rate = self.payload_type, self.clock_rate
            self.tx.set_retransmission(rtx_payload_type)

    @property
    def is_rtp(self) -> bool:
        """Audio or video that was not rejected."""
        return self.medium.kind in {"audio", "video"} and not self.medium.rejected

    @property
    def lost(self) -> int:
        """Cumulative, signed; of all its sources."""
        return self._total("lost")

    @property
    def nacks_sent(self) -> int:
        """Sequence numbers asked for, not RTCP packets."""
        return self._total("nacks_sent")

    def _total(self, name: str, substream: int | None = None) -> int:
        # Asked a dozen times a second of every line, most of which have one source or none.
        total = 0
        for one in self.streams:
            if substream is None or one.substream == substream:
                total += getattr(one, name)
        for layer, counts in self._retired.items():
            if substream is None or layer == substream:
                total += counts[name]
        return total

    def retire(self, stream: RxStream) -> None:
        """A stream is gone: what it counted stays."""
        retired = self._retired.setdefault(stream.substream, dict.fromkeys(_COUNTS, 0))
        for name in _COUNTS:
            retired[name] += int(getattr(stream, name))
        self.streams.remove(stream)

    def latest(self, substream: int | None = None) -> RxStream | None:
        """The stream that was heard last, of all or of one encoding; ``None`` before the first."""
        found: RxStream | None = None
        for stream in self.streams:
            if substream in (None, stream.substream) and (found is None or stream.arrived > found.arrived):
                found = stream
        return found

    @property
    def arrived(self) -> float:
        """When the last packet came, monotonic; 0 before the first."""
        return max((stream.arrived for stream in self.streams), default=0.0)

    def add_sink(self, sink: TxStream) -> None:
        """Route what is received to one more stream."""
        if sink not in self.sinks:
            self.sinks = (*self.sinks, sink)
        self._spread()

    def remove_sink(self, sink: TxStream) -> None:
        """Undo a route."""
        self.sinks = tuple(other for other in self.sinks if other is not sink)
        self._spread()

    def listen(self, listener: Listener | None, substream: int | None = None) -> None:
        """Show what is received to somebody beside the routes."""
        if substream is not None:
            self._layer_listeners.pop(substream, None)
            if listener is not None:
                self._layer_listeners[substream] = listener
            self._spread()
            return
        self._listener = listener
        if listener is None:
            self._heard = self._selected = None
        elif self._heard is not None:
            # Somebody else listens in the middle of a stream: it goes on.
            self._heard.listener = listener
        self._spread()

    def clear_sinks(self) -> None:
        """Undo every route."""
        self.sinks = ()
        self._spread()

    def let_go(self) -> None:
        """Know nobody any more: its path is closed."""
        self.streams.clear()
        self._layer_listeners.clear()
        self.tx = self._heard = self._selected = self._listener = None

    def _spread(self) -> None:
        self.entrances = tuple(sink.entrance(self) for sink in self.sinks)
        if self.encodings is not None and self._listener is not None:
            if self._selected is None:
                self._heard = Heard(self.path, self, self._listener)
                self._selected = Selection(self._heard)
            self.entrances = (*self.entrances, self._selected)
        for stream in self.streams:
            self.attach(stream)

    def attach(self, stream: RxStream) -> None:
        """Let a source's packets go where this line's go."""
        stream.sinks = self.entrances
        stream.listener = self._listener if self.encodings is None else self._layer_listeners.get(stream.substream)

    def reported(self, block: ReportBlock, ntp_middle: int) -> None:
        """A receiver report about what we send, handled at that NTP time (middle 32 bits)."""
        if self.has_reports:
            self.quality.reported(
                sent=(block.highest_sequence - self._remote_highest) & 0xFFFFFFFF,
                lost=block.packets_lost - self.lost_by_remote,
                nacks=self.nacks_received - self._nacks_reported,
            )
        self.has_reports = True
        self._remote_highest = block.highest_sequence
        self._nacks_reported = self.nacks_received
        self.lost_by_remote = block.packets_lost
        self.jitter_remote = block.jitter
        if block.lsr:
            rtt = (ntp_middle - block.lsr - block.dlsr) & 0xFFFFFFFF
            # A peer that rounds dlsr up, or invents it, makes the difference negative.
            if rtt < 0x8000_0000:
                self.rtt = rtt / 65_536
                self.rtt_values = RttValues(ntp_middle, block.lsr, block.dlsr)

    def second_passed(self) -> None:
        """Take stock of the bytes of the last second."""
        sent = self.tx.bytes if self.tx else 0
        self.bytes_sent_lastsec, self._sent_before = sent - self._sent_before, sent
        for substream, before in enumerate(self._received_before):
            received = self._total("bytes", substream)
            self._received_lastsec[substream], self._received_before[substream] = received - before, received

    def lost_since(self) -> tuple[int, int]:
        """Packets lost on the way in and, as the peer says, on the way out, since the last call."""
        now = (self.lost, self.lost_by_remote)
        before, self._lost_before = self._lost_before, now
        return max(0, now[0] - before[0]), max(0, now[1] - before[1])

    def stats(self) -> MediaStats:
        """The statistics event of an audio or video medium; of simulcast with what came of the lowest encoding."""
        medium, tx = self.medium, self.tx
        latest = self.latest(0)
        jitter_local = int(latest.jitter * 1_000_000 / latest.clock_rate) if latest else 0
        jitter_remote = self.jitter_remote * 1_000_000 // self.clock_rate
        rtt_us = int(self.rtt * 1_000_000)
        rtt = rtt_us // 1000
        return MediaStats(
            mid=medium.mid,
            mindex=medium.mindex,
            media=medium.kind,
            codec=medium.codec,
            base=self.clock_rate,
            rtt=rtt,
            rtt_values=self.rtt_values if rtt > 0 else None,
            lost=self._total("lost", 0),
            lost_by_remote=self.lost_by_remote,
            jitter_local=jitter_local // 1000,
            jitter_remote=jitter_remote // 1000,
            in_link_quality=int(self.quality.incoming),
            in_media_link_quality=int(self.quality.incoming_media),
            out_link_quality=int(self.quality.outgoing),
            out_media_link_quality=int(self.quality.outgoing_media),
            packets_received=self._total("packets", 0),
            packets_sent=tx.packets if tx else 0,
            bytes_received=self._total("bytes", 0),
            bytes_sent=tx.bytes if tx else 0,
            bytes_received_lastsec=self._received_lastsec[0],
            bytes_sent_lastsec=self.bytes_sent_lastsec,
            nacks_received=self.nacks_received,
            nacks_sent=self._total("nacks_sent", 0),
            retransmissions_received=self._total("retransmissions", 0),
            remb_bitrate=self.remb_bps if medium.mindex == 0 and self.remb_bps else None,
            rtt_us=rtt_us if self.rtt_values else None,
            jitter_local_us=jitter_local if latest else None,
            jitter_remote_us=jitter_remote if self.has_reports else None,
            plis_received=self.plis_received,
            plis_sent=self.plis_sent,
            firs_received=self.firs_received,
            firs_sent=self.firs_sent,
            keyframes_received=self._keyframes_received(0),
            keyframes_sent=(tx.keyframes if tx else 0) if self._tells_keyframes else None,
            rembs_received=self.rembs_received,
            rembs_sent=self.rembs_sent,
            retransmissions_sent=tx.retransmissions if tx else 0,
            reordered=self._total("reordered", 0),
            duplicates=self._total("duplicates", 0),
            has_reports=self.has_reports,
        )

    def layer_stats(self, substream: int) -> MediaStats:
        """The statistics event of a higher encoding: what came of it. We send one stream, told of with the lowest."""
        latest = self.latest(substream)
        jitter_us = int(latest.jitter * 1_000_000 / latest.clock_rate) if latest else 0
        return MediaStats(
            mid=self.medium.mid,
            mindex=self.medium.mindex,
            media=f"{self.medium.kind}-sim{substream}",
            codec=self.medium.codec,
            base=self.clock_rate,
            lost=self._total("lost", substream),
            lost_by_remote=0,
            jitter_local=jitter_us // 1000,
            jitter_remote=0,
            in_link_quality=int(self.quality.incoming),
            in_media_link_quality=int(self.quality.incoming_media),
            out_link_quality=int(self.quality.outgoing),
            out_media_link_quality=int(self.quality.outgoing_media),
            packets_received=self._total("packets", substream),
            packets_sent=0,
            bytes_received=self._total("bytes", substream),
            bytes_sent=0,
            bytes_received_lastsec=self._received_lastsec[substream],
            bytes_sent_lastsec=0,
            nacks_received=0,
            nacks_sent=self._total("nacks_sent", substream),
            retransmissions_received=self._total("retransmissions", substream),
            jitter_local_us=jitter_us if latest else None,
            reordered=self._total("reordered", substream),
            duplicates=self._total("duplicates", substream),
            keyframes_received=self._keyframes_received(substream),
        )

    @property
    def _tells_keyframes(self) -> bool:
        return self.medium.kind == "video" and self.medium.codec in STARTS

    def _keyframes_received(self, substream: int) -> int | None:
        return self._total("keyframes_received", substream) if self._tells_keyframes else None

    @property
    def higher_substreams(self) -> range:
        """Of simulcast, beside the lowest."""
        return range(1, max(len(self.encodings.rids), len(self.encodings.ssrcs)) if self.encodings else 1)
