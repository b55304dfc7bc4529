"""Who talks, by audio levels, and where streams are forwarded to."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import VideoRoomConfig
from appliance.plugins.videoroom.ears import TalkMeter
from appliance.wire.rtp import RtpHeader, build_extensions
from tests.plugins.videoroom.people import ANSWER, MEDIA, Person, world

LEVEL_ID = 1


def packet(level: int | None = None, *, marker: bool = False) -> memoryview:
    profile, data = (None, b"") if level is None else build_extensions({LEVEL_ID: bytes((0x80 | level,))})
    header = RtpHeader(
        payload_type=111,
        sequence_number=1,
        timestamp=2,
        ssrc=3,
        marker=marker,
        extension_profile=profile,
        extension=data,
    )
    return memoryview(header.build() + b"opus")


@pytest.mark.parametrize(
    ("levels", "changes"),
    [
        ([20] * 4, [(True, 20.0)]),
        ([30] * 8, []),
        ([20] * 4 + [20] * 4, [(True, 20.0)]),
        ([20] * 4 + [127] * 4 + [10] * 4, [(True, 20.0), (False, 127.0), (True, 10.0)]),
        ([24, 24, 25, 26], [(True, 24.75)]),
        ([25] * 4, []),
        ([20] * 3, []),
        ([None] * 4, []),
        ([20, None, None, None], []),
    ],
)
def test_the_mean_of_some_packets_decides(levels: list[int | None], changes: list[tuple[bool, float]]) -> None:
    told: list[tuple[bool, float]] = []
    meter = TalkMeter(LEVEL_ID, 4, 25, lambda talks, mean: told.append((talks, mean)))
    for level in levels:
        meter(packet(level))
    assert told == changes


@pytest.fixture(autouse=True)
def publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.core.fake_media.MEDIA", MEDIA)
    monkeypatch.setattr("tests.core.fake_media.ANSWER", ANSWER)


@contextmanager
def publisher(config: VideoRoomConfig | None = None, **room: Any) -> Iterator[Person]:
    """Ann, who publishes, and leaves at the end."""
    ann = Person(world(VideoRoom(config or VideoRoomConfig())))
    if room:
        ann.ask("create", **room)
    ann.join(room.get("room", 1234), id=1, display="ann")
    ann.publish()
    yield ann
    ann.tell("leave")


@pytest.fixture
def room() -> Iterator[tuple[Person, Person]]:
    """Ann publishes, and Bob is there."""
    with publisher() as ann:
        bob = Person(ann.world)
        bob.join(id=2)
        ann.heard()
        bob.heard()
        yield ann, bob


def hear(person: Person, mid: str, *packets: memoryview) -> None:
    """The person's PeerConnection shows packets to who listens."""
    assert person.peer is not None
    listener = person.peer.listeners.get(mid)
    for one in packets:
        if listener is not None:
            listener(one)


def test_everyone_is_told_who_talks(room: tuple[Person, Person]) -> None:
    ann, bob = room
    hear(ann, "0", *[packet(10)] * 100)
    told = {"videoroom": "talking", "room": 1234, "id": 1, "mindex": 0, "mid": "0", "audio-level-dBov-avg": 10.0}
    assert ann.heard() == bob.heard() == [told]
    assert [one["talking"] for one in bob.ask("listparticipants", room=1234)["participants"] if one["id"] == 1] == [
        True
    ]
    hear(ann, "0", *[packet(127)] * 100)
    assert [one["videoroom"] for one in bob.heard()] == ["stopped-talking"]


def test_a_participant_has_thresholds_of_its_own(room: tuple[Person, Person]) -> None:
    ann, bob = room
    ann.tell("configure", audio_active_packets=5, audio_level_average=60)
    hear(ann, "0", *[packet(50)] * 5)
    assert [one["videoroom"] for one in bob.heard()] == ["talking"]


def test_nobody_listens_where_the_room_does_not_ask() -> None:
    with publisher(room=5) as ann:
        assert ann.peer is not None
        assert ann.peer.listeners.get("0") is None


@pytest.fixture
def sink() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def forward(person: Person, sink: socket.socket, **item: Any) -> dict[str, Any]:
    stream = {"mid": "0", "port": sink.getsockname()[1], **item}
    return person.ask("rtp_forward", room=1234, publisher_id=1, host="127.0.0.1", streams=[stream])


def test_packets_go_on_with_the_numbers_asked_for(room: tuple[Person, Person], sink: socket.socket) -> None:
    ann, bob = room
    reply = forward(bob, sink, ssrc=77, pt=100)
    (made,) = reply["forwarders"]
    assert reply["videoroom"] == "rtp_forward"
    assert (made["type"], made["ssrc"], made["pt"], made["srtp"]) == ("audio", 77, 100, False)
    hear(ann, "0", packet(10, marker=True))
    data = sink.recv(2048)
    assert data[1] == 0x80 | 100
    assert int.from_bytes(data[8:12], "big") == 77
    assert data[2:8] + data[12:] == bytes(packet(10, marker=True))[2:8] + bytes(packet(10, marker=True))[12:]
    listed = bob.ask("listforwarders", room=1234)
    assert listed["publishers"] == [{"publisher_id": 1, "display": "ann", "forwarders": [made]}]


def test_a_forwarder_ends_when_it_is_told_to_or_its_stream_ends(
    room: tuple[Person, Person], sink: socket.socket
) -> None:
    ann, bob = room
    first, _ = (forward(bob, sink)["forwarders"][0]["stream_id"] for _ in range(2))
    reply = bob.ask("stop_rtp_forward", room=1234, publisher_id=1, stream_id=first)
    assert reply == {"videoroom": "stop_rtp_forward", "room": 1234, "publisher_id": 1, "stream_id": first}
    assert len(bob.ask("listforwarders", room=1234)["publishers"][0]["forwarders"]) == 1
    ann.tell("unpublish")
    ann.world.settle()
    assert bob.ask("listforwarders", room=1234)["publishers"] == []


def test_the_old_way_of_asking(room: tuple[Person, Person], sink: socket.socket) -> None:
    _, bob = room
    port = sink.getsockname()[1]
    reply = bob.ask("rtp_forward", room=1234, publisher_id=1, host="127.0.0.1", audio_port=port, audio_pt=9)
    assert reply["rtp_stream"]["audio"] == port
    assert reply["rtp_stream"]["audio_stream_id"] == reply["forwarders"][0]["stream_id"]


@pytest.mark.parametrize(
    ("changes", "code", "error"),
    [
        ({"host": "192.0.2.1"}, 433, "192.0.2.1 is in none of the networks"),
        ({"host": "example.com"}, 430, "names are not looked up"),
        ({"publisher_id": 9}, 428, "No such user 9"),
        ({"streams": [{"mid": "7", "port": 1}]}, 428, "No such stream with mid '7'"),
        ({"streams": [{"mid": "0", "port": 0}]}, 430, "out of its range"),
        ({"streams": [{"mid": "0", "port": 9, "rtcp_port": 10}]}, 430, "rtcp_port is not available here"),
        ({"streams": [{"mid": "0"}]}, 429, "Missing mandatory element (port)"),
        ({"streams": []}, 429, "Missing mandatory element (streams)"),
        ({"streams": [{"mid": "0", "port": 9}] * 17}, 499, "no room for 17 more"),
    ],
)
def test_forwarders_that_are_refused(
    room: tuple[Person, Person], changes: dict[str, Any], code: int, error: str
) -> None:
    _, bob = room
    body = {"publisher_id": 1, "host": "127.0.0.1", "streams": [{"mid": "0", "port": 9}]} | changes
    reply = bob.ask("rtp_forward", room=1234, **body)
    assert reply["error_code"] == code
    assert error in reply["error"]
    assert bob.ask("listforwarders", room=1234)["publishers"] == []


def test_a_lock_asks_for_the_admin_key(sink: socket.socket) -> None:
    with publisher(VideoRoomConfig(lock_rtp_forward=True, admin_key="k")) as ann:
        assert forward(ann, sink)["error_code"] == 429
        stream = {"mid": "0", "port": sink.getsockname()[1]}
        body = {"publisher_id": 1, "host": "127.0.0.1", "streams": [stream], "admin_key": "k"}
        assert ann.ask("rtp_forward", room=1234, **body)["videoroom"] == "rtp_forward"
