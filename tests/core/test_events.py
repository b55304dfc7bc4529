"""Events against what a real Janus sent: nothing added, nothing lost, keys in the same order."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import events as e

TRACES = sorted(Path(__file__).parent.parent.joinpath("data").glob("janus-*/*.jsonl"))


def recorded(path: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["event"] for line in lines if "event" in line and "dir" not in line]


def test_there_are_traces() -> None:
    assert TRACES, "tests/data/janus-*/ is empty: the tests below would pass by running nothing"


@pytest.mark.parametrize("path", TRACES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_janus_event_is_the_same_after_reading(path: Path) -> None:
    for original in recorded(path):
        read = list(e.from_janus(original))
        if isinstance(original["event"], list):
            assert [e.to_janus(item)["event"] for item in read if e.to_janus(item)] == original["event"]  # type: ignore[index]
            continue
        (item,) = read
        assert json.dumps(e.to_janus(item)) == json.dumps(original)


@pytest.mark.parametrize("path", TRACES[:3], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_link_carries_an_event_unchanged(path: Path) -> None:
    for original in recorded(path):
        for item in e.from_janus(original):
            assert e.decode_msgpack(e.encode_msgpack(item)) == item


def test_kinds_have_different_numbers_and_janus_never_sees_ours() -> None:
    assert len(e.BODY_OF) == len(e.KINDS)
    for kind in e.KINDS:
        assert kind.type in e.EventType and kind.type.name is not None
        if kind.extension:
            assert (int(kind.type), kind.subtype) in {
                (16, 7),
                (16, 8),
                (16, 9),
                (32, 4),
                (32, 5),
                (256, 3),
                (256, 4),
                (256, 5),
            }


def test_an_extension_does_not_go_to_a_janus_backend() -> None:
    item = e.event(e.EndOfCandidates(count=2), emitter="gw", timestamp=1)
    assert e.to_janus(item) is None
    assert json.loads(e.encode_json(item))["event"] == {"count": 2}


def test_an_unknown_kind_is_kept_as_it_came() -> None:
    original = {"type": 16, "subtype": 99, "timestamp": 5, "event": {"new": [1, 2]}}
    (item,) = e.from_janus(original)
    assert item.body == e.Unknown(content={"new": [1, 2]})
    assert json.loads(e.body_json(item)) == {"new": [1, 2]}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (7, "event: int came, wanted an object"),
        ({"type": 1, "event": {"name": "created"}}, "timestamp"),
        ({"type": 1, "timestamp": 1, "event": {}}, "name"),
        ({"type": 1, "timestamp": 1, "event": "x"}, "str came, wanted an object"),
        ({"type": "one", "timestamp": 1, "event": {}}, "type"),
    ],
)
def test_what_is_no_event_is_refused_with_its_field(broken: object, message: str) -> None:
    with pytest.raises(e.EventDecodeError, match=message):
        list(e.from_janus(broken))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["type", "subtype", "timestamp", "session_id", "event", "emitter"]), JSON))
def test_any_object_is_read_or_refused(value: dict[str, object]) -> None:
    try:
        list(e.from_janus(value))
    except e.EventDecodeError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        e.decode_msgpack(data)
    except e.EventDecodeError:
        pass


def test_a_mask_is_read_as_janus_reads_it() -> None:
    assert e.parse_mask("sessions, webrtc") == e.EventType.SESSION | e.EventType.WEBRTC
    assert e.parse_mask("all") == e.EventType.ALL
    assert e.parse_mask("") == e.EventType.NONE
    with pytest.raises(ValueError, match="unknown event type 'webrct'"):
        e.parse_mask("webrct")


def test_bodies_are_immutable() -> None:
    with pytest.raises(AttributeError):
        e.Session(name="created").name = "x"  # type: ignore[misc]
    assert issubclass(e.Body, msgspec.Struct)
