"""Events made of what a real Janus 1.4.1 said of a handle in the middle of a call."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.core import events as e
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import judge
from appliance.intake.announce import announce_handle, announce_session, has_peer

RECORDED = Path(__file__).parent.parent / "data" / "janus-1.4" / "admin.api.jsonl"
SESSION, HANDLE = 7624429535209244, 2492544362644531
NOW_US = 1_700_000_000_000_000


def recorded(transaction: str) -> dict[str, Any]:
    for line in RECORDED.read_text("utf-8").splitlines():
        exchange = json.loads(line)
        if exchange.get("request", {}).get("transaction") == transaction:
            found: dict[str, Any] = exchange["response"]["info"]
            return found
    raise AssertionError(transaction)


UP = recorded("adm7")
"""In the call."""
OVER = recorded("adm49")
"""After its hangup."""


def handle(info: dict[str, Any]) -> list[e.Event]:
    return list(announce_handle("janus-ref", SESSION, HANDLE, info, NOW_US))


def test_a_call_under_way_is_told_as_its_server_would_have() -> None:
    events = handle(UP)
    bodies = [item.event for item in events]
    assert bodies[0] == e.Handle(name="attached", plugin="janus.plugin.echotest", opaque_id="opaque-echo")
    descriptions = [(body.owner, body.jsep.type) for body in bodies if isinstance(body, e.Jsep)]
    assert descriptions == [("remote", "offer"), ("local", "answer")]
    assert [type(body).__name__ for body in bodies[3:]] == [
        "IceState", "SelectedPair", "DtlsState", "Connection", "MediaState", "MediaState",
    ]  # fmt: skip
    assert {(item.session_id, item.handle_id, item.emitter) for item in events} == {(SESSION, HANDLE, "janus-ref")}
    assert all(item.inferred and item.replayed and item.opaque_id == "opaque-echo" for item in events)


def test_times_are_those_of_the_server_by_its_own_present_time() -> None:
    # By the recorded answer: created 1551000, ICE connected 1747251, DTLS 1763121, and it was 5726690 then.
    ago = {type(item.event): 5726690 - (NOW_US - item.timestamp) for item in handle(UP)}
    assert ago[e.Handle] == 1551000
    assert ago[e.IceState] == ago[e.SelectedPair] == 1747251
    assert ago[e.DtlsState] == ago[e.Connection] == 1763121
    times = [item.timestamp for item in handle(UP)]
    assert times == sorted(times) and times[-1] == NOW_US


def test_such_a_call_is_well_and_its_setup_is_not_timed() -> None:
    timeline = Timeline.fold(handle(UP))
    assert timeline.joined and timeline.up is not None
    assert judge(timeline, now_us=NOW_US + 60_000_000, final=False).severity == "good"


def test_a_handle_without_a_call() -> None:
    assert has_peer(UP) and not has_peer(OVER)
    assert [item.event for item in handle(OVER)] == [
        e.Handle(name="attached", plugin="janus.plugin.echotest", opaque_id="opaque-echo")
    ]


def test_a_session_is_told_with_its_transport() -> None:
    made = announce_session("janus-ref", SESSION, UP, NOW_US)
    assert made.event == e.Session(name="created", transport=e.TransportRef("janus.transport.http", ""))
    assert made.timestamp == NOW_US - (5726690 - 1551000) and made.inferred and made.replayed
    assert announce_session("janus-ref", SESSION, {}, NOW_US).event == e.Session(name="created")


def test_who_offered_is_read_from_the_descriptions() -> None:
    local, remote = UP["sdps"]["local"], UP["sdps"]["remote"]
    swapped = UP | {"sdps": {"local": remote, "remote": local}}
    found = [(item.event.owner, item.event.jsep.type) for item in handle(swapped) if isinstance(item.event, e.Jsep)]
    assert found == [("local", "offer"), ("remote", "answer")]
    alone = UP | {"sdps": {"local": local.replace("active", "actpass")}}
    found = [(item.event.owner, item.event.jsep.type) for item in handle(alone) if isinstance(item.event, e.Jsep)]
    assert found == [("local", "offer")]


def test_a_video_room_says_who_and_where() -> None:
    there = OVER | {"plugin": "janus.plugin.videoroom", "plugin_specific": {"room": 1234, "display": "ann", "id": 7}}
    assert handle(there)[1].event == e.Plugin(plugin="janus.plugin.videoroom", data={"room": 1234, "display": "ann"})


def test_an_older_server_is_understood() -> None:
    ice, dtls = UP["webrtc"]["ice"], UP["webrtc"]["dtls"]
    old = {key: value for key, value in UP.items() if key != "webrtc"}
    old["streams"] = [{"id": 1, "components": [{**ice, "dtls": dtls}]}]
    assert has_peer(old)
    assert e.Connection(connection="webrtcup") in [item.event for item in handle(old)]


@pytest.mark.parametrize("key", sorted(UP))
@pytest.mark.parametrize("value", [None, True, -1, 2**70, "x" * 100_000, [], [[]], {"0": []}, {"media": {"0": 1}}])
def test_whatever_a_server_says_nothing_is_raised(key: str, value: object) -> None:
    for item in handle(UP | {key: value}):
        assert 0 <= item.timestamp <= NOW_US
        assert len(e.encode_json(item)) < 70_000
    assert announce_session("x", 1, UP | {key: value}, NOW_US).timestamp <= NOW_US
