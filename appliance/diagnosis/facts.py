"""What is known of one PeerConnection at a moment. :class:`~appliance.diagnosis.timeline.Timeline` fills it in."""

from msgspec import Struct

from appliance.core import events as e
from appliance.diagnosis.candidates import Candidate
from appliance.diagnosis.descriptions import Description, MediaLine
from appliance.diagnosis.tracks import Track


class Mark(Struct, frozen=True):
    """When something was, and the event that says so."""

    timestamp_us: int
    event_id: int


class State(Struct, frozen=True):
    """A state that was entered."""

    timestamp_us: int
    event_id: int
    name: str


class End(Struct, frozen=True):
    """Why there is nothing more. ``kind``: hangup, detached, destroyed, timeout or shutdown."""

    timestamp_us: int
    event_id: int
    kind: str
    reason: str | None = None


class Selected(Struct, frozen=True):
    """A candidate pair in use."""

    timestamp_us: int
    event_id: int
    text: str
    ends: str
    """Both addresses without their types: a peer-reflexive candidate that gets its real name is the same path."""
    remote_type: str | None
    local_type: str | None


class Refusal(Struct, frozen=True):
    """An API request that was refused."""

    timestamp_us: int
    event_id: int
    code: int
    reason: str


class Hole(Struct, frozen=True):
    """Events that are missing."""

    timestamp_us: int
    event_id: int
    reason: str
    dropped: dict[str, int]


class Facts:
    """Everything here is written by the fold and read by the rules, the pages and the records."""

    def __init__(self) -> None:
        self.count = 0
        """Events taken."""
        self.correlation_id: str | None = None
        self.emitter = ""
        self.session_id: int | None = None
        self.handle_id: int | None = None
        self.opaque_id: str | None = None
        self.plugin: str | None = None
        self.room: str | None = None
        self.display: str | None = None
        """Of the participant, in the words of the plugin's events."""
        self.implementation: str | None = None
        """The client's, by its description: one of :data:`appliance.diagnosis.agent.FAMILIES`."""
        self.user_agent: str | None = None
        """The header of the API connection, which only our gateway tells."""
        self.client_address: str | None = None
        self.transport: str | None = None
        self.started_us: int | None = None
        """The first event of the handle."""
        self.last_us = 0
        """The latest event of all."""
        self.observed_us = 0
        """The latest event at which a sign of the client on the media path would have shown."""
        self.peer_us: int | None = None
        """The latest sign of the client on the media path."""
        self.joined = False
        """It was under way when its events began to come: the server was asked for its beginning."""
        self.untold: Mark | None = None
        """No event told its end: the server was found without it."""
        self.heard_us: int | None = None
        """Where the end is untold: the latest event before it."""
        self.ends: list[End] = []
        self.attached: Mark | None = None
        self.transport_closed: Mark | None = None
        self.descriptions: list[Description] = []
        self.remote: Description | None = None
        """The client's latest."""
        self.local: Description | None = None
        self.answered: Mark | None = None
        """The first answer, whosever."""
        self.expected_since: dict[str, int] = {}
        """By mid: audio and video that the client has agreed to send, and since when."""
        self.owed_since: dict[str, int] = {}
        """By mid: audio and video that we have agreed to send."""
        self.refusals: list[Refusal] = []
        self.local_candidates: list[Candidate] = []
        self.remote_candidates: list[Candidate] = []
        self.candidate_ids: list[int] = []
        """The events of the first remote candidates."""
        self.first_local_candidate: Mark | None = None
        self.last_local_candidate: Mark | None = None
        self.end_of_candidates: Mark | None = None
        self.ice_states: list[State] = []
        self.gathering: Mark | None = None
        self.connecting: Mark | None = None
        self.ice_connected: Mark | None = None
        self.ice_failed: Mark | None = None
        """Before it was ever connected."""
        self.ice_lost: Mark | None = None
        """Failed or disconnected after it was connected, and not back since."""
        self.ice_restarts = 0
        self.outages: list[tuple[int, int, int]] = []
        """ICE lost and back: from, to, event of the return."""
        self.selected: list[Selected] = []
        self.pairs: dict[tuple[str, int, str, int, str], e.PairStats] = {}
        self.first_counters: Mark | None = None
        self.last_counters: Mark | None = None
        self.first_request: Mark | None = None
        """The first counters that show a STUN request of the client's."""
        self.probes_before: dict[tuple[str, int, str, int, str], tuple[int, int]] = {}
        """Requests sent and answers had when the connection came up: what was unanswered before is no loss."""
        self.dtls_states: list[State] = []
        self.dtls_trying: Mark | None = None
        self.dtls_connected: Mark | None = None
        self.dtls_failed: Mark | None = None
        self.retransmissions = 0
        self.dtls: e.DtlsDetail | None = None
        """The latest detail."""
        self.dtls_mark: Mark | None = None
        self.alert: e.DtlsAlert | None = None
        """The first fatal alert, else the first."""
        self.alert_mark: Mark | None = None
        self.up: Mark | None = None
        self.hangup_reason: str | None = None
        self.tracks: dict[tuple[str, int], Track] = {}
        self.media_states: list[State] = []
        self.slow_links: dict[str, list[int]] = {}
        """Event ids by ``uplink`` and ``downlink``, in Janus's sense."""
        self.faults: dict[str, int] = {}
        self.fault_ids: list[int] = []
        self.holes: list[Hole] = []
        self.dropped = 0
        """Events known to be missing; holes of unknown size add none."""

    def mid_of(self, kind: str) -> str:
        """The mid of the first m-line of this kind, for events from before there were mids."""
        sources = [description for description in (self.remote, self.local) if description is not None]
        wanted = "application" if kind == "data" else kind
        return next((line.mid for source in sources for line in source.media if line.kind == wanted), kind)

    @property
    def ended_us(self) -> int | None:
        """When the first of its ends came; ``None`` while it lives."""
        return min((end.timestamp_us for end in self.ends), default=None)

    def end(self, kind: str) -> End | None:
        """The first end of that kind."""
        return next((end for end in self.ends if end.kind == kind), None)

    @property
    def has_rtp(self) -> bool:
        """Whether audio or video was negotiated; false for data alone."""
        lines: list[MediaLine] = [line for side in (self.remote, self.local) if side for line in side.media]
        return any(line.is_rtp and not line.rejected for line in lines)

    def of_mid(self, mid: str) -> list[Track]:
        """Every layer of that m-line: one that sends is enough."""
        return [track for (name, _), track in self.tracks.items() if name == mid]

    def kind_of(self, mid: str) -> str:
        """audio or video."""
        line = self.remote.line(mid) if self.remote else None
        return line.kind if line is not None else next((track.kind for track in self.of_mid(mid)), "media")

    def rtp_tracks(self) -> list[Track]:
        """Audio and video."""
        return [track for track in self.tracks.values() if track.kind != "data"]

    def first_media(self) -> Mark | None:
        """The first audio or video, from the client where it sends any, else to it."""
        heard = [
            Mark(t.first_received_us, t.first_received_id) for t in self.rtp_tracks() if t.first_received_us is not None
        ]
        if not heard and not self.expected_since:
            heard = [Mark(t.first_sent_us, t.first_sent_id) for t in self.rtp_tracks() if t.first_sent_us is not None]
        return min(heard, key=lambda mark: mark.timestamp_us, default=None)
