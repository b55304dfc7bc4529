"""What a browser tells of its network test: whose it may be, what it may hold, how often; and leave for a load test."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from appliance.console import nettest, parameters
from appliance.console.nettest import NetworkTests
from appliance.core.events import Body, Event, External, event
from appliance.core.events import Connection as ConnectionState
from appliance.core.events.session import NETTEST_SCHEMA
from tests.clock import FakeClock
from tests.console.recorded import MemoryArchive
from tests.console.serve import application

CODE = "K7Q2MX"
FIGURES = {
    "tone": "warn", "sentence": "Calls work here, but over TCP only: UDP is blocked.", "udp": "fail", "tcp": "ok",
    "turn": "none", "used": "tcp", "seconds": 20.1, "rtt_ms": 31.5, "loss_up": 0.01, "loss_down": None,
    "bitrate_up_bps": 1_500_000, "load_up_bps": 4_800_000.5,
}  # fmt: skip

Client = TestClient[Any, Any]
Published = list[tuple[Body, Event]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def published() -> Published:
    return []


def placed(clock: FakeClock, code: str = CODE, session: int = 7) -> Event:
    """An event of a test's call that began now."""
    return event(
        ConnectionState(connection="webrtcup"),
        emitter="gw",
        timestamp=clock.wall_us(),
        session_id=session,
        handle_id=8,
        opaque_id=f"test-{code}",
    )


@pytest.fixture
async def client(clock: FakeClock, published: Published) -> AsyncIterator[Client]:
    archive = MemoryArchive()
    archive.add([placed(clock)])

    def publish(body: Body, about: Event) -> None:
        published.append((body, about))

    addresses = (f"192.0.2.{number}" for number in range(1, 250))
    tests = NetworkTests(
        archive, clock, publish, lambda request: request.headers.get("X-Test-Address") or next(addresses)
    )
    async with TestClient(TestServer(application(archive, clock=clock, tests=tests))) as made:
        yield made


async def told(client: Client, code: str = CODE, **changes: Any) -> tuple[int, str]:
    headers = {"User-Agent": "Browser/1 \t" + "x" * 300, **changes.pop("headers", {})}
    async with client.post(f"/api/test/{code}", json=FIGURES | changes, headers=headers) as reply:
        answer = await reply.json()
        return reply.status, answer.get("error", {}).get("message", "")


async def test_figures_become_an_event_of_their_call_once(client: Client, published: Published) -> None:
    assert await told(client) == (200, "")
    ((body, about),) = published
    assert isinstance(body, External) and body.schema == NETTEST_SCHEMA
    assert body.data["code"] == CODE and body.data["load_up_bps"] == 4_800_000.5 and body.data["jitter_up_ms"] is None
    assert body.data["browser"].startswith("Browser/1 x") and len(body.data["browser"]) == 200
    assert (about.emitter, about.session_id, about.handle_id, about.opaque_id) == ("gw", 7, 8, f"test-{CODE}")
    assert about.correlation_id == "7-8-1@gw"
    assert await told(client) == (409, "the figures of that test have been taken")
    assert len(published) == 1


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"udp": "maybe"}, "$.udp"), ({"loss_up": 1.5}, "$.loss_up"), ({"rtt_ms": -1}, "$.rtt_ms"),
        ({"sentence": "x" * 301}, "$.sentence"), ({"more": 1}, "more"), ({"load_up_bps": 1e30}, "$.load_up_bps"),
        ({"tone": None}, "$.tone"),
    ],
)  # fmt: skip
async def test_figures_that_are_none_are_refused_by_name(
    client: Client, published: Published, changes: dict[str, Any], wrong: str
) -> None:
    status, message = await told(client, **changes)
    assert status == 400 and wrong in message
    assert not published


async def test_only_a_recent_test_is_told_of(client: Client, clock: FakeClock, published: Published) -> None:
    for code in ("ZZZZZZ", "k7q2mx", "K7Q2MX1", "K7Q2M%25"):
        assert (await told(client, code))[0] == 404
    async with client.post(f"/api/test/{CODE}", data=b" " * (nettest.MAX_BODY + 1)) as reply:
        assert reply.status == 413
    async with client.post(f"/api/test/{CODE}", json=FIGURES, headers={"Sec-Fetch-Site": "cross-site"}) as reply:
        assert reply.status == 403
    clock.advance(nettest.RECENT_S + 1)
    assert (await told(client))[0] == 404
    assert not published


async def test_requests_are_bounded_for_each_address_and_in_all(
    client: Client, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nettest, "PER_WINDOW_OF_ADDRESS", 2)
    monkeypatch.setattr(nettest, "PER_WINDOW", 4)
    one = {"headers": {"X-Test-Address": "198.51.100.1"}}
    assert [(await told(client, "ZZZZZZ", **one))[0] for _ in range(3)] == [404, 404, 429]
    assert [(await told(client, "ZZZZZZ"))[0] for _ in range(3)] == [404, 404, 429]
    clock.advance(nettest.WINDOW_S)
    assert (await told(client, "ZZZZZZ", **one))[0] == 404


async def test_one_ipv6_network_is_one_address(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nettest, "PER_WINDOW_OF_ADDRESS", 2)
    asked = [await told(client, "ZZZZZZ", headers={"X-Test-Address": f"2001:db8::{number}"}) for number in range(3)]
    assert [status for status, _ in asked] == [404, 404, 429]


async def test_figures_that_come_in_pieces_are_taken_as_a_whole(client: Client, published: Published) -> None:
    body, first_is_read = msgspec.json.encode(FIGURES), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:40]
        await asyncio.wait_for(first_is_read.wait(), 5)
        yield body[40:]

    asyncio.get_running_loop().call_later(0.05, first_is_read.set)
    async with client.post(f"/api/test/{CODE}", data=pieces()) as reply:
        assert reply.status == 200
    assert len(published) == 1


async def test_figures_that_never_come_are_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "BODY_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = f"POST /api/test/{CODE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(5):
        assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def leave(client: Client, address: str, code: str = CODE) -> int:
    async with client.post(f"/api/test/{code}/load", headers={"X-Test-Address": address}) as reply:
        if reply.status == 200:
            assert await reply.json() == {"seconds": nettest.LOAD_S, "bitrate_bps": nettest.LOAD_BPS}
        return reply.status


async def test_few_test_their_bandwidth_at_a_time(client: Client, clock: FakeClock) -> None:
    assert await leave(client, "10.0.0.1", "ZZZZZZ") == 404
    assert await leave(client, "10.0.0.1") == 200
    assert await leave(client, "10.0.0.1") == 429
    assert [await leave(client, f"10.0.0.{number}") for number in range(2, 6)] == [200, 200, 200, 429]
    clock.advance(nettest.LOAD_LEAVE_S)
    assert await leave(client, "10.0.0.1") == 200
