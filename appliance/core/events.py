"""What happens in a gateway, as values: Janus's event schema, typed.

An :class:`Event` is the envelope and one body. Type and subtype numbers, field names and units are those of
Janus 1.4 (its event handlers' JSON), so what goes out is what a Janus backend expects. What Janus does not tell
is added as subtypes of our own; :attr:`Body.extension` marks them, and Janus-compatible outputs leave them out.

Bodies are ``msgspec.Struct``: immutable, so that every handler gets the same object and none can spoil it for
the next. A key whose value is its default is not written, except where Janus always writes it.
"""

from collections.abc import Iterator
from enum import IntFlag
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field


class EventType(IntFlag):
    """Bits of a handler's mask; the values are those on the wire (Janus ``eventhandler.h``)."""

    NONE = 0
    SESSION = 1
    HANDLE = 2
    EXTERNAL = 4
    JSEP = 8
    WEBRTC = 16
    MEDIA = 32
    PLUGIN = 64
    TRANSPORT = 128
    CORE = 256
    ALL = 511


MASK_WORDS = {
    "sessions": EventType.SESSION,
    "handles": EventType.HANDLE,
    "external": EventType.EXTERNAL,
    "jsep": EventType.JSEP,
    "webrtc": EventType.WEBRTC,
    "media": EventType.MEDIA,
    "plugins": EventType.PLUGIN,
    "transports": EventType.TRANSPORT,
    "core": EventType.CORE,
    "all": EventType.ALL,
    "none": EventType.NONE,
}
"""Words of an ``events`` setting, as in a Janus event handler's configuration."""


def parse_mask(text: str) -> EventType:
    """Read ``"sessions, webrtc"``. :raises ValueError: a word is unknown; the message names it and the known ones."""
    mask = EventType.NONE
    for word in text.replace(",", " ").split():
        try:
            mask |= MASK_WORDS[word.lower()]
        except KeyError:
            raise ValueError(f"unknown event type {word!r}; known: {', '.join(MASK_WORDS)}") from None
    return mask


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every body has: its place in the numbering."""

    type: ClassVar[EventType] = EventType.NONE
    subtype: ClassVar[int] = 0
    """0 where Janus has no subtypes (all types but 16, 32 and 256)."""
    extension: ClassVar[bool] = False
    """True for what Janus does not emit."""


# --- 1 session, 2 handle, 4 external -------------------------------------------------------------------------


class TransportRef(Struct, frozen=True, omit_defaults=True):
    """The API connection that created a session; ``id`` is that of a transport event, and so gives the address."""

    transport: str
    id: str


class Session(Body, frozen=True, kw_only=True):
    """``name`` is created, destroyed or timeout."""

    type: ClassVar[EventType] = EventType.SESSION
    name: str
    transport: TransportRef | None = None


class Handle(Body, frozen=True, kw_only=True):
    """``name`` is attached or detached; detached ends the PeerConnection even where no hangup came."""

    type: ClassVar[EventType] = EventType.HANDLE
    name: str
    plugin: str
    opaque_id: str | None = None
    token: str | None = None


class External(Body, frozen=True, kw_only=True):
    """Something that is not the gateway's own: an operator's custom event, or our verdicts and call records."""

    type: ClassVar[EventType] = EventType.EXTERNAL
    schema: str
    data: dict[str, Any]


VERDICT_SCHEMA = "appliance.verdict"
"""``External.schema`` of a verdict; ``data`` is :class:`appliance.diagnosis.verdict.Verdict` as built-in types."""

CALL_SCHEMA = "appliance.call"
"""``External.schema`` of a call that is over; ``data`` is :class:`appliance.diagnosis.record.CallRecord` likewise."""


# --- 8 JSEP --------------------------------------------------------------------------------------------------


class SessionDescription(Struct, frozen=True, omit_defaults=True):
    """``type`` is offer or answer."""

    type: str
    sdp: str


class Jsep(Body, frozen=True, kw_only=True):
    """``owner`` is remote (the client said it) or local (we said it)."""

    type: ClassVar[EventType] = EventType.JSEP
    owner: str
    jsep: SessionDescription


# --- 16 WebRTC -----------------------------------------------------------------------------------------------


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
    alert: DtlsAlert | None = None


class EndOfCandidates(Body, frozen=True, kw_only=True, omit_defaults=False):
    """The client said that it has no further candidate; ``count`` is how many had come."""

    type: ClassVar[EventType] = EventType.WEBRTC
    subtype: ClassVar[int] = 9
    extension: ClassVar[bool] = True
    count: int = 0


# --- 32 media ------------------------------------------------------------------------------------------------


class MediaState(Body, frozen=True, kw_only=True):
    """RTP of a medium arrives, or has not for a second."""

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 1
    media: str
    mid: str | None = None
    substream: int | None = None
    receiving: bool
    seconds: int | None = None


class SlowLink(Body, frozen=True, kw_only=True):
    """``slow_link``: uplink is loss of what the server sent, downlink of what it was sent. Not words for people."""

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 2
    mid: str | None = None
    media: str | None = None
    slow_link: str
    lost_lastsec: int | None = None


class RttValues(Struct, frozen=True):
    """The three figures of RFC 3550 section 6.4.1 behind a round trip, in 1/65536 s."""

    ntp: int
    lsr: int
    dlsr: int


class MediaStats(Body, frozen=True, kw_only=True):
    """Counters of one m-line, cumulative over the PeerConnection. Absent means not measured, never zero.

    ``data`` media carry only the packet and byte counts. ``lost*`` may fall (RFC 3550 section 6.4.1); rtt and
    jitter are milliseconds.
    """

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 3
    mid: str | None = None
    mindex: int | None = None
    media: str
    codec: str | None = None
    base: int | None = None
    rtt: int | float | None = None
    rtt_values: RttValues | None = field(name="rtt-values", default=None)
    lost: int | None = None
    lost_by_remote: int | None = field(name="lost-by-remote", default=None)
    jitter_local: int | float | None = field(name="jitter-local", default=None)
    jitter_remote: int | float | None = field(name="jitter-remote", default=None)
    in_link_quality: int | float | None = field(name="in-link-quality", default=None)
    in_media_link_quality: int | float | None = field(name="in-media-link-quality", default=None)
    out_link_quality: int | float | None = field(name="out-link-quality", default=None)
    out_media_link_quality: int | float | None = field(name="out-media-link-quality", default=None)
    packets_received: int | None = field(name="packets-received", default=None)
    packets_sent: int | None = field(name="packets-sent", default=None)
    bytes_received: int | None = field(name="bytes-received", default=None)
    bytes_sent: int | None = field(name="bytes-sent", default=None)
    bytes_received_lastsec: int | None = field(name="bytes-received-lastsec", default=None)
    bytes_sent_lastsec: int | None = field(name="bytes-sent-lastsec", default=None)
    nacks_received: int | None = field(name="nacks-received", default=None)
    nacks_sent: int | None = field(name="nacks-sent", default=None)
    retransmissions_received: int | None = field(name="retransmissions-received", default=None)
    remb_bitrate: int | None = field(name="remb-bitrate", default=None)
    # Beyond Janus; our gateway alone fills them.
    rtt_us: int | None = field(name="rtt-us", default=None)
    """Microseconds; ``rtt``, ``jitter-*`` are the same floored to milliseconds, as Janus has them."""
    jitter_local_us: int | None = field(name="jitter-local-us", default=None)
    jitter_remote_us: int | None = field(name="jitter-remote-us", default=None)
    plis_received: int | None = field(name="plis-received", default=None)
    plis_sent: int | None = field(name="plis-sent", default=None)
    firs_received: int | None = field(name="firs-received", default=None)
    firs_sent: int | None = field(name="firs-sent", default=None)
    rembs_received: int | None = field(name="rembs-received", default=None)
    """Bitrate estimates (and caps), counted once each, with the first medium that they are about."""
    rembs_sent: int | None = field(name="rembs-sent", default=None)
    twccs_received: int | None = field(name="twccs-received", default=None)
    """Transport-wide feedback messages; of the PeerConnection, told with its first audio or video medium."""
    twccs_sent: int | None = field(name="twccs-sent", default=None)
    send_estimate: int | None = field(name="send-estimate", default=None)
    """Bits per second that the way to the peer carries, by its feedback; told like ``twccs-*``."""
    retransmissions_sent: int | None = field(name="retransmissions-sent", default=None)
    reordered: int | None = None
    duplicates: int | None = None
    has_reports: bool | None = field(name="has-reports", default=None)
    """The peer has reported on what we send: before that, ``lost-by-remote`` 0 and quality 100 say nothing."""


class ReportBlock(Struct, frozen=True):
    """RFC 3550 section 6.4.1, raw units: jitter in RTP clock ticks, lsr and dlsr in 1/65536 s."""

    source_ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_seq_no: int
    ia_jitter: int
    lsr: int
    dlsr: int


class SenderInfo(Struct, frozen=True):
    """RFC 3550 section 6.4.1."""

    ntp_sec: int
    ntp_frac: int
    rtp_timestamp: int
    packets: int
    octets: int


class RtcpReport(Body, frozen=True, kw_only=True):
    """One SR (200) or RR (201) on the wire, each direction."""

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 4
    extension: ClassVar[bool] = True
    direction: str
    """in: from the peer; out: from us."""
    packet_type: int
    ssrc: int
    mid: str | None = None
    sender_info: SenderInfo | None = None
    blocks: tuple[ReportBlock, ...] = ()


class MediaFault(Body, frozen=True, kw_only=True):
    """Errors since the last such event: ``kind`` is srtp_auth, srtp_replay, unknown_payload_type, ssrc_limit, ..."""

    type: ClassVar[EventType] = EventType.MEDIA
    subtype: ClassVar[int] = 5
    extension: ClassVar[bool] = True
    kind: str
    count: int
    ssrc: int | None = None


# --- 64 plugin, 128 transport --------------------------------------------------------------------------------


class Plugin(Body, frozen=True, kw_only=True):
    """What a plugin tells; ``data`` is its own."""

    type: ClassVar[EventType] = EventType.PLUGIN
    plugin: str
    data: dict[str, Any]


class Transport(Body, frozen=True, kw_only=True):
    """An API connection or request.

    ``data``: event, admin_api, ip, port; our gateway adds local_ip, local_port and user_agent.
    """

    type: ClassVar[EventType] = EventType.TRANSPORT
    transport: str
    id: str
    data: dict[str, Any]


# --- 256 core ------------------------------------------------------------------------------------------------


class Core(Body, frozen=True, kw_only=True):
    """``status``: started (``info`` is the server_info), or update each 15 s (``info`` is four counts)."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 1
    status: str
    info: dict[str, Any] | None = None


class Shutdown(Body, frozen=True, kw_only=True, omit_defaults=False):
    """The server stops."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 2
    status: str = "shutdown"
    signum: int = 0


class Gap(Body, frozen=True, kw_only=True):
    """Events are missing before this one. ``reason``: queue_full, link_down, sequence, restart."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 3
    extension: ClassVar[bool] = True
    reason: str
    dropped: dict[str, int] = field(default_factory=dict)
    """By event type word (``media``, ``webrtc``, ...); empty when the number is not known."""
    first_timestamp: int | None = None
    """Microseconds; when the hole began, where known."""


class Counter(Struct, frozen=True, omit_defaults=True):
    """One cumulative count with its labels, see :mod:`appliance.core.measure`."""

    name: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


class Counters(Body, frozen=True, kw_only=True):
    """The gateway's own cumulative counts (API requests, queues, datagrams, ...), every few seconds."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 4
    extension: ClassVar[bool] = True
    counters: tuple[Counter, ...]


class ApiError(Body, frozen=True, kw_only=True):
    """A request that was refused: code and reason as the client saw them."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 5
    extension: ClassVar[bool] = True
    code: int
    reason: str
    request: str = ""
    transaction: str = ""


class Unknown(Body, frozen=True, kw_only=True):
    """A kind this version does not know; kept as it came."""

    content: dict[str, Any]


KINDS: tuple[type[Body], ...] = (
    Session, Handle, External, Jsep, IceState, LocalCandidate, RemoteCandidate, SelectedPair, DtlsState, Connection,
    PairCounters, DtlsDetail, EndOfCandidates, MediaState, SlowLink, MediaStats, RtcpReport, MediaFault, Plugin,
    Transport, Core, Shutdown, Gap, Counters, ApiError,
)  # fmt: skip
"""Every kind of event, in the order of its numbers."""

BODY_OF: dict[tuple[int, int], type[Body]] = {(int(kind.type), kind.subtype): kind for kind in KINDS}


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The envelope. Key order is Janus's; make one with :func:`event`."""

    emitter: str = ""
    """``server_name`` of the gateway it comes from; empty before Janus 0.2.6."""
    type: int
    subtype: int = 0
    timestamp: int
    """Wall clock, microseconds since the Unix epoch."""
    session_id: int | None = None
    handle_id: int | None = None
    opaque_id: str | None = None
    id: int = 0
    """Given by the collector: unique and rising within one collector's store, 0 before. What evidence refers to."""
    correlation_id: str | None = None
    """Given by the collector: the PeerConnection, see :mod:`appliance.core.correlation`; absent where there is none."""
    replayed: bool = False
    """Told again by a gateway to a collector that has just started, which may have told it on before it died."""
    event: Any
    """A :class:`Body`."""

    @property
    def body(self) -> Body:
        """The body, typed: what handlers match on."""
        body: Body = self.event
        return body


def event(
    body: Body,
    *,
    emitter: str,
    timestamp: int,
    session_id: int | None = None,
    handle_id: int | None = None,
    opaque_id: str | None = None,
) -> Event:
    """Put a body into its envelope."""
    return Event(
        emitter=emitter,
        type=int(body.type),
        subtype=body.subtype,
        timestamp=timestamp,
        session_id=session_id,
        handle_id=handle_id,
        opaque_id=opaque_id,
        event=body,
    )


# --- codecs --------------------------------------------------------------------------------------------------


class EventDecodeError(ValueError):
    """The bytes or the object are not an event; the message says which field, what came and what was wanted."""


class _RawEnvelope(Struct, omit_defaults=True):
    type: int
    timestamp: int
    event: msgspec.Raw
    emitter: str = ""
    subtype: int = 0
    session_id: int | None = None
    handle_id: int | None = None
    opaque_id: str | None = None
    id: int = 0
    correlation_id: str | None = None


_msgpack_encoder = msgspec.msgpack.Encoder()
_msgpack_envelope = msgspec.msgpack.Decoder(_RawEnvelope)
_msgpack_bodies = {key: msgspec.msgpack.Decoder(kind) for key, kind in BODY_OF.items()}
_msgpack_any = msgspec.msgpack.Decoder(dict[str, Any])
_json_encoder = msgspec.json.Encoder()
_json_bodies = {key: msgspec.json.Decoder(kind) for key, kind in BODY_OF.items()}
_json_any = msgspec.json.Decoder(dict[str, Any])


def _as_it_came(item: Event) -> Event:
    """An unknown body is its content alone, for who reads it next."""
    body = item.event
    return msgspec.structs.replace(item, event=body.content) if isinstance(body, Unknown) else item


def encode_msgpack(item: Event) -> bytes:
    """Encode for the link between gateway and collector."""
    return _msgpack_encoder.encode(_as_it_came(item))


def decode_msgpack(data: bytes) -> Event:
    """Decode one event of the link. :raises EventDecodeError: it is not one."""
    try:
        raw = _msgpack_envelope.decode(data)
        decoder = _msgpack_bodies.get((raw.type, raw.subtype))
        body: Body = decoder.decode(raw.event) if decoder else Unknown(content=_msgpack_any.decode(raw.event))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventDecodeError(str(error)) from None
    return Event(
        emitter=raw.emitter,
        type=raw.type,
        subtype=raw.subtype,
        timestamp=raw.timestamp,
        session_id=raw.session_id,
        handle_id=raw.handle_id,
        opaque_id=raw.opaque_id,
        id=raw.id,
        correlation_id=raw.correlation_id,
        event=body,
    )


def encode_json(item: Event) -> bytes:
    """JSON of the whole event, with our additions (``id``, ``correlation_id``, extension subtypes)."""
    return _json_encoder.encode(_as_it_came(item))


def body_json(item: Event) -> bytes:
    """JSON of the body alone."""
    if isinstance(item.event, Unknown):
        return _json_encoder.encode(item.event.content)
    return _json_encoder.encode(item.event)


def body_from_json(type: int, subtype: int, data: bytes | str) -> Body:
    """The reverse of :func:`body_json`. :raises EventDecodeError: it is not a body of these numbers."""
    decoder = _json_bodies.get((type, subtype))
    try:
        return decoder.decode(data) if decoder else Unknown(content=_json_any.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventDecodeError(f"body of type {type}, subtype {subtype}: {error}") from None


def to_janus(item: Event) -> dict[str, Any] | None:
    """The event as a Janus backend knows it; ``None`` where Janus has no such kind."""
    if item.body.extension:
        return None
    whole: dict[str, Any] = msgspec.to_builtins(_as_it_came(item))
    whole.pop("id", None)
    whole.pop("correlation_id", None)
    whole.pop("replayed", None)
    return whole


def from_janus(item: object) -> Iterator[Event]:
    """Read one object of a Janus event handler (1.x); combined statistics become one event a medium.

    :raises EventDecodeError: it is no event of Janus.
    """
    if not isinstance(item, dict):
        raise EventDecodeError(f"event: {type(item).__name__} came, wanted an object")
    bodies = item.get("event")
    for content in bodies if isinstance(bodies, list) else [bodies]:
        try:
            envelope = msgspec.convert({**item, "event": content}, Event, strict=False)
            kind = BODY_OF.get((envelope.type, envelope.subtype))
            if not isinstance(content, dict):
                raise TypeError(f"event: {type(content).__name__} came, wanted an object")
            body = Unknown(content=content) if kind is None else msgspec.convert(content, kind)
        except (msgspec.ValidationError, TypeError) as error:
            raise EventDecodeError(f"event of type {item.get('type')!r}: {error}") from None
        # Ours alone: a Janus server can't know them.
        yield msgspec.structs.replace(envelope, event=body, id=0, correlation_id=None, replayed=False)
