"""What is known of one PeerConnection, folded from its events: a live call, a stored one and a file give the same.

Pure: no clock, no I/O. Nothing that an event holds makes it raise, and everything that grows is bounded, because the
events are about strangers' calls. Janus's events carry no counters; what only our gateway tells stays ``None``.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from appliance.core import events as e
from appliance.diagnosis.agent import by_description
from appliance.diagnosis.candidates import Candidate, parse_candidate
from appliance.diagnosis.descriptions import read_description
from appliance.diagnosis.facts import End, Facts, Hole, Mark, Refusal, Selected, State
from appliance.diagnosis.series import MAX_POINTS
from appliance.diagnosis.tracks import Track

MAX_LIST = 60
"""Entries of each kind that are kept: descriptions, state changes, errors, ..."""
MAX_CANDIDATES = 200
MAX_PAIRS = 200
MAX_TRACKS = 64
MAX_TRANSPORTS = 32
COUNTERS_LAG_US = 4_000_000
"""Counters further apart than this tell how much, and no longer when."""
CONNECTED = {"connected", "ready"}
_RTCP_COMPONENT = 2


class Timeline(Facts):
    """Fold with :meth:`add`, in the order of arrival; ask :func:`appliance.diagnosis.verdict.judge` for the meaning.

    ``points`` bounds each track's curves; 0 where nobody plots. ``texts`` keeps the SDP itself.
    """

    def __init__(self, *, points: int = MAX_POINTS, texts: bool = True) -> None:
        super().__init__()
        self._points = points
        self._texts = texts
        self._session_transport: str | None = None
        self._transports: dict[str, tuple[str, str | None]] = {}
        """Address and User-Agent of API connections whose session is not known yet."""
        self._closed: dict[str, Mark] = {}

    @classmethod
    def fold(cls, events: Iterable[e.Event], *, points: int = MAX_POINTS, texts: bool = True) -> "Timeline":
        """The timeline of a whole call."""
        timeline = cls(points=points, texts=texts)
        for item in events:
            timeline.add(item)
        return timeline

    # --- taking events ---------------------------------------------------------------------------------------

    def add(self, item: e.Event) -> None:
        """Take the next event; one that is about another PeerConnection is left out."""
        if isinstance(item.event, e.External) or not self._mine(item):
            return
        self.count += 1
        timestamp_us = item.timestamp
        if item.inferred:
            self._inferred(item)
        if not isinstance(item.event, e.Gap):
            # A gap has the time of whoever noticed it, by another clock than the server's.
            self.last_us = max(timestamp_us, self.last_us)
        take = self._TAKERS.get(type(item.event))
        # RTCP on a component of its own says nothing of the media. (A Janus up to 0.2 had two.)
        if take is not None and getattr(item.event, "component_id", 1) != _RTCP_COMPONENT:
            take(self, item.event, Mark(timestamp_us, item.id or self.count))

    def _inferred(self, item: e.Event) -> None:
        """What a server was asked for stands where events are missing, so their absence proves little."""
        body, at = item.event, Mark(item.timestamp, item.id or self.count)
        over = isinstance(body, e.Connection) and body.connection == "hangup"
        if over and not self.ends:
            self.untold, self.heard_us = at, self.last_us
        elif isinstance(body, e.Jsep) and not self.joined:
            self.joined = True
        else:
            return
        self.holes.append(Hole(at.timestamp_us, at.event_id, "asked", {}))

    def _mine(self, item: e.Event) -> bool:
        if item.handle_id is None:
            if item.session_id is None:
                # A queue that overflowed lost the events of every server; all else is about its own.
                other = item.emitter and self.emitter and item.emitter != self.emitter
                return not other or isinstance(item.event, e.Gap)
            self.session_id = item.session_id if self.session_id is None else self.session_id
            return item.session_id == self.session_id
        if self.handle_id is None:
            if self.session_id is not None and item.session_id != self.session_id:
                return False
            self.handle_id = item.handle_id
            self.session_id = item.session_id
            self.correlation_id = item.correlation_id
            self.emitter = item.emitter
            self.started_us = item.timestamp
        elif self.handle_id != item.handle_id or self.session_id != item.session_id:
            return False
        if item.correlation_id != self.correlation_id:
            # The handle's earlier PeerConnection has other facts, but the same plugin.
            return isinstance(item.event, e.Handle)
        self.opaque_id = item.opaque_id or self.opaque_id
        return True

    def _session(self, body: e.Session, at: Mark) -> None:
        if body.name == "created":
            if body.transport is not None:
                self.transport = body.transport.transport
                self._session_transport = body.transport.id
                seen = self._transports.get(body.transport.id)
                if seen is not None:
                    self.client_address, self.user_agent = seen
                self.transport_closed = self._closed.get(body.transport.id, self.transport_closed)
        elif body.name in {"destroyed", "timeout"}:
            self._end(End(at.timestamp_us, at.event_id, body.name))

    def _handle(self, body: e.Handle, at: Mark) -> None:
        self.plugin = body.plugin
        self.opaque_id = body.opaque_id or self.opaque_id
        if body.name == "attached":
            self.attached = at
        elif body.name == "detached":
            self._end(End(at.timestamp_us, at.event_id, "detached"))

    def _plugin_said(self, body: e.Plugin, at: Mark) -> None:
        room, display = body.data.get("room"), body.data.get("display")
        if isinstance(room, str | int) and not isinstance(room, bool):
            self.room = str(room)[:255]
        if isinstance(display, str) and display:
            self.display = display[:255]

    def _end(self, end: End) -> None:
        if len(self.ends) < MAX_LIST:
            self.ends.append(end)

    def _transport(self, body: e.Transport, at: Mark) -> None:
        what = body.data.get("event")
        # A tuple: what a transport says of itself may be anything, also what has no hash.
        if what in ("disconnected", "failed"):
            if body.id == self._session_transport:
                self.transport_closed = at
            else:
                _keep(self._closed, body.id, at)
            return
        ip, port = body.data.get("ip"), body.data.get("port")
        if isinstance(ip, str) and ip:
            address = f"{ip[:64]}:{port}" if isinstance(port, int) else ip[:64]
            agent = body.data.get("user_agent")
            seen = address, agent[:256] if isinstance(agent, str) else None
            if body.id == self._session_transport:
                self.client_address, self.user_agent = seen
            else:
                _keep(self._transports, body.id, seen)

    def _shutdown(self, body: e.Shutdown, at: Mark) -> None:
        self._end(End(at.timestamp_us, at.event_id, "shutdown"))

    def _core(self, body: e.Core, at: Mark) -> None:
        # A server that begins knows nothing of the calls that it had.
        if body.status == "started" and self.count > 1:
            self._end(End(at.timestamp_us, at.event_id, "shutdown"))

    def _gap(self, body: e.Gap, at: Mark) -> None:
        self.dropped += sum(body.dropped.values())
        if len(self.holes) < MAX_LIST:
            self.holes.append(Hole(at.timestamp_us, at.event_id, body.reason, body.dropped))

    def _api_error(self, body: e.ApiError, at: Mark) -> None:
        if len(self.refusals) < MAX_LIST:
            self.refusals.append(Refusal(at.timestamp_us, at.event_id, body.code, body.reason[:300]))

    def _jsep(self, body: e.Jsep, at: Mark) -> None:
        sdp = body.jsep.sdp
        found = read_description(
            sdp, owner=body.owner, kind=body.jsep.type, timestamp_us=at.timestamp_us, event_id=at.event_id
        )
        if not self._texts:
            found.sdp = ""
        if len(self.descriptions) >= MAX_LIST:
            # The first exchange and the latest tell the most.
            del self.descriptions[4]
        self.descriptions.append(found)
        if found.owner == "remote":
            self.remote = found
            self.implementation = by_description(sdp)
            for candidate in found.candidates:
                self._remote(candidate, at)
        else:
            self.local = found
            for candidate in found.candidates:
                self._local(candidate, at)
        if found.type == "answer" and self.answered is None:
            self.answered = at
        self._agree(at.timestamp_us)

    def _agree(self, timestamp_us: int) -> None:
        """What each side may now be expected to send."""
        sends, owes = set(), set()
        for line in self.remote.media if self.remote else ():
            ours = self.local.line(line.mid) if self.local else None
            if line.is_rtp and line.sends and (ours is None or ours.receives):
                sends.add(line.mid)
            if line.is_rtp and line.receives and ours is not None and ours.sends:
                owes.add(line.mid)
        self.expected_since = {mid: self.expected_since.get(mid, timestamp_us) for mid in sends}
        self.owed_since = {mid: self.owed_since.get(mid, timestamp_us) for mid in owes}

    def _local(self, candidate: Candidate, at: Mark) -> None:
        self.first_local_candidate = self.first_local_candidate or at
        if candidate not in self.local_candidates and len(self.local_candidates) < MAX_CANDIDATES:
            self.local_candidates.append(candidate)
            self.last_local_candidate = at

    def _remote(self, candidate: Candidate, at: Mark) -> None:
        if candidate not in self.remote_candidates and len(self.remote_candidates) < MAX_CANDIDATES:
            self.remote_candidates.append(candidate)
            if len(self.candidate_ids) < 12 and at.event_id not in self.candidate_ids:
                self.candidate_ids.append(at.event_id)

    def _local_candidate(self, body: e.LocalCandidate, at: Mark) -> None:
        candidate = parse_candidate(body.candidate)
        if candidate is not None:
            self._local(candidate, at)

    def _remote_candidate(self, body: e.RemoteCandidate, at: Mark) -> None:
        candidate = parse_candidate(body.candidate)
        if candidate is not None:
            self._remote(candidate, at)

    def _end_of_candidates(self, body: e.EndOfCandidates, at: Mark) -> None:
        self.end_of_candidates = at

    def _ice(self, body: e.IceState, at: Mark) -> None:
        if len(self.ice_states) < MAX_LIST:
            self.ice_states.append(State(at.timestamp_us, at.event_id, body.ice))
        if body.ice == "gathering":
            if self.gathering is not None and self.ice_connected is not None:
                self.ice_restarts += 1
            self.gathering = self.gathering or at
        elif body.ice == "connecting":
            self.connecting = self.connecting or at
        elif body.ice in CONNECTED:
            self.ice_connected = self.ice_connected or at
            self.ice_failed = None  # late candidates can still save it
            if self.ice_lost is not None:
                if len(self.outages) < MAX_LIST:
                    self.outages.append((self.ice_lost.timestamp_us, at.timestamp_us, at.event_id))
                self.ice_lost = None
            self._alive(at.timestamp_us)
        elif body.ice == "failed" and self.ice_connected is None:
            self.ice_failed = self.ice_failed or at
        elif body.ice in {"failed", "disconnected"} and self.ice_connected is not None:
            self.ice_lost = self.ice_lost or at

    def _alive(self, timestamp_us: int) -> None:
        self.observed_us = max(timestamp_us, self.observed_us)
        self.peer_us = max(timestamp_us, self.peer_us or 0)

    def _selected(self, body: e.SelectedPair, at: Mark) -> None:
        local_type = remote_type = None
        ends = body.pair
        if body.candidates is not None:
            local, remote = body.candidates.local, body.candidates.remote
            local_type, remote_type = local.type, remote.type
            ends = f"{local.address}:{local.port} {remote.address}:{remote.port}"
        if len(self.selected) >= MAX_LIST:
            del self.selected[1]
        self.selected.append(Selected(at.timestamp_us, at.event_id, body.pair[:300], ends, remote_type, local_type))

    def _pair_counters(self, body: e.PairCounters, at: Mark) -> None:
        answers = sum(pair.responses_received + pair.requests_received for pair in self.pairs.values())
        for pair in body.pairs:
            key = (pair.local.address, pair.local.port, pair.remote.address, pair.remote.port, pair.remote.transport)
            if key in self.pairs or len(self.pairs) < MAX_PAIRS:
                self.pairs[key] = pair
                if self.up is None:
                    self.probes_before[key] = (pair.requests_sent, pair.responses_received)
        heard = sum(pair.responses_received + pair.requests_received for pair in self.pairs.values())
        self.first_counters = self.first_counters or at
        # At the end they are a sum over the whole call, and no news of when.
        if (
            heard > answers
            and self.last_counters is not None
            and at.timestamp_us - self.last_counters.timestamp_us < COUNTERS_LAG_US
        ):
            self._alive(at.timestamp_us)
        self.last_counters = at
        if self.first_request is None and any(pair.requests_received for pair in self.pairs.values()):
            self.first_request = at

    def _dtls_state(self, body: e.DtlsState, at: Mark) -> None:
        if len(self.dtls_states) < MAX_LIST:
            self.dtls_states.append(State(at.timestamp_us, at.event_id, body.dtls))
        self.retransmissions = max(body.retransmissions, self.retransmissions)
        if body.dtls == "trying":
            self.dtls_trying = self.dtls_trying or at
        elif body.dtls == "connected":
            self.dtls_connected = self.dtls_connected or at
        elif body.dtls == "failed":
            self.dtls_failed = self.dtls_failed or at

    def _dtls_detail(self, body: e.DtlsDetail, at: Mark) -> None:
        self.dtls, self.dtls_mark = body, at
        alert = body.alert
        if alert is not None and (self.alert is None or (alert.level == "fatal" and self.alert.level != "fatal")):
            self.alert, self.alert_mark = alert, at

    def _connection(self, body: e.Connection, at: Mark) -> None:
        if body.connection == "webrtcup":
            self.up = self.up or at
            self.ice_connected = self.ice_connected or at
            self._alive(at.timestamp_us)
        elif body.connection == "hangup":
            self.hangup_reason = body.reason
            self._end(End(at.timestamp_us, at.event_id, "hangup", body.reason))

    def _track(self, mid: str | None, media: str) -> Track | None:
        kind, _, layer_text = media.partition("-sim")
        layer = int(layer_text) if layer_text in {"1", "2"} else 0
        key = (self.mid_of(kind) if mid is None else mid, layer)
        track = self.tracks.get(key)
        if track is None and len(self.tracks) < MAX_TRACKS:
            track = self.tracks[key] = Track(key[0], kind, layer, self._points)
        return track

    def _media_state(self, body: e.MediaState, at: Mark) -> None:
        track = self._track(body.mid, f"{body.media}-sim{body.substream}" if body.substream else body.media)
        if len(self.media_states) < MAX_LIST:
            name = "receiving" if body.receiving else "not receiving"
            self.media_states.append(State(at.timestamp_us, at.event_id, name))
        self.observed_us = max(at.timestamp_us, self.observed_us)
        if track is not None:
            track.state(at.timestamp_us, at.event_id, receiving=body.receiving, seconds=body.seconds or 1)
        if body.receiving:
            self._alive(at.timestamp_us)

    def _slow_link(self, body: e.SlowLink, at: Mark) -> None:
        ids = self.slow_links.setdefault(body.slow_link[:16], []) if len(self.slow_links) < 8 else []
        if len(ids) < MAX_LIST:
            ids.append(at.event_id)

    def _media_stats(self, body: e.MediaStats, at: Mark) -> None:
        track = self._track(body.mid, body.media)
        # The last ones repeat what was, and may come long after the media ended.
        if not self.ends or self.end("hangup") is None:
            self.observed_us = max(at.timestamp_us, self.observed_us)
        if track is not None and track.stats(at.timestamp_us, at.event_id, body):
            self._alive(at.timestamp_us)

    def _rtcp_report(self, body: e.RtcpReport, at: Mark) -> None:
        if body.direction == "in":
            self._alive(at.timestamp_us)
            track = self.tracks.get((body.mid, 0)) if body.mid is not None else None
            if track is not None and body.sender_info is not None and track.last is not None and track.last.base:
                track.clock.add(at.event_id, body.ssrc, body.sender_info, track.last.base)

    def _media_fault(self, body: e.MediaFault, at: Mark) -> None:
        kind = body.kind[:32]
        if kind in self.faults or len(self.faults) < MAX_LIST:
            self.faults[kind] = self.faults.get(kind, 0) + max(0, body.count)
        if len(self.fault_ids) < 12:
            self.fault_ids.append(at.event_id)

    _TAKERS: ClassVar[dict[type, Callable[["Timeline", Any, Mark], None]]] = {
        e.Session: _session,
        e.Handle: _handle,
        e.Plugin: _plugin_said,
        e.Jsep: _jsep,
        e.IceState: _ice,
        e.LocalCandidate: _local_candidate,
        e.RemoteCandidate: _remote_candidate,
        e.SelectedPair: _selected,
        e.DtlsState: _dtls_state,
        e.Connection: _connection,
        e.PairCounters: _pair_counters,
        e.DtlsDetail: _dtls_detail,
        e.EndOfCandidates: _end_of_candidates,
        e.MediaState: _media_state,
        e.SlowLink: _slow_link,
        e.MediaStats: _media_stats,
        e.RtcpReport: _rtcp_report,
        e.MediaFault: _media_fault,
        e.Transport: _transport,
        e.Shutdown: _shutdown,
        e.Core: _core,
        e.Gap: _gap,
        e.ApiError: _api_error,
    }


def _keep(table: dict[str, Any], key: str, value: Any) -> None:
    """Remember the latest few: a transport is told of before the session that it makes."""
    table[key] = value
    if len(table) > MAX_TRANSPORTS:
        del table[next(iter(table))]
