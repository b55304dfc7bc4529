"""Who talks, by audio levels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import VideoRoomConfig
from appliance.plugins.videoroom.ears import TalkMeter
from appliance.wire.rtp import RtpHeader, build_extensions
from tests.plugins.videoroom.people import Person, world

pytestmark = pytest.mark.usefixtures("publishing")

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
