"""No request, however strange, raises or goes without a reply in Janus's shape."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.admin_settings import SETTINGS
from appliance.core.admin_tokens import VERBS
from appliance.core.events import encode_msgpack
from appliance.core.gateway import GatewayConfig
from appliance.core.messages import JsonError, parse
from tests.core.admin_world import AdminWorld
from tests.core.fake_media import OFFER
from tests.core.world import World

WORDS = st.sampled_from(
    [
        "create", "attach", "message", "trickle", "keepalive", "hangup", "detach", "destroy", "claim", "info", "ping",
        "", "MESSAGE", "nope",
    ]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
BODIES = st.dictionaries(
    st.sampled_from(["audio", "video", "bitrate", "record", "substream", "temporal", "min_delay", "videocodec"]),
    st.booleans() | st.integers(-1, 2**33) | JSON,
    max_size=3,
)
JSEPS = st.fixed_dictionaries({"type": st.sampled_from(["offer", "answer", "x"]) | JSON, "sdp": st.just(OFFER) | JSON})
CANDIDATES = st.fixed_dictionaries(
    {}, optional={"candidate": JSON, "sdpMid": JSON, "sdpMLineIndex": JSON, "completed": JSON}
)
REQUESTS = st.fixed_dictionaries(
    {"janus": WORDS | JSON, "transaction": st.text(max_size=12) | JSON},
    optional={
        "session_id": st.just("S") | JSON,
        "handle_id": st.just("H") | JSON,
        "id": JSON,
        "plugin": st.just("janus.plugin.echotest") | JSON,
        "opaque_id": JSON,
        "body": BODIES | JSON,
        "jsep": JSEPS | JSON,
        "candidate": CANDIDATES | JSON,
        "candidates": st.lists(CANDIDATES | JSON, max_size=3) | JSON,
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(REQUESTS | JSON, max_size=8))
def test_every_request_is_answered(requests: list[object]) -> None:
    world = World()
    session_id = world.session()
    handle_id = world.handle(session_id)
    for drawn in requests:
        request = drawn
        if isinstance(drawn, dict):
            named = {"session_id": session_id} if drawn.get("session_id") == "S" else {}
            named |= {"handle_id": handle_id} if drawn.get("handle_id") == "H" else {}
            request = drawn | named
        answer = world.gateway.request(request, world.client)
        assert answer["janus"] in {"success", "ack", "error", "pong", "server_info"}
        if answer["janus"] == "error":
            assert list(answer["error"]) == ["code", "reason"]
            assert 403 <= answer["error"]["code"] < 490
        world.settle()
    for message in world.client.sent:
        msgspec.json.encode(message)
    for item in world.events:
        encode_msgpack(item)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_every_text_is_read_or_refused(data: bytes) -> None:
    try:
        value = parse(data)
    except JsonError as refusal:
        assert refusal.line >= 1
    else:
        assert isinstance(value, dict | list)
        msgspec.json.encode(value)


ADMIN_WORDS = sorted(
    {
        "get_status", "list_sessions", "loops_info", "custom_event", "custom_logline", "message_plugin",
        "query_transport", "query_eventhandler", "query_logger", "resolve_address", "test_stun", "list_handles",
        "destroy_session", "handle_info", "hangup_webrtc", "detach_handle", "start_pcap", "stop_pcap",
        "start_text2pcap", "stop_text2pcap", "info", "ping", "nope",
    }
    | SETTINGS.keys()
    | VERBS
)  # fmt: skip
ELEMENTS = [
    "timeout", "level", "timestamps", "colors", "debug", "min_nack_queue", "nack_optimizations", "no_media_timer",
    "slowlink_threshold", "accept", "token", "plugins", "plugin", "transport", "handler", "logger", "request", "schema",
    "data", "line", "address", "port", "localport", "plugin_only", "folder", "filename", "truncate", "admin_secret",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ADMIN_WORDS),
    st.sampled_from([(), ("session_id",), ("session_id", "handle_id")]),
    st.dictionaries(st.sampled_from(ELEMENTS), JSON | st.integers(0, 9) | st.booleans(), max_size=10),
)
def test_every_admin_request_is_answered(verb: str, path: tuple[str, ...], elements: dict[str, object]) -> None:
    world = AdminWorld(GatewayConfig(token_auth=True))
    assert world.gateway.auth.tokens is not None
    world.gateway.auth.tokens.add("t")
    session_id = world.session(token="t")
    ids = {"session_id": session_id, "handle_id": world.handle(session_id, token="t")}
    named = {key: ids[key] for key in path}
    answer = world.serve({"janus": verb, "transaction": "t"} | elements | named)
    assert answer["janus"] in {"success", "error", "pong", "server_info"}
    if answer["janus"] == "error":
        # A bug of ours would be told as the code's bare reason.
        assert answer["error"]["reason"] != "Unknown error", answer
    msgspec.json.encode(answer)
