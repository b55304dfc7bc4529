"""Somebody who sends nothing, to subscribe to until there is something to switch to."""

from typing import Any

import pytest

from appliance.core.peer import SourceLine
from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import DummyStream, RoomConfig, VideoRoomConfig
from tests.plugins.videoroom.people import Person, world

pytestmark = pytest.mark.usefixtures("publishing")

OPUS = SourceLine(mid="0", kind="audio", codec="opus", clock_rate=48_000, channels=2, payload_type=111)
VP8 = SourceLine(mid="1", kind="video", codec="VP8", clock_rate=90_000, payload_type=96)
VP9 = SourceLine(mid="1", kind="video", codec="VP9", clock_rate=90_000, payload_type=98, fmtp="profile-id=0")
STREAMS = [
    {"type": "audio", "mindex": 0, "mid": "0", "codec": "opus"},
    {"type": "video", "mindex": 1, "mid": "1", "codec": "vp8"},
]


@pytest.mark.parametrize(
    ("room", "lines"),
    [
        ({}, (OPUS, VP8)),
        ({"videocodec": "vp9"}, (OPUS, VP9)),
        ({"dummy_streams": [{"codec": "opus"}]}, (OPUS,)),
        ({"dummy_streams": [{"codec": "VP9", "fmtp": "profile-id=2"}]}, ()),
        (
            {"videocodec": "vp8,vp9", "dummy_streams": [{"codec": "VP9", "fmtp": "profile-id=2"}]},
            (SourceLine(mid="0", kind="video", codec="VP9", clock_rate=90_000, payload_type=98, fmtp="profile-id=2"),),
        ),
    ],
)
def test_it_offers_the_codecs_of_the_room(room: dict[str, Any], lines: tuple[SourceLine, ...]) -> None:
    ann = Person(world())
    assert ann.ask("create", room=5, dummy_publisher=True, **room)["videoroom"] == "created"
    (source,) = ann.world.media.sources
    assert source.lines == lines


@pytest.mark.parametrize(
    ("room", "code", "error"),
    [
        ({"dummy_streams": [{"codec": "mp3"}]}, 430, "dummy_streams: wanted a codec of opus"),
        ({"dummy_streams": [{"codec": "vp8", "fmtp": "a\r\nb=AS:1"}]}, 430, "a line of parameters"),
        ({"dummy_streams": [{}]}, 429, "Missing mandatory element (codec)"),
        ({"dummy_streams": [7]}, 430, "should hold objects"),
    ],
)
def test_rooms_that_are_refused(room: dict[str, Any], code: int, error: str) -> None:
    ann = Person(world())
    reply = ann.ask("create", room=5, dummy_publisher=True, **room)
    assert reply["error_code"] == code
    assert error in reply["error"]
    assert not ann.world.media.sources


def test_a_line_of_nothing_is_switched_to_somebody() -> None:
    room = RoomConfig(room=5, dummy_publisher=True)
    ann = Person(world(VideoRoom(VideoRoomConfig(rooms=[room]))))
    assert [one["dummy_publisher"] for one in ann.ask("list")["list"]] == [True]
    (there,) = ann.ask("listparticipants", room=5)["participants"]
    assert there == {"id": there["id"], "dummy": True, "publisher": True}
    joined = ann.join(5, id=1)
    assert joined["publishers"] == [
        {"id": there["id"], "dummy": True, "audio_codec": "opus", "video_codec": "vp8", "streams": STREAMS}
    ]
    ann.publish()
    eve = Person(ann.world)
    attached = eve.tell("join", room=5, ptype="subscriber", streams=[{"feed": there["id"], "mid": "1"}])
    (line,) = attached["streams"]
    assert (line["active"], line["feed_id"], line["codec"]) == (True, there["id"], "vp8")
    (source,) = ann.world.media.sources
    eve.peer = ann.world.media.peer
    (offered,) = next(call[1] for call in eve.peer.calls if call[0] == "create_offer")
    assert (offered.source, offered.source_mid) == (source, "1")
    eve.tell("start", answers_offer=True)
    assert ("forward", "1", "0") in source.calls
    switched = eve.tell("switch", streams=[{"feed": 1, "mid": "1", "sub_mid": "0"}])
    assert (switched["changes"], switched["streams"][0]["feed_id"]) == (1, 1)
    assert ann.peer is not None
    assert ("forward", "1", "0") in ann.peer.calls


def test_it_takes_nobodys_place_and_ends_with_its_room() -> None:
    room = RoomConfig(room=5, dummy_publisher=True, publishers=1, dummy_streams=[DummyStream(codec="opus")])
    ann = Person(world(VideoRoom(VideoRoomConfig(rooms=[room]))))
    (there,) = ann.ask("listparticipants", room=5)["participants"]
    ann.join(5)
    assert ann.publish()["configured"] == "ok"
    assert ann.ask("enable_recording", room=5, record=False)["videoroom"] == "success"
    (source,) = ann.world.media.sources
    assert ann.ask("destroy", room=5)["videoroom"] == "destroyed"
    assert source.calls[-1] == ("close",)
    assert there["id"] != 0


def test_it_can_be_kicked() -> None:
    ann = Person(world())
    ann.ask("create", room=5, dummy_publisher=True)
    (there,) = ann.ask("listparticipants", room=5)["participants"]
    assert ann.ask("kick", room=5, id=there["id"]) == {"videoroom": "success"}
    assert ann.ask("listparticipants", room=5)["participants"] == []
    assert ann.world.media.sources[0].calls[-1] == ("close",)
