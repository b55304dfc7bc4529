"""Type 16: ICE, DTLS, and the PeerConnection as a whole."""

from typing import ClassVar

from msgspec import Struct, field

from appliance.core.events.body import Body, EventType


class IceState(Body, frozen=True, kw_only=True, omit_defaults=False):
    """``ice``: gathering, connecting, connected, ready, disconnected, failed."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 1
    ice: str
    stream_id: int = 1
    component_id: int = 1


class LocalCandidate(Body, frozen=True, kw_only=True, omit_defaults=False):
    """The candidate attribute's value without its ``candidate:`` prefix (RFC 8839 section 5.1)."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 2
    candidate: str = field(name="local-candidate")
    stream_id: int = 1
    component_id: int = 1


class RemoteCandidate(Body, frozen=True, kw_only=True, omit_defaults=False):
    """As the client sent it, or a peer-reflexive one made up from what was heard."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 3
    candidate: str = field(name="remote-candidate")
    stream_id: int = 1
    component_id: int = 1


class CandidateAddress(Struct, frozen=True):
    """One end of a pair. ``type``: host, srflx, prflx or relay; ``family``: 4 or 6."""

    address: str
    port: int
    type: str
    transport: str = "udp"
    family: int = 4


class PairAddresses(Struct, frozen=True):
    """Both ends of a candidate pair, ours first."""

    local: CandidateAddress
    remote: CandidateAddress


class SelectedPair(Body, frozen=True, kw_only=True):
    """``pair`` is ``ip:port [type,udp] <-> ip:port [type,udp]``, ours first; no ``candidates`` before 0.4.1."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 4
    pair: str = field(name="selected-pair")
    candidates: PairAddresses | None = None
    stream_id: int | None = None
    component_id: int | None = None


class DtlsState(Body, frozen=True, kw_only=True, omit_defaults=False):
    """``dtls``: trying, connected or failed."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 5
    dtls: str
    stream_id: int = 1
    component_id: int = 1
    retransmissions: int = 0


UNTOLD = "Not told"
"""``Connection.reason`` of a hangup that no event told: see ``Event.inferred``. No reason of Janus's."""


class Connection(Body, frozen=True, kw_only=True):
    """``connection``: webrtcup or hangup, the latter with Janus's ``reason``."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 6
    connection: str
    reason: str | None = None


class PairStats(Struct, frozen=True, kw_only=True):
    """STUN counters of one candidate pair (W3C ``candidate-pair``), from our side."""

    local: CandidateAddress
    remote: CandidateAddress
    selected: bool = False
    nominated: bool = False
    """The peer asked for this pair with USE-CANDIDATE."""
    requests_sent: int = 0
    responses_received: int = 0
    requests_received: int = 0
    responses_sent: int = 0
    bad_integrity: int = 0
    """Requests and responses refused for their MESSAGE-INTEGRITY or username."""
    rtt_ms: float | None = None
    """Of the last answered probe; absent before."""


class PairCounters(Body, frozen=True, kw_only=True):
    """Every pair: at selection, at failure, each stats period while connecting, and at the end."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 7
    extension: ClassVar[bool] = True
    pairs: tuple[PairStats, ...]


class DtlsAlert(Struct, frozen=True):
    """RFC 5246 section 7.2. ``direction``: sent or received; ``level``: warning or fatal."""

    direction: str
    level: str
    code: int
    name: str


class DtlsDetail(Body, frozen=True, kw_only=True):
    """What the handshake was like: once it is connected or has failed, at an alert, and at the end."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 8
    extension: ClassVar[bool] = True
    role: str
    """Ours: server or client."""
    version: str | None = None
    cipher: str | None = None
    srtp_profile: str | None = None
    fingerprint_expected: str | None = None
    """From the peer's SDP, ``sha-256 AA:BB...``."""
    fingerprint_received: str | None = None
    """Of the certificate that came."""
    records_received: dict[str, int] = field(default_factory=dict)
    """By content type: handshake, alert, change_cipher_spec, application_data."""
    records_sent: dict[str, int] = field(default_factory=dict)
    first_fragment_seen: bool | None = None
    """False when later fragments of the ClientHello came and the first never did (path MTU)."""
    hellos_received: int = 0
    """ClientHellos of the peer's. One that it repeats has got no answer; where we are the client, both are."""
    last_received: str | None = None
    """The last handshake message of the peer's by name, ``finished`` for what is encrypted; absent where none came."""
    alert: DtlsAlert | None = None


class EndOfCandidates(Body, frozen=True, kw_only=True, omit_defaults=False):
    """The client said that it has no further candidate; ``count`` is how many had come."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 9
    extension: ClassVar[bool] = True
    count: int = 0
