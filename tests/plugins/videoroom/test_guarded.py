"""Rooms that ask for signed tokens, or for media encrypted from client to client."""

from functools import partial
from typing import Any

import pytest

from appliance.core.auth import Authenticator
from appliance.core.tokens import sign
from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import RoomConfig, VideoRoomConfig
from tests.core.fake_media import OFFER
from tests.core.world import JsonObject
from tests.plugins.videoroom.people import Person, world
from tests.plugins.videoroom.test_rooms import refused

pytestmark = pytest.mark.usefixtures("publishing")

NOW_S = 1_700_000_000
WRONG = refused(433, "Unauthorized (wrong token)")


def token(*granted: str, realm: str = VideoRoom.package, secret: bytes = b"hush", expiry_s: int = NOW_S) -> str:
    return sign(expiry_s, realm, granted, secret)


def signing() -> Person:
    """Somebody at a gateway with a secret that tokens are signed with."""
    plugin = VideoRoom()
    authenticator = Authenticator(token_secret="hush", now_s=lambda: float(NOW_S))
    plugin.lend_tokens(partial(authenticator.granted, realm=VideoRoom.package))
    return Person(world(plugin))


@pytest.mark.parametrize(
    ("shown", "may"),
    [
        ({}, False),
        ({"token": ""}, False),
        ({"token": "room=5"}, False),
        ({"token": token("room=5")}, True),
        ({"token": token("room=4", "room=5")}, True),
        ({"token": token("room=50")}, False),
        ({"token": token()}, False),
        ({"token": token("room=5", expiry_s=NOW_S - 1)}, False),
        ({"token": token("room=5", realm="janus")}, False),
        ({"token": token("room=5", secret=b"other")}, False),
    ],
)
def test_a_signed_token_opens_the_rooms_that_it_names(shown: JsonObject, may: bool) -> None:
    ann = signing()
    ann.ask("create", room=5, signed_tokens=True)
    told = ann.join(5, **shown)
    assert (told["videoroom"] == "joined") if may else (told == WRONG)


def test_a_room_that_cannot_know_its_tokens_is_not_made_and_lets_nobody_in() -> None:
    ann = Person(world(VideoRoom(VideoRoomConfig(rooms=[RoomConfig(room=5, signed_tokens=True)]))))
    error = "Invalid element (signed_tokens should be false: no secret is set that tokens are signed with)"
    assert ann.ask("create", room=6, signed_tokens=True) == refused(430, error)
    assert ann.join(5, token=token("room=5")) == WRONG


@pytest.mark.parametrize("room", [{"signed_tokens": True}, {"allowed": [token("room=5")]}])
def test_who_is_in_may_watch_without_a_token(room: JsonObject) -> None:
    """Clients of Janus show theirs to publish, and their private id to subscribe."""
    ann = signing()
    ann.ask("create", room=5, **room)
    joined = ann.join(5, token=token("room=5"))
    ann.publish()
    wanted: JsonObject = {"room": 5, "ptype": "subscriber", "streams": [{"feed": joined["id"]}]}
    for shown, code in (
        ({}, 433),
        ({"private_id": joined["private_id"] ^ 1}, 433),
        ({"token": "x"}, 433),
        ({"private_id": joined["private_id"]}, None),
        ({"token": token("room=5")}, None),
    ):
        told = Person(ann.world).tell("join", **wanted, **shown)
        assert told.get("error_code") == code, shown


def offer(who: Person, verb: str, *, e2ee: bool, **body: Any) -> JsonObject:
    """The plugin's answer to an offer of media that are encrypted, or not."""
    jsep = {"type": "offer", "sdp": OFFER, "e2ee": e2ee}
    who.world.say("message", **who.ids, body={"request": verb, **body}, jsep=jsep)
    who.peer = who.world.media.peer
    who.world.settle()
    answer = next(one for one in who.world.client.sent if "transaction" in one)
    who.world.client.sent.remove(answer)
    data: JsonObject = answer["plugindata"]["data"]
    return data | ({"jsep": answer["jsep"]} if "jsep" in answer else {})


def publisher(like: Person, room: int, *, e2ee: bool) -> int:
    who = Person(like.world)
    told = offer(who, "joinandconfigure", e2ee=e2ee, room=room, ptype="publisher")
    who.connect()
    me: int = told["id"]
    return me


def test_a_room_may_want_media_encrypted_from_client_to_client() -> None:
    ann = Person(world())
    ann.ask("create", room=5, require_e2ee=True)
    assert [room["require_e2ee"] for room in ann.ask("list")["list"]] == [False, True]
    told = offer(ann, "joinandconfigure", e2ee=False, room=5, ptype="publisher")
    assert told == refused(433, "Room requires end-to-end encrypted media")
    # The one that was refused is in, and may offer again once its PeerConnection has ended.
    ann.world.settle()
    assert offer(ann, "configure", e2ee=True)["jsep"]["e2ee"] is True
    handle = ann.world.gateway.sessions[ann.session_id].handles[ann.ids["handle_id"]]
    assert handle.query()["e2ee"] is True


def test_a_subscriber_is_told_and_never_gets_both() -> None:
    ann = Person(world())
    plain, encrypted, other = (publisher(ann, 1234, e2ee=e2ee) for e2ee in (False, True, True))
    sue = Person(ann.world)
    join: JsonObject = {"room": 1234, "ptype": "subscriber"}
    both = [{"feed": plain}, {"feed": encrypted}]
    error = f"Feed {encrypted} is end-to-end encrypted, others are not"
    assert sue.tell("join", **join, streams=both) == refused(438, error)
    assert "e2ee" not in Person(ann.world).tell("join", **join, streams=[{"feed": plain}])["jsep"]
    assert sue.tell("join", **join, streams=[{"feed": encrypted}])["jsep"]["e2ee"] is True
    sue.tell("start", answers_offer=True)
    not_encrypted = refused(438, f"Feed {plain} is not end-to-end encrypted, others are")
    assert sue.tell("subscribe", streams=[{"feed": plain}]) == not_encrypted
    to = {"mid": "0", "sub_mid": "0"}
    assert sue.tell("switch", streams=[{"feed": plain, **to}]) == not_encrypted
    assert sue.tell("switch", streams=[{"feed": other, **to}])["changes"] == 1
    assert ann.world.gateway.sessions[sue.session_id].handles[sue.ids["handle_id"]].query()["e2ee"] is True


def test_a_dummy_is_what_the_room_says() -> None:
    ann = Person(world())
    ann.ask("create", room=5, require_e2ee=True, dummy_publisher=True, dummy_e2ee=True)
    (dummy,) = ann.ask("listparticipants", room=5)["participants"]
    feeds = [{"feed": dummy["id"]}, {"feed": publisher(ann, 5, e2ee=True)}]
    told = Person(ann.world).tell("join", room=5, ptype="subscriber", streams=feeds)
    assert told["jsep"]["e2ee"] is True
