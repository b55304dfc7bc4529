"""SVC in EchoTest: which layers come back, and what the client is told of them."""

from typing import Any

import pytest

from appliance.core import events
from appliance.core.peer import Layers, Medium
from tests.core.fake_media import MEDIA
from tests.core.world import JsonObject, World
from tests.plugins.test_echotest import ask

VP9 = Medium(mid="1", mindex=1, kind="video", direction="sendrecv", codec="vp9")
SVC = Medium(mid="1", mindex=1, kind="video", direction="sendrecv", codec="vp9", svc=True)
OK = {"echotest": "event", "result": "ok"}


def called(monkeypatch: pytest.MonkeyPatch, video: Medium) -> tuple[World, JsonObject]:
    monkeypatch.setattr("tests.core.fake_media.MEDIA", (MEDIA[0], video))
    world = World()
    ids = world.call()
    world.told()
    return world, ids


def asked(world: World) -> list[tuple[Any, ...]]:
    """Substream, temporal layer, spatial layer where one was asked for, fallback; and forget it."""
    calls = [call[2:] for call in world.media.peer.calls if call[0] == "set_layers"]
    world.media.peer.calls.clear()
    return calls


def test_all_layers_come_back_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = called(monkeypatch, SVC)
    assert asked(world) == [(2, 2, 2, None)]
    body = world.bodies()[-1]
    assert isinstance(body, events.Plugin)
    assert body.data["svc"] == {"spatial-layer": -1, "temporal-layer": -1}
    assert "simulcast" not in body.data


def test_a_wish_reaches_the_engine_and_its_change_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ids = called(monkeypatch, SVC)
    asked(world)
    assert ask(world, ids, {"spatial_layer": 1, "temporal_layer": 0, "fallback": 500_000}) == OK
    assert asked(world) == [(2, 0, 1, 500_000)]
    told = world.media.peer.layer_listener
    assert told is not None
    told("spatial", 1)
    told("temporal", 0)
    said = [one["plugindata"]["data"] for one in world.told() if one["janus"] == "event"]
    assert said == [
        {"echotest": "event", "videocodec": "vp9", "spatial_layer": 1},
        {"echotest": "event", "videocodec": "vp9", "temporal_layer": 0},
    ]


def test_what_is_there_already_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ids = called(monkeypatch, SVC)
    flows = Layers(substream=-1, substream_target=2, temporal=1, temporal_target=2, spatial=2, spatial_target=2)
    world.media.peer.flowing["1"] = flows
    world.say("message", **ids, body={"spatial_layer": 2, "temporal_layer": 0})
    world.settle()
    notice, answer = (one["plugindata"]["data"] for one in world.told())
    assert notice == {"echotest": "event", "videocodec": "vp9", "spatial_layer": 2}
    assert answer == OK


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"bitrate": 1000}, []),
        ({"bitrate": 1000, "svc": True}, [(2, 2, 2, None)]),
        ({"temporal_layer": 1}, [(2, 1, 2, None)]),
        ({"substream": 1}, []),
    ],
)
def test_layers_are_looked_for_where_the_client_speaks_of_them(
    monkeypatch: pytest.MonkeyPatch, body: JsonObject, wanted: list[tuple[Any, ...]]
) -> None:
    world, ids = called(monkeypatch, VP9)
    assert ask(world, ids, body) == OK
    assert asked(world) == wanted


def test_another_codec_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ids = called(monkeypatch, MEDIA[1])
    assert ask(world, ids, {"spatial_layer": 0, "svc": True}) == OK
    assert asked(world) == []


def test_the_admin_api_sees_wish_and_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ids = called(monkeypatch, SVC)
    ask(world, ids, {"spatial_layer": 0})
    flows = Layers(substream=-1, substream_target=2, temporal=2, temporal_target=2, spatial=1, spatial_target=0)
    world.media.peer.flowing["1"] = flows
    found = world.gateway.sessions[ids["session_id"]].handles[ids["handle_id"]].query()
    names = ("svc", "spatial-layer", "spatial-layer-target", "temporal-layer", "temporal-layer-target")
    assert {name: found[name] for name in names} == dict(zip(names, (True, 1, 0, 2, 2), strict=True))
    assert "simulcast" not in found
