"""Every metric family of the appliance, declared once: documentation, dashboards and rules are checked against it.

Base units (seconds, bytes, ratios from 0 to 1), ``_total`` on counters alone, and label values from closed sets
(https://prometheus.io/docs/practices/naming/). Directions are the server's: ``in`` from the client, ``out`` to it.
"""

from appliance.core.measure import DURATION_BOUNDS
from appliance.metrics.family import Family, Kind, Label, Source

SERVER = Label("server", cap=64)
"""Which gateway or Janus server: its ``server_name``."""
PLUGIN = Label("plugin", (
    "audiobridge", "echotest", "nosip", "recordplay", "sip", "streaming", "textroom", "videocall", "videoroom",
))  # fmt: skip
"""Janus's plugins without ``janus.plugin.``."""
DIRECTION = Label("direction", ("in", "out"))
KIND = Label("kind", ("audio", "video", "data"))
MEDIA = Label("kind", ("audio", "video"))
OBSERVER = Label("observer", ("local", "remote"))
"""Who saw it: the server itself, or the peer in its receiver reports. Never add one to the other."""
HANDLER = Label("handler", cap=32)
TRANSPORT = Label("transport", ("http", "websocket", "unix", "rabbitmq", "mqtt", "nanomsg"))
OUTCOME = Label("outcome", ("ok", "failed", "timeout", "abandoned"))
CANDIDATES = ("host", "srflx", "prflx", "relay")
EVENT_TYPES = ("sessions", "handles", "external", "jsep", "webrtc", "media", "plugins", "transports", "core")
HANGUPS = (
    "dtls_alert", "dtls_timeout", "dtls_error", "ice_failed", "gathering_error", "ice_gathering_error",
    "dtls_srtp_stack_error", "detach", "janus_api", "admin_api", "close_pc", "server_shutdown",
    "not_told",
)  # fmt: skip
"""Janus's reasons, and ``server_shutdown`` of ours; ``detach`` also where a handle ended without a hangup; ``not_told``
where the Admin API alone tells that it ended."""
REQUESTS = (
    "info", "ping", "create", "attach", "message", "trickle", "keepalive", "claim", "hangup", "detach", "destroy",
    "poll",
)  # fmt: skip
API_ERRORS = (
    "403", "405", "450", "452", "453", "454", "455", "456", "457", "458", "459", "460", "461", "462", "463", "464",
    "465", "466", "467", "468", "469", "470", "471", "472", "490",
)  # fmt: skip

SETUP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0)
LOSS_BUCKETS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4)
JITTER_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
ROUND_TRIP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0)
MOS_BUCKETS = (1.0, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5)


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


def _counters(name: str, kind: Kind, help: str, *labels: Label, unit: str = "") -> Family:
    buckets = DURATION_BOUNDS if kind is Kind.HISTOGRAM else ()
    return Family(
        name=name, kind=kind, help=help, unit=unit, labels=(SERVER, *labels), buckets=buckets, source=Source.COUNTERS
    )


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

# --- kept by others ------------------------------------------------------------------------------------------

QUEUE_LENGTH = _counters("event_queue_length", G, "Events that wait for a handler.", HANDLER)
QUEUE_CAPACITY = _counters("event_queue_capacity", G, "Events that may wait for a handler.", HANDLER)
QUEUE_AGE = _counters("event_queue_oldest_age_seconds", G, "How long the next event waits.", HANDLER, unit="seconds")
EVENTS_DROPPED = _counters(
    "events_dropped_total", C, "Events that a handler never got or could not deliver.", HANDLER,
    Label("reason", ("queue_full", "retries_exhausted", "serialise", "oversize", "disconnected")),
)  # fmt: skip
EVENTS_DELIVERED = _counters(
    "events_delivered_total", C, "Events handed to a handler.", HANDLER, Label("outcome", ("ok", "failed"))
)
DELIVERY_DURATION = _counters(
    "event_delivery_duration_seconds", H, "Handing one batch of events to a handler.", HANDLER, unit="seconds"
)
EVENTS_LEFT_OUT = _counters(
    "events_left_out_total", C, "Events that a handler is not to have, by its settings.", HANDLER
)
OUTPUT_MESSAGES = _counters(
    "output_messages_total", C, "Messages that a handler passed on, or tried to.", HANDLER,
    Label("outcome", ("ok", "failed")),
)  # fmt: skip
OUTPUT_SPOOLED = _counters("output_spool_messages", G, "Messages of a handler that wait on disk.", HANDLER)
OUTPUT_SPOOL_BYTES = _counters("output_spool_bytes", G, "What they take on disk.", HANDLER, unit="bytes")
OUTPUT_SPOOL_LOST = _counters(
    "output_spool_lost_total", C, "Messages of a handler that were lost on disk.", HANDLER,
    Label("reason", ("full", "expired", "corrupt")),
)  # fmt: skip
HEP_TRANSPORT = Label("transport", ("udp", "tcp", "tls"))
HEP_TYPE = Label("proto_type", ("sip", "rtcp", "log", "json", "1", "5", "100"))
HEP_SENT = _counters("hep_packets_sent_total", C, "HEP messages sent.", HEP_TRANSPORT, HEP_TYPE)
HEP_BYTES = _counters("hep_bytes_sent_total", C, "Their bytes.", HEP_TRANSPORT, unit="bytes")
HEP_DROPPED = _counters(
    "hep_packets_dropped_total", C, "HEP messages that were not sent.", HEP_TRANSPORT,
    Label("reason", (
        "queue_full", "oversize", "disconnected", "write_error", "spool_full", "spool_expired", "spool_corrupt",
    )),
)  # fmt: skip
HEP_RESENT = _counters(
    "hep_packets_resent_total", C, "HEP messages sent again, because they may have been lost with a connection.",
    HEP_TRANSPORT,
)  # fmt: skip
HEP_ERRORS = _counters("hep_send_errors_total", C, "Writes and connections that failed.", HEP_TRANSPORT)
HEP_QUEUE = _counters("hep_queue_length", G, "HEP messages that wait.", HEP_TRANSPORT)
HEP_QUEUE_BYTES = _counters("hep_queue_bytes", G, "Their bytes.", HEP_TRANSPORT, unit="bytes")
HEP_SPOOLED = _counters("hep_spool_packets", G, "HEP messages that wait on disk.", HEP_TRANSPORT)
HEP_SPOOL_BYTES = _counters("hep_spool_bytes", G, "What the spool takes on disk.", HEP_TRANSPORT, unit="bytes")
HEP_SPOOL_ERRORS = _counters("hep_spool_errors_total", C, "Times that the disk did not take them.", HEP_TRANSPORT)
HEP_DATAGRAMS_CUT = _counters("hep_datagrams_cut_total", C, "HEP messages cut to what a datagram may hold.")
HEP_SKIPPED = _counters(
    "hep_events_skipped_total", C, "Events that became no HEP message.",
    Label("reason", ("unattached", "empty_report", "invalid", "replayed", "unfit")),
)  # fmt: skip
HEP_CUT = _counters("hep_payloads_cut_total", C, "HEP payloads cut to what a message may hold.")
HEP_CALLS = _counters("hep_calls", G, "Calls that the HEP mapping remembers.")
HEP_CALLS_FORGOTTEN = _counters("hep_calls_forgotten_total", C, "Calls it gave up, because too many are.")
HEP_SESSIONS_FORGOTTEN = _counters("hep_sessions_forgotten_total", C, "Sessions it gave up, because too many are.")
HEP_JOURNAL_FORGOTTEN = _counters(
    "hep_journal_forgotten_total", C, "Calls whose HEP messages the console can no longer show."
)
HEP_RECEIVED = _counters("hep_packets_received_total", C, "HEP messages that the listener took in.", HEP_TRANSPORT)
HEP_MALFORMED = _counters("hep_packets_malformed_total", C, "Of those, the ones it could not read.", HEP_TRANSPORT)
HEP_CONNECTED = _counters("hep_connected", G, "1 while the capture server can be written to.", HEP_TRANSPORT)
API_REQUESTS = _counters(
    "api_requests_total", C, "Janus API requests served.", TRANSPORT, Label("request", REQUESTS),
    Label("outcome", ("success", "ack", "error")),
)  # fmt: skip
API_DURATION = _counters(
    "api_request_duration_seconds", H, "Serving one of them.", TRANSPORT, Label("request", REQUESTS), unit="seconds"
)
API_LIMITS = _counters(
    "api_limits_total", C, "What the API's limits refused.",
    Label("limit", ("sessions", "handles", "candidates", "early_candidates", "candidates_timeout")),
)  # fmt: skip
TRANSPORT_LIMITS = _counters(
    "transport_limits_total", C, "What the limits of the API's transports refused or lost.", TRANSPORT,
    Label("limit", (
        "connections", "descriptors", "head_timeout", "message_bytes", "body_timeout", "polls", "queue_full",
        "bad_frame", "acl", "origin", "rate",
    )),
)  # fmt: skip
TRANSPORT_CONNECTIONS = _counters("transport_connections", G, "Connections to the API.", TRANSPORT)
HTTP_REFUSED = _counters(
    "http_connections_refused_total", C, "Connections to the collector turned away, or ended because nothing came.",
    Label("listener", ("console", "intake")), Label("reason", ("connections", "descriptors", "head_timeout")),
)  # fmt: skip
LOOP_ERRORS = _counters(
    "event_loop_errors_total", C, "Unexpected errors of this process that the event loop reported, logged or not."
)
AUTH_FAILURES = _counters(
    "auth_failures_total", C, "Requests without the right secret or token.",
    Label("api", ("janus", "admin", "metrics", "console", "intake")),
)  # fmt: skip
DATAGRAMS = _counters("media_datagrams_total", C, "Datagrams at the media port.", DIRECTION)
TCP_CONNECTIONS = _counters("media_tcp_connections", G, "Connections to the media port over TCP.")
TCP_REFUSED = _counters(
    "media_tcp_connections_closed_total", C, "Connections to the media port over TCP that were closed, by why.",
    Label("reason", ("limit", "unproven", "idle", "framing")),
)  # fmt: skip
DATAGRAMS_DROPPED = _counters(
    "media_datagrams_dropped_total", C, "Datagrams at the media port that were dropped.",
    Label("reason", ("malformed", "unknown_source", "unknown_ssrc", "rate_limit", "send_buffer", "closed", "oversize")),
)  # fmt: skip
RECORDINGS = _counters(
    "recordings_total", C, "Recordings by what became of them; refused: too many were in the making.",
    Label("outcome", ("written", "failed", "refused")),
)  # fmt: skip
RECORDINGS_ACTIVE = _counters("recordings_active", G, "Calls that are being recorded.")
RECORDING_FORGOTTEN = _counters(
    "recording_calls_forgotten_total", C, "Calls that can't be recorded any more: their events had to make room."
)
RECORDING_BUFFERS = _counters("recording_buffers", G, "Handles of which the gateway keeps packets in memory.")
RECORDING_BUFFER_BYTES = _counters("recording_buffer_bytes", G, "Bytes of packets that the gateway keeps in memory.")
RECORDING_REFUSED = _counters(
    "recording_refused_total", C, "Packets and handles that were not kept, because there was no room for more."
)
MEDIA_RECORDINGS = _counters(
    "media_recordings_total", C, "Files of media that plugins began, had no room for, or could not finish.",
    PLUGIN, Label("outcome", ("started", "refused", "failed")),
)  # fmt: skip
MEDIA_RECORDINGS_ACTIVE = _counters("media_recordings_active", G, "Files of media that plugins are writing.", PLUGIN)
MEDIA_RECORDING_BYTES = _counters("media_recording_bytes_total", C, "Bytes of media that plugins wrote.", PLUGIN)
MEDIA_RECORDING_LOST = _counters(
    "media_recording_packets_lost_total", C, "Packets that are in no file: it was full, or the disk was slow.", PLUGIN
)
REMOTE_PUBLISHERS = _counters("remote_publishers", G, "Publishers whose media other servers send.")
REMOTE_PUBLISHER_DATAGRAMS = _counters(
    "remote_publisher_datagrams_total", C, "What came for them; foreign: of another sender, unknown: of no stream.",
    Label("outcome", ("received", "foreign", "malformed", "forged", "unknown")),
)  # fmt: skip
LINK_EVENTS = _counters("link_events_total", C, "Events over the link between gateway and collector.")
LINK_UNKEPT = _counters(
    "link_unkept_events", G, "Events that the collector took and does not keep yet: the gateway would send them again."
)
LINK_FORGOTTEN = _counters(
    "link_forgotten_events_total", C,
    "Events that the collector took and did not keep for so long that the gateway had no room for them.",
)  # fmt: skip
LINK_CONNECTED = _counters("link_connected", G, "1 while the gateway's link to its collector is up.")
INTAKE_EVENTS = _counters(
    "intake_events_total", C, "Events that an intake took or refused.",
    Label("intake", ("stream", "http", "websocket", "rabbitmq", "mqtt", "file", "pcap", "admin")),
    Label("outcome", ("ok", "malformed", "refused", "dropped", "duplicate")),
)  # fmt: skip
INTAKE_CONNECTED = _counters(
    "intake_connected", G,
    "Connections of an intake: to its broker (0 or 1), from servers that push events, or servers that answer polls.",
    Label("intake", ("websocket", "rabbitmq", "mqtt", "admin")),
)  # fmt: skip
ADMIN_POLLS = _counters(
    "admin_polls_total", C, "Polls of servers' Admin APIs; other_name: its events have another name than configured.",
    Label("outcome", ("ok", "failed", "refused", "other_name")),
)  # fmt: skip
ADMIN_INFERRED = _counters(
    "admin_inferred_total", C, "Events that no server told, and that were made of what its Admin API said.",
    Label("what", ("created", "attached", "webrtcup", "detail", "hangup", "detached", "destroyed")),
)  # fmt: skip
ADMIN_DIFFERENCE = _counters(
    "admin_difference", G, "In how many the last polls differed from the events; two in a row put it right.",
    Label("what", ("sessions", "handles")),
)  # fmt: skip
WATCH_CLIENTS = _counters("watch_clients", G, "Terminals that watch the events.")
WATCH_REFUSED = _counters("watch_clients_refused_total", C, "Terminals refused, because too many watch.")
WATCH_LOST = _counters("watch_lines_lost_total", C, "Lines lost by terminals that were too slow.")
DIAGNOSIS_CALLS = _counters("diagnosis_calls", G, "PeerConnections that the diagnosis follows.")
DIAGNOSIS_FORGOTTEN = _counters("diagnosis_calls_forgotten_total", C, "Those it gave up, because too many are.")
DIAGNOSIS_EVALUATIONS = _counters("diagnosis_evaluations_total", C, "Times that a PeerConnection was judged.")
DIAGNOSIS_PUBLISHED = _counters(
    "diagnosis_verdicts_published_total", C, "Verdicts told: of a PeerConnection that is over, or while it is live.",
    Label("kind", ("final", "live")),
)  # fmt: skip
STORE_ROWS = _counters("store_rows_total", C, "Rows written to the store.")
STORE_ERRORS = _counters("store_errors_total", C, "Batches that the store could not write.")
PCAP_WRITTEN = _counters("pcap_packets_written_total", C, "Packets written to capture files.")
PCAP_TRUNCATED = _counters("pcap_packets_truncated_total", C, "Of those, cut to the file's limit.")

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

FAMILIES: tuple[Family, ...] = tuple(each for each in list(globals().values()) if isinstance(each, Family))
"""All of them, in the order above."""
BY_NAME: dict[str, Family] = {each.name: each for each in FAMILIES}

PROCESS = (
    "process_virtual_memory_bytes", "process_resident_memory_bytes", "process_start_time_seconds",
    "process_cpu_seconds_total", "process_open_fds", "process_max_fds", "python_info",
)  # fmt: skip
"""Of the collector's process, with the names that every exporter gives them."""
