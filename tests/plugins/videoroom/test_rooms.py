"""The synchronous verbs; texts and codes are Janus's."""

from typing import Any

import pytest

from appliance.config import Settings
from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import RoomConfig, VideoRoomConfig
from tests.core.world import JsonObject
from tests.plugins.videoroom.people import Person, plugin_events, world


@pytest.fixture
def person() -> Person:
    return Person(world())


def refused(code: int, error: str) -> JsonObject:
    return {"videoroom": "event", "error_code": code, "error": error}


def test_the_default_configuration_has_room_1234(person: Person) -> None:
    (room,) = person.ask("list")["list"]
    assert (room["room"], room["description"], room["pin_required"], room["max_publishers"]) == (
        1234, "Demo Room", False, 6,
    )  # fmt: skip
    assert person.ask("exists", room=1234) == {"videoroom": "success", "room": 1234, "exists": True}
    assert person.ask("exists", room=1) == {"videoroom": "success", "room": 1, "exists": False}


def test_a_room_from_its_making_to_its_end(person: Person) -> None:
    made = person.ask("create", room=7, secret="s", pin="p", audiocodec="opus,PCMU", bitrate=1000, publishers=0)
    assert made == {"videoroom": "created", "room": 7, "permanent": False}
    room = person.ask("list")["list"][1]
    assert (room["pin_required"], room["bitrate"], room["audiocodec"], room["max_publishers"]) == (
        True, 64000, "opus,pcmu", 1,
    )  # fmt: skip
    assert "secret" not in room
    assert "pin" not in room
    edited = person.ask("edit", room=7, secret="s", new_description="new", new_bitrate=0, new_secret="")
    assert edited == {"videoroom": "edited", "room": 7, "permanent": False}
    room = person.ask("list")["list"][1]
    assert (room["description"], room["bitrate"]) == ("new", 0)
    assert person.ask("destroy", room=7) == {"videoroom": "destroyed", "room": 7, "permanent": False}
    assert [data["event"] for _, data in plugin_events(person.world)] == ["created", "edited", "destroyed"]
    assert person.ask("exists", room=7)["exists"] is False


@pytest.mark.parametrize(
    ("request_", "body", "code", "error"),
    [
        ("bogus", {}, 423, "Unknown request 'bogus'"),
        ("create", {"room": 1234}, 427, "Room 1234 already exists"),
        ("create", {"room": "x"}, 430, "Invalid element type (room should be a positive integer)"),
        ("create", {"publishers": -1}, 430, "Invalid element type (publishers should be a positive integer)"),
        ("create", {"audiocodec": "mp3"}, 430,
         "Invalid element (audiocodec can only be or contain opus, g722, pcmu, pcma, isac32, isac16)"),
        ("create", {"allowed": [1]}, 430, "Invalid element in the allowed array (not a string)"),
        ("create", {"record": True}, 430,
         "Invalid element (record should be false: recording is not available here)"),
        ("create", {"permanent": True}, 499, "No configuration file, can't create permanent room"),
        ("create", {"description": "x" * 1025}, 430,
         "Invalid element (description should have at most 1024 characters)"),
        ("edit", {}, 429, "Missing mandatory element (room)"),
        ("edit", {"room": 99}, 426, "No such room (99)"),
        ("destroy", {"room": 5}, 429, "Missing mandatory element (secret)"),
        ("destroy", {"room": 5, "secret": "bad"}, 433, "Unauthorized (wrong secret)"),
        ("kick", {"room": 5, "secret": "s"}, 429, "Missing mandatory element (id)"),
        ("kick", {"room": 5, "secret": "s", "id": 3}, 428, "No such user 3 in room 5"),
        ("moderate", {"room": 5, "secret": "s", "id": 3, "mid": "0"}, 429, "Missing mandatory element (mute)"),
        ("allowed", {"room": 5, "secret": "s", "action": "shout"}, 430, "Unsupported action 'shout' (allowed)"),
        ("enable_recording", {"room": 5, "secret": "s", "record": True}, 499, "Recording is not available here"),
    ],
)  # fmt: skip
def test_refusals(person: Person, request_: str, body: dict[str, Any], code: int, error: str) -> None:
    person.ask("create", room=5, secret="s")
    before = len(person.world.events)
    assert person.ask(request_, **body) == refused(code, error)
    assert len(person.world.events) == before
    assert [room["room"] for room in person.ask("list")["list"]] == [1234, 5]


def test_a_request_needs_a_name(person: Person) -> None:
    answer = person.world.say("message", **person.ids, body={})
    assert answer["plugindata"]["data"] == refused(429, "Missing mandatory element (request)")


def test_private_rooms_show_with_the_admin_key_alone() -> None:
    rooms = [RoomConfig(room=1, is_private=True)]
    person = Person(world(VideoRoom(VideoRoomConfig(admin_key="key", rooms=rooms))))
    assert person.ask("list")["list"] == []
    assert [room["room"] for room in person.ask("list", admin_key="key")["list"]] == [1]
    assert person.ask("list", admin_key="no") == refused(433, "Unauthorized (wrong admin_key)")
    assert person.ask("create") == refused(429, "Missing mandatory element (admin_key)")
    assert person.ask("create", admin_key="key")["videoroom"] == "created"


def test_who_is_allowed(person: Person) -> None:
    person.ask("create", room=5, allowed=["a"])
    assert Person(person.world).join(5) == refused(433, "Unauthorized (not in the allowed list)")
    assert Person(person.world).join(5, token="a")["videoroom"] == "joined"
    assert plugin_events(person.world)[-1][1]["token"] == "a"
    answer = person.ask("allowed", room=5, action="add", allowed=["c", "b"])
    assert answer == {"videoroom": "success", "room": 5, "allowed": ["a", "b", "c"]}
    assert person.ask("allowed", room=5, action="remove", allowed=["a"])["allowed"] == ["b", "c"]
    assert Person(person.world).join(5, token="a") == refused(433, "Unauthorized (not in the allowed list)")
    assert person.ask("allowed", room=5, action="disable") == {"videoroom": "success", "room": 5}
    assert Person(person.world).join(5)["videoroom"] == "joined"
    # The list is kept while it is not in force, and what is added then does not put it there.
    assert person.ask("allowed", room=5, action="add", allowed=["d"])["allowed"] == ["b", "c", "d"]
    assert Person(person.world).join(5)["videoroom"] == "joined"
    assert person.ask("allowed", room=5, action="enable")["allowed"] == ["b", "c", "d"]
    assert Person(person.world).join(5) == refused(433, "Unauthorized (not in the allowed list)")
    assert Person(person.world).join(5, token="d")["videoroom"] == "joined"


def test_a_pin_is_looked_at_where_there_is_one(person: Person) -> None:
    """Clients say ``null`` where they have none."""
    person.ask("create", room=5, pin="1")
    assert Person(person.world).join(5) == refused(429, "Missing mandatory element (pin)")
    assert Person(person.world).join(5, pin=None) == refused(430, "Invalid element type (pin should be a string)")
    assert Person(person.world).join(5, pin="2") == refused(433, "Unauthorized (wrong pin)")
    assert Person(person.world).join(5, pin="1")["videoroom"] == "joined"
    assert person.join(pin=None)["videoroom"] == "joined"


def test_ids_may_be_strings() -> None:
    rooms = [RoomConfig(room="lobby")]
    person = Person(world(VideoRoom(VideoRoomConfig(string_ids=True, rooms=rooms))))
    assert person.join("lobby", id="ann")["id"] == "ann"
    assert isinstance(Person(person.world).join("lobby")["id"], str)
    made = person.ask("create")
    assert isinstance(made["room"], str)
    assert person.ask("exists", room=1234) == refused(430, "Invalid element type (room should be a string)")


def test_rooms_are_bounded_and_checked() -> None:
    person = Person(world(VideoRoom(VideoRoomConfig(max_rooms=1))))
    assert person.ask("create")["error_code"] == 499
    with pytest.raises(ValueError, match=r"rooms: 'a': wanted an integer"):
        VideoRoom(VideoRoomConfig(rooms=[RoomConfig(room="a")]))
    with pytest.raises(ValueError, match="rooms: 1: there are two of this id"):
        VideoRoom(VideoRoomConfig(rooms=[RoomConfig(room=1), RoomConfig(room=1)]))


def test_secrets_of_rooms_are_not_shown() -> None:
    settings = Settings({"plugins": {"videoroom": {"rooms": [{"room": 5, "secret": "hush", "pin": "1212"}]}}})
    shown = "\n".join(settings.show())
    assert "room = 5" in shown
    assert "hush" not in shown
    assert "1212" not in shown


def test_the_admin_api_asks_the_same() -> None:
    plugin = VideoRoom()
    assert plugin.handle_admin_message({"request": "exists", "room": 1234})["exists"] is True
    assert plugin.handle_admin_message({"request": "join"}) == refused(423, "Unknown request 'join'")
    assert plugin.handle_admin_message({"request": "create", "room": 9})["room"] == 9
