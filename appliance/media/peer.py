"""One PeerConnection: description, ICE, DTLS, packets, reports and data channels put together."""

import logging
import random
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from appliance.core.clock import Clock, Timer
from appliance.core.events import Body, Connection, DtlsAlert, DtlsDetail, DtlsState
from appliance.core.peer import (
    AnswerPolicy,
    LayerListener,
    Layers,
    Listener,
    Medium,
    OfferLine,
    PeerConnection,
    PeerObserver,
    SdpRefusedError,
    Tap,
    WireTap,
)
from appliance.media.bandwidth import BandwidthEstimate
from appliance.media.config import EARLY_DATAGRAMS, MAX_REMOTE_ADDRESSES, MediaConfig
from appliance.media.describe import describe
from appliance.media.dtls import Dtls, DtlsStage
from appliance.media.ice import IceAgent, IceStage
from appliance.media.line import Line
from appliance.media.negotiation import (
    LocalTransport,
    NegotiatedLine,
    Offer,
    negotiate,
    read_offer,
    remote_data,
    write_answer,
    write_description,
)
from appliance.media.offering import Numbering, Wanted, plan, read_answer
from appliance.media.pair import Pair
from appliance.media.path import MediaPath
from appliance.media.receive import SenderClock
from appliance.media.reports import Reports
from appliance.media.sctp import DataChannels
from appliance.media.send import TxStream, extension_table
from appliance.media.stats import dtls_detail, media_stats, slow_links
from appliance.media.udp import UdpPort, address_of
from appliance.wire import rtcp, stun

if TYPE_CHECKING:
    from appliance.media.engine import Engine

logger = logging.getLogger(__name__)

CONNECTING_TICK = 0.5
"""Seconds: two probes a second until there is a pair."""
TICK = 1.0
"""Seconds: reports, statistics, and whatever else has to be looked after."""


class Peer:
    """Implements :class:`appliance.core.peer.PeerConnection`."""

    def __init__(self, engine: "Engine", config: MediaConfig, clock: Clock, observer: PeerObserver) -> None:
        self.media: tuple[Medium, ...] = ()
        self.up = False
        self.offer: Offer | None = None
        self.answer = ""
        self.lines: list[Line] = []
        self.dtls: Dtls | None = None
        self.channels: DataChannels | None = None
        self.closed = False
        self.moments: dict[str, int] = {}
        """Wall clock, microseconds, of what the Admin API shows: created, gathered, connected, ..."""
        self.dropped: dict[str, int] = {}
        """Data messages that were not sent, by why."""
        self._engine = engine
        self._config = config
        self._clock = clock
        self._observer = observer
        self._sender_clock = SenderClock()
        self._secrets: Callable[[str], None] | None = None
        self.tag = secrets.token_bytes(4)
        """Begins the transaction ids of its probes."""
        self.ice = IceAgent(
            engine.ports,
            clock,
            self.emit,
            tag=self.tag,
            proven=self._is_proven,
            selected_changed=self._pair_changed,
        )
        estimate = BandwidthEstimate(config.max_bitrate)
        self.path = MediaPath(
            clock, self.emit, self._rtcp_received, random.randrange(1, 1 << 32), engine.drop, estimate
        )
        self.reports = Reports(self.path, clock, engine.ntp, self.emit, max_bitrate=config.max_bitrate)
        self.path.relay_estimate = self.reports.relay_estimate
        self._negotiated: tuple[NegotiatedLine, ...] = ()
        self._offered: tuple[NegotiatedLine, ...] | None = None
        """M-lines of an offer of ours that has no answer yet."""
        self._numbering = Numbering()
        self._early_checks: dict[tuple[UdpPort, bytes], Callable[[], bool]] = {}
        self._told_dtls: DtlsDetail | None = None
        self._session_id = secrets.randbits(53)
        self._version = 0
        self._restarting = False
        self._answered = False
        """An answer was taken, and ICE is to begin."""
        self._early: dict[tuple[UdpPort, bytes], list[bytes]] = {}
        self._timer: Timer | None = None
        self._ice_deadline = float("inf")
        self._dtls_deadline = float("inf")
        self._heard = 0.0
        self._received_before = 0
        self._next_report = self._next_stats = self._next_second = 0.0
        self._mark("created")

    @property
    def send_estimate_bps(self) -> int | None:
        """What the way to the client carries, by its transport-wide feedback; ``None`` while it has told nothing."""
        estimate = self.path.sent.estimate
        return estimate.bps if estimate.has_feedback else None

    # --- description -------------------------------------------------------------------------------------

    def set_remote_offer(self, sdp: str, *, lowest_rid_first: bool = False) -> None:
        """Read an offer. :raises SdpRefusedError: nothing has changed."""
        if self.closed:
            raise SdpRefusedError("the PeerConnection has ended")
        offer = read_offer(sdp, lowest_rid_first=lowest_rid_first)
        if self.offer is not None and self.dtls is not None and not self._same_certificate(offer):
            raise SdpRefusedError("the offer has another fingerprint, wanted that of the running DTLS association")
        self.offer, self._offered = offer, None
        self._restarting = self.ice.set_remote(offer.ufrag, offer.pwd)
        if self._restarting:
            self._engine.register(self)

    def _same_certificate(self, offer: Offer) -> bool:
        assert self.dtls is not None
        return any(item in offer.fingerprints for item in self.dtls.expected)

    def gather(self, *, trickle: bool) -> None:
        """Emit gathering, the candidates in the description, our own; begin to listen."""
        if self.closed or self.offer is None:
            return
        first = self.ice.stage is IceStage.NEW
        if first:
            self._engine.register(self)
        if first or self._restarting:
            self.ice.gather()
            self._mark("gathered")
            self._restarting = False
        for text in self.offer.candidates:
            self.ice.add_remote(text)
        if not trickle or self.offer.end_of_candidates:
            self.ice.end_of_candidates()
        if first:
            self.ice.tell_local()
            self._tick_later()
        if self._answered:
            self._answered = False
            self._begin_ice()

    def _begin_ice(self) -> None:
        """Both descriptions are known."""
        if self.ice.awaiting_pair:
            self._ice_deadline = self._clock.monotonic() + self._config.ice_timeout
        self.ice.begin()
        checks, self._early_checks = self._early_checks, {}
        for check in checks.values():
            if not self.closed:
                check()
        if self.up:
            self._start_channels()

    def create_offer(self, lines: Sequence[OfferLine], *, ice_restart: bool = False) -> str:
        """An offer with every m-line in order. :raises SdpRefusedError: nothing has changed."""
        if self.closed:
            raise SdpRefusedError("the PeerConnection has ended")
        wanted = [
            Wanted(line, None if line.source is None else cast(Peer, line.source)._line(line.source_mid))
            for line in lines
        ]
        planned = tuple(plan(wanted, self._offered or self._negotiated, self._numbering))
        if ice_restart and self.offer is not None:
            self.ice.renew()
            self._engine.register(self)
        self._offered = planned
        self._apply(planned, agreed=False)
        text = write_description(planned, self._local_transport(offers=True), bundles=True)
        if self.ice.stage is IceStage.NEW:
            self._engine.register(self)
            self.ice.gather()
            self._mark("gathered")
            self.ice.tell_local()
            self._tick_later()
        return text

    def set_remote_answer(self, sdp: str) -> None:
        """Read the answer to our offer. :raises SdpRefusedError: nothing has changed."""
        if self.closed or self._offered is None:
            raise SdpRefusedError("no offer of ours waits for an answer")
        answer, agreed = read_answer(sdp, self._offered)
        if self.dtls is not None and not self._same_certificate(answer):
            raise SdpRefusedError("the answer has another fingerprint, wanted that of the running DTLS association")
        self.offer, self._offered = answer, None
        self._negotiated = agreed
        self._apply(agreed)
        self._restarting = self.ice.set_remote(answer.ufrag, answer.pwd)
        if self._restarting:
            self._engine.register(self)
        self._begin_association(answer)
        self._answered = True
        if self.up:
            self.path.refresh()

    def _begin_association(self, remote: Offer) -> None:
        if self.dtls is None:
            self.dtls = Dtls(
                self._engine.identity,
                self._clock,
                self,
                self.path.send_raw,
                is_client=remote.setup == "passive",
                fingerprints=remote.fingerprints,
            )

    def _local_transport(self, *, offers: bool) -> LocalTransport:
        self._version += 1
        return LocalTransport(
            session_id=self._session_id,
            version=self._version,
            ufrag=self.ice.ufrag,
            pwd=self.ice.pwd,
            fingerprint=self._engine.identity.fingerprint,
            is_client=self.dtls is not None and self.dtls.is_client,
            candidates=tuple(self.ice.local_texts),
            ssrcs={line.medium.mid: line.ssrc for line in self.lines},
            rtx_ssrcs={line.medium.mid: line.rtx_ssrc for line in self.lines},
            offers=offers,
        )

    def create_answer(self, policy: AnswerPolicy) -> str:
        """The answer to the offer set last."""
        assert self.offer is not None, "there is an offer"
        offer = self.offer
        self._negotiated = negotiate(offer, policy)
        self._apply(self._negotiated)
        self._begin_association(offer)
        self.answer = write_answer(offer, self._negotiated, self._local_transport(offers=False))
        self._begin_ice()
        return self.answer

    def _apply(self, negotiated: tuple[NegotiatedLine, ...], *, agreed: bool = True) -> None:
        known = {line.medium.mid: line for line in self.lines}
        lines: list[Line] = []
        for item in negotiated:
            line = known.get(item.medium.mid)
            if line is None:
                ssrc, rtx_ssrc = random.sample(range(1, 1 << 32), 2)
                line = Line(item.medium, ssrc, self.path, self._sender_clock, rtx_ssrc=rtx_ssrc)
                line.agreed = agreed
            # A line that the client knows stays as it knows it, unless it is to carry something else.
            changes = line.codec != item.codec or line.medium.direction != item.medium.direction
            line.agreed = agreed or (line.agreed and not changes)
            line.medium = item.medium
            line.remote_msid = item.offered.msid
            if item.codec is not None:
                line.adopt(
                    item.codec,
                    feedback=item.feedback,
                    extensions={extension.uri: extension.id for extension in item.extensions},
                    remote_ssrcs=item.remote_ssrcs,
                    rtx_payload_type=-1 if item.rtx is None else item.rtx.payload_type,
                    remote_repairs=item.remote_repairs,
                    encodings=item.encodings,
                )
                sends = item.medium.direction in {"sendrecv", "sendonly"}
                if sends and line.tx is None:
                    line.tx = TxStream(self.path, line, history_bytes=self._config.nack_history_bytes)
            if line.tx is not None and item.medium.direction not in {"sendrecv", "sendonly"}:
                line.tx.unroute()
            lines.append(line)
        self.lines = lines
        self.media = tuple(item.medium for item in negotiated)
        self.path.set_lines(lines)

    # --- candidates --------------------------------------------------------------------------------------

    def add_remote_candidate(self, candidate: str) -> None:
        """Trickle."""
        if not self.closed:
            self.ice.add_remote(candidate)

    def end_of_candidates(self) -> None:
        """The client has no more."""
        if not self.closed:
            self.ice.end_of_candidates()

    # --- what a plugin asks ------------------------------------------------------------------------------

    def forward(self, mid: str, to: PeerConnection, to_mid: str) -> None:
        """Route what comes on ``mid`` to ``to_mid`` of ``to``."""
        target = cast(Peer, to)
        source, sink = self._line(mid), target._line(to_mid)
        if source is None or sink is None or sink.tx is None or source.medium.codec != sink.medium.codec:
            return
        tx = sink.tx
        tx.extension_table = extension_table(source.extensions, sink.extensions)
        tx.turn_to(source)

    def unforward(self, mid: str) -> None:
        """End the route to our own ``mid``."""
        line = self._line(mid)
        if line is not None and line.tx is not None:
            line.tx.unroute()

    def set_sending(self, mid: str, *, active: bool) -> None:
        """Let a route's packets out, or hold them back."""
        line = self._line(mid)
        if line is None or line.tx is None or line.tx.held is not active:
            return
        if active:
            line.tx.resume()
            if line.medium.kind == "video":
                line.tx.request_keyframe()
        else:
            line.tx.hold()

    def set_layers(
        self,
        mid: str,
        *,
        substream: int | None = None,
        temporal: int | None = None,
        fallback_us: int | None = None,
        told: LayerListener | None = None,
    ) -> None:
        """What the client is to get on ``mid``, where its source sends simulcast."""
        line = self._line(mid)
        if line is None or line.tx is None or line.medium.kind != "video":
            return
        selection = line.tx.select()
        fallback = None if fallback_us is None else fallback_us / 1_000_000
        selection.want(substream=substream, temporal=temporal, fallback=fallback)
        selection.told = told or selection.told

    def layers(self, mid: str) -> Layers | None:
        """What the client gets on ``mid``; ``None`` where its source sends no simulcast."""
        line = self._line(mid)
        tx = None if line is None else line.tx
        if tx is None or tx.selection is None or tx.fed_by is None or tx.fed_by.encodings is None:
            return None
        return tx.selection.layers

    def set_bitrate(self, bps: int) -> None:
        """Cap what the client sends; 0 takes the cap away."""
        self.reports.bitrate = max(0, bps)
        if self.up:
            self.reports.send_remb(bps or self._config.max_bitrate, self._clock.monotonic())

    def listen(self, mid: str, listener: Listener | None) -> None:
        """Show what the client sends on ``mid`` to ``listener``; ``None`` ends it."""
        line = self._line(mid)
        if line is not None:
            line.listen(listener)

    def request_keyframe(self, mid: str) -> None:
        """PLI towards the client, throttled."""
        line = self._line(mid)
        if line is not None and self.path.ready:
            self.path.request_keyframe(line)

    def send_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """Send on a data channel; dropped and counted when it is not open."""
        if self.channels is None:
            self.dropped["closed"] = self.dropped.get("closed", 0) + 1
        else:
            self.channels.send(label, protocol, message)

    def set_tap(self, tap: Tap | None) -> None:
        """Show every packet in plain to ``tap``."""
        self.path.tap = tap

    def set_wire_tap(self, tap: WireTap | None, secrets: Callable[[str], None] | None = None) -> None:
        """Show every datagram, encrypted as it is, to ``tap``, and what DTLS agrees on to ``secrets``."""
        self._secrets = secrets
        self.ice.wire = tap
        self.path.show_wire(tap)
        if self.path.ready:
            self._engine.take_media(self)

    def _show(self, port: UdpPort, key: bytes, data: bytes) -> None:
        if self.path.wire is not None:
            self.path.wire(data, True, (port.announced, port.port), address_of(key))

    def configure(self, config: MediaConfig) -> None:
        """What the engine's settings are from now on."""
        self._config = config

    def describe(self) -> dict[str, Any]:
        """The live state, in the shape of Janus's ``handle_info`` key ``webrtc``."""
        return describe(self)

    @property
    def local_fingerprint(self) -> str:
        """Of our certificate, sha-256."""
        return self._engine.identity.fingerprint.value

    def _line(self, mid: str) -> Line | None:
        for line in self.lines:
            if line.medium.mid == mid:
                return line
        return None

    # --- datagrams ---------------------------------------------------------------------------------------

    def stun_request(self, port: UdpPort, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        """A Binding request for one of our usernames; false when it is refused."""
        self._show(port, key, data)
        return self._stun_request(port, key, message, data)

    def _stun_request(self, port: UdpPort, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        if self.ice.remote_ufrag is None:
            # The client begins when it has made its answer, which is still on its way to us.
            if len(self._early_checks) < MAX_REMOTE_ADDRESSES:
                self._early_checks[port, key] = lambda: self._stun_request(port, key, message, data)
            return True
        if not self.ice.request(port, key, message, data):
            return False
        self._alive()
        if self.ice.selected is not None and self.dtls is not None and self.dtls.stage is DtlsStage.NEW:
            self._start_dtls()
        return True

    def stun_response(self, port: UdpPort, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        """The answer to a probe of ours; false when it is refused."""
        self._show(port, key, data)
        if not self.ice.response(port, key, message, data):
            return False
        self._alive()
        return True

    def dtls_datagram(self, port: UdpPort, key: bytes, data: bytes) -> bool:
        """A DTLS datagram from a proven address; false when there was no room to keep it."""
        self._show(port, key, data)
        if self.dtls is None or self.dtls.stage is DtlsStage.NEW:
            # The browser's ClientHello often comes before it nominates; without it 60 ms are lost, or a second.
            flight = self._early.setdefault((port, key), [])
            if len(flight) >= EARLY_DATAGRAMS or len(self._early) > MAX_REMOTE_ADDRESSES:
                return False
            flight.append(data)
            return True
        self._heard = self._clock.monotonic()
        self.dtls.receive(data)
        return True

    def _alive(self) -> None:
        self._heard = self._clock.monotonic()
        self.ice.heard_again()

    def _is_proven(self, pair: Pair) -> bool:
        return self._engine.prove(self, pair)

    def _pair_changed(self, pair: Pair) -> None:
        self._ice_deadline = float("inf")
        self._mark("connected")
        self.path.set_route(pair)

    def _start_dtls(self) -> None:
        assert self.dtls is not None
        assert self.ice.selected is not None
        self._dtls_deadline = self._clock.monotonic() + self._config.dtls_timeout
        self._mark("handshake-started")
        self.emit(DtlsState(dtls="trying"))
        self.dtls.start()
        early, self._early = self._early, {}
        for datagram in early.get((self.ice.selected.port, self.ice.selected.key), ()):
            if not self.closed:
                self.dtls.receive(datagram)

    # --- what DTLS tells ---------------------------------------------------------------------------------

    def dtls_retransmitted(self, count: int) -> None:
        """A flight was sent again."""
        self.emit(DtlsState(dtls="trying", retransmissions=count))

    def dtls_connected(self) -> None:
        """Set up SRTP and data channels: the PeerConnection is up."""
        assert self.dtls is not None
        dtls = self.dtls
        self._dtls_deadline = float("inf")
        keys = dtls.keys()
        if keys is None and any(line.is_rtp for line in self.lines):
            self.emit(DtlsState(dtls="failed", retransmissions=dtls.retransmissions))
            self._tell_dtls()
            self.close("DTLS-SRTP stack error")
            return
        self._mark("dtls-connected")
        self.emit(DtlsState(dtls="connected", retransmissions=dtls.retransmissions))
        self._tell_dtls()
        if keys is not None and dtls.profile is not None:
            self.path.set_keys(*keys, dtls.profile)
            self._engine.take_media(self)
        self.up = True
        now = self._clock.monotonic()
        self._next_second = self._next_report = now + TICK
        self._next_stats = now + self._config.stats_period
        self._start_channels()
        self.emit(Connection(connection="webrtcup"))
        self.path.refresh()
        # From here on ticks count from now: statistics come a whole period after the PeerConnection came up.
        self._tick_later()

    def dtls_failed(self, reason: str) -> None:
        """The handshake or the association is over."""
        assert self.dtls is not None
        self.emit(DtlsState(dtls="failed", retransmissions=self.dtls.retransmissions))
        self._tell_dtls()
        self.close(reason)

    def dtls_secret(self, line: str) -> None:
        """The master secret, while somebody records with keys."""
        if self._secrets is not None:
            self._secrets(line)

    def dtls_alert(self, alert: DtlsAlert) -> None:
        """An alert came or went; what it means comes with a call of its own."""

    def dtls_closed(self) -> None:
        """The client has closed its PeerConnection."""
        self.close("DTLS alert")

    def dtls_data(self, data: bytes) -> None:
        """An SCTP packet."""
        if self.channels is not None:
            self.channels.receive(data)

    def _tell_dtls(self) -> None:
        detail = dtls_detail(self.dtls)
        if detail is not None and detail != self._told_dtls:
            self._told_dtls = detail
            self.emit(detail)

    def _start_channels(self) -> None:
        if self.channels is not None or self.dtls is None:
            return
        for item in self._negotiated:
            if item.medium.kind == "application" and not item.medium.rejected:
                port, size = remote_data(item.offered)
                self.channels = DataChannels(
                    self.dtls,
                    remote_port=port,
                    max_message_bytes=size,
                    opened=self._data_opened,
                    received=self._data_received,
                )
                return

    def _data_opened(self, label: str, protocol: str) -> None:
        try:
            self._observer.data_opened(label, protocol)
        except Exception:
            logger.exception("an observer failed at a data channel that opened")

    def _data_received(self, label: str, protocol: str, message: str | bytes) -> None:
        try:
            self._observer.data(label, protocol, message)
        except Exception:
            logger.exception("an observer failed at a data channel message")

    def _rtcp_received(self, packets: list[rtcp.Packet], now: float) -> None:
        self.reports.received(packets, now)

    # --- time --------------------------------------------------------------------------------------------

    def _tick_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay = TICK if self.up and not self.ice.awaiting_pair else CONNECTING_TICK
        self._timer = self._clock.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self._look_after()
        except Exception:
            logger.exception("a PeerConnection failed at its tick")
            self.close("ICE failed")
        if not self.closed:
            self._tick_later()

    def _look_after(self) -> None:
        now = self._clock.monotonic()
        if self.path.received != self._received_before:
            self._received_before = self.path.received
            self._heard = now
            self.ice.heard_again()
        self.ice.probe()
        if now >= self._dtls_deadline:
            self._tell_dtls()
            self.close("DTLS timeout")
            return
        if now >= self._ice_deadline:
            self._fail_ice()
            return
        if self.ice.selected is not None and not self.ice.awaiting_pair:
            silence = now - self._heard
            if silence >= self._config.ice_timeout:
                self._fail_ice()
                return
            if silence >= self._config.ice_disconnected:
                self.ice.silent()
        if self.ice.awaiting_pair and self.ice.stage is IceStage.CONNECTING and now >= self._next_second:
            self._next_second = now + (self._config.stats_period or TICK)
            self.ice.tell_counters()
        if self.up:
            self._report(now)

    def _report(self, now: float) -> None:
        if self._config.no_media_timer:
            self.path.check_silence(now, self._config.no_media_timer)
        # Ticks drift by a little; half a tick of grace keeps them from skipping a beat.
        soon = now + TICK / 2
        if soon >= self._next_report:
            self._next_report = now + TICK
            self.reports.send(now)
            for line in self.lines:
                line.second_passed()
            for body in slow_links(self.lines, self._config.slowlink_threshold):
                self.emit(body)
        if self._config.stats_period and soon >= self._next_stats:
            self._next_stats = max(self._next_stats, now - TICK / 2) + self._config.stats_period
            self._tell_stats()
            self.path.tell_faults()

    def _tell_stats(self) -> None:
        for body in media_stats(self.lines, self.dtls):
            self.emit(body)

    def _fail_ice(self) -> None:
        self.ice.fail()
        self.close("ICE failed")

    # --- the end -----------------------------------------------------------------------------------------

    def close(self, reason: str | None) -> None:
        """End it: the last statistics, and with a reason a hangup."""
        if self.closed:
            return
        self.closed = True
        self.up = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.channels is not None:
            self.channels.close()
        if self.dtls is not None:
            self.dtls.close()
        if self.offer is not None and self.ice.stage is not IceStage.NEW:
            self._tell_stats()
            self.path.tell_faults()
            self.ice.tell_counters()
            self._tell_dtls()
        self.ice.close()
        self.path.close()
        self._engine.forget(self)
        self._early.clear()
        self._early_checks.clear()
        if reason is not None:
            self.emit(Connection(connection="hangup", reason=reason))

    def emit(self, body: Body) -> None:
        """Tell the observer. Its failures are its own: none may stop a call half-way through a change."""
        try:
            self._observer.fact(body)
        except Exception:
            logger.exception("an observer failed at %s", type(body).__name__)

    def _mark(self, what: str) -> None:
        self.moments.setdefault(what, self._clock.wall_us())
