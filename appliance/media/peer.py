"""One PeerConnection: description, ICE, DTLS, packets, reports and data channels put together."""

import logging
import random
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from appliance.core.clock import Clock
from appliance.core.events import Body, Connection
from appliance.core.peer import AnswerPolicy, MLines, OfferLine, PeerObserver, SdpRefusedError, Tap, WireTap
from appliance.media.association import Association
from appliance.media.bandwidth import BandwidthEstimate
from appliance.media.config import MAX_REMOTE_ADDRESSES, MediaConfig
from appliance.media.describe import describe
from appliance.media.dtls import Dtls
from appliance.media.full import FullIceAgent
from appliance.media.ice import IceAgent
from appliance.media.lines import MediaLines
from appliance.media.negotiation import (
    LocalTransport,
    NegotiatedLine,
    Offer,
    negotiate,
    read_offer,
    write_answer,
    write_description,
)
from appliance.media.offering import Numbering, Wanted, plan, read_answer
from appliance.media.pair import Pair
from appliance.media.path import MediaPath
from appliance.media.port import Port
from appliance.media.reports import Reports
from appliance.media.sctp import DataChannels
from appliance.media.stages import IceStage
from appliance.media.udp import address_of
from appliance.media.watch import Watch
from appliance.wire import rtcp, stun

if TYPE_CHECKING:
    from appliance.media.engine import Engine

logger = logging.getLogger(__name__)


class Peer(MediaLines):
    """Implements :class:`appliance.core.peer.PeerConnection`."""

    def __init__(self, engine: "Engine", config: MediaConfig, clock: Clock, observer: PeerObserver) -> None:
        path = MediaPath(
            clock,
            self.emit,
            self._rtcp_received,
            random.randrange(1, 1 << 32),
            engine.drop,
            BandwidthEstimate(config.max_bitrate),
        )
        super().__init__(path, history_bytes=config.nack_history_bytes)
        self.up = False
        self.offer: Offer | None = None
        self.answer = ""
        self.closed = False
        self.moments: dict[str, int] = {}
        """Wall clock, microseconds, of what the Admin API shows: created, gathered, connected, ..."""
        self.dropped: dict[str, int] = {}
        """Data messages that were not sent, by why."""
        self._engine = engine
        self._config = config
        self._clock = clock
        self._observer = observer
        self.tag = secrets.token_bytes(4)
        """Begins the transaction ids of its probes."""
        agent = IceAgent if config.ice == "lite" else FullIceAgent
        self.ice = agent(
            engine.gathering,
            clock,
            self.emit,
            tag=self.tag,
            proven=self._is_proven,
            released=lambda pair: engine.release(self, pair),
            selected_changed=self._pair_changed,
        )
        self.association = Association(self, engine.identity, clock, observer, timeout=config.dtls_timeout)
        self.reports = Reports(self.path, clock, engine.ntp, self.emit, max_bitrate=config.max_bitrate)
        self.path.relay_estimate = self.reports.relay_estimate
        self._negotiated: tuple[NegotiatedLine, ...] = ()
        self._offered: tuple[NegotiatedLine, ...] | None = None
        """M-lines of an offer of ours that has no answer yet."""
        self._numbering = Numbering()
        self._early_checks: dict[tuple[Port, bytes], Callable[[], bool]] = {}
        self._session_id = secrets.randbits(53)
        self._version = 0
        self._restarting = False
        self._offers = False
        """The descriptions in force began with an offer of ours."""
        self._answered = False
        """An answer was taken, and ICE is to begin."""
        self._watch = Watch(self, config, clock)
        self.mark("created")

    @property
    def dtls(self) -> Dtls | None:
        """``None`` until it is known who the other side is."""
        return self.association.dtls

    @property
    def channels(self) -> DataChannels | None:
        """``None`` until there are data channels."""
        return self.association.channels

    @property
    def send_estimate_bps(self) -> int | None:
        """What the way to the client carries, by its transport-wide feedback; ``None`` while it has told nothing."""
        estimate = self.path.sent.estimate
        return estimate.bps if estimate.has_feedback else None

    # --- description -------------------------------------------------------------------------------------

    def set_remote_offer(self, sdp: str, *, lowest_rid_first: bool = False, svc: MLines = frozenset()) -> None:
        """Read an offer. :raises SdpRefusedError: nothing has changed."""
        if self.closed:
            raise SdpRefusedError("the PeerConnection has ended")
        offer = read_offer(sdp, lowest_rid_first=lowest_rid_first, svc=svc)
        if self.offer is not None and not self.association.is_with(offer):
            raise SdpRefusedError("the offer has another fingerprint, wanted that of the running DTLS association")
        self.offer, self._offered, self._offers = offer, None, False
        self._restarting = self.ice.set_remote(offer.ufrag, offer.pwd)
        if self._restarting:
            self._engine.register(self)

    def gather(self, *, trickle: bool) -> None:
        """Emit gathering, the candidates in the description, our own; begin to listen."""
        if self.closed or self.offer is None:
            return
        first = self.ice.stage is IceStage.NEW
        if first:
            self._engine.register(self)
        if first or self._restarting:
            self.ice.gather()
            self.mark("gathered")
            self._restarting = False
        for text in self.offer.candidates:
            self.ice.add_remote(text)
        if not trickle or self.offer.end_of_candidates:
            self.ice.remote.end()
        self.ice.local.tell()
        if first:
            self._watch.tick_later()
        if self._answered:
            self._answered = False
            self._begin_ice()

    def _begin_ice(self) -> None:
        """Both descriptions are known."""
        assert self.offer is not None, "it is known"
        if self.ice.awaiting_pair:
            self._watch.ice_began()
            self.ice.take_role(controlling=self._offers or self.offer.is_ice_lite)
        self.ice.begin()
        checks, self._early_checks = self._early_checks, {}
        for check in checks.values():
            if not self.closed:
                check()
        if self.up:
            self.association.start_channels(self._negotiated)

    def create_offer(self, lines: Sequence[OfferLine], *, ice_restart: bool = False) -> str:
        """An offer with every m-line in order. :raises SdpRefusedError: nothing has changed."""
        if self.closed:
            raise SdpRefusedError("the PeerConnection has ended")
        wanted = [
            Wanted(line, None if line.source is None else cast(Peer, line.source).line(line.source_mid))
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
            self.mark("gathered")
            self.ice.local.tell()
            self._watch.tick_later()
        return text

    def set_remote_answer(self, sdp: str) -> None:
        """Read the answer to our offer. :raises SdpRefusedError: nothing has changed."""
        if self.closed or self._offered is None:
            raise SdpRefusedError("no offer of ours waits for an answer")
        answer, agreed = read_answer(sdp, self._offered)
        if not self.association.is_with(answer):
            raise SdpRefusedError("the answer has another fingerprint, wanted that of the running DTLS association")
        self.offer, self._offered, self._offers = answer.settled(), None, True
        self._negotiated = agreed
        self._apply(agreed)
        self._restarting = self.ice.set_remote(answer.ufrag, answer.pwd)
        if self._restarting:
            self._engine.register(self)
        self.association.begin(answer)
        self._answered = True
        if self.up:
            self.path.refresh()

    def _local_transport(self, *, offers: bool) -> LocalTransport:
        self._version += 1
        return LocalTransport(
            session_id=self._session_id,
            version=self._version,
            ufrag=self.ice.credentials.ufrag,
            pwd=self.ice.credentials.pwd,
            fingerprint=self._engine.identity.fingerprint,
            is_client=self.dtls is not None and self.dtls.is_client,
            candidates=tuple(self.ice.local.texts),
            ssrcs={line.medium.mid: line.ssrc for line in self.lines},
            rtx_ssrcs={line.medium.mid: line.rtx_ssrc for line in self.lines},
            offers=offers,
            ice_lite=self.ice.lite,
        )

    def create_answer(self, policy: AnswerPolicy) -> str:
        """The answer to the offer set last."""
        assert self.offer is not None, "there is an offer"
        offer = self.offer
        self._negotiated = negotiate(offer, policy)
        self._apply(self._negotiated)
        self.association.begin(offer)
        self.answer = write_answer(offer, self._negotiated, self._local_transport(offers=False))
        self.offer = offer.settled()
        self._begin_ice()
        return self.answer

    # --- candidates --------------------------------------------------------------------------------------

    def add_remote_candidate(self, candidate: str) -> None:
        """Trickle."""
        if not self.closed:
            self.ice.add_remote(candidate)

    def end_of_candidates(self) -> None:
        """The client has no more."""
        if not self.closed:
            self.ice.remote.end()

    # --- what a plugin asks ------------------------------------------------------------------------------

    def set_bitrate(self, bps: int) -> None:
        """Cap what the client sends; 0 takes the cap away."""
        self.reports.bitrate = max(0, bps)
        if self.up:
            self.reports.send_remb(bps or self._config.max_bitrate, self._clock.monotonic())

    def send_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """Send on a data channel; dropped and counted when it is not open."""
        if self.channels is None:
            self.dropped["closed"] = self.dropped.get("closed", 0) + 1
        else:
            self.channels.send(label, protocol, message)

    def set_tap(self, tap: Tap | None) -> None:
        """Show every packet in plain to ``tap``."""
        self.path.tap = tap

    def set_wire_tap(
        self, tap: WireTap | None, secrets: Callable[[str], None] | None = None, *, media: bool = True
    ) -> None:
        """Show datagrams, encrypted as they are, to ``tap``, and what DTLS agrees on to ``secrets``."""
        self.association.secrets = secrets
        self.ice.wire = tap
        self.path.show_wire(tap, media=media)
        if self.path.ready:
            self._engine.take_media(self)

    def _show(self, port: Port, key: bytes, data: bytes) -> None:
        if self.path.wire is not None:
            self.path.wire(data, True, (port.announced, port.port), address_of(key))

    def configure(self, config: MediaConfig) -> None:
        """What the engine's settings are from now on."""
        self._config = self._watch.config = config

    def describe(self) -> dict[str, Any]:
        """The live state, in the shape of Janus's ``handle_info`` key ``webrtc``."""
        return describe(self)

    @property
    def local_fingerprint(self) -> str:
        """Of our certificate, sha-256."""
        return self._engine.identity.fingerprint.value

    # --- datagrams ---------------------------------------------------------------------------------------

    def stun_request(self, port: Port, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        """A Binding request for one of our usernames; false when it is refused."""
        self._show(port, key, data)
        return self._stun_request(port, key, message, data)

    def _stun_request(self, port: Port, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        if self.ice.credentials.remote_ufrag is None:
            # The client begins when it has made its answer, which is still on its way to us.
            if len(self._early_checks) < MAX_REMOTE_ADDRESSES:
                self._early_checks[port, key] = lambda: self._stun_request(port, key, message, data)
            return True
        if not self.ice.request(port, key, message, data):
            return False
        self._alive()
        self._begin_dtls()
        return True

    def _begin_dtls(self) -> None:
        if self.ice.selected is not None and self.association.is_new:
            self.association.start(self.ice.selected)

    def stun_response(self, port: Port, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        """The answer to a probe of ours; false when it is refused."""
        self._show(port, key, data)
        if not self.ice.response(port, key, message, data):
            return False
        self._alive()
        self._begin_dtls()
        return True

    def dtls_datagram(self, port: Port, key: bytes, data: bytes) -> bool:
        """A DTLS datagram from a proven address; false when there was no room to keep it."""
        self._show(port, key, data)
        if not self.association.datagram(port, key, data):
            return False
        self._watch.heard()
        return True

    def _alive(self) -> None:
        self._watch.heard()
        self.ice.heard_again()

    def _is_proven(self, pair: Pair) -> bool:
        return self._engine.prove(self, pair)

    def _pair_changed(self, pair: Pair) -> None:
        self._watch.ice_selected()
        self.mark("connected")
        self.path.set_route(pair)

    def came_up(self) -> None:
        """DTLS is connected, and SRTP has its keys."""
        if self.path.ready:
            self._engine.take_media(self)
        self.up = True
        self.association.start_channels(self._negotiated)
        self.emit(Connection(connection="webrtcup"))
        self.path.refresh()
        self._watch.came_up()

    def _rtcp_received(self, packets: list[rtcp.Packet], now: float) -> None:
        self.reports.received(packets, now)

    # --- the end -----------------------------------------------------------------------------------------

    def close(self, reason: str | None) -> None:
        """End it: the last statistics, and with a reason a hangup."""
        if self.closed:
            return
        self.closed = True
        self.up = False
        self._watch.stop()
        self.association.close()
        if self.offer is not None and self.ice.stage is not IceStage.NEW:
            self._watch.tell_stats()
            self.ice.tell_counters()
            self.association.tell()
        self.ice.close()
        self.path.close()
        self._engine.forget(self)
        self._early_checks.clear()
        if reason is not None:
            self.emit(Connection(connection="hangup", reason=reason))
        # Not now: it is one of its parts that ends it, as a rule.
        self._clock.call_soon(self._let_go)

    def _let_go(self) -> None:
        """Undo the circles in here, so that memory returns now, and not when Python next looks for such."""
        self.lines = []
        for part in (self.ice, self.association, self.reports, self._watch, self.path):
            part.let_go()

    def emit(self, body: Body) -> None:
        """Tell the observer. Its failures are its own: none may stop a call half-way through a change."""
        try:
            self._observer.fact(body)
        except Exception:
            logger.exception("an observer failed at %s", type(body).__name__)

    def mark(self, what: str) -> None:
        """Keep when something happened first, for the Admin API."""
        self.moments.setdefault(what, self._clock.wall_us())
