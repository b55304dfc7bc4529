"""Collectors that share a RabbitMQ and a PostgreSQL, while a collector, the broker or the database is killed."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import msgspec
import psycopg
import pytest
from sqlalchemy import make_url

from appliance.core.bus import EventBus, Subscription
from appliance.core.clock import LoopClock
from appliance.core.events import MediaStats, event
from appliance.handlers.output.rabbitmq import RabbitMqOutput, RabbitMqOutputConfig
from appliance.supervisor import Child
from tests.handlers.harness import context
from tests.peers.postgresql import PostgreSql, postgresql
from tests.peers.rabbitmq import RabbitMq

pytestmark = pytest.mark.interop

LOAD = int(os.environ.get("APPLIANCE_SCALE_LOAD", "5000"))
"""Events at least, while something is killed; 100000 takes a minute or two."""
SESSIONS = 100
BURST = 5
"""Of a session, before the next one's turn."""
SHARES = 6
QUIET = {
    "server.log_level": "error", "console.port": 0, "listener.port": 0, "intake.http.enabled": "false",
    "handlers.hep.enabled": "false", "handlers.recording.enabled": "false",
}  # fmt: skip
"""Of every collector here."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as running:
        yield running


class Table:
    """What is in the shared store."""

    def __init__(self, server: PostgreSql) -> None:
        self.server = server
        self.url = server.database()
        self._where = make_url(self.url)

    def ask(self, query: str) -> list[tuple[int, ...]]:
        where = self._where
        with (
            closing(
                psycopg.connect(
                    host=where.host, port=where.port, user=where.username, password=self.server.password,
                    dbname=where.database,
                )
            ) as line,
            line.cursor() as cursor,
        ):  # fmt: skip
            return cursor.execute(query).fetchall()

    def count(self) -> int:
        return self.ask("SELECT count(*) FROM events WHERE type = 32")[0][0]

    def is_complete(self, total: int) -> bool:
        """Everything once."""
        told: dict[int, list[int]] = {}
        for session, packets in self.ask("SELECT session, packetssent FROM stats"):
            told.setdefault(session, []).append(packets)
        wanted = list(range(total // SESSIONS))
        return len(told) == SESSIONS and all(sorted(packets) == wanted for packets in told.values())

    def is_in_order(self) -> bool:
        """Each session, whoever stored it: they share a clock here."""
        last: dict[int, int] = {}
        for session, packets in self.ask("SELECT session, packetssent FROM stats ORDER BY id"):
            if packets <= last.get(session, -1):
                return False
            last[session] = packets
        return True


class Fleet:
    """Names in the broker of one test, its collectors, and what publishes to them."""

    def __init__(self, broker: RabbitMq, table: Table, folder: Path) -> None:
        self.name = f"events-{uuid.uuid4().hex[:8]}"
        self.broker = broker
        self.table = table
        self.killed = asyncio.Event()
        """The load goes on until then."""
        self.total = 0
        """Events of it so far."""
        self._folder = folder

    async def collector(self, number: int) -> Child:
        """One that shares broker and store with the others."""
        return await _started(QUIET | {
            "server.data_dir": self._folder / f"collector-{number}", "server.collector": number,
            "handlers.store.url": self.table.url, "handlers.store.password": self.table.server.password,
            "intake.rabbitmq.enabled": "true", "intake.rabbitmq.port": self.broker.port,
            "intake.rabbitmq.password": "guest", "intake.rabbitmq.queue": self.name,
            "intake.rabbitmq.exchange": self.name, "intake.rabbitmq.shares": SHARES,
            "intake.rabbitmq.durable": "true", "intake.rabbitmq.balance_s": 0.3,
        })  # fmt: skip

    async def relay(self) -> Child:
        """One that shares out by session what is published without."""
        return await _started(QUIET | {
            "server.data_dir": self._folder / "relay", "intake.stream.enabled": "false",
            "intake.rabbitmq.enabled": "true", "intake.rabbitmq.port": self.broker.port,
            "intake.rabbitmq.password": "guest", "intake.rabbitmq.queue": f"{self.name}-relay",
            "intake.rabbitmq.durable": "true",
            "handlers.rabbitmq.enabled": "true", "handlers.rabbitmq.port": self.broker.port,
            "handlers.rabbitmq.password": "guest", "handlers.rabbitmq.exchange": self.name,
            "handlers.rabbitmq.route_key": self.name, "handlers.rabbitmq.shares": SHARES,
            "handlers.rabbitmq.grouping": "false",
            **{f"handlers.{name}.enabled": "false" for name in ("prometheus", "diagnosis", "store")},
        })  # fmt: skip

    @asynccontextmanager
    async def publishing(self, *, by_session: bool = True) -> AsyncIterator[Subscription]:
        """Our own output feeds the broker: a load of statistics of many sessions in turn."""
        where = {"exchange": self.name, "route_key": self.name, "shares": SHARES}
        if not by_session:
            where = {"route_key": f"{self.name}-relay"}
        config = msgspec.convert(
            where | {"port": self.broker.port, "password": "guest", "retransmissions_backoff": 10},
            RabbitMqOutputConfig,
        )
        bus = EventBus(LoopClock())
        queue = bus.add(RabbitMqOutput(config, context(self._folder / "gateway", LoopClock())), depth=2_000)
        async with bus:
            source = asyncio.create_task(self._feed(bus, queue))
            yield queue
            await source
            await self.stored(lambda: queue.delivered == self.total)

    async def _feed(self, bus: EventBus, queue: Subscription) -> None:
        while self.total < LOAD or not self.killed.is_set() or self.total % (BURST * SESSIONS):
            number, self.total = self.total, self.total + 1
            session, turn = 1 + number // BURST % SESSIONS, number // (BURST * SESSIONS) * BURST + number % BURST
            while len(queue) >= queue.depth:  # noqa: ASYNC110  # a turn of the loop at a time
                await asyncio.sleep(0.001)
            body = MediaStats(media="audio", packets_sent=turn)
            bus.publish(event(body, emitter="gw", timestamp=number, session_id=session, handle_id=session))

    async def stored(self, condition: Callable[[], bool], within_s: float = 60.0 + LOAD / 500) -> None:
        """Wait for what the collectors store."""
        async with asyncio.timeout(within_s):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110  # the database tells nobody
                await asyncio.sleep(0.05)


async def _started(options: Mapping[str, object]) -> Child:
    settings = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    child = Child("collector", [*settings, "collect"])
    await child.start()
    return child


@pytest.fixture
def fleet(shared_rabbitmq: RabbitMq, server: PostgreSql, tmp_path: Path) -> Fleet:
    return Fleet(shared_rabbitmq, Table(server), tmp_path)


async def test_what_a_killed_collector_had_the_other_takes_over(fleet: Fleet) -> None:
    table = fleet.table
    async with AsyncExitStack() as stack:
        one = await fleet.collector(1)
        stack.push_async_callback(one.stop)
        async with fleet.publishing():
            await fleet.stored(lambda: table.count() > 0)
            # It was alone, and had everything: it leaves the second its part.
            two = await fleet.collector(2)
            stack.push_async_callback(two.stop)
            await fleet.stored(lambda: _by_collector(table).get(2, 0) > 100)
            assert one.process is not None
            await fleet.stored(lambda: table.count() > LOAD / 2)
            one.process.kill()
            fleet.killed.set()
        await fleet.stored(lambda: table.count() >= fleet.total)
    assert table.count() == fleet.total
    assert table.is_complete(fleet.total)
    assert table.is_in_order()
    assert set(_by_collector(table)) == {1, 2}


def _by_collector(table: Table) -> dict[int, int]:
    found = table.ask("SELECT 1 + id % 16, count(*) FROM events WHERE type = 32 GROUP BY 1")
    return {number: count for number, count in found}  # noqa: C416  # which says what it is


async def test_a_broker_and_a_database_that_are_killed_lose_nothing_and_double_nothing(fleet: Fleet) -> None:
    table, server, broker = fleet.table, fleet.table.server, fleet.broker
    async with AsyncExitStack() as stack:
        for number in (1, 2):
            stack.push_async_callback((await fleet.collector(number)).stop)
        async with fleet.publishing():
            await fleet.stored(lambda: table.count() > LOAD / 5)
            server.kill()
            # Meanwhile the broker keeps what the store has no room for.
            await asyncio.to_thread(server.start)
            await fleet.stored(lambda: table.count() > LOAD / 2)
            broker.kill()
            fleet.killed.set()
            await asyncio.to_thread(broker.start)
        await fleet.stored(lambda: table.count() >= fleet.total)
    assert table.count() == fleet.total
    assert table.is_complete(fleet.total)
    assert table.is_in_order()


async def test_a_relay_that_is_killed_loses_nothing_and_what_it_sends_twice_is_stored_once(fleet: Fleet) -> None:
    table = fleet.table
    async with AsyncExitStack() as stack:
        for number in (1, 2):
            stack.push_async_callback((await fleet.collector(number)).stop)
        relay = await fleet.relay()
        stack.push_async_callback(relay.stop)
        # More than the relay has passed on when it dies would only take longer.
        fleet.killed.set()
        async with fleet.publishing(by_session=False):
            await fleet.stored(lambda: table.count() > LOAD / 4)
            assert relay.process is not None
            relay.process.kill()
            await relay.process.wait()
            assert table.count() < LOAD
            await relay.start()
        await fleet.stored(lambda: table.count() >= fleet.total)
    assert table.count() == fleet.total
    assert table.is_complete(fleet.total)
    assert table.is_in_order()
