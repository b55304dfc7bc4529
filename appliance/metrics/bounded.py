"""The bounded tier: a fold over the event stream into series whose number no input can raise.

The same for every source of events. Time is a :class:`~appliance.core.clock.Clock`; what is timed between two events
uses their own timestamps.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from appliance.core import events as ev
from appliance.core.clock import Clock
from appliance.core.events import Event
from appliance.metrics import names as n
from appliance.metrics.family import OTHER, Family
from appliance.metrics.labels import SERVER
from appliance.metrics.ledger import Ledger, Server
from appliance.metrics.lives import Life, Peer, Recent
from appliance.metrics.places import Places
from appliance.metrics.population import MAX_HANDLES, HandleWatcher, Population
from appliance.metrics.series import Bounds, Table
from appliance.metrics.setup import FIRST_MEDIA_S, Setup
from appliance.metrics.track import kind_of, mid_of
from appliance.metrics.words import failure_word, pair_words, plugin_word, reason_word, transport_word


class BoundedTier:
    """State of the events so far; :meth:`lines` is ``/metrics``'s part of it.

    ``codes`` are the verdicts that there are. ``watcher`` hears of every handle.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        codes: Iterable[str] = (),
        watcher: HandleWatcher | None = None,
        max_handles: int = MAX_HANDLES,
    ) -> None:
        self._clock = clock
        known = tuple(codes)
        self.bounds = Bounds({"code": known} if known else None)
        self._live = Ledger(self.bounds)
        self._shadow = Ledger(self.bounds)
        """Where what is told again is counted, and never shown."""
        self._ledger = self._live
        self.places = Places(clock, self.bounds, (self._live, self._shadow))
        self.population = Population(clock, watcher=watcher, max_handles=max_handles, lost=self._lost)
        self._gone_transports = Recent(1_000)
        self._judged = Recent()
        self.tracks_refused = 0
        self._takers: dict[type, Callable[[Server, Event, Any], None]] = {
            ev.MediaStats: self._media_stats,
            ev.Session: self._session,
            ev.Handle: self._handle,
            ev.External: self._external,
            ev.Jsep: self._jsep,
            ev.IceState: self._ice_state,
            ev.SelectedPair: self._selected_pair,
            ev.DtlsState: self._dtls_state,
            ev.DtlsDetail: self._dtls_detail,
            ev.Connection: self._connection,
            ev.MediaState: self._media_state,
            ev.SlowLink: self._slow_link,
            ev.RtcpReport: self._rtcp_report,
            ev.MediaFault: self._media_fault,
            ev.Plugin: self._plugin,
            ev.Transport: self._transport,
            ev.Core: self._core,
            ev.Shutdown: self._shutdown,
            ev.Gap: self._gap,
            ev.ApiError: self._api_error,
        }

    # --- series ----------------------------------------------------------------------------------------------

    @property
    def series(self) -> int:
        """How many there are."""
        return len(self._live)

    def lines(self, openmetrics: bool) -> Iterator[str]:
        """Every family, after the levels are brought up to date."""
        self._ledger = self._live
        self.population.sweep()
        self._levels()
        yield from self._live.lines(openmetrics)

    def table(self, family: Family) -> Table:
        """The series of a counter or gauge."""
        return self._ledger.table(family)

    def _levels(self) -> None:
        for family in (n.SESSIONS, n.HANDLES, n.PEERCONNECTIONS, n.PEERCONNECTIONS_SILENT):
            self.table(family).clear()
            for label in self._live.servers:
                self.table(family).zero(label)
        # Counted first: thousands of handles are few kinds.
        for emitter, count in Counter(emitter for emitter, _ in self.population.sessions).items():
            self.table(n.SESSIONS).add(self.bounds.admit(SERVER, emitter), by=count)
        lives = self.population.handles.values()
        for values, count in Counter((life.server, life.plugin) for life in lives).items():
            self.table(n.HANDLES).add(*values, by=count)
        peers = [(life.server, life.peer) for life in lives if life.peer is not None]
        for values, count in Counter((server, peer.state) for server, peer in peers).items():
            self.table(n.PEERCONNECTIONS).add(*values, by=count)
        long_ago = self._clock.monotonic() - FIRST_MEDIA_S
        for server, peer in peers:
            if not peer.seen_media and peer.up_at is not None and peer.up_at <= long_ago and peer.setup.expects_media:
                self.table(n.PEERCONNECTIONS_SILENT).add(server)

    # --- events ----------------------------------------------------------------------------------------------

    def take(self, item: Event) -> None:
        """Take one event. Whatever is in it, nothing is raised and no unbounded series is made."""
        ledger = self._live
        self.places.make_room_for(item.emitter)
        server = ledger.server(item.emitter)
        if item.replayed:
            # Told before: it says what is alive, and counts nowhere.
            ledger = self._shadow
            server = ledger.server(item.emitter)
        self._ledger = ledger
        cell = server.types.get(item.type)
        if cell is None:
            cell = ledger.cell(n.EVENTS, server.label, OTHER)
        cell.value += 1
        server.last_event.value = self._clock.wall_us() / 1e6
        taker = self._takers.get(type(item.event))
        if taker is not None:
            taker(server, item, item.event)

    # --- sessions and handles --------------------------------------------------------------------------------

    def _session(self, server: Server, item: Event, body: ev.Session) -> None:
        if item.session_id is None:
            return
        key = (item.emitter, item.session_id)
        if body.name == "created":
            self.population.session_began(key, body.transport.id if body.transport else None)
        elif body.name in {"destroyed", "timeout"}:
            transport = self.population.sessions.get(key)
            reason = body.name
            if reason == "destroyed" and transport is not None and (item.emitter, transport) in self._gone_transports:
                reason = "transport_gone"
            if self.population.session_ended(key):
                self.table(n.SESSIONS_ENDED).add(server.label, reason)

    def _handle(self, server: Server, item: Event, body: ev.Handle) -> None:
        if body.name == "detached":
            life = self.population.alive(item)
            if life is not None:
                life.plugin = life.plugin or plugin_word(body.plugin)
                if life.peer is not None:
                    self._end_peer(life, life.peer, None, item.timestamp)
                self.population.detach(life)
            return
        life = self.population.life(item, server.label, known=True)
        if life is not None:
            life.attached = True
            life.plugin = plugin_word(body.plugin)
            life.opaque_id = item.opaque_id or body.opaque_id
            life.labels = None

    def _lost(self, life: Life) -> None:
        if life.peer is not None:
            self._end_peer(life, life.peer, None, self._clock.wall_us())

    def _external(self, server: Server, item: Event, body: ev.External) -> None:
        if body.schema != ev.VERDICT_SCHEMA:
            return
        code = body.data.get("code")
        # One PeerConnection is judged again as it goes on; only the last word counts, and only once.
        if not isinstance(code, str) or body.data.get("final") is False:
            return
        if item.correlation_id is not None:
            if item.correlation_id in self._judged:
                return
            self._judged.add(item.correlation_id)
        self.table(n.VERDICTS).add(server.label, code)

    # --- one PeerConnection ----------------------------------------------------------------------------------

    def _new_peer(self, life: Life) -> Peer:
        def observe(phase: str, outcome: str, seconds: float) -> None:
            cell = self._ledger.histogram(n.SETUP_PHASE, life.server, phase, outcome)
            cell.observe(seconds, self._correlation, self._clock.wall_us() / 1e6)

        peer = Peer(Setup(observe))
        life.next_peer(peer)
        return peer

    def _start_peer(self, server: Server, item: Event, life: Life) -> Peer:
        if life.attached and not item.replayed:
            life.known = True
        self.table(n.PEERCONNECTIONS_STARTED).add(server.label, life.plugin)
        return self._new_peer(life)

    _correlation: str | None = None
    """Of the event that is being taken: the exemplar of what it observes."""

    def _end_peer(self, life: Life, peer: Peer, reason: str | None, us: int) -> None:
        label = life.server
        peer.setup.end(reason, us)
        timeout = reason == "DTLS timeout"
        if peer.dtls == "failed" or (peer.dtls == "trying" and (reason or "").startswith("DTLS")):
            outcome = "timeout" if timeout else (peer.detail or OTHER)
            self.table(n.DTLS_HANDSHAKES).add(label, outcome)
        self.table(n.HANGUPS_TOTAL).add(label, reason_word(reason) if reason is not None else "detach")
        self.table(n.PEERCONNECTIONS_ENDED).add(label, life.plugin)
        life.peer = None
        life.ended_peers += 1

    def _jsep(self, server: Server, item: Event, body: ev.Jsep) -> None:
        life = self.population.life(item, server.label)
        if life is None:
            return
        self._correlation = item.correlation_id
        peer = life.peer or self._start_peer(server, item, life)
        peer.setup.described(body.owner, body.jsep.sdp, item.timestamp)

    def _ice_state(self, server: Server, item: Event, body: ev.IceState) -> None:
        self.table(n.ICE_STATES).add(server.label, body.ice)
        life = self.population.life(item, server.label)
        if life is None:
            return
        self._correlation = item.correlation_id
        peer = life.peer
        if peer is None:
            if body.ice != "gathering":
                return
            # A plugin that makes the offer gathers before it has one.
            peer = self._start_peer(server, item, life)
        peer.setup.ice(body.ice, item.timestamp)
        if peer.up_at is not None:
            if body.ice in {"disconnected", "failed"}:
                peer.state = "disconnected"
            elif body.ice in {"connected", "ready"}:
                peer.state = "up"

    def _selected_pair(self, server: Server, item: Event, body: ev.SelectedPair) -> None:
        self.table(n.SELECTED_PAIRS).add(server.label, *pair_words(body))

    def _dtls_state(self, server: Server, item: Event, body: ev.DtlsState) -> None:
        life = self.population.life(item, server.label)
        if life is None or life.peer is None:
            return
        self._correlation = item.correlation_id
        peer = life.peer
        peer.setup.dtls(body.dtls, item.timestamp)
        if body.retransmissions > peer.retransmissions:
            by = body.retransmissions - peer.retransmissions
            self.table(n.DTLS_RETRANSMISSIONS).add(server.label, by=by)
            peer.retransmissions = body.retransmissions
        if body.dtls == "connected":
            if peer.dtls != "connected":
                self.table(n.DTLS_HANDSHAKES).add(server.label, "ok")
            peer.dtls = "connected"
        elif peer.dtls != "connected":
            # Why it failed is told by what follows; it is counted at the end.
            peer.dtls = body.dtls

    def _dtls_detail(self, server: Server, item: Event, body: ev.DtlsDetail) -> None:
        life = self.population.life(item, server.label)
        if life is None or life.peer is None or life.peer.dtls == "connected":
            return
        life.peer.detail = failure_word(body) or life.peer.detail

    def _connection(self, server: Server, item: Event, body: ev.Connection) -> None:
        life = self.population.life(item, server.label)
        if life is None or life.peer is None:
            return
        self._correlation = item.correlation_id
        if body.connection == "hangup":
            self._end_peer(life, life.peer, body.reason or OTHER, item.timestamp)
        elif body.connection == "webrtcup" and life.peer.up_at is None:
            life.peer.state = "up"
            life.peer.up_at = self._clock.monotonic()
            life.peer.setup.up(item.timestamp)
            self.table(n.PEERCONNECTIONS_UP).add(server.label, life.plugin)

    # --- media -----------------------------------------------------------------------------------------------

    def _media_stats(self, server: Server, item: Event, body: ev.MediaStats) -> None:
        life = self.population.life(item, server.label)
        if life is None:
            return
        if life.peer is None and not life.ended_peers and not life.known:
            # The collector came while the call was on.
            peer = self._new_peer(life)
            peer.state, peer.seen_media, peer.up_at = "up", True, self._clock.monotonic()
        mid = mid_of(body)
        track = life.track(body.media, mid)
        if track is None:
            self.tracks_refused += 1
            return
        track.take(body, item.timestamp, life.round_trip)
        if track.round_trip is not None:
            life.round_trip = track.round_trip
        cells = server.media(track.kind)
        cells.count(track)
        if track.kind != "data":
            if track.packets_in and life.peer is not None:
                life.peer.seen_media = True
            cells.measure(track, item.correlation_id, item.timestamp / 1e6)

    def _media_state(self, server: Server, item: Event, body: ev.MediaState) -> None:
        life = self.population.life(item, server.label)
        if life is None or life.peer is None:
            return
        key = f"{body.mid}/{body.media}/{body.substream}"
        if body.receiving:
            life.stalled.discard(key)
            life.peer.seen_media = True
            self._correlation = item.correlation_id
            life.peer.setup.media(item.timestamp)
        elif key not in life.stalled and len(life.stalled) < 256:
            life.stalled.add(key)
            self.table(n.MEDIA_STALLS).add(server.label, kind_of(body.media))

    def _slow_link(self, server: Server, item: Event, body: ev.SlowLink) -> None:
        direction = {"uplink": "out", "downlink": "in"}.get(body.slow_link, OTHER)
        self.table(n.SLOW_LINKS).add(server.label, direction, kind_of(body.media or ""))

    def _rtcp_report(self, server: Server, item: Event, body: ev.RtcpReport) -> None:
        self.table(n.RTCP_REPORTS).add(server.label, body.direction)

    def _media_fault(self, server: Server, item: Event, body: ev.MediaFault) -> None:
        data = body.kind.removeprefix(ev.DATA_FAULT)
        table = self.table(n.RTP_FAULTS if data == body.kind else n.DATA_FAULTS)
        table.add(server.label, data, by=max(0, body.count))

    # --- the rest --------------------------------------------------------------------------------------------

    def _plugin(self, server: Server, item: Event, body: ev.Plugin) -> None:
        life = self.population.life(item, server.label)
        if life is None:
            return
        if not life.plugin:
            life.plugin = plugin_word(body.plugin)
            life.labels = None
        room = body.data.get("room")
        if isinstance(room, str | int) and not isinstance(room, bool) and str(room) != life.room:
            life.room = str(room)[:128]
            life.labels = None

    def _transport(self, server: Server, item: Event, body: ev.Transport) -> None:
        what = body.data.get("event")
        self.table(n.TRANSPORT_EVENTS).add(
            server.label, transport_word(body.transport), what if isinstance(what, str) else OTHER
        )
        if what == "disconnected":
            self._gone_transports.add((item.emitter, body.id))

    def _core(self, server: Server, item: Event, body: ev.Core) -> None:
        # Where an end was lost, an update that knows of nobody puts it right.
        counts = [(body.info or {}).get(key) for key in ("sessions", "handles", "peerconnections")]
        if body.status == "started" or (body.status == "update" and counts == [0, 0, 0]):
            self.population.clear(item.emitter)

    def _shutdown(self, server: Server, item: Event, body: ev.Shutdown) -> None:
        self.population.clear(item.emitter)

    def _gap(self, server: Server, item: Event, body: ev.Gap) -> None:
        # A restart may be this collector's own: a gateway's own begins with ``started``.
        self.table(n.EVENT_GAPS).add(server.label, body.reason)
        for word, count in body.dropped.items():
            self.table(n.EVENTS_MISSING).add(server.label, word, by=max(0, count))

    def _api_error(self, server: Server, item: Event, body: ev.ApiError) -> None:
        self.table(n.API_REFUSALS).add(server.label, str(body.code))
