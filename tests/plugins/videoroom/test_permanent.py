"""Rooms that outlive the process."""

from pathlib import Path
from typing import Any

import pytest

from appliance.plugins.videoroom import VideoRoom
from tests.plugins.videoroom.people import Person, world


def begun(folder: Path) -> Person:
    """A client of a plugin that was just started."""
    plugin = VideoRoom()
    plugin.open(folder)
    return Person(world(plugin))


def listed(person: Person) -> dict[Any, str]:
    return {room["room"]: room["description"] for room in person.ask("list")["list"]}


def test_what_is_made_changed_and_ended_for_good_is_so_after_a_start(tmp_path: Path) -> None:
    first = begun(tmp_path)
    assert first.ask("create", room=5, description="five", secret="s", permanent=True)["permanent"] is True
    assert first.ask("create", room=6, description="six", permanent=True)["permanent"] is True
    first.ask("create", room=7, description="seven")
    first.ask("edit", room=5, secret="s", new_description="V", permanent=True)
    first.ask("edit", room=1234, new_description="not for good")
    assert first.ask("destroy", room=6, permanent=True)["permanent"] is True
    second = begun(tmp_path)
    assert listed(second) == {1234: "Demo Room", 5: "V"}
    assert second.ask("destroy", room=5) == {
        "videoroom": "event", "error_code": 429, "error": "Missing mandatory element (secret)",
    }  # fmt: skip
    second.ask("destroy", room=1234, permanent=True)
    assert listed(begun(tmp_path)) == {5: "V"}


def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    begun(tmp_path / "a" / "b").ask("create", room=5, secret="s", permanent=True)
    assert (tmp_path / "a" / "b" / "rooms.json").stat().st_mode & 0o777 == 0o600


def test_a_room_that_cannot_be_kept_is_there_and_said_not_to_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    person = Person(world(plugin := VideoRoom()))
    plugin.open(tmp_path / "other")
    assert plugin._rooms.permanent is not None
    plugin._rooms.permanent._path = tmp_path / "file" / "rooms.json"
    assert person.ask("create", room=5, permanent=True)["permanent"] is False
    assert 5 in listed(person)


def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "rooms.json").write_text('{"rooms": [{"room": []}]}')
    with pytest.raises(ValueError, match=r"rooms\.json: .*room.*; mend the file or move it away"):
        begun(tmp_path)
