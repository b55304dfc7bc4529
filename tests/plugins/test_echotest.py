"""EchoTest as clients know it; requests and texts are those of Janus's plugin."""

from typing import Any

import pytest

from appliance.core import events
from appliance.core.peer import Medium
from appliance.plugins.echotest import EchoTest
from tests.core.fake_media import MEDIA, OFFER
from tests.core.world import JsonObject, World


def ask(world: World, ids: JsonObject, body: JsonObject, **rest: Any) -> JsonObject:
    """A request, and the event that answers it."""
    acked = world.say("message", **ids, body=body, **rest)
    assert acked == {
        "janus": "ack", "session_id": ids["session_id"], "transaction": "t", "hint": "I'm taking my time!",
    }  # fmt: skip
    assert world.told() == []
    world.settle()
    (answer,) = world.told()
    assert answer["transaction"] == "t"
    data: JsonObject = answer["plugindata"]["data"]
    return data


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ids(world: World) -> JsonObject:
    ids = world.call()
    world.told()
    world.media.peer.calls.clear()
    return ids


@pytest.mark.parametrize(
    ("body", "error"),
    [
        # Recorded: Janus 1.4.1, unix_and_errors.
        ({"audio": "notbool"}, "Invalid element type (audio should be a boolean)"),
        ({}, "Message error: no supported attributes found"),
        ({"audiocodec": "opus"}, "Message error: no supported attributes found"),
        ({"svc": True}, "Message error: no supported attributes found"),
        ({"nonsense": 1}, "Message error: no supported attributes found"),
        ({"video": 1}, "Invalid element type (video should be a boolean)"),
        ({"bitrate": -1}, "Invalid element type (bitrate should be a positive integer)"),
        ({"bitrate": True}, "Invalid element type (bitrate should be a positive integer)"),
        ({"bitrate": 2**32}, "Invalid value (bitrate should be at most 4294967295)"),
        ({"substream": 3}, "Invalid value (substream should be 0, 1 or 2)"),
        ({"temporal": 3}, "Invalid value (temporal should be 0, 1 or 2)"),
        ({"spatial_layer": 3}, "Invalid value (spatial_layer should be 0, 1 or 2)"),
        ({"temporal_layer": 3}, "Invalid value (temporal_layer should be 0, 1 or 2)"),
        ({"audio": False, "fallback": "x"}, "Invalid element type (fallback should be a positive integer)"),
        ({"audio": False, "videocodec": 5}, "Invalid element type (videocodec should be a string)"),
        ({"audio": False, "min_delay": 1.5}, "Invalid element type (min_delay should be an integer)"),
        (
            {"audio": False, "record": True},
            "Invalid value (record should be false: recording is not available here)",
        ),
    ],
)
def test_a_refused_request_changes_nothing(world: World, ids: JsonObject, body: JsonObject, error: str) -> None:
    before = len(world.events)
    assert ask(world, ids, body) == {"echotest": "event", "error_code": 413, "error": error}
    assert world.media.peer.calls == []
    assert len(world.events) == before


def test_the_answer_routes_every_medium_to_itself(world: World) -> None:
    world.call()
    calls = world.media.peer.calls
    assert [call for call in calls if call[0] == "forward"] == [("forward", "0", "0"), ("forward", "1", "1")]
    assert [call for call in calls if call[0] == "set_sending"] == [
        ("set_sending", "0", True), ("set_sending", "1", True),
    ]  # fmt: skip
    assert world.kinds()[-2:] == [(8, "local"), (64, "janus.plugin.echotest")]
    assert world.bodies()[-1] == events.Plugin(
        plugin="janus.plugin.echotest", data={"audio_active": True, "video_active": True, "bitrate": 0}
    )


def test_only_what_goes_both_ways_is_echoed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    media = (
        MEDIA[0],
        Medium(mid="1", mindex=1, kind="video", direction="recvonly"),
        Medium(mid="2", mindex=2, kind="video", direction="sendrecv", rejected=True),
    )
    monkeypatch.setattr("tests.core.fake_media.MEDIA", media)
    world.call()
    forwards = [call for call in world.media.peer.calls if call[0] == "forward"]
    assert forwards == [("forward", "0", "0")]


def test_codecs_are_asked_for(world: World) -> None:
    session_id = world.session()
    ids: JsonObject = {"session_id": session_id, "handle_id": world.handle(session_id)}
    body = {"audiocodec": "pcmu", "videocodec": "h264"}
    assert ask(world, ids, body, jsep={"type": "offer", "sdp": OFFER})["result"] == "ok"
    (policy,) = [call[1] for call in world.media.peer.calls if call[0] == "create_answer"]
    assert (policy.audio_codecs, policy.video_codecs) == (("pcmu",), ("h264",))


def test_switching_and_capping(world: World, ids: JsonObject) -> None:
    ok = {"echotest": "event", "result": "ok"}
    calls = world.media.peer.calls
    assert ask(world, ids, {"video": False}) == ok
    assert calls == [("set_sending", "0", True), ("set_sending", "1", False)]
    calls.clear()
    # A medium that comes back needs a key frame.
    assert ask(world, ids, {"video": True, "bitrate": 128000}) == ok
    assert calls == [
        ("set_sending", "0", True), ("set_sending", "1", True), ("request_keyframe", "1"), ("set_bitrate", 128000),
    ]  # fmt: skip
    assert world.bodies()[-1] == events.Plugin(
        plugin="janus.plugin.echotest", data={"audio_active": True, "video_active": True, "bitrate": 128000}
    )
    calls.clear()
    assert ask(world, ids, {"bitrate": 0}) == ok
    assert calls[-1] == ("set_bitrate", 0)
    assert ask(world, ids, {"record": False, "min_delay": -1, "max_delay": 5}) == ok


def test_settings_before_the_offer_hold(world: World) -> None:
    session_id = world.session()
    ids: JsonObject = {"session_id": session_id, "handle_id": world.handle(session_id)}
    ask(world, ids, {"audio": False, "bitrate": 64000})
    ask(world, ids, {}, jsep={"type": "offer", "sdp": OFFER})
    calls = world.media.peer.calls
    assert ("set_sending", "0", False) in calls
    assert calls[-1] == ("set_bitrate", 64000)


def test_a_hangup_resets_and_says_done(world: World, ids: JsonObject) -> None:
    ask(world, ids, {"audio": False, "video": False, "bitrate": 1000})
    world.media.peer.tell(events.Connection(connection="hangup", reason="DTLS alert"))
    done, hangup = world.told()
    assert done["plugindata"]["data"] == {"echotest": "event", "result": "done"}
    assert "transaction" not in done
    assert hangup["reason"] == "DTLS alert"
    assert ask(world, ids, {"fallback": 1})["result"] == "ok"
    assert world.bodies()[-1].data == {  # type: ignore[attr-defined]  # a Plugin body
        "audio_active": True, "video_active": True, "bitrate": 0,
    }  # fmt: skip


def test_an_offer_whose_peerconnection_is_gone_is_refused(world: World, ids: JsonObject) -> None:
    world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER})
    world.media.peer.tell(events.Connection(connection="hangup", reason="DTLS alert"))
    world.told()
    world.settle()
    (answer,) = world.told()
    assert answer["plugindata"]["data"] == {
        "echotest": "event", "error_code": 414, "error": "Error parsing offer: No offer to answer",
    }  # fmt: skip


def test_data_comes_back(world: World, ids: JsonObject) -> None:
    peer = world.media.peer
    peer.observer.data_opened("chat", "proto")
    peer.observer.data("chat", "proto", "hello over datachannel")
    peer.observer.data("chat", "", b"\x00\xff")
    assert peer.calls == [
        # Recorded: aiortc_echo, what the client's data channel received.
        ("send_data", "chat", "proto", "Janus EchoTest here! You wrote: hello over datachannel"),
        ("send_data", "chat", "", b"\x00\xff"),
    ]


def test_slow_link_is_told_of_the_way_in_unless_muted(world: World, ids: JsonObject) -> None:
    def slow(media: str, direction: str) -> list[JsonObject]:
        world.media.peer.tell(events.SlowLink(mid="0", media=media, slow_link=direction, lost_lastsec=9))
        return [one["plugindata"]["data"] for one in world.told() if one["janus"] == "event"]

    assert slow("audio", "uplink") == []
    assert slow("audio", "downlink") == [{"echotest": "event", "event": "slow_link", "media": "audio"}]
    assert slow("video", "downlink") == [
        {"echotest": "event", "event": "slow_link", "media": "video", "current-bitrate": 0}
    ]
    ask(world, ids, {"video": False})
    assert slow("video", "downlink") == []


def test_its_events_can_be_switched_off() -> None:
    world = World(plugins={EchoTest.package: EchoTest(EchoTest.Config(events=False))})
    world.call()
    assert world.told()[0]["plugindata"]["data"]["result"] == "ok"
    assert not any(isinstance(body, events.Plugin) for body in world.bodies())
