"""Labels of the metric families with what bounds them, and the buckets of histograms.

Values are from closed sets (https://prometheus.io/docs/practices/naming/). Directions are the server's: ``in`` from the
client, ``out`` to it.
"""

from appliance.metrics.family import Label

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
