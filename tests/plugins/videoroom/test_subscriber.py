"""Subscribers: what they are offered, what flows to them, and what they are told."""

from typing import Any

import pytest

from appliance.core import events
from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import RoomConfig, VideoRoomConfig
from tests.core.world import JsonObject
from tests.plugins.videoroom.people import Person, plugin_events, world
from tests.plugins.videoroom.test_publisher import recorded_events, recorded_messages, shape

pytestmark = pytest.mark.usefixtures("publishing")


class Show:
    """Ann publishes and has the id ``ann``; Sue has subscribed and answered."""

    def __init__(self, **join: Any) -> None:
        self.ann = Person(world())
        told = self.ann.join(display="ann")
        self.id, self.private_id = told["id"], told["private_id"]
        self.ann.publish()
        self.sue = Person(self.ann.world)
        self.attached = self.subscribe(self.sue, **join)
        self.started = answer(self.sue)
        self.sue.connect()

    def subscribe(self, who: Person, **join: Any) -> JsonObject:
        streams = {} if "feed" in join else {"streams": [{"feed": self.id}]}
        body = {"room": 1234, "ptype": "subscriber", **streams, **join}
        data = who.tell("join", **body)
        if "jsep" in data:
            who.peer = who.world.media.peer
        return data

    def other(self) -> tuple[Person, int]:
        """One more publisher."""
        bob = Person(self.ann.world)
        me = bob.join()["id"]
        bob.publish()
        return bob, me


def answer(who: Person) -> JsonObject:
    return who.tell("start", answers_offer=True)


def calls(who: Person, *names: str) -> list[tuple[Any, ...]]:
    assert who.peer is not None
    found = [call for call in who.peer.calls if call[0] in names]
    who.peer.calls.clear()
    return found


def test_what_is_said_has_janus_shape() -> None:
    show = Show(private_id=7)
    assert show.attached["jsep"]["type"] == "offer"
    known = [shape(data) for data in recorded_messages()]
    assert shape({key: show.attached[key] for key in ("videoroom", "room", "streams")}) in known
    assert shape(show.started) in known
    show.ann.tell("unpublish")
    (updated,) = show.sue.heard()
    assert shape(updated) in known
    recorded = [shape(data) for _, data in recorded_events()]
    mine = [data for _, data in plugin_events(show.ann.world)]
    for name in ("subscribing", "subscribed", "updated"):
        (said,) = [data for data in mine if data["event"] == name]
        assert shape(said) in recorded, said


def test_the_admin_api_sees_who_watches_what() -> None:
    show = Show(private_id=7)
    sessions = show.ann.world.gateway.sessions
    ann, sue = (sessions[one.session_id].handles[one.ids["handle_id"]].query() for one in (show.ann, show.sue))
    assert [stream["subscribers"] for stream in ann["streams"]] == [1, 1, 0]
    expected = {"private_id": 7, "answered": True, "pending_offer": False, "pending_restart": False, "paused": False}
    assert expected.items() <= sue.items()


def test_media_flow_once_answered() -> None:
    show = Show()
    assert calls(show.ann, "forward") == [("forward", "0", "0"), ("forward", "1", "1")]
    assert ("set_sending", "1", True) in calls(show.sue, "set_sending")


def test_pause_mute_and_moderation_hold_packets_back() -> None:
    show = Show()
    calls(show.sue)
    assert show.sue.tell("pause") == {"videoroom": "event", "room": 1234, "paused": "ok"}
    assert ("set_sending", "0", False) in calls(show.sue, "set_sending")
    show.sue.tell("start")
    assert ("set_sending", "0", True) in calls(show.sue, "set_sending")
    show.sue.tell("configure", streams=[{"mid": "1", "send": False}])
    assert ("set_sending", "1", False) in calls(show.sue, "set_sending")
    show.ann.ask("moderate", room=1234, id=show.id, mid="0", mute=True)
    assert ("set_sending", "0", False) in calls(show.sue, "set_sending")
    show.ann.tell("configure", audio=False)
    show.ann.ask("moderate", room=1234, id=show.id, mid="0", mute=False)
    assert ("set_sending", "0", True) not in calls(show.sue, "set_sending")


def test_more_streams_are_offered_one_answer_at_a_time() -> None:
    show = Show()
    _, bob = show.other()
    updated = show.sue.tell("subscribe", streams=[{"feed": bob}])
    assert updated["jsep"]["type"] == "offer"
    assert [one["feed_id"] for one in updated["streams"] if "feed_id" in one] == [show.id, show.id, bob, bob]
    _, eve = show.other()
    assert show.sue.tell("subscribe", streams=[{"feed": eve, "mid": "0"}]) == {"videoroom": "updating", "room": 1234}
    answer(show.sue)
    (more,) = [one for one in show.sue.heard() if one["videoroom"] == "updated"]
    assert more["streams"][-1]["feed_id"] == eve
    answer(show.sue)
    assert show.sue.tell("subscribe", streams=[{"feed": eve, "mid": "0"}]) == {"videoroom": "updated", "room": 1234}
    left = show.sue.tell("update", unsubscribe=[{"feed": bob}])
    assert [one["active"] for one in left["streams"]] == [True, True, True, False, False, True]


def test_a_free_line_is_used_again() -> None:
    show = Show()
    _, bob = show.other()
    show.sue.tell("unsubscribe", streams=[{"sub_mid": "1"}])
    answer(show.sue)
    updated = show.sue.tell("subscribe", streams=[{"feed": bob, "mid": "1"}])
    assert (len(updated["streams"]), updated["streams"][1]["feed_id"]) == (3, bob)


@pytest.mark.parametrize("nothing", [{}, {"mid": "1"}, {"feed": 5}, {"sub_mid": "9"}, {"feed": 0}])
def test_what_names_nothing_ends_nothing(nothing: JsonObject) -> None:
    show = Show()
    calls(show.sue)
    assert show.sue.tell("unsubscribe", streams=[nothing]) == {"videoroom": "updated", "room": 1234}
    assert show.sue.tell("update", unsubscribe=[nothing]) == {"videoroom": "updated", "room": 1234}
    assert calls(show.sue, "unforward", "create_offer") == []


def test_switching_needs_no_offer() -> None:
    show = Show()
    bob, me = show.other()
    calls(bob)
    data = show.sue.tell("switch", streams=[{"feed": me, "mid": "1", "sub_mid": "1"}])
    assert (data["switched"], data["changes"], data["streams"][1]["feed_id"]) == ("ok", 1, me)
    assert "jsep" not in data
    assert calls(bob, "forward") == [("forward", "1", "1")]


def test_data_goes_to_whoever_subscribed() -> None:
    show = Show()
    assert show.ann.peer is not None
    calls(show.sue)
    show.ann.peer.observer.data("JanusDataChannel", "", "hello")
    assert calls(show.sue, "send_data") == [("send_data", "JanusDataChannel", "", "hello")]


def test_a_single_feed_of_old() -> None:
    show = Show()
    old = Person(show.ann.world)
    data = show.subscribe(old, feed=show.id, offer_video=False)
    assert (data["warning"], data["id"], data["display"]) == ("deprecated_api", show.id, "ann")
    assert [one["type"] for one in data["streams"]] == ["audio", "data"]


def test_a_single_feed_of_old_may_be_held_back_at_first() -> None:
    show = Show()
    old = Person(show.ann.world)
    data = show.subscribe(old, feed=show.id, video=False, data=False)
    assert [(one["type"], one["send"]) for one in data["streams"]] == [
        ("audio", True), ("video", False), ("data", False),
    ]  # fmt: skip
    answer(old)
    assert ("set_sending", "1", False) in calls(old, "set_sending")
    show.ann.peer.observer.data("JanusDataChannel", "", "unheard")  # type: ignore[union-attr]  # it is connected
    assert calls(old, "send_data") == []
    old.tell("configure", video=True, data=True)
    assert ("set_sending", "1", True) in calls(old, "set_sending")


@pytest.mark.parametrize(
    ("strings", "feed", "join", "msids"),
    [
        (False, 7, {}, [None, None]),
        (False, 7, {"use_msid": True}, ["7 0", "7 1"]),
        (True, "ann", {"use_msid": True}, ["ann 0", "ann 1"]),
        (True, "ann b", {"use_msid": True}, [None, None]),
        (True, "a\r\na=b", {"use_msid": True}, [None, None]),
    ],
)
def test_tracks_are_named_after_their_feed_where_that_is_asked(
    strings: bool, feed: Any, join: JsonObject, msids: list[str | None]
) -> None:
    room: Any = "lobby" if strings else 5
    ann = Person(world(VideoRoom(VideoRoomConfig(string_ids=strings, rooms=[RoomConfig(room=room)]))))
    ann.join(room, id=feed)
    ann.publish()
    sue = Person(ann.world)
    sue.tell("join", room=room, ptype="subscriber", streams=[{"feed": feed}], **join)
    sue.peer = ann.world.media.peer
    ((_, lines, _),) = calls(sue, "create_offer")
    assert [line.msid for line in lines if line.kind != "application"] == msids


def test_an_offer_is_made_when_the_client_wants_one() -> None:
    show = Show()
    for body, restarts in (({"update": True}, False), ({"restart": True}, True)):
        calls(show.sue)
        assert show.sue.tell("configure", **body)["jsep"]["type"] == "offer"
        ((_, _, restarted),) = calls(show.sue, "create_offer")
        assert restarted is restarts
        answer(show.sue)
    assert "jsep" not in show.sue.tell("configure", update=False, restart=False)


@pytest.mark.parametrize(("asked", "restarts"), [("update", False), ("restart", True)])
def test_an_offer_that_is_wanted_too_early_follows_the_answer(asked: str, restarts: bool) -> None:
    show = Show()
    _, bob = show.other()
    show.sue.tell("subscribe", streams=[{"feed": bob}])
    assert show.sue.tell("configure", **{asked: True}) == {"videoroom": "event", "room": 1234, "configured": "ok"}
    calls(show.sue)
    answer(show.sue)
    (updated,) = [one for one in show.sue.heard() if one["videoroom"] == "updated"]
    assert len(updated["streams"]) == 5
    ((_, _, restarted),) = calls(show.sue, "create_offer")
    assert restarted is restarts
    answer(show.sue)
    assert calls(show.sue, "create_offer") == []


@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        ({}, 429, "At least one between 'streams' and 'feed' must be specified"),
        ({"streams": []}, 430, "Empty subscription list"),
        ({"streams": [{}]}, 429, "Missing mandatory element (feed)"),
        ({"streams": [{"feed": 5}]}, 428, "No such feed (5)"),
        ({"streams": [{"feed": 5, "substream": 3}]}, 430, "Invalid element (value for substream should be 0, 1 or 2)"),
    ],
)
def test_refusals(body: JsonObject, code: int, error: str) -> None:
    sue = Person(world())
    told = sue.tell("join", room=1234, ptype="subscriber", **body)
    assert told == {"videoroom": "event", "error_code": code, "error": error}
    assert sue.tell("start")["error_code"] == 424


def test_a_private_id_is_asked_for_where_the_room_wants_it() -> None:
    ann = Person(world())
    ann.ask("create", room=5, require_pvtid=True)
    told = ann.join(5)
    ann.publish()
    sue = Person(ann.world)
    body: JsonObject = {"room": 5, "ptype": "subscriber", "streams": [{"feed": told["id"]}]}
    assert sue.tell("join", **body)["error_code"] == 433
    assert sue.tell("join", **body, private_id=told["private_id"])["videoroom"] == "attached"


def test_leaving_ends_it() -> None:
    show = Show()
    assert show.sue.tell("leave") == {"videoroom": "event", "room": 1234, "left": "ok"}
    about = [data for _, data in plugin_events(show.ann.world) if data["event"] == "unsubscribed"]
    assert about == [{"event": "unsubscribed", "room": 1234, "feed": show.id, "mid": mid} for mid in ("0", "1")]
    assert show.sue.tell("start")["error_code"] == 424
    assert show.ann.peer is not None
    show.ann.peer.tell(events.Connection(connection="hangup", reason="ICE failed"))
    assert show.sue.heard() == []
