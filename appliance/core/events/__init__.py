"""What happens in a gateway, as values: Janus's event schema, typed.

An :class:`Event` is the envelope and one body. Type and subtype numbers, field names and units are those of
Janus 1.4 (its event handlers' JSON), so what goes out is what a Janus backend expects. What Janus does not tell
is added as subtypes of our own; :attr:`Body.extension` marks them, and Janus-compatible outputs leave them out.

Bodies are ``msgspec.Struct``: immutable, so that every handler gets the same object and none can spoil it for
the next. A key whose value is its default is not written, except where Janus always writes it.
"""

from appliance.core.events.body import MASK_WORDS, Body, EventType, parse_mask
from appliance.core.events.codec import (
    EventDecodeError,
    body_from_json,
    body_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    from_janus,
    to_janus,
)
from appliance.core.events.envelope import BODY_OF, KINDS, Event, Unknown, event
from appliance.core.events.media import (
    DATA_FAULT,
    MediaFault,
    MediaState,
    MediaStats,
    ReportBlock,
    RtcpReport,
    RttValues,
    SenderInfo,
    SlowLink,
)
from appliance.core.events.server import ApiError, Core, Counter, Counters, Gap, Plugin, Shutdown, Transport
from appliance.core.events.session import (
    CALL_SCHEMA,
    VERDICT_SCHEMA,
    External,
    Handle,
    Jsep,
    Session,
    SessionDescription,
    TransportRef,
)
from appliance.core.events.webrtc import (
    UNTOLD,
    CandidateAddress,
    Connection,
    DtlsAlert,
    DtlsDetail,
    DtlsState,
    EndOfCandidates,
    IceState,
    LocalCandidate,
    PairAddresses,
    PairCounters,
    PairStats,
    RemoteCandidate,
    SelectedPair,
)

__all__ = [
    "BODY_OF",
    "CALL_SCHEMA",
    "DATA_FAULT",
    "KINDS",
    "MASK_WORDS",
    "UNTOLD",
    "VERDICT_SCHEMA",
    "ApiError",
    "Body",
    "CandidateAddress",
    "Connection",
    "Core",
    "Counter",
    "Counters",
    "DtlsAlert",
    "DtlsDetail",
    "DtlsState",
    "EndOfCandidates",
    "Event",
    "EventDecodeError",
    "EventType",
    "External",
    "Gap",
    "Handle",
    "IceState",
    "Jsep",
    "LocalCandidate",
    "MediaFault",
    "MediaState",
    "MediaStats",
    "PairAddresses",
    "PairCounters",
    "PairStats",
    "Plugin",
    "RemoteCandidate",
    "ReportBlock",
    "RtcpReport",
    "RttValues",
    "SelectedPair",
    "SenderInfo",
    "Session",
    "SessionDescription",
    "Shutdown",
    "SlowLink",
    "Transport",
    "TransportRef",
    "Unknown",
    "body_from_json",
    "body_json",
    "decode_msgpack",
    "encode_json",
    "encode_msgpack",
    "event",
    "from_janus",
    "parse_mask",
    "to_janus",
]
