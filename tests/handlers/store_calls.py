"""Stores to try, and calls to store."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from appliance.core.events import (
    VERDICT_SCHEMA,
    Connection,
    Event,
    External,
    Jsep,
    SessionDescription,
    event,
)
from appliance.handlers.store import StoreConfig, StoreHandler
from tests.clock import FakeClock
from tests.handlers.harness import store
from tests.intake.links import until


@asynccontextmanager
async def running(
    folder: Path, clock: FakeClock | None = None, config: StoreConfig | None = None
) -> AsyncIterator[StoreHandler]:
    # Numbers in these tests are small, so each event is of 1970 for whoever deletes the old.
    handler = store(folder, clock, config or StoreConfig(retention_days=0))
    await handler.start()
    try:
        yield handler
    finally:
        await handler.stop()


async def passing(clock: FakeClock, condition: Callable[[], bool]) -> None:
    """Let seconds pass until it is so."""

    def after_a_second() -> bool:
        clock.advance(1)
        return condition()

    await until(after_a_second)


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "appliance.sqlite", isolation_level=None)) as connection:
        yield connection


def of_call(body: object, timestamp: int = 1, number: int = 1, **more: Any) -> Event:
    item = event(body, emitter="gw", timestamp=timestamp, session_id=1, handle_id=2)  # type: ignore[arg-type]  # a body
    return replace(item, id=timestamp, correlation_id=f"1-2-{number}@gw", **more)


OFFER = Jsep(owner="remote", jsep=SessionDescription("offer", "v=0\r\n"))
UP = Connection(connection="webrtcup")
HANGUP = Connection(connection="hangup", reason="DTLS alert")


def verdict(code: str, timestamp: int, number: int = 1) -> Event:
    return of_call(External(schema=VERDICT_SCHEMA, data={"code": code, "evidence": [1]}), timestamp, number)


async def assert_comes_back(handler: StoreHandler, items: list[Event]) -> None:
    """Every call of ``items``, each with its events as they were."""
    await handler.handle(items)
    calls = await handler.archive.calls()
    assert {call.correlation_id for call in calls} == {
        item.correlation_id for item in items if isinstance(item.event, Jsep)
    }
    for call in calls:
        found = await handler.archive.events(call.correlation_id)
        own = [item for item in found if item.correlation_id == call.correlation_id]
        expected = [item for item in items if item.correlation_id == call.correlation_id]
        assert own == sorted(expected, key=lambda item: (item.timestamp, item.id))
