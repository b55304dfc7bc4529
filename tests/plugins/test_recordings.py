"""Files of what clients send: what is in them, and what bounds them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.plugins import recordings
from appliance.plugins.recordings import Limits, Recordings, as_part, is_name
from appliance.wire import mjr
from tests.clock import FakeClock

PACKET = memoryview(b"\x80\x6f" + bytes(98))
WALL_US = 1_700_000_000_000_000


def made(folder: Path, clock: FakeClock | None = None, **limits: int) -> Recordings:
    """Writes at once, in the test's own thread."""
    bounds = Limits(**{"file_bytes": 1 << 20, "total_bytes": 1 << 20, "files": 2} | limits)
    found = Recordings("echotest", bounds, clock=clock or FakeClock(), write=lambda work: work())
    found.keep_in(folder)
    return found


def counts(found: Recordings) -> dict[str, float]:
    def key(counter: Any) -> str:
        assert counter.labels["plugin"] == "echotest"
        name: str = counter.labels.get("outcome", counter.name)
        return name

    return {key(counter): counter.value for counter in found.measure()}


def test_a_file_has_what_came_and_when(tmp_path: Path) -> None:
    clock = FakeClock()
    taken = made(tmp_path / "deep", clock)
    recording = taken.start("talk-audio", "audio", "opus", extensions={1: "urn:x"})
    assert recording is not None
    clock.advance(0.5)
    recording.rtp(PACKET)
    clock.advance(0.02)
    recording.rtp(PACKET)
    assert not (tmp_path / "deep").exists()
    recording.close()
    recording.close()
    recording.rtp(PACKET)
    path = tmp_path / "deep" / "talk-audio.mjr"
    head = mjr.header("audio", "opus", created_us=WALL_US, first_us=WALL_US + 500_000, extensions={1: "urn:x"})
    assert path.read_bytes() == head + mjr.packet(500, PACKET) + mjr.packet(520, PACKET)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert counts(taken) == {
        "media_recordings_active": 0, "started": 1, "refused": 0, "failed": 0,
        "media_recording_bytes_total": path.stat().st_size, "media_recording_packets_lost_total": 1,
    }  # fmt: skip


def test_messages_are_kept_with_their_time(tmp_path: Path) -> None:
    taken = made(tmp_path)
    recording = taken.start("chat", "data", "text", folder="of/monday")
    assert recording is not None
    recording.text("grüße")
    recording.text("x" * 70_000)
    recording.close()
    head = mjr.header("data", "text", created_us=WALL_US, first_us=WALL_US)
    kept = (tmp_path / "of" / "monday" / "chat.mjr").read_bytes()
    assert kept == head + mjr.message(0, WALL_US, "grüße".encode())
    assert taken.lost == 1


def test_what_came_is_on_the_disk_a_second_later(tmp_path: Path) -> None:
    clock = FakeClock()
    recording = made(tmp_path, clock).start("a", "audio", "opus")
    assert recording is not None
    for _ in range(3):
        recording.rtp(PACKET)
        clock.advance(0.6)
    assert (tmp_path / "a.mjr").stat().st_size > 3 * len(PACKET)
    recording.close()


def test_where_nothing_came_there_is_no_file(tmp_path: Path) -> None:
    recording = made(tmp_path).start("a", "audio", "opus")
    assert recording is not None
    recording.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    taken = made(tmp_path)
    for _ in range(3):
        recording = taken.start("a", "audio", "opus")
        assert recording is not None
        recording.rtp(PACKET)
        recording.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-2.mjr", "a-3.mjr", "a.mjr"]
    (tmp_path / "b.mjr").symlink_to(tmp_path / "elsewhere")
    recording = taken.start("b", "audio", "opus")
    assert recording is not None
    recording.rtp(PACKET)
    recording.close()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_ends_at_its_size(tmp_path: Path) -> None:
    taken = made(tmp_path, file_bytes=500)
    recording = taken.start("a", "audio", "opus")
    assert recording is not None
    for _ in range(10):
        recording.rtp(PACKET)
    recording.close()
    size = (tmp_path / "a.mjr").stat().st_size
    assert size <= 500
    # Whole packets: a head, and as many of 110 bytes as there is room for.
    assert taken.lost == 10 - (size - size % 110) // 110


def test_all_files_end_at_their_size_and_tidying_up_makes_room(tmp_path: Path) -> None:
    taken = made(tmp_path, total_bytes=5000, files=9)

    def record(name: str) -> bool:
        recording = taken.start(name, "audio", "opus")
        assert recording is not None
        for _ in range(5):
            recording.rtp(PACKET)
        recording.close()
        return (tmp_path / f"{name}.mjr").exists()

    assert record("a")
    assert not record("b")
    assert counts(taken)["failed"] == 1
    (tmp_path / "a.mjr").unlink()
    assert record("c")


def test_there_are_so_many_at_once(tmp_path: Path) -> None:
    taken = made(tmp_path, files=1)
    first = taken.start("a", "audio", "opus")
    assert first is not None
    assert taken.start("b", "audio", "opus") is None
    first.close()
    assert taken.start("b", "audio", "opus") is not None
    assert counts(taken)["refused"] == 1


def test_without_a_place_or_room_nothing_is_recorded(tmp_path: Path) -> None:
    limits = Limits(file_bytes=1, total_bytes=1, files=1)
    assert not Recordings("echotest", limits, clock=FakeClock()).available
    none = made(tmp_path, total_bytes=0)
    assert not none.available
    assert none.start("a", "audio", "opus") is None


def test_a_full_disk_ends_the_recording_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = made(tmp_path)
    recording = taken.start("a", "audio", "opus")
    assert recording is not None
    opened = os.open
    monkeypatch.setattr(
        "appliance.plugins.recordings.os.open", lambda _path, _flags, _mode: opened("/dev/full", os.O_WRONLY)
    )
    monkeypatch.setattr(recordings, "CHUNK_BYTES", 200)
    for _ in range(5):
        recording.rtp(PACKET)
    recording.close()
    assert counts(taken)["failed"] == 1
    assert taken.lost == 3


def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "MAX_WAITING_BYTES", 1000)
    monkeypatch.setattr(recordings, "CHUNK_BYTES", 400)
    waiting: list[Callable[[], None]] = []
    limits = Limits(file_bytes=1 << 20, total_bytes=1 << 20, files=1)
    taken = Recordings("echotest", limits, clock=FakeClock(), write=waiting.append)
    taken.keep_in(tmp_path)
    recording = taken.start("a", "audio", "opus")
    assert recording is not None
    for _ in range(20):
        recording.rtp(PACKET)
    lost = taken.lost
    assert lost > 5
    for work in waiting:
        work()
    recording.rtp(PACKET)
    assert taken.lost == lost
    before = len(waiting)
    recording.close()
    for work in waiting[before - 1 :]:
        work()
    # Nothing that was taken is missing, and packets are whole.
    assert (tmp_path / "a.mjr").read_bytes().count(b"MEET") == 21 - lost


def test_the_thread_has_written_everything_when_it_ends(tmp_path: Path) -> None:
    taken = Recordings("echotest", Limits(file_bytes=1 << 20, total_bytes=1 << 20, files=1))
    taken.keep_in(tmp_path)
    recording = taken.start("a", "audio", "opus")
    assert recording is not None
    for _ in range(2000):
        recording.rtp(PACKET)
    taken.close()
    assert (tmp_path / "a.mjr").read_bytes().count(b"MEET") == 2000


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("talk", True), ("monday/talk-1_2.x+y@z=,", True), ("", False), ("/etc/passwd", False), ("..", False),
        ("../x", False), ("a/../b", False), ("a//b", False), (".hidden", False), ("a\0b", False), ("a\\b", False),
        ("talk\n", False), ("a/", False), ("x" * 201, False), ("ü", False), ("-rf", False),
    ],
)  # fmt: skip
def test_names_stay_below_the_folder(text: str, good: bool) -> None:
    assert is_name(text) is good


def test_anything_can_be_part_of_a_name() -> None:
    assert as_part("../a b/ü\0") == ".._a_b___"
    assert is_name("room-" + as_part("x" * 100))
