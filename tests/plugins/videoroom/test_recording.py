"""Rooms and publishers that are recorded: who may ask for it, which files there are, and when they end."""

from pathlib import Path
from typing import Any

import pytest

from appliance.core import events
from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import RoomConfig, VideoRoomConfig
from tests.clock import FakeClock
from tests.core.fake_media import FakePeer
from tests.core.world import JsonObject
from tests.plugins.videoroom.people import Person, plugin_events, world

pytestmark = pytest.mark.usefixtures("publishing")

PACKET = memoryview(b"\x80\x6f" + bytes(98))
AT = 1_700_000_000_000_000
BAD_NAME = "should be letters, digits and _.+@=,- alone, below the folder of recordings)"


class Studio:
    """A VideoRoom that may record, and Ann, who can come in."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder / "recordings"
        self.plugin = VideoRoom(VideoRoomConfig(**config), clock=FakeClock())
        self.plugin.open(folder)
        self.ann = Person(world(self.plugin))

    def enter(self, room: int = 1234, **publish: Any) -> JsonObject:
        self.ann.join(room, id=7)
        return self.ann.publish(**publish)

    @property
    def peer(self) -> FakePeer:
        assert self.ann.peer is not None
        return self.ann.peer

    def send(self) -> None:
        """A packet of each kind, and a text."""
        for listener in self.peer.listeners.values():
            if listener is not None:
                listener(PACKET)
        self.peer.observer.data("JanusDataChannel", "", "hello")

    def files(self) -> list[str]:
        """What there is once everything has been written."""
        self.plugin.close()
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.*"))


def three(name: str) -> list[str]:
    return [f"{name}-{kind}.mjr" for kind in ("audio-0", "data-2", "video-1")]


def test_a_publisher_asks_to_be_recorded(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.enter(record=True, filename="ann")
    assert ("request_keyframe", "1") in studio.peer.calls
    studio.send()
    assert studio.ann.tell("configure", record=False)["configured"] == "ok"
    studio.send()
    assert studio.files() == three("ann")
    audio = (studio.folder / "ann-audio-0.mjr").read_bytes()
    assert b'"x": {"1": "urn:ietf:params:rtp-hdrext:ssrc-audio-level"}' in audio
    assert audio.count(b"MEET") == 1
    assert (studio.folder / "ann-data-2.mjr").read_bytes().endswith(b"hello")


def test_recording_can_begin_in_the_middle(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.enter()
    studio.send()
    studio.ann.tell("configure", record=True)
    (told,) = [data for _, data in plugin_events(studio.ann.world) if "recording" in data]
    assert told["recording"]["0"] == f"videoroom-1234-user-7-{AT}-audio-0"
    studio.send()
    assert studio.files() == three(f"videoroom-1234-user-7-{AT}")


def test_a_room_that_records_does_so_unasked(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    made = studio.ann.ask("create", room=5, record=True, rec_dir="of/room5", lock_record=True, secret="s")
    assert made["videoroom"] == "created"
    (listed,) = [room for room in studio.ann.ask("list")["list"] if room["room"] == 5]
    assert (listed["record"], listed["rec_dir"], listed["lock_record"]) == (True, "of/room5", True)
    studio.enter(5)
    studio.send()
    assert studio.files() == three(f"of/room5/videoroom-5-user-7-{AT}")


def test_a_room_is_switched_for_everybody_in_it(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.enter()
    assert studio.ann.ask("enable_recording", room=1234, record=True) == {"videoroom": "success", "record": True}
    studio.send()
    query = studio.ann.world.gateway.sessions[studio.ann.session_id].handles[studio.ann.ids["handle_id"]].query()
    assert sorted(query["recording"]) == ["0", "1", "2"]
    assert studio.ann.ask("enable_recording", room=1234, record=False) == {"videoroom": "success", "record": False}
    assert studio.peer.listeners["0"] is not None  # The meter of who talks goes on.
    assert studio.peer.listeners["1"] is None
    studio.send()
    assert studio.files() == three(f"videoroom-1234-user-7-{AT}")
    assert (studio.folder / f"videoroom-1234-user-7-{AT}-audio-0.mjr").read_bytes().count(b"MEET") == 1


@pytest.mark.parametrize("end", ["unpublish", "leave", "hangup", "kick", "destroy", "detach", "shutdown"])
def test_files_end_with_what_they_record(tmp_path: Path, end: str) -> None:
    studio = Studio(tmp_path)
    studio.enter(record=True, filename="ann")
    studio.send()
    match end:
        case "unpublish" | "leave":
            studio.ann.tell(end)
        case "hangup":
            studio.peer.tell(events.Connection(connection="hangup", reason="ICE failed"))
        case "kick":
            studio.ann.ask("kick", room=1234, id=7)
        case "destroy":
            studio.ann.ask("destroy", room=1234)
        case "detach":
            studio.ann.world.say("detach", **studio.ann.ids)
        case "shutdown":
            studio.ann.world.gateway.shutdown()
    studio.ann.world.settle()
    active = next(one for one in studio.plugin.measure() if one.name == "media_recordings_active")
    assert active.value == 0
    assert studio.files() == three("ann")


def test_a_lock_asks_for_the_secret(tmp_path: Path) -> None:
    studio = Studio(tmp_path, rooms=[RoomConfig(room=5, secret="s", lock_record=True)])
    studio.enter(5)
    for body in ({"record": True}, {"record": False}, {"filename": "x"}):
        assert studio.ann.tell("configure", **body)["error_code"] == 429
        assert studio.ann.tell("configure", secret="t", **body)["error_code"] == 433
    assert studio.ann.tell("configure", secret="s", record=True, filename="x")["configured"] == "ok"
    assert studio.ann.ask("edit", room=5, secret="s", new_lock_record=False, new_rec_dir="d")["videoroom"] == "edited"
    studio.send()
    assert studio.ann.tell("configure", record=False)["configured"] == "ok"
    assert studio.files() == three("x")


@pytest.mark.parametrize(
    ("request_", "body", "key"),
    [
        ("configure", {"record": True, "filename": "../x"}, "filename"),
        ("configure", {"record": True, "filename": "/x"}, "filename"),
        ("create", {"rec_dir": "/var/lib"}, "rec_dir"),
        ("create", {"rec_dir": "a/../../b"}, "rec_dir"),
        ("edit", {"room": 1234, "new_rec_dir": ".."}, "new_rec_dir"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, request_: str, body: JsonObject, key: str) -> None:
    studio = Studio(tmp_path)
    studio.enter()
    told = studio.ann.tell(request_, **body) if request_ == "configure" else studio.ann.ask(request_, **body)
    assert (told["error_code"], told["error"]) == (430, f"Invalid element ({key} {BAD_NAME}")
    studio.send()
    assert studio.files() == []


def test_a_folder_elsewhere_in_the_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rooms: 5: rec_dir: '/tmp': wanted a folder below the recordings"):
        VideoRoom(VideoRoomConfig(rooms=[RoomConfig(room=5, rec_dir="/tmp")]))


def test_a_long_name_is_still_a_file(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.enter(record=True, filename="x" * 200)
    studio.send()
    assert studio.files() == three("x" * 200)


def test_ids_that_are_texts_name_no_folders(tmp_path: Path) -> None:
    studio = Studio(tmp_path, string_ids=True, rooms=[RoomConfig(room="../etc")])
    studio.ann.join("../etc", id="a/b")
    studio.ann.publish(record=True)
    studio.send()
    assert studio.files() == three(f"videoroom-.._etc-user-a_b-{AT}")


def test_another_listener_goes_on_beside_it(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.enter()
    studio.ann.tell("configure", record=True, filename="ann")
    forward = {"room": 1234, "publisher_id": 7, "host": "127.0.0.1", "streams": [{"mid": "1", "port": 9}]}
    forwarded = studio.ann.ask("rtp_forward", **forward)
    studio.send()
    stream_id = forwarded["forwarders"][0]["stream_id"]
    studio.ann.ask("stop_rtp_forward", room=1234, publisher_id=7, stream_id=stream_id)
    studio.send()
    assert studio.files() == three("ann")
    assert (studio.folder / "ann-video-1.mjr").read_bytes().count(b"MEET") == 2
