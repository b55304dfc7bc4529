"""Simulcast in EchoTest: which encoding comes back, and what the client is told of it."""

import pytest

from appliance.core import events
from appliance.core.peer import Layers, Medium
from tests.core.fake_media import MEDIA
from tests.core.world import JsonObject, World
from tests.plugins.test_echotest import ask

SIMULCAST = (MEDIA[0], Medium(mid="1", mindex=1, kind="video", direction="sendrecv", codec="vp8", simulcast=True))
OK = {"echotest": "event", "result": "ok"}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("tests.core.fake_media.MEDIA", SIMULCAST)
    return World()


@pytest.fixture
def ids(world: World) -> JsonObject:
    ids = world.call()
    world.told()
    return ids


def asked(world: World) -> list[JsonObject]:
    """What the engine was told of layers, and forget it."""
    calls = [call for call in world.media.peer.calls if call[0] == "set_layers"]
    world.media.peer.calls.clear()
    names = ("mid", "substream", "temporal", "fallback_us")
    return [dict(zip(names, call[1:], strict=True)) for call in calls]


def shown(world: World) -> JsonObject:
    body = world.bodies()[-1]
    assert isinstance(body, events.Plugin)
    simulcast: JsonObject = body.data["simulcast"]
    return simulcast


def test_the_highest_encoding_comes_back_at_first(world: World, ids: JsonObject) -> None:
    assert asked(world) == [{"mid": "1", "substream": 2, "temporal": 2, "fallback_us": None}]
    assert shown(world) == {"substream": -1, "temporal-layer": -1}


def test_a_wish_reaches_the_engine_and_its_change_the_client(world: World, ids: JsonObject) -> None:
    asked(world)
    assert ask(world, ids, {"substream": 1, "temporal": 0, "fallback": 500_000}) == OK
    assert asked(world) == [{"mid": "1", "substream": 1, "temporal": 0, "fallback_us": 500_000}]
    told = world.media.peer.layer_listener
    assert told is not None
    told("substream", 1)
    told("temporal", 0)
    said = [one["plugindata"]["data"] for one in world.told() if one["janus"] == "event"]
    # Recorded: the shape of Janus 1.1.2.
    assert said == [
        {"echotest": "event", "videocodec": "vp8", "substream": 1},
        {"echotest": "event", "videocodec": "vp8", "temporal": 0},
    ]


def test_what_is_there_already_is_told_at_once(world: World, ids: JsonObject) -> None:
    world.media.peer.flowing["1"] = Layers(substream=2, substream_target=2, temporal=1, temporal_target=2)
    world.say("message", **ids, body={"substream": 2, "temporal": 0})
    world.settle()
    notice, answer = (one["plugindata"]["data"] for one in world.told())
    assert notice == {"echotest": "event", "videocodec": "vp8", "substream": 2}
    assert answer == OK
    assert shown(world) == {"substream": 2, "temporal-layer": 1}


def test_a_request_that_says_nothing_of_layers_leaves_them(world: World, ids: JsonObject) -> None:
    asked(world)
    assert ask(world, ids, {"bitrate": 128_000}) == OK
    assert asked(world) == []


def test_wishes_before_the_offer_hold_and_a_hangup_forgets_them(world: World) -> None:
    session_id = world.session()
    ids: JsonObject = {"session_id": session_id, "handle_id": world.handle(session_id)}
    ask(world, ids, {"substream": 0})
    offer = {"type": "offer", "sdp": "v=0"}
    ask(world, ids, {}, jsep=offer)
    assert asked(world)[0]["substream"] == 0
    world.media.peer.tell(events.Connection(connection="hangup", reason="DTLS alert"))
    world.told()
    ask(world, ids, {}, jsep=offer)
    assert asked(world)[0]["substream"] == 2


def test_a_stream_without_simulcast_has_no_layers() -> None:
    world = World()
    ids = world.call()
    world.told()
    assert ask(world, ids, {"substream": 0}) == OK
    assert asked(world) == []
    body = world.bodies()[-1]
    assert isinstance(body, events.Plugin)
    assert "simulcast" not in body.data


def test_the_admin_api_sees_wish_and_truth(world: World, ids: JsonObject) -> None:
    ask(world, ids, {"substream": 0, "fallback": 1})
    world.media.peer.flowing["1"] = Layers(substream=2, substream_target=0, temporal=-1, temporal_target=2)
    found = world.gateway.sessions[ids["session_id"]].handles[ids["handle_id"]].query()
    assert {name: found[name] for name in ("simulcast", "substream", "substream-target", "fallback")} == {
        "simulcast": True, "substream": 2, "substream-target": 0, "fallback": 1,
    }  # fmt: skip
