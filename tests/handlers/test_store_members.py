"""Those of one room side by side: what the talk of 2017 printed of ciccio and pippo, and a room of Janus 1.4."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.archive import Member
from appliance.core.events import Event, Plugin, event
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


def told(number: int, plugin: str, handle: int | None, **data: Any) -> Event:
    body = Plugin(plugin=f"janus.plugin.{plugin}", data=data)
    made = event(body, emitter="janus", timestamp=number, session_id=handle and 7, handle_id=handle)
    return replace(made, id=number)


async def test_who_left_is_gone_in_the_words_of_each_plugin(tmp_path: Path) -> None:
    handler = store(tmp_path)
    await handler.start()
    await handler.handle(
        [
            told(1, "audiobridge", 1, event="joined", room=10, id=77, display="Zo\u00eb", muted="true"),
            told(2, "audiobridge", 1, event="left", room=10, id=77),
            told(3, "textroom", 2, event="join", room="hall", username="ren\u00e9"),
            told(4, "textroom", 3, event="join", room="hall", username="bob"),
            told(5, "textroom", 3, textroom="kicked", room="hall", username="bob"),
            told(6, "textroom", 2, event="leave", room="hall", username="ren\u00e9"),
            # Who left is told without a handle, twice by the same id.
            told(10, "videoroom", 4, event="joined", room=30, id=2**53 + 1, private_id=5),
            told(11, "videoroom", None, event="leaving", room=30, id=2**53 + 1),
            told(12, "videoroom", 5, event="joined", room=30, id=2**53 + 1, private_id=6),
            told(13, "videoroom", None, event="kicked", room=31, id=2**53 + 1),
            # What nobody joins is a room's alone.
            told(14, "audiobridge", 1, event="mute_room", room=10),
            told(15, "audiobridge", 1, audiobridge="talking", room=10, id=77),
        ]
    )
    found = {room: await handler.archive.members(room=room) for room in ("10", "hall", "30")}
    await handler.stop()
    stays = {room: [(one.feed, one.joined_us, one.left_us) for one in some] for room, some in found.items()}
    assert stays == {
        "10": [("77", 1, 2)],
        "hall": [("bob", 4, 5), ("ren\u00e9", 3, 6)],
        "30": [("9007199254740993", 12, None), ("9007199254740993", 10, 11)],
    }
