"""Every metric family of the appliance, declared once: documentation, dashboards and rules are checked against it.

Base units (seconds, bytes, ratios from 0 to 1), ``_total`` on counters alone, and label values from closed sets
(https://prometheus.io/docs/practices/naming/). Directions are the server's: ``in`` from the client, ``out`` to it.
"""

from appliance.metrics.family import Family, Kind, Label, Source
from appliance.metrics.kept import KEPT
from appliance.metrics.labels import (
    API_ERRORS,
    CANDIDATES,
    DIRECTION,
    EVENT_TYPES,
    HANGUPS,
    JITTER_BUCKETS,
    KIND,
    LOSS_BUCKETS,
    MEDIA,
    MOS_BUCKETS,
    OBSERVER,
    OUTCOME,
    PLUGIN,
    ROUND_TRIP_BUCKETS,
    SERVER,
    SETUP_BUCKETS,
    TRANSPORT,
)


def _events(
    name: str,
    kind: Kind,
    help: str,
    *labels: Label,
    buckets: tuple[float, ...] = (),
    unit: str = "",
    zeroed: bool = True,
) -> Family:
    return Family(
        name=name, kind=kind, help=help, unit=unit, labels=(SERVER, *labels), buckets=buckets, source=Source.EVENTS,
        zeroed=zeroed,
    )  # fmt: skip


def _own(name: str, kind: Kind, help: str, *labels: Label, unit: str = "") -> Family:
    return Family(name=name, kind=kind, help=help, unit=unit, labels=labels, source=Source.OWN)


def _handle(name: str, kind: Kind, help: str, *labels: str, unit: str = "") -> Family:
    names = ("session_id", "handle_id", *labels)
    return Family(
        name=name, kind=kind, help=help, unit=unit, labels=tuple(Label(each) for each in names), source=Source.HANDLES
    )


def _track(name: str, kind: Kind, help: str, *, unit: str = "") -> Family:
    return _handle(name, kind, help, "mid", "direction", unit=unit)


C, G, H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

# --- from the events -----------------------------------------------------------------------------------------

SESSIONS = _events("sessions", G, "Sessions that are alive.")
SESSIONS_ENDED = _events(
    "sessions_ended_total", C, "Sessions that ended; transport_gone: with the connection that made them.",
    Label("reason", ("destroyed", "timeout", "transport_gone")),
)  # fmt: skip
HANDLES = _events("handles", G, "Handles that are attached.", PLUGIN)
PEERCONNECTIONS = _events(
    "peerconnections", G,
    "PeerConnections that are alive: setting up, up, or up with ICE disconnected or failed.",
    Label("state", ("setup", "up", "disconnected")),
)  # fmt: skip
PEERCONNECTIONS_SILENT = _events(
    "peerconnections_silent", G,
    "PeerConnections that have been up for 5 s or more, whose client negotiated to send audio or video, and from which"
    " none has ever come.",
)  # fmt: skip
PEERCONNECTIONS_STARTED = _events(
    "peerconnections_started_total", C, "PeerConnections begun: the first description of each.", PLUGIN
)
PEERCONNECTIONS_UP = _events("peerconnections_up_total", C, "PeerConnections whose ICE and DTLS succeeded.", PLUGIN)
PEERCONNECTIONS_ENDED = _events(
    "peerconnections_ended_total", C, "PeerConnections ended, by a hangup or with their handle.", PLUGIN
)
SETUP_PHASE = _events(
    "setup_phase_duration_seconds", H,
    "Phases of setting up a PeerConnection: signalling (first description to its answer), gathering, ice (connecting to"
    " connected), dtls, first_media (up to the first audio or video from a client that negotiated to send some)."
    " Abandoned: the PeerConnection ended before the phase was decided.",
    Label("phase", ("signalling", "gathering", "ice", "dtls", "first_media")), OUTCOME, buckets=SETUP_BUCKETS,
    unit="seconds",
)  # fmt: skip
ICE_STATES = _events(
    "ice_state_transitions_total", C, "ICE states entered.",
    Label("state", ("gathering", "connecting", "connected", "ready", "disconnected", "failed")),
)  # fmt: skip
SELECTED_PAIRS = _events(
    "ice_selected_pairs_total", C, "Candidate pairs selected, by the types of both ends.",
    Label("local_type", CANDIDATES), Label("remote_type", CANDIDATES), Label("protocol", ("udp", "tcp")),
    Label("family", ("4", "6")), zeroed=False,
)  # fmt: skip
DTLS_HANDSHAKES = _events(
    "dtls_handshakes_total", C,
    "DTLS handshakes that ended; other: failed, and the server did not tell why (Janus never does).",
    Label("outcome", ("ok", "timeout", "fingerprint_mismatch", "alert_sent", "alert_received", "no_srtp_profile")),
)  # fmt: skip
DTLS_RETRANSMISSIONS = _events("dtls_retransmissions_total", C, "DTLS flights sent again.")
HANGUPS_TOTAL = _events("hangups_total", C, "PeerConnections ended, by the server's reason.", Label("reason", HANGUPS))
VERDICTS = _events(
    "verdicts_total",
    C,
    "PeerConnections ended, by the code of their verdict (docs of the diagnosis).",
    Label("code", cap=64),
)  # fmt: skip
RTP_PACKETS = _events("rtp_packets_total", C, "RTP packets (for data: DTLS records).", DIRECTION, KIND)
RTP_BYTES = _events("rtp_bytes_total", C, "Their bytes, as the server counts them.", DIRECTION, KIND, unit="bytes")
RTP_LOST = _events(
    "rtp_packets_lost_total", C,
    "RTP packets lost: in, seen by the server itself (local); out, as receiver reports tell (remote), without those"
    " that were never sent.",
    DIRECTION, MEDIA, OBSERVER, zeroed=False,
)  # fmt: skip
RTP_RETRANSMITTED = _events("rtp_packets_retransmitted_total", C, "RTP packets sent again.", DIRECTION, MEDIA)
RTP_REORDERED = _events("rtp_packets_reordered_total", C, "RTP packets that came late; our gateways only.", MEDIA)
RTP_DUPLICATED = _events("rtp_packets_duplicated_total", C, "RTP packets that came twice; our gateways only.", MEDIA)
RTP_FAULTS = _events(
    "rtp_faults_total", C, "Packets refused; our gateways only.",
    Label("fault", ("srtp_auth", "srtp_replay", "unknown_payload_type", "unknown_ssrc", "ssrc_limit",
                   "ssrc_evicted", "malformed")),
)  # fmt: skip
DATA_FAULTS = _events(
    "data_channel_faults_total", C, "Packets and messages of data channels that were dropped; our gateways only.",
    Label("fault", ("packet", "harmful", "busy", "overflow", "channels", "closed", "buffer", "too_large")),
)  # fmt: skip
KEYFRAMES = _events(
    "rtp_keyframes_total", C,
    "Key frames of video that came from clients (in) or were passed on to them (out); our gateways only.", DIRECTION,
)  # fmt: skip
RTCP_FEEDBACK = _events(
    "rtcp_feedback_total", C,
    "RTCP feedback, from the client (in) and to it (out); all but NACK: our gateways only. Transport-wide feedback"
    " (TWCC) is of a PeerConnection, and counted with its first medium.",
    DIRECTION, Label("type", ("nack", "pli", "fir", "remb", "twcc")),
)  # fmt: skip
RTCP_REPORTS = _events("rtcp_reports_total", C, "RTCP sender and receiver reports; our gateways only.", DIRECTION)
RTP_LOSS_RATIO = _events(
    "rtp_interval_loss_ratio", H,
    "Share of packets lost in one interval of one track: in, a statistics period; out, from one report of the peer to"
    " the next.",
    DIRECTION, MEDIA, buckets=LOSS_BUCKETS, unit="ratio",
)  # fmt: skip
RTP_JITTER = _events(
    "rtp_jitter_seconds", H, "Interarrival jitter of one track, once a statistics period (out: once a report).",
    DIRECTION, MEDIA, buckets=JITTER_BUCKETS, unit="seconds",
)  # fmt: skip
RTP_ROUND_TRIP = _events(
    "rtp_round_trip_time_seconds", H, "Round trip by RTCP of one track, once a report.", MEDIA,
    buckets=ROUND_TRIP_BUCKETS, unit="seconds",
)  # fmt: skip
AUDIO_MOS = _events(
    "audio_mos", H,
    "Estimated listening quality of one audio track in one interval, from loss, jitter and round trip; no estimate"
    " without all of them.",
    DIRECTION, buckets=MOS_BUCKETS, unit="1 to 4.5",
)  # fmt: skip
SLOW_LINKS = _events("slow_links_total", C, "Slow link notices.", DIRECTION, MEDIA)
MEDIA_STALLS = _events("media_stalls_total", C, "Times that media from a client stopped arriving.", KIND)
EVENTS = _events("events_total", C, "Events taken in.", Label("type", EVENT_TYPES))
EVENT_GAPS = _events(
    "event_gaps_total", C, "Holes in the event stream.",
    Label("reason", ("queue_full", "link_down", "sequence", "restart")),
)  # fmt: skip
EVENTS_MISSING = _events(
    "events_missing_total", C, "Events known to be missing in those holes, by type.", Label("type", EVENT_TYPES)
)
API_REFUSALS = _events(
    "api_errors_total", C, "API requests refused, by Janus's code; our gateways only.", Label("code", API_ERRORS),
    zeroed=False,
)  # fmt: skip
TRANSPORT_EVENTS = _events(
    "transport_events_total", C, "What the API's transports told.", TRANSPORT,
    Label("event", ("request", "connected", "disconnected", "reconnecting", "failed", "created")), zeroed=False,
)  # fmt: skip
LAST_EVENT = _events(
    "server_last_event_timestamp_seconds", G, "When the last event of a server came, by the collector's clock.",
    unit="seconds",
)  # fmt: skip

# --- about the exporter --------------------------------------------------------------------------------------

BUILD_INFO = _own("build_info", G, "1; what runs here.", Label("version"), Label("python"), Label("openssl"))
HANDLES_NOT_EXPORTED = _own(
    "handles_not_exported", G, "Attached handles that /metrics/handles leaves out, because max_handles is reached."
)
HANDLES_FORGOTTEN = _own(
    "handles_forgotten_total", C, "Handles given up while attached, because too many are; the quietest first."
)
TRACKS_REFUSED = _own("tracks_refused_total", C, "Statistics left out, because their handle has too many tracks.")
PLACES_TAKEN = _own(
    "server_places_taken_total", C, "Servers whose series were given up after a silence, because another came."
)
PLACES_REFUSED = _own(
    "server_places_refused_total", C, "Events counted as those of `other`, because as many servers speak as are shown."
)
SERIES = _own("series", G, "Series of /metrics that events have made.")

# --- of one handle -------------------------------------------------------------------------------------------

HANDLE_INFO = _handle(
    "handle_info", Kind.INFO, "1 for each handle: join on session_id and handle_id.", "server", "plugin", "room",
    "opaque_id_hash",
)  # fmt: skip
TRACK_INFO = _handle("handle_track_info", Kind.INFO, "1 for each track of a handle.", "mid", "kind", "codec")
HANDLE_PACKETS = _track("handle_rtp_packets_total", C, "RTP packets of the PeerConnection.")
HANDLE_BYTES = _track("handle_rtp_bytes_total", C, "Their bytes.", unit="bytes")
HANDLE_LOST = _track(
    "handle_rtp_packets_lost_total", C, "RTP packets from the client that the server saw to be missing; in only."
)
HANDLE_LOST_BY_PEER = _track(
    "handle_rtp_packets_lost_by_peer_total", C,
    "RTP packets to the client that its reports say are missing, without those that were never sent; out only, from"
    " its first report on.",
)  # fmt: skip
HANDLE_JITTER = _track(
    "handle_jitter_seconds", G, "Interarrival jitter: in, of what comes; out, as the peer reports.", unit="seconds"
)
HANDLE_ROUND_TRIP = _track(
    "handle_round_trip_time_seconds", G, "Round trip by the peer's last report; out only.", unit="seconds"
)
HANDLE_NACKS = _track("handle_nacks_total", C, "NACKs from the client (in) and to it (out).")
HANDLE_PLIS = _track("handle_plis_total", C, "PLIs from the client (in) and to it (out); our gateways only.")
HANDLE_BITRATE = _track(
    "handle_bitrate_bytes_per_second", G, "Bytes of the last statistics period by its length.", unit="bytes per second"
)
HANDLE_QUALITY = _track(
    "handle_link_quality_ratio", G,
    "Link quality of the last interval, 1 is best; absent while nothing is measured, as for an idle or muted track.",
    unit="ratio",
)  # fmt: skip
HANDLE_MOS = _track("handle_audio_mos", G, "Estimated listening quality of the last interval.", unit="1 to 4.5")

_DECLARED = [each for each in list(globals().values()) if isinstance(each, Family)]
FAMILIES: tuple[Family, ...] = tuple(sorted((*_DECLARED, *KEPT), key=lambda each: list(Source).index(each.source)))
"""All of them: from the events, kept by others, the exporter's own, of one handle; each kind in its order."""
BY_NAME: dict[str, Family] = {each.name: each for each in FAMILIES}

PROCESS = (
    "process_virtual_memory_bytes", "process_resident_memory_bytes", "process_start_time_seconds",
    "process_cpu_seconds_total", "process_open_fds", "process_max_fds", "python_info",
)  # fmt: skip
"""Of the collector's process, with the names that every exporter gives them."""
