"""Who is in which room and watches whom: the table that the talk of 2017 printed, by one select."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.events import CALL_SCHEMA, Event, External, event
from tests.handlers.harness import recorded, store

WHO_WATCHES_WHOM = """
    SELECT p.display, p.session, h.opaque_id, p.feed, p.handle, s.feed, s.handle
    FROM participants p
    JOIN handles h ON h.session = p.session AND h.handle = p.handle AND h.event = 'attached'
    LEFT JOIN subscriptions s ON s.private_id = p.private_id AND s.room = p.room AND s.event = 'subscribing'
    WHERE p.event = 'joined'
    ORDER BY p.display, s.feed
"""


async def kept(folder: Path, items: Sequence[Event], query: str) -> list[tuple[Any, ...]]:
    handler = store(folder)
    await handler.start()
    await handler.handle(list(items))
    await handler.stop()
    with closing(sqlite3.connect(folder / "appliance.sqlite")) as connection:
        return connection.execute(query).fetchall()


async def test_ciccio_and_pippo(tmp_path: Path) -> None:
    found = await kept(tmp_path, list(recorded("seeds/talk-videoroom.jsonl")), WHO_WATCHES_WHOM)
    assert found == [
        ("ciccio", 6706708418803609, "videoroomtest-3REdGHcrZPMk", "8361242010771549", 5978921396405279,
         "5265065137454348", 6827135960427146),
        ("pippo", 2273950556695883, "videoroomtest-vZEKMO4F5JiL", "5265065137454348", 7656381184336435,
         "8361242010771549", 3756409443147593),
    ]  # fmt: skip


async def test_a_room_of_today(tmp_path: Path) -> None:
    items = list(recorded("janus-1.4/videoroom_http.jsonl"))
    found = await kept(
        tmp_path, items, "SELECT room, event FROM rooms WHERE event IN ('created', 'destroyed') ORDER BY id"
    )
    assert found == [("4321", "created"), ("4321", "destroyed")]
    with closing(sqlite3.connect(tmp_path / "appliance.sqlite")) as connection:
        watched = connection.execute(
            "SELECT DISTINCT p.display FROM subscriptions s JOIN participants p ON p.feed = s.feed"
            " WHERE p.event = 'joined' ORDER BY 1"
        ).fetchall()
    assert watched == [("alice",), ("bob",)]


RECORD: dict[str, Any] = {
    "started_us": 1_000, "ended_us": 9_000, "duration_us": 5_000, "code": "uplink_loss", "severity": "fault",
    "actor": "client", "network": "192.0.2.0/24", "browser": "Firefox", "phases_us": {"ice": 70, "dtls": 80, "odd": 1},
    "loss_in": 0.25, "packets_in": 2**70,
}  # fmt: skip


def told(**changes: Any) -> Event:
    body = External(schema=CALL_SCHEMA, data=RECORD | changes)
    item = event(body, emitter="gw", timestamp=10_000, session_id=1, handle_id=2)
    return replace(item, id=10_000, correlation_id="1-2-1@gw")


async def test_a_call_record_is_a_row(tmp_path: Path) -> None:
    query = "SELECT verdict_code, network, browser, ice_us, dtls_us, loss_in, packets_in FROM callrecords"
    assert await kept(tmp_path, [told()], query) == [("uplink_loss", "192.0.2.0/24", "Firefox", 70, 80, 0.25, None)]


async def test_a_call_that_is_judged_again_has_one_row(tmp_path: Path) -> None:
    await kept(tmp_path, [told()], "SELECT 1")
    assert await kept(tmp_path, [told(code="healthy")], "SELECT verdict_code FROM callrecords") == [("healthy",)]


@pytest.mark.parametrize("missing", ["started_us", "ended_us", "duration_us", "code"])
async def test_a_record_without_what_it_must_have_is_kept_as_an_event_alone(tmp_path: Path, missing: str) -> None:
    assert await kept(tmp_path, [told(**{missing: None})], "SELECT count(*) FROM callrecords") == [(0,)]
