"""Publishers that another server sends."""

import socket
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pylibsrtp import Policy, Session

from appliance.core.peer import SourceLine
from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import VideoRoomConfig
from appliance.wire.rtcp import Pli, parse_compound
from appliance.wire.rtp import RtpHeader, build_extensions, parse_header
from tests.clock import FakeClock
from tests.core.world import World
from tests.plugins.videoroom.people import Person, Target, plugin_events, world
from tests.plugins.videoroom.test_ears import packet
from tests.plugins.videoroom.test_forwarding import until

pytestmark = pytest.mark.usefixtures("publishing")

MATERIAL = bytes(range(30))
KEY = b64encode(MATERIAL).decode()
LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
SPEECH = {"mid": "a", "mindex": 0, "type": "audio", "codec": "opus", "fec": True, "audiolevel_ext_id": 4}
PICTURE = {"mid": "v", "mindex": 2, "type": "video", "codec": "vp8", "simulcast": True, "description": "door"}
CHAT = {"mid": "d", "mindex": 3, "type": "data"}
STREAMS = [SPEECH, PICTURE, CHAT]
ANYWHERE = VideoRoomConfig(remote_publisher_ports=[], max_remote_publishers=2)


def counts(where: World) -> dict[str, float]:
    plugin = next(iter(where.gateway.plugins.values()))
    return {
        one.labels["outcome"]: one.value for one in plugin.measure() if one.name == "remote_publisher_datagrams_total"
    }


class Sender:
    """Who sends a remote publisher's media, from a port of its own."""

    def __init__(self, added: dict[str, Any]) -> None:
        self.rtp, self.rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for one, port in ((self.rtp, added["port"]), (self.rtcp, added["rtcp_port"])):
            one.connect((added["ip"], port))
            one.settimeout(5)
        self._sequence = 0

    def packet(self, ssrc: int, payload: bytes = b"x", payload_type: int = 96) -> bytes:
        self._sequence += 1
        header = RtpHeader(payload_type=payload_type, sequence_number=self._sequence, timestamp=7, ssrc=ssrc)
        return header.build() + payload

    def send(self, ssrc: int, payload: bytes = b"x", payload_type: int = 96) -> bytes:
        data = self.packet(ssrc, payload, payload_type)
        self.rtp.send(data)
        return data

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


class Show:
    """A remote publisher in room 1234, and Bob, who is there."""

    def __init__(self, config: VideoRoomConfig = ANYWHERE, **more: Any) -> None:
        self.clock = FakeClock()
        self.bob = Person(world(VideoRoom(config, clock=self.clock)))
        self.bob.join(id=2)
        body = {"id": 7, "display": "far", "streams": STREAMS, **more}
        self.added = self.bob.ask("add_remote_publisher", room=1234, **body)
        self.world = self.bob.world
        self.sender = Sender(self.added)

    @property
    def calls(self) -> list[tuple[Any, ...]]:
        """What the source was asked to send."""
        return [call for call in self.world.media.sources[-1].calls if call[0] == "send_packet"]

    async def count(self, **wanted: int) -> None:
        await until(lambda: all(counts(self.world)[name] == value for name, value in wanted.items()))

    def close(self) -> None:
        self.sender.close()
        next(iter(self.world.gateway.plugins.values())).close()


@pytest.fixture
async def show() -> Any:
    found = Show()
    yield found
    found.close()


async def test_it_looks_like_anybody_else(show: Show) -> None:
    told: dict[str, Any] = {
        "id": 7, "display": "far", "remote": True, "audio_codec": "opus", "video_codec": "vp8",
        "streams": [
            {"type": "audio", "mindex": 0, "mid": "a", "codec": "opus", "fec": True},
            {"type": "video", "mindex": 2, "mid": "v", "codec": "vp8", "description": "door", "simulcast": True},
            {"type": "data", "mindex": 3, "mid": "d"},
        ],
    }  # fmt: skip
    assert show.added == {"videoroom": "success", "room": 1234, "id": 7, "ip": "127.0.0.1"} | {
        name: show.added[name] for name in ("port", "rtcp_port")
    }
    assert show.bob.heard() == [{"videoroom": "event", "room": 1234, "publishers": [told]}]
    (there,) = [one for one in show.bob.ask("listparticipants", room=1234)["participants"] if one["id"] == 7]
    assert there == {"id": 7, "display": "far", "remote": True, "publisher": True, "talking": False}
    sue = Person(show.world)
    assert sue.join(id=3)["publishers"] == [
        told | {"talking": False, "streams": [{**told["streams"][0], "talking": False}, *told["streams"][1:]]}
    ]
    (source,) = show.world.media.sources
    assert source.lines == (
        SourceLine(
            mid="a", kind="audio", codec="opus", clock_rate=48_000, channels=2, payload_type=111,
            fmtp="useinbandfec=1", extensions={LEVEL: 4},
        ),
        SourceLine(mid="v", kind="video", codec="VP8", clock_rate=90_000, substreams=3),
    )  # fmt: skip
    eve = Person(show.world)
    attached = eve.tell("join", room=1234, ptype="subscriber", streams=[{"feed": 7, "mid": "v"}])
    assert [line["feed_id"] for line in attached["streams"]] == [7]
    eve.peer = show.world.media.peer
    eve.tell("start", answers_offer=True)
    assert ("forward", "v", "0") in source.calls
    assert "published" in [data["event"] for _, data in plugin_events(show.world)]


async def test_streams_are_told_apart_by_their_ssrcs(show: Show) -> None:
    sent = [show.sender.send(ssrc) for ssrc in (1000, 1020, 1021, 1022)]
    await show.count(received=4)
    assert show.calls == [
        ("send_packet", mid, data, layer) for mid, data, layer in zip("avvv", sent, (0, 0, 1, 2), strict=True)
    ]


@pytest.mark.parametrize(
    ("datagram", "outcome"),
    [
        (b"", "malformed"),
        (b"noise", "malformed"),
        (bytes(40), "malformed"),
        (b"\x80", "malformed"),
        (b"\x8f" + bytes(20), "malformed"),
        (bytes.fromhex("80c90001000003e8") + bytes(8), "malformed"),
        (RtpHeader(96, 1, 1, ssrc=0).build(), "unknown"),
        (RtpHeader(96, 1, 1, ssrc=999).build(), "unknown"),
        (RtpHeader(96, 1, 1, ssrc=1001).build(), "unknown"),
        (RtpHeader(96, 1, 1, ssrc=1010).build(), "unknown"),
        (RtpHeader(96, 1, 1, ssrc=1023).build(), "unknown"),
        (RtpHeader(96, 1, 1, ssrc=0xFFFFFFFF).build(), "unknown"),
    ],
)
async def test_what_is_none_of_its_packets_is_counted(show: Show, datagram: bytes, outcome: str) -> None:
    show.sender.rtp.send(datagram)
    await show.count(**{outcome: 1})
    assert show.calls == []
    # It has not latched to whoever sent that.
    other = Sender(show.added)
    other.send(1000)
    await show.count(received=1)
    other.close()


async def test_one_sender_is_listened_to_until_it_falls_silent(show: Show) -> None:
    other = Sender(show.added)
    show.sender.send(1000)
    await show.count(received=1)
    for _ in range(3):
        other.send(1000)
    await show.count(foreign=3)
    show.clock.advance(4.9)
    other.send(1000)
    await show.count(foreign=4)
    show.clock.advance(0.2)
    other.send(1000)
    await show.count(received=2)
    show.sender.send(1000)
    await show.count(foreign=5)
    assert len(show.calls) == 2
    other.close()


async def test_key_frames_are_asked_for_where_the_sender_listens(show: Show) -> None:
    (source,) = show.world.media.sources
    assert source.keyframe is not None
    source.keyframe("v")
    for data in (b"", b"short", bytes(12)):
        show.sender.rtcp.send(data)
    await show.count(malformed=3)
    show.sender.rtcp.send(b"\x80" + bytes(11))
    # What was wanted before anybody listened is told first.
    first = await feedback(show)
    source.keyframe("v")
    for data in (first, await feedback(show)):
        (pli,) = parse_compound(data)
        assert isinstance(pli, Pli)
        assert pli.media_ssrc == 1020


async def feedback(show: Show) -> bytes:
    found: list[bytes] = []

    def look() -> bool:
        show.sender.rtcp.setblocking(False)
        try:
            found.append(show.sender.rtcp.recv(100))
        except BlockingIOError:
            return False
        return True

    await until(look)
    return found[0]


async def test_messages_reach_whoever_subscribed(show: Show) -> None:
    eve = Person(show.world)
    eve.tell("join", room=1234, ptype="subscriber", streams=[{"feed": 7, "mid": "d"}])
    peer = show.world.media.peer
    show.sender.send(1030, b"hello", 0)
    show.sender.send(1030, b"\xff\x00", 1)
    show.sender.send(1030, b"\xff\x00", 0)
    await show.count(received=3, malformed=1)
    assert [call for call in peer.calls if call[0] == "send_data"] == [
        ("send_data", "JanusDataChannel", "", "hello"), ("send_data", "JanusDataChannel", "", b"\xff\x00"),
    ]  # fmt: skip


async def test_with_a_key_only_who_has_it_is_heard() -> None:
    show = Show(srtp_suite=80, srtp_crypto=KEY)
    profile = Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    session = Session(Policy(key=MATERIAL, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
    stranger = Sender(show.added)
    stranger.send(1000)
    await show.count(forged=1)
    plain = show.sender.packet(1000)
    show.sender.rtp.send(session.protect(plain))
    await show.count(received=1)
    assert show.calls == [("send_packet", "a", plain, 0)]
    assert KEY not in str((show.added, show.bob.heard(), show.world.events))
    show.sender.rtcp.send(b"\x80" + bytes(11))
    (source,) = show.world.media.sources
    assert source.keyframe is not None
    source.keyframe("v")
    opened = Session(Policy(key=MATERIAL, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
    (pli,) = parse_compound(opened.unprotect_rtcp(await feedback(show)))
    assert isinstance(pli, Pli)
    stranger.close()
    show.close()


async def test_it_changes(show: Show) -> None:
    show.bob.heard()
    eve = Person(show.world)
    eve.tell("join", room=1234, ptype="subscriber", streams=[{"feed": 7, "mid": "v"}])
    screen = {"mid": "s", "mindex": 4, "type": "video", "codec": "vp9", "vp9-profile": "2"}
    body = {"display": "near", "streams": [screen, {**PICTURE, "disabled": True}]}
    reply = show.bob.ask("update_remote_publisher", room=1234, id=7, **body)
    assert reply == {"videoroom": "success", "room": 1234, "id": 7}
    (told,) = show.bob.heard()
    (publisher,) = told["publishers"]
    assert publisher["display"] == "near"
    assert [one["mid"] for one in publisher["streams"]] == ["a", "v", "d", "s"]
    assert publisher["streams"][1] == {"type": "video", "mindex": 2, "mid": "v", "disabled": True}
    assert publisher["streams"][3]["vp9_profile"] == "2"
    (source,) = show.world.media.sources
    assert [(line.mid, line.fmtp) for line in source.lines] == [
        ("a", "useinbandfec=1"), ("v", None), ("s", "profile-id=2"),
    ]  # fmt: skip
    show.sender.send(1020)
    show.sender.send(1040)
    await show.count(received=1, unknown=1)
    show.bob.ask("update_remote_publisher", room=1234, id=7, streams=[PICTURE])
    show.sender.send(1020)
    await show.count(received=2)


async def test_everyone_is_told_when_it_talks(show: Show) -> None:
    show.bob.heard()
    heard = {call[1]: call[2] for call in show.world.media.sources[-1].calls if call[0] == "listen"}
    profile, data = build_extensions({4: bytes((0x80 | 10,))})
    header = RtpHeader(111, 1, 2, 3, extension_profile=profile, extension=data)
    for _ in range(100):
        heard["a"](memoryview(header.build()))
    (told,) = show.bob.heard()
    assert (told["videoroom"], told["id"], told["mid"], told["audio-level-dBov-avg"]) == ("talking", 7, "a", 10.0)
    (there,) = [one for one in show.bob.ask("listparticipants", room=1234)["participants"] if one["id"] == 7]
    assert there["talking"] is True


async def test_it_is_recorded_and_sent_on_like_anybody(show: Show, target: Target, tmp_path: Path) -> None:
    plugin = next(iter(show.world.gateway.plugins.values()))
    plugin.open(tmp_path)
    bob = show.bob
    bob.ask("create", room=6, record=True)
    bob.ask("add_remote_publisher", room=6, id=9, streams=[SPEECH])
    bob.ask("publish_remotely", room=6, publisher_id=9, remote_id="on", **target.body)
    body = {"publisher_id": 9, "host": "127.0.0.1", "streams": [{"mid": "a", "port": target.body["port"], "ssrc": 5}]}
    bob.ask("rtp_forward", room=6, **body)
    listener = [call[2] for call in show.world.media.sources[-1].calls if call[:2] == ("listen", "a")][-1]
    listener(packet())
    assert {parse_header(target.rtp.recv(2048)).ssrc for _ in range(2)} == {1000, 5}
    bob.ask("remove_remote_publisher", room=6, id=9)
    plugin.close()
    (written,) = (tmp_path / "recordings").rglob("*.mjr")
    assert bytes(packet())[12:] in written.read_bytes()


async def test_the_admin_api_may_do_it_too(show: Show) -> None:
    plugin = next(iter(show.world.gateway.plugins.values()))
    body = {"request": "add_remote_publisher", "room": 1234, "id": 8, "streams": [SPEECH]}
    added = plugin.handle_admin_message(body)
    assert added is not None
    assert (added["videoroom"], added["id"]) == ("success", 8)
    refused = plugin.handle_admin_message(body)
    assert refused is not None
    assert refused["error_code"] == 436


@pytest.mark.parametrize("how", ["remove", "kick", "destroy"])
async def test_it_ends(show: Show, how: str) -> None:
    show.bob.heard()
    if how == "remove":
        removed = show.bob.ask("remove_remote_publisher", room=1234, id=7)
        assert removed == {"videoroom": "success", "room": 1234, "id": 7}
        assert show.bob.heard() == [{"videoroom": "event", "room": 1234, "display": "far", "leaving": 7}]
    elif how == "kick":
        assert show.bob.ask("kick", room=1234, id=7) == {"videoroom": "success"}
    else:
        assert show.bob.ask("destroy", room=1234)["videoroom"] == "destroyed"
    assert show.world.media.sources[-1].calls[-1] == ("close",)
    plugin = next(iter(show.world.gateway.plugins.values()))
    assert [one.value for one in plugin.measure() if one.name == "remote_publishers"] == [0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((show.added["ip"], show.added["port"]))
    assert "error_code" in show.bob.ask("remove_remote_publisher", room=1234, id=7)


@pytest.mark.parametrize(
    ("changes", "code", "error"),
    [
        ({"room": 9}, 426, "No such room (9)"),
        ({"streams": None}, 429, "Missing mandatory element (streams)"),
        ({"streams": []}, 430, "streams is empty"),
        ({"streams": [{"mid": "a", "type": "audio"}]}, 429, "Missing mandatory element (mindex)"),
        ({"streams": [{**SPEECH, "mid": "a b"}]}, 430, "mid is 'a b'"),
        ({"streams": [{**SPEECH, "type": "text"}]}, 430, "type is 'text'"),
        ({"streams": [{**SPEECH, "codec": "vp8"}]}, 430, "codec is 'vp8', wanted one of opus"),
        ({"streams": [{**SPEECH, "mindex": 64}]}, 430, "mindex is 64, wanted at most 63"),
        ({"streams": [SPEECH, {**SPEECH, "mid": "b"}]}, 430, "a mindex of its own"),
        ({"streams": [{**SPEECH, "audiolevel_ext_id": 256}]}, 430, "an id is over 255"),
        ({"streams": [{**PICTURE, "codec": "vp9", "vp9_profile": "2\r\na=x"}]}, 430, "profile is '2"),
        ({"id": 2}, 436, "User ID 2 already exists"),
        ({"srtp_suite": 80}, 429, "Missing mandatory element (srtp_crypto"),
        ({"iface": "192.0.2.1"}, 433, "192.0.2.1 is none of"),
        ({"mcast": "232.1.1.1"}, 433, "remote_publisher_multicast"),
        ({"mcast": "here"}, 430, "mcast is 'here', wanted an address"),
        ({"port": 65_536}, 430, "port is 65536"),
    ],
)
async def test_remote_publishers_that_are_refused(changes: dict[str, Any], code: int, error: str) -> None:
    bob = Person(world(VideoRoom(ANYWHERE)))
    bob.join(id=2)
    body = {"room": 1234, "streams": STREAMS} | changes
    reply = bob.ask("add_remote_publisher", **{name: value for name, value in body.items() if value is not None})
    assert reply["error_code"] == code, reply
    assert error in reply["error"]
    assert len(bob.ask("listparticipants", room=1234)["participants"]) == 1
    assert not bob.world.media.sources


async def test_secrets_limits_and_ports() -> None:
    config = replace(ANYWHERE, remote_publisher_ports=[31_000, 31_002])
    bob = Person(world(VideoRoom(config)))
    bob.ask("create", room=5, secret="s")
    body = {"room": 5, "streams": [SPEECH]}
    assert bob.ask("add_remote_publisher", **body)["error_code"] == 429
    assert bob.ask("add_remote_publisher", **body, secret="t")["error_code"] == 433
    outside = bob.ask("add_remote_publisher", **body, secret="s", port=31_003)
    assert "port is 31003, wanted 31000 to 31002" in outside["error"]
    added = bob.ask("add_remote_publisher", **body, secret="s")
    assert {added["port"], added["rtcp_port"]} < set(range(31_000, 31_003))
    for name in ("update_remote_publisher", "remove_remote_publisher"):
        assert bob.ask(name, room=5, id=added["id"])["error_code"] == 429
    # Two of the three ports are in use.
    assert bob.ask("add_remote_publisher", **body, secret="s")["error_code"] == 499
    assert len(bob.ask("listparticipants", room=5)["participants"]) == 1
    assert bob.ask("remove_remote_publisher", room=5, id=added["id"], secret="s")["videoroom"] == "success"
    assert bob.ask("add_remote_publisher", **body, secret="s")["videoroom"] == "success"
    next(iter(bob.world.gateway.plugins.values())).close()


async def test_there_are_only_so_many() -> None:
    bob = Person(world(VideoRoom(ANYWHERE)))
    for _ in range(2):
        assert bob.ask("add_remote_publisher", room=1234, streams=[SPEECH])["videoroom"] == "success"
    assert bob.ask("add_remote_publisher", room=1234, streams=[SPEECH])["error_code"] == 499
    next(iter(bob.world.gateway.plugins.values())).close()


@pytest.mark.parametrize("config", [{"remote_publisher_ports": [1]}, {"remote_publisher_addresses": ["here"]}])
def test_configurations_that_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"remote_publisher_ports|here"):
        VideoRoom(VideoRoomConfig(**config))


async def test_a_multicast_group_is_heard() -> None:
    show = Show(replace(ANYWHERE, remote_publisher_multicast=["232.0.0.0/8"]), mcast="232.1.2.3")
    assert show.added["ip"] == "232.1.2.3"
    show.sender.rtp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    sent = show.sender.send(1000)
    await show.count(received=1)
    assert show.calls == [("send_packet", "a", sent, 0)]
    # What is sent to the port, and not to the group, is nobody's.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray:
        stray.sendto(sent, ("127.0.0.1", show.added["port"]))
    show.sender.send(1020)
    await show.count(received=2, foreign=0)
    show.close()
