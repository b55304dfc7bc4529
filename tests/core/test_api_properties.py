"""No request, however strange, raises or goes without a reply in Janus's shape."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.events import encode_msgpack
from appliance.core.messages import JsonError, parse
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
