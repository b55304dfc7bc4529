"""Publishers of ours that are sent to other servers."""

from base64 import b64encode
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import VideoRoomConfig
from appliance.wire.rtcp import Fir, Pli, ReceiverReport, build_compound
from appliance.wire.rtp import parse_header
from tests.plugins.videoroom.people import MEDIA, Person, Target, plugin_events, world
from tests.plugins.videoroom.test_ears import hear, packet
from tests.plugins.videoroom.test_forwarding import until

pytestmark = pytest.mark.usefixtures("publishing")


def publisher(config: VideoRoomConfig | None = None) -> Person:
    """Ann, who publishes."""
    ann = Person(world(VideoRoom(config or VideoRoomConfig())))
    ann.join(id=1)
    ann.publish()
    return ann


async def test_everything_goes_through_one_port(target: Target) -> None:
    ann = publisher()
    reply = ann.ask("publish_remotely", room=1234, publisher_id=1, remote_id="there", **target.body)
    assert reply == {"videoroom": "success", "room": 1234, "id": 1, "remote_id": "there"}
    assert ann.last_call() == ("request_keyframe", "1")
    latches = [target.rtcp.recv(100) for _ in range(2)]
    assert latches == [b"\x80" + bytes(11)] * 2
    for mid in "01":
        hear(ann, mid, packet(10, marker=True))
        data = target.rtp.recv(2048)
        assert parse_header(data) == replace(parse_header(packet(10, marker=True)), ssrc=1000 + 10 * int(mid))
    assert ann.peer is not None
    for message in ("text", b"\xff"):
        ann.peer.observer.data("chat", "", message)
        data = target.rtp.recv(2048)
        header = parse_header(data)
        assert (header.ssrc, header.payload_type) == (1020, int(isinstance(message, bytes)))
        assert data[12:] == (message.encode() if isinstance(message, str) else message)
    listed = ann.ask("list_remotes", room=1234, publisher_id=1)
    assert listed == {
        "videoroom": "success", "room": 1234, "id": 1,
        "list": [{"remote_id": "there", **target.body, "srtp": False}],
    }  # fmt: skip
    ann.tell("configure", streams=[{"mid": "0", "send": False}])
    hear(ann, "0", packet())
    hear(ann, "1", packet())
    assert parse_header(target.rtp.recv(2048)).ssrc == 1010
    assert ann.ask("unpublish_remotely", room=1234, publisher_id=1, remote_id="there") == {
        "videoroom": "success", "room": 1234, "id": 1,
    }  # fmt: skip
    assert ann.ask("list_remotes", room=1234, publisher_id=1)["list"] == []
    assert ann.peer.listeners["1"] is None
    told = [data["event"] for _, data in plugin_events(ann.world)]
    assert [event for event in told if event.endswith("remotely")] == ["publish_remotely", "unpublish_remotely"]


async def test_key_frames_are_asked_for_by_the_numbers_of_streams(target: Target) -> None:
    ann = publisher()
    ann.ask("publish_remotely", room=1234, publisher_id=1, remote_id="there", **target.body)
    assert ann.peer is not None
    ann.peer.calls.clear()
    _, address = target.rtcp.recvfrom(100)
    (one,) = (
        found
        for room in next(iter(ann.world.gateway.plugins.values()))._rooms  # type: ignore[attr-defined]  # VideoRoom's
        for found in room.participants[1].remotizations.values()
    )
    useless: list[Any] = [ReceiverReport(ssrc=1), Pli(sender_ssrc=1, media_ssrc=1030), Pli(sender_ssrc=1, media_ssrc=9)]
    for report in useless:
        target.rtcp.sendto(build_compound([report]), address)
    target.rtcp.sendto(b"noise", address)
    await until(lambda: one.outlet.ignored == 4)
    assert ann.peer.calls == []
    for report in (Pli(sender_ssrc=1, media_ssrc=1010), Fir(sender_ssrc=1, media_ssrc=0, entries=((1010, 1),))):
        target.rtcp.sendto(build_compound([report]), address)
    await until(lambda: one.outlet.requests == 2)
    assert ann.peer.calls == [("request_keyframe", "1")] * 2
    ann.tell("unpublish")


async def test_what_is_published_later_goes_too(monkeypatch: pytest.MonkeyPatch, target: Target) -> None:
    monkeypatch.setattr("tests.core.fake_media.MEDIA", MEDIA[:1])
    ann = publisher()
    ann.ask("publish_remotely", room=1234, publisher_id=1, remote_id="there", **target.body)
    monkeypatch.setattr("tests.core.fake_media.MEDIA", (MEDIA[0], replace(MEDIA[1], simulcast=True)))
    ann.tell("configure", offer=True)
    for layer in range(3):
        hear(ann, f"1/{layer}", packet())
        assert parse_header(target.rtp.recv(2048)).ssrc == 1010 + layer
    hear(ann, "0", packet())
    assert parse_header(target.rtp.recv(2048)).ssrc == 1000
    ann.tell("unpublish")
    ann.world.settle()
    ann.publish()
    assert ann.ask("list_remotes", room=1234, publisher_id=1)["list"] == []


@pytest.mark.parametrize(
    ("changes", "code", "error"),
    [
        ({"publisher_id": 9}, 428, "No such feed (9)"),
        ({"remote_id": "there"}, 436, "User 1 is published as 'there' already"),
        ({"remote_id": "x" * 1025}, 430, "at most 1024 characters"),
        ({"host": "192.0.2.1"}, 433, "in none of the networks"),
        ({"host": "there"}, 430, "names are not looked up"),
        ({"port": 0}, 430, "out of its range"),
        ({"rtcp_port": 65_536}, 430, "rtcp_port is 65536"),
        ({"srtp_suite": 1, "srtp_crypto": b64encode(bytes(30)).decode()}, 430, "wanted 32 or 80"),
    ],
)
async def test_remotizations_that_are_refused(target: Target, changes: dict[str, Any], code: int, error: str) -> None:
    ann = publisher()
    body = {"room": 1234, "publisher_id": 1, **target.body}
    ann.ask("publish_remotely", **body, remote_id="there")
    reply = ann.ask("publish_remotely", **{**body, "remote_id": "elsewhere", **changes})
    assert reply["error_code"] == code, reply
    assert error in reply["error"]
    assert len(ann.ask("list_remotes", room=1234, publisher_id=1)["list"]) == 1
    assert ann.ask("unpublish_remotely", room=1234, publisher_id=1, remote_id="no")["error_code"] == 428
    ann.tell("leave")


async def test_a_lock_and_a_limit(target: Target) -> None:
    ann = publisher(VideoRoomConfig(lock_rtp_forward=True, admin_key="k", max_forwarders=1))
    body = {"room": 1234, "publisher_id": 1, **target.body}
    assert ann.ask("publish_remotely", **body, remote_id="a")["error_code"] == 429
    assert ann.ask("publish_remotely", **body, remote_id="a", admin_key="x")["error_code"] == 433
    assert ann.ask("publish_remotely", **body, remote_id="a", admin_key="k")["videoroom"] == "success"
    assert ann.ask("publish_remotely", **body, remote_id="b", admin_key="k")["error_code"] == 499
    ann.tell("leave")
