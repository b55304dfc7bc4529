"""Metric families whose values others keep: the event pipeline, HEP, the API's transports, the media port, recordings.

Counted where it happens (:mod:`appliance.core.measure`) or told by a gateway, and re-exposed here.
"""

from appliance.core.measure import DURATION_BOUNDS
from appliance.metrics.family import Family, Kind, Label, Source
from appliance.metrics.labels import DIRECTION, HANDLER, PLUGIN, REQUESTS, SERVER, TRANSPORT

C, G, H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM


def _counters(name: str, kind: Kind, help: str, *labels: Label, unit: str = "") -> Family:
    buckets = DURATION_BOUNDS if kind is Kind.HISTOGRAM else ()
    return Family(
        name=name, kind=kind, help=help, unit=unit, labels=(SERVER, *labels), buckets=buckets, source=Source.COUNTERS
    )


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
    "media_datagrams_dropped_total", C,
    "Datagrams at the media port that were dropped; no_keys: media that came before DTLS was done.",
    Label("reason", ("malformed", "no_keys", "unknown_source", "unknown_ssrc", "rate_limit", "send_buffer", "closed",
                     "oversize")),
)  # fmt: skip
TURN_SERVER = Label("turn_server", cap=16)
TURN_LENT = _counters("turn_addresses", G, "Relayed addresses that a TURN server lends the gateway.", TURN_SERVER)
TURN_FAILURES = _counters(
    "turn_failures_total", C, "Relayed addresses that were not lent, or lost; credentials: wrong or expired ones.",
    TURN_SERVER,
    Label("reason", ("unreachable", "credentials", "forbidden", "quota", "capacity", "refused", "lost")),
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
_JOURNALS = Label("intake", ("http", "websocket", "mqtt"))
INTAKE_JOURNAL_MESSAGES = _counters(
    "intake_journal_messages", G, "Messages of an intake on disk, because the handlers have not kept their events yet.",
    _JOURNALS,
)  # fmt: skip
INTAKE_JOURNAL_BYTES = _counters("intake_journal_bytes", G, "What they take on disk.", _JOURNALS, unit="bytes")
INTAKE_JOURNAL_READ = _counters(
    "intake_journal_read_total", C, "Messages of an earlier run that were read again at the start.", _JOURNALS
)
INTAKE_JOURNAL_LOST = _counters(
    "intake_journal_lost_total", C, "Messages that a collector which is killed would not read again, or did not.",
    _JOURNALS, Label("reason", ("full", "disk", "long", "corrupt")),
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

KEPT: tuple[Family, ...] = tuple(each for each in list(globals().values()) if isinstance(each, Family))
"""All of them, in the order above."""
