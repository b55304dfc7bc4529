"""Publishers, and what the others in the room hear; every shape is compared with what Janus 1.4.1 said."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.core import events
from tests.core.world import JsonObject
from tests.plugins.videoroom.people import Person, plugin_events, world

pytestmark = pytest.mark.usefixtures("publishing")

DATA = Path(__file__).parent.parent.parent / "data" / "janus-1.4"


def shape(value: Any) -> Any:
    """Keys in their order and kinds of values; ids are numbers, so every number is alike."""
    if isinstance(value, dict):
        return [(key, value[key] if key in {"videoroom", "event"} else shape(value[key])) for key in value]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def recorded_messages() -> Iterator[JsonObject]:
    for line in (DATA / "videoroom_http.api.jsonl").read_text().splitlines():
        said = json.loads(line)["msg"]
        for message in said if isinstance(said, list) else [said]:
            yield message["plugindata"]["data"]


def recorded_events() -> Iterator[tuple[bool, JsonObject]]:
    for line in (DATA / "videoroom_http.jsonl").read_text().splitlines():
        event = json.loads(line)["event"]
        if event["type"] == 64:
            yield "handle_id" in event, event["event"]["data"]


def is_of_a_subscriber(data: JsonObject) -> bool:
    return data.get("event") in {"subscribing", "subscribed"} or (
        data.get("event") == "updated" and "private_id" in data
    )


def play() -> tuple[Person, list[JsonObject]]:
    """The recorded room, less its subscribers: everything that was said to anybody."""
    said: list[JsonObject] = []
    control = Person(world())
    said.append(control.ask("create", room=4321, description="ref room", publishers=4, bitrate=256000,
                            notify_joining=True))  # fmt: skip
    alice, bob = Person(control.world), Person(control.world)
    said += [alice.join(4321, display="alice"), alice.publish(audio=True, video=True)]
    said += [bob.join(4321, display="bob"), *alice.heard(), bob.publish(audio=True, video=True), *alice.heard()]
    said.append(control.ask("listparticipants", room=4321))
    said += [alice.tell("configure", bitrate=128000), alice.tell("unpublish"), *bob.heard()]
    said += [bob.tell("leave"), *alice.heard()]
    said += [control.ask("destroy", room=4321), *alice.heard()]
    return control, said


def test_everything_said_has_janus_shape() -> None:
    _, said = play()
    for one in said:
        one.get("jsep", {}).pop("sdp", None)
        one.pop("jsep", None)
    known = [shape(data) for data in recorded_messages()]
    for one in said:
        assert shape(one) in known, one
    unsaid = [data for data in recorded_messages() if shape(data) not in [shape(one) for one in said]]
    assert {data["videoroom"] for data in unsaid} <= {"attached", "updated", "event"}
    assert {key for data in unsaid if data["videoroom"] == "event" for key in data} <= {"videoroom", "room", "started"}


def test_events_are_those_of_janus_in_its_order() -> None:
    control, _ = play()
    ours = [(own, shape(data)) for own, data in plugin_events(control.world)]
    # Bob has a PeerConnection when he leaves here; in the recording he went on publishing as well, and Janus told of
    # his leaving alone.
    wanted = [(own, shape(data)) for own, data in recorded_events() if not is_of_a_subscriber(data)]
    unpublished = wanted[-3]
    assert [one for one in ours if one != unpublished] == [one for one in wanted if one != unpublished]
    assert unpublished in ours


@pytest.mark.parametrize(
    ("verb", "body", "code", "error"),
    [
        ("configure", {}, 424, "Invalid request on unconfigured participant"),
        ("join", {"ptype": "publisher"}, 429, "Missing mandatory element (room)"),
        ("join", {"ptype": "publisher", "room": 9}, 426, "No such room (9)"),
        ("join", {"room": 1234}, 429, "Missing mandatory element (ptype)"),
        ("join", {"room": 1234, "ptype": "owner"}, 430, "Invalid element (ptype)"),
        ("join", {"room": 1234, "ptype": "publisher", "display": 5}, 430,
         "Invalid element type (display should be a string)"),
        ("join", {"room": 1234, "ptype": "publisher", "id": 77}, 436, "User ID 77 already exists"),
        ("join", {"room": 5, "ptype": "publisher"}, 429, "Missing mandatory element (pin)"),
        ("join", {"room": 5, "ptype": "publisher", "pin": "no"}, 433, "Unauthorized (wrong pin)"),
    ],
)  # fmt: skip
def test_refused_before_joining(verb: str, body: JsonObject, code: int, error: str) -> None:
    other = Person(world())
    other.ask("create", room=5, pin="p")
    other.join(id=77)
    person = Person(other.world)
    assert person.tell(verb, **body) == {"videoroom": "event", "error_code": code, "error": error}
    assert len(person.ask("listparticipants", room=1234)["participants"]) == 1


@pytest.mark.parametrize(
    ("verb", "body", "code", "error"),
    [
        ("join", {"room": 1234, "ptype": "publisher"}, 425, "Already in as a publisher on this handle"),
        ("unpublish", {}, 435, "Can't unpublish, not published"),
        ("configure", {"streams": [{"mid": "9", "send": False}]}, 428, "No such mid '9' published"),
        ("configure", {"record": True}, 430,
         "Invalid element (record should be false: recording is not available here)"),
        ("configure", {"streams": [{}]}, 429, "Missing mandatory element (mid)"),
        ("configure", {"streams": [5]}, 430, "Invalid element type (streams should hold objects)"),
    ],
)  # fmt: skip
def test_refused_once_in(verb: str, body: JsonObject, code: int, error: str) -> None:
    person = Person(world())
    person.join()
    assert person.tell(verb, **body) == {"videoroom": "event", "error_code": code, "error": error}


def test_a_codec_that_the_room_has_not_is_refused_with_the_offer_alone() -> None:
    person = Person(world())
    person.join()
    refused = {"videoroom": "event", "error_code": 430, "error": "Audio codec unavailable in this room"}
    assert person.tell("configure", offer=True, audiocodec="pcmu") == refused
    # Without an offer it says nothing of what is published, and Janus doesn't look.
    assert person.tell("configure", audiocodec="pcmu")["configured"] == "ok"


def test_publish_refused_twice_and_beyond_the_limit() -> None:
    first = Person(world())
    first.ask("create", room=5, publishers=1)
    first.join(5)
    assert first.tell("publish", offer=True)["jsep"]["type"] == "answer"
    first.connect()
    assert first.tell("publish")["error_code"] == 434
    second = Person(first.world)
    second.join(5)
    assert second.tell("publish", offer=True) == {
        "videoroom": "event", "error_code": 432, "error": "Maximum number of publishers (1) already reached",
    }  # fmt: skip
    assert second.peer is not None
    assert ("close", "Close PC") in second.peer.calls


def test_settings_reach_the_peerconnection() -> None:
    person, other = Person(world()), Person(world())
    person.ask("create", room=5, bitrate=300000, bitrate_cap=True)
    person.join(5)
    person.publish()
    assert person.peer is not None
    assert ("set_bitrate", 300000) in person.peer.calls
    person.tell("configure", bitrate=900000)
    assert person.last_call() == ("set_bitrate", 300000)
    person.tell("configure", bitrate=1)
    assert person.last_call() == ("set_bitrate", 64000)
    person.tell("configure", keyframe=True)
    assert person.last_call() == ("request_keyframe", "1")
    assert other.peer is None


def test_join_and_configure_in_one() -> None:
    person = Person(world())
    data = person.tell("joinandconfigure", offer=True, room=1234, ptype="publisher", display="ann")
    assert data["videoroom"] == "joined"
    assert data["jsep"]["type"] == "answer"
    assert [stream["mid"] for stream in data["streams"]] == ["0", "1", "2"]


def test_renaming_and_describing_are_told() -> None:
    ann, bob = Person(world()), None
    ann.join(display="ann")
    ann.publish()
    bob = Person(ann.world)
    me = bob.join()["publishers"][0]["id"]
    ann.tell("configure", display="anne")
    assert bob.heard() == [{"videoroom": "event", "room": 1234, "id": me, "display": "anne"}]
    ann.tell("configure", descriptions=[{"mid": "1", "description": "my cat"}])
    (told,) = bob.heard()
    assert told["publishers"][0]["streams"][1]["description"] == "my cat"


def test_a_kicked_one_is_out() -> None:
    ann, bob = Person(world()), None
    me = ann.join(display="ann")["id"]
    ann.publish()
    bob = Person(ann.world)
    bob.join()
    assert bob.ask("kick", room=1234, id=me) == {"videoroom": "success"}
    told = {"videoroom": "event", "room": 1234}
    assert ann.heard() == [{**told, "leaving": "ok", "reason": "kicked"}]
    assert bob.heard()[0] == {**told, "kicked": me, "display": "ann"}
    assert ann.tell("configure")["error"] == "Unauthorized, you have been kicked"
    assert [one["publisher"] for one in bob.ask("listparticipants", room=1234)["participants"]] == [False]
    assert ann.join() == {"videoroom": "event", "error_code": 425, "error": "Not in a room (create a new handle)"}


def test_a_request_is_answered_whatever_goes_wrong(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ann = Person(world())
    ann.join()
    ann.publish()
    monkeypatch.setattr("tests.core.fake_media.FakePeer.set_bitrate", None)
    told = ann.tell("configure", bitrate=100_000)
    assert told == {"videoroom": "event", "error_code": 499, "error": "Unknown error"}
    assert "videoroom failed on configure" in caplog.text
    assert ann.tell("configure", keyframe=True)["configured"] == "ok"


def test_a_handle_of_a_room_that_is_no_more_is_of_no_use() -> None:
    ann = Person(world())
    ann.ask("create", room=5)
    ann.join(5)
    ann.ask("destroy", room=5)
    assert ann.join() == {"videoroom": "event", "error_code": 425, "error": "Not in a room (create a new handle)"}


@pytest.mark.parametrize("verb", ["join", "joinandconfigure"])
def test_who_says_nonsense_is_not_in(verb: str) -> None:
    """So the same handle may say it right."""
    ann = Person(world())
    told = ann.tell(verb, room=1234, ptype="publisher", bitrate="much")
    error = "Invalid element type (bitrate should be a positive integer)"
    assert told == {"videoroom": "event", "error_code": 430, "error": error}
    assert ann.tell(verb, room=1234, ptype="publisher", bitrate=100_000)["videoroom"] == "joined"


def test_moderation_is_told_once() -> None:
    ann = Person(world())
    me = ann.join()["id"]
    ann.publish()
    for _ in range(2):
        ann.ask("moderate", room=1234, id=me, mid="0", mute=True)
    assert ann.heard() == [{"videoroom": "event", "room": 1234, "id": me, "mid": "0", "moderation": "muted"}]
    assert ann.ask("moderate", room=1234, id=me, mid="9", mute=True)["error_code"] == 428
    later = Person(ann.world).join()
    assert later["publishers"][0]["streams"][0]["moderated"] is True


def test_whoever_vanishes_leaves() -> None:
    ann = Person(world())
    me = ann.join(display="ann")["id"]
    ann.publish()
    bob = Person(ann.world)
    bob.join()
    ann.world.say("detach", **ann.ids)
    ann.world.settle()
    told = {"videoroom": "event", "room": 1234, "display": "ann"}
    assert bob.heard() == [{**told, "unpublished": me}, {**told, "leaving": me}]
    assert [data["event"] for own, data in plugin_events(ann.world) if not own] == ["unpublished", "leaving"]


def test_a_lost_peerconnection_unpublishes_and_may_come_back() -> None:
    ann = Person(world())
    ann.join()
    ann.publish()
    bob = Person(ann.world)
    bob.join()
    assert ann.peer is not None
    ann.peer.tell(events.Connection(connection="hangup", reason="ICE failed"))
    assert "unpublished" in bob.heard()[0]
    ann.publish()
    assert "publishers" in bob.heard()[0]


def test_loss_on_the_way_in_is_told() -> None:
    ann = Person(world())
    ann.join()
    ann.publish()
    assert ann.peer is not None
    ann.peer.tell(events.SlowLink(mid="1", media="video", slow_link="downlink", lost_lastsec=9))
    ann.peer.tell(events.SlowLink(mid="1", media="video", slow_link="uplink", lost_lastsec=9))
    assert ann.heard() == [{"videoroom": "slow_link", "current-bitrate": 1_000_000}]
