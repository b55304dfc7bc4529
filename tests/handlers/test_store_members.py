"""Those of one room side by side: what the talk of 2017 printed of ciccio and pippo, and a room of Janus 1.4."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.archive import Member
from tests.handlers.harness import recorded, store

TALK = "seeds/talk-videoroom.jsonl"
TODAY = "janus-1.4/videoroom_http.jsonl"


async def members(folder: Path, trace: str, **filters: Any) -> list[Member]:
    handler = store(folder)
    await handler.start()
    await handler.handle(list(recorded(trace)))
    found = await handler.archive.members(**filters)
    await handler.stop()
    return list(found)


async def test_the_table_of_the_talk(tmp_path: Path) -> None:
    table = [
        (m.display, m.session_id, m.opaque_id, m.feed, m.handle_id, [(w.feed, w.handle_id) for w in m.watches])
        for m in await members(tmp_path, TALK, room="1234")
    ]
    assert sorted(table) == [
        ("ciccio", 6706708418803609, "videoroomtest-3REdGHcrZPMk", "8361242010771549", 5978921396405279,
         [("5265065137454348", 6827135960427146)]),
        ("pippo", 2273950556695883, "videoroomtest-vZEKMO4F5JiL", "5265065137454348", 7656381184336435,
         [("8361242010771549", 3756409443147593)]),
    ]  # fmt: skip


async def test_a_room_of_today_leads_to_its_calls(tmp_path: Path) -> None:
    bob, alice = await members(tmp_path, TODAY, room="4321", server="janus-ref")
    assert (bob.display, alice.display) == ("bob", "alice")
    assert [watched.display for watched in bob.watches] == ["alice"]
    assert alice.correlation_id == "8454339083476493-3186300624168214-1@janus-ref"
    assert alice.published
    assert alice.client_address == "127.0.0.1:40410"
    assert alice.left_us is not None and alice.left_us > alice.joined_us


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"user": "alice"}, ["alice"]),
        ({"user": "opq-bob-pub"}, ["bob"]),
        ({"room": "4321", "user": "nobody"}, []),
        ({"room": "4321", "server": "another"}, []),
        ({"room": "1"}, []),
        ({"room": "4321", "since_us": 2**62}, []),
    ],
)
async def test_whom_a_filter_finds(tmp_path: Path, filters: dict[str, Any], found: list[str]) -> None:
    assert [member.display for member in await members(tmp_path, TODAY, **filters)] == found


async def test_who_has_not_left_is_there(tmp_path: Path) -> None:
    handler = store(tmp_path)
    await handler.start()
    items = list(recorded(TODAY))
    joined = next(index for index, item in enumerate(items) if "joined" in str(item.event))
    await handler.handle([replace(item) for item in items[: joined + 1]])
    (alice,) = await handler.archive.members(room="4321")
    await handler.stop()
    assert (alice.left_us, alice.published, alice.watches) == (None, False, [])
