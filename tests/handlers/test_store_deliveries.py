"""What a broker brings twice is stored once: by one collector, by two, and when they are at it together."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.core.clock import LoopClock
from appliance.core.deliveries import MAX_EVENTS, Deliveries, Origin
from appliance.core.events import Event, Session, event
from appliance.handlers.store import StoreConfig, StoreHandler
from appliance.handlers.store.deliveries import KEPT_US
from tests.handlers.databases import Home
from tests.handlers.harness import context
from tests.intake.links import until


def brought(deliveries: Deliveries, message: str, places: range, *, first: int) -> list[Event]:
    """Events of one message, as a collector numbers and notes them."""
    items = []
    for number, place in enumerate(places, first):
        made = event(Session(name="created"), emitter="s", timestamp=place, session_id=place)
        items.append(replace(made, id=number))
        deliveries.note(number, Origin(message, place))
    return items


def collector(home: Home, deliveries: Deliveries, folder: Path) -> StoreHandler:
    lent = context(folder, LoopClock())
    lent.deliveries = deliveries
    return StoreHandler(StoreConfig(url=home._url, password=home._password, retention_days=0), lent)


async def test_what_comes_again_to_another_collector_is_stored_once(home: Home, tmp_path: Path) -> None:
    one, two = Deliveries(), Deliveries()
    first, second = collector(home, one, tmp_path), collector(home, two, tmp_path)
    await first.start()
    await second.start()
    # The first was killed after a part of "b": the broker brings both to the second, whole.
    await first.handle(brought(one, "a", range(3), first=10))
    await first.handle(brought(one, "b", range(2), first=20))
    await first.flush()
    await second.handle(brought(two, "a", range(3), first=110))
    await second.handle(brought(two, "b", range(5), first=120))
    await second.handle(brought(two, "c", range(1), first=130))
    await second.flush()
    await first.stop()
    await second.stop()
    assert home.ask("SELECT id FROM events ORDER BY id") == [(n,) for n in (10, 11, 12, 20, 21, 122, 123, 124, 130)]
    assert home.ask("SELECT count(*) FROM sessions") == [(9,)]
    assert home.ask("SELECT message, places, id FROM deliveries ORDER BY message") == [
        ("a", 3, 12), ("b", 5, 124), ("c", 1, 130)
    ]  # fmt: skip


@pytest.mark.parametrize("round_", range(3))
async def test_two_collectors_that_were_given_the_same_store_it_once(home: Home, tmp_path: Path, round_: int) -> None:
    one, two = Deliveries(), Deliveries()
    handlers = [collector(home, one, tmp_path), collector(home, two, tmp_path)]
    for handler in handlers:
        await handler.start()
    for message in range(20):
        await handlers[0].handle(brought(one, f"{message}", range(50), first=1_000 + 100 * message))
        await handlers[1].handle(brought(two, f"{message}", range(50), first=10_000 + 100 * message))
    await asyncio.gather(*(handler.flush() for handler in handlers))
    for handler in handlers:
        await handler.stop()
        assert handler.lost == 0
    assert home.ask("SELECT count(*) FROM events") == [(1_000,)]
    assert home.ask("SELECT count(*) FROM sessions") == [(1_000,)]


async def test_messages_of_long_ago_are_forgotten(home: Home, tmp_path: Path) -> None:
    deliveries = Deliveries()
    handler = collector(home, deliveries, tmp_path)
    await handler.start()
    await handler.handle(brought(deliveries, "old", range(1), first=1))
    await handler.handle(brought(deliveries, "new", range(1), first=KEPT_US + 2))
    await handler.flush()
    handler._ask_to_prune()
    async with asyncio.timeout(10):
        while home.ask("SELECT message FROM deliveries") != [("new",)]:  # noqa: ASYNC110  # a thread deletes it
            await asyncio.sleep(0.01)
    await handler.stop()


async def test_the_store_tells_what_it_holds_until_it_is_written(home: Home, tmp_path: Path) -> None:
    deliveries = Deliveries()
    handler = collector(home, deliveries, tmp_path)
    await handler.start()
    await handler.handle(brought(deliveries, "a", range(3), first=10))
    await handler.handle(brought(deliveries, "b", range(3), first=20))
    assert handler.oldest_held == 10
    handler.hurry()
    await until(lambda: handler.oldest_held is None)
    assert home.ask("SELECT count(*) FROM events") == [(6,)]
    await handler.stop()


def test_only_what_is_on_its_way_is_remembered() -> None:
    deliveries = Deliveries()
    for number in range(1, 11):
        deliveries.note(number, Origin("a", number - 1))
    deliveries.kept_until(4)
    assert deliveries.of(4) is None
    assert deliveries.of(5) == Origin("a", 4)
    assert len(deliveries) == 6
    for number in range(11, MAX_EVENTS + 11):
        deliveries.note(number, Origin("b", 0))
    assert len(deliveries) == MAX_EVENTS
    assert deliveries.of(10) is None
