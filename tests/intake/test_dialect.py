"""Every dialect of Janus's events, against what servers and the talk of 2017 really printed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core import events as e
from appliance.intake import dialect
from appliance.intake.dialect import MAX_DEPTH

DATA = Path(__file__).parent.parent / "data"
SEEDS = sorted(DATA.glob("seeds/*.jsonl"))
TRACES = sorted(path for path in DATA.glob("janus-*/*.jsonl") if not path.name.endswith(".api.jsonl"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def one(item: dict[str, Any]) -> e.Event:
    (found,) = dialect.read_one(item)
    return found


def test_there_is_something_to_read() -> None:
    assert len(SEEDS) == 2 and len(TRACES) >= 5


@pytest.mark.parametrize("path", TRACES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_a_modern_janus_says_is_read_as_it_is(path: Path) -> None:
    for line in lines(path):
        assert list(dialect.read_one(line["event"])) == list(e.from_janus(line["event"]))


def test_the_talks_call_is_read_whole() -> None:
    found = [one(item) for item in lines(DATA / "seeds/talk-echotest.jsonl")]
    kinds = [type(item.body).__name__ for item in found]
    assert kinds == [
        "Session", "Handle", "Jsep", "Jsep", "IceState", "IceState", "SelectedPair", "DtlsState", "DtlsState",
        "Connection", "MediaState", "MediaState", *["MediaStats"] * 4, "Plugin",
    ]  # fmt: skip
    assert [(item.type, item.subtype) for item in found[4:14:3]] == [(16, 1), (16, 5), (32, 1), (32, 3)]
    assert found[1].opaque_id == "echotest-17jLWaHvyU9q"
    assert found[0].body == e.Session(
        name="created", transport=e.TransportRef("janus.transport.http", "0x60e00003e160")
    )
    stats = found[12].body
    assert isinstance(stats, e.MediaStats)
    assert (stats.packets_received, stats.bytes_sent, stats.lost) == (43, 4519, 0)
    assert (stats.jitter_local, stats.jitter_remote, stats.rtt) == (None, None, None), "no unit is certain"


@pytest.mark.parametrize(
    ("kind", "body", "subtype"),
    [
        (16, {"ice": "ready", "stream_id": 1, "component_id": 2}, 1),
        (16, {"local-candidate": "1 1 udp 1 ::1 9 typ host", "stream_id": 1, "component_id": 1}, 2),
        (16, {"remote-candidate": "1 1 udp 1 ::1 9 typ host", "stream_id": 1, "component_id": 1}, 3),
        (16, {"selected-pair": "a <-> b", "stream_id": 1, "component_id": 1}, 4),
        (16, {"dtls": "trying", "stream_id": 1, "component_id": 1}, 5),
        (16, {"connection": "webrtcup"}, 6),
        (32, {"media": "audio", "receiving": True}, 1),
        (32, {"slow_link": "uplink", "media": "audio", "nacks_lastsec": 9}, 2),
        (32, {"media": "audio", "base": 48000, "lsr": 1}, 3),
        (32, {"media": "data", "packets-received": 1}, 3),
        (256, {"status": "started"}, 1),
        (256, {"status": "shutdown", "signum": 2}, 2),
        (64, {"plugin": "p", "data": {}}, 0),
    ],
)
def test_a_server_before_0_9_1_is_told_by_its_keys(kind: int, body: dict[str, Any], subtype: int) -> None:
    found = one({"type": kind, "timestamp": 1, "session_id": 1, "handle_id": 2, "event": body})
    assert found.subtype == subtype
    assert not isinstance(found.body, e.Unknown)


def test_truth_in_words_is_truth_and_a_name_is_a_name() -> None:
    data = {"audio_active": "true", "video_active": "false", "display": "true", "bitrate": 1}
    body = one({"type": 64, "timestamp": 1, "event": {"plugin": "p", "data": data}}).body
    assert isinstance(body, e.Plugin)
    assert body.data == {"audio_active": True, "video_active": False, "display": "true", "bitrate": 1}
    receiving = {"media": "audio", "receiving": "true"}
    assert one({"type": 32, "timestamp": 1, "event": receiving}).body == e.MediaState(media="audio", receiving=True)


def test_a_pair_that_was_wrapped_in_print_is_one_line() -> None:
    body = one(
        {"type": 16, "timestamp": 1, "event": {"selected-pair": "1.2.3.4:5 [host,udp]\n   <-> 5.6.7.8:9 [host,udp]"}}
    )
    assert body.body == e.SelectedPair(pair="1.2.3.4:5 [host,udp] <-> 5.6.7.8:9 [host,udp]")


def test_a_loss_below_zero_is_no_loss_of_four_thousand_million() -> None:
    body = one({"type": 32, "subtype": 2, "timestamp": 1, "event": {"slow_link": "uplink", "lost_lastsec": 4294967290}})
    assert body.body == e.SlowLink(slow_link="uplink")


def test_codecs_by_medium_are_codecs() -> None:
    body = {"media": "video", "base": 90000, "rtt": 1, "video-codec": "vp8", "jitter-local": 7}
    assert one({"type": 32, "timestamp": 1, "event": body}).body == e.MediaStats(
        media="video", base=90000, rtt=1, codec="vp8", jitter_local=7
    )


def test_combined_statistics_are_one_event_a_medium() -> None:
    combined = [line["event"] for line in lines(DATA / "janus-1.4/aiortc_echo_combined.jsonl")]
    arrays = [item for item in combined if isinstance(item["event"], list)]
    assert arrays, "the trace has none"
    for item in arrays:
        assert [found.body.media for found in dialect.read_one(item)] == [each["media"] for each in item["event"]]  # type: ignore[attr-defined]  # statistics


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ({"packets-received": 2**63}, {}),
        ({"rtt": 1e300, "lost": 3}, {"lost": 3}),
        ({"packets-received": 2**63 - 1, "jitter-local": 0.5}, {"packets-received": 2**63 - 1, "jitter-local": 0.5}),
    ],
)
def test_a_figure_beyond_all_measure_is_left_out_alone(said: dict[str, Any], left: dict[str, Any]) -> None:
    body = {"mid": "0", "media": "audio", "codec": "opus", "rtt": 12, "base": 48000, **said}
    whole = {"emitter": "j", "type": 32, "subtype": 3, "timestamp": 1, "session_id": 1, "handle_id": 2, "event": body}
    kept = {key: value for key, value in body.items() if key not in said} | left
    assert json.loads(e.body_json(one(whole))) == kept


@pytest.mark.parametrize("key", ["session_id", "timestamp"])
def test_bounds_hold_for_statistics_as_for_all(key: str) -> None:
    body = {"mid": "0", "media": "audio", "codec": "opus", "rtt": 12}
    whole = {"type": 32, "subtype": 3, "timestamp": 1, "session_id": 1, "handle_id": 2, "event": body, key: -1}
    with pytest.raises(e.EventDecodeError, match=f"{key}: -1 came"):
        one(whole)


def test_what_is_only_ours_is_not_believed() -> None:
    item = {"type": 1, "timestamp": 1, "id": 5, "correlation_id": "x", "replayed": True, "event": {"name": "created"}}
    found = one(item)
    assert (found.id, found.correlation_id, found.replayed) == (0, None, False)


def test_a_kind_that_only_a_later_janus_knows_is_passed_on_as_it_came() -> None:
    item = {"emitter": "j", "type": 16, "subtype": 77, "timestamp": 1, "session_id": 1, "event": {"new": {"a": [1]}}}
    found = one(item)
    assert e.to_janus(found) == item == json.loads(e.encode_json(found))
    assert e.decode_msgpack(e.encode_msgpack(found)) == found


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"type": 1, "timestamp": -1, "event": {"name": "x"}}, "timestamp: -1 came"),
        ({"type": 1, "timestamp": 2**63, "event": {"name": "x"}}, "timestamp: 9223372036854775808 came"),
        ({"type": 1, "timestamp": 1, "session_id": 2**53, "event": {"name": "x"}}, "session_id: 9007199254740992 came"),
        ({"type": 2**40, "timestamp": 1, "event": {}}, "type 1099511627776"),
        ({"type": 0, "timestamp": 1, "event": {}}, "type 0"),
        ({"type": 16, "timestamp": 1, "event": {"ice": 7}}, "ice"),
        ("text", "str came, wanted an object"),
        ([[1]], "list came, wanted an object"),
    ],
)
def test_what_is_no_event_is_refused_with_its_field(item: Any, message: str) -> None:
    with pytest.raises(e.EventDecodeError, match=message):
        list(dialect.read_one(item))


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value  # type: ignore[no-any-return]  # built from one


@pytest.mark.parametrize(
    "item",
    [
        {"type": 64, "event": {"plugin": "p", "data": nested(40)}},
        {"type": 128, "event": {"transport": "t", "id": "1", "data": nested(40)}},
        {"type": 4, "event": {"schema": "s", "data": nested(40)}},
        {"type": 256, "subtype": 1, "event": {"status": "started", "info": nested(40)}},
        {"type": 16, "subtype": 99, "event": nested(40)},
    ],
)
def test_what_no_handler_could_write_again_is_refused(item: dict[str, Any]) -> None:
    with pytest.raises(e.EventDecodeError, match=f"nested deeper than {MAX_DEPTH}"):
        list(dialect.read_one({**item, "timestamp": 1}))


def test_a_number_that_no_handler_could_write_again_is_refused() -> None:
    with pytest.raises(e.EventDecodeError, match="beyond 64 bits"):
        list(dialect.read_one({"type": 64, "timestamp": 1, "event": {"plugin": "p", "data": {"room": [2**70]}}}))


def test_as_deep_as_is_allowed_can_be_written_again() -> None:
    found = one({"type": 64, "timestamp": 1, "event": {"plugin": "p", "data": nested(15)}})
    assert e.encode_json(found) and e.encode_msgpack(found)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b'"\xff"', b"NaN"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(e.EventDecodeError, match="JSON"):
        dialect.decode(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["event", "data", "transport", "id", "media", "base", "lsr", "receiving", "ice", "name"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
ENVELOPE = st.fixed_dictionaries(
    {"type": st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128, 256]) | JSON, "timestamp": st.just(1) | JSON, "event": JSON},
    optional={"subtype": JSON, "session_id": JSON, "handle_id": JSON, "opaque_id": JSON, "emitter": JSON},
)


@settings(deadline=None)
@given(ENVELOPE | JSON)
def test_anything_is_read_or_refused_and_what_is_read_can_be_written(item: Any) -> None:
    try:
        found = list(dialect.read(item))
    except e.EventDecodeError:
        return
    for each in found:
        assert e.decode_msgpack(e.encode_msgpack(each)) == each
        assert e.body_from_json(each.type, each.subtype, e.body_json(each)) == each.body
