"""What the collector says of itself, from the counts of those who work in it."""

from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.core.events import Counter
from appliance.health import LOOK_EVERY_S, RECENT_S, Health
from tests.clock import FakeClock


class Counts:
    """Whose counts a test sets."""

    def __init__(self, *counters: Counter) -> None:
        self.counters = list(counters)

    def measure(self) -> Iterable[Counter]:
        return self.counters


def said(health: Health) -> list[str]:
    return [f"{problem.component}: {problem.text}" for problem in health.problems()]


@pytest.mark.parametrize(
    ("counter", "text"),
    [
        (
            Counter("events_dropped_total", 7, {"handler": "store", "reason": "queue_full"}),
            "store: 7 events were lost in the last minute (queue_full)",
        ),
        (
            Counter("events_delivered_total", 2, {"handler": "x", "outcome": "failed"}),
            "x: 2 events failed in the last minute; see the log",
        ),
        (
            Counter("store_errors_total", 3),
            "store: could not write 3 times in the last minute; events wait, see the log",
        ),
        (
            Counter("hep_packets_dropped_total", 4, {"transport": "tcp", "reason": "queue_full"}),
            "hep: 4 packets were lost in the last minute (tcp, queue_full)",
        ),
        (Counter("events_dropped_total", 1), "?: 1 events were lost in the last minute (?)"),
    ],
)
def test_what_rises_is_a_problem_for_a_minute(counter: Counter, text: str) -> None:
    clock, counts = FakeClock(), Counts(Counter(counter.name, 0, counter.labels))
    health = Health(clock, [counts], lambda: [])
    assert said(health) == []
    counts.counters = [counter]
    assert said(health) == [text]
    clock.advance(RECENT_S)
    assert said(health) == [text]
    clock.advance(1)
    assert said(health) == []


@pytest.mark.parametrize(
    ("counter", "text"),
    [
        (Counter("hep_connected", 0, {"transport": "tls"}), "hep: no connection to the capture server (tls)"),
        (Counter("intake_connected", 0, {"intake": "mqtt"}), "mqtt: no connection to the broker"),
    ],
)
def test_what_is_not_connected_is_a_problem_until_it_is(counter: Counter, text: str) -> None:
    counts = Counts(counter)
    health = Health(FakeClock(), [counts], lambda: [])
    assert said(health) == [text]
    counts.counters = [Counter(counter.name, 1, counter.labels)]
    assert said(health) == []


def test_what_is_no_failure_is_no_problem() -> None:
    counts = Counts(
        Counter("events_delivered_total", 10_000, {"handler": "store", "outcome": "ok"}),
        Counter("intake_connected", 0, {"intake": "websocket"}),
        Counter("unheard_of", 1),
    )
    assert said(Health(FakeClock(), [counts], lambda: [])) == []


def test_it_looks_by_itself_so_that_a_late_question_is_not_told_of_old_failures() -> None:
    clock, counts = FakeClock(), Counts(Counter("store_errors_total", 1))
    health = Health(clock, [counts], lambda: [])
    health.start()
    for _ in range(20):
        clock.advance(LOOK_EVERY_S)
    assert said(health) == []
    health.stop()


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 503)])
async def test_liveness_and_readiness(path: str, status: int) -> None:
    left_out: list[str] = []
    health = Health(FakeClock(), [], lambda: left_out)
    application = web.Application()
    application.add_routes(health.routes())
    async with TestClient(TestServer(application)) as client:

        async def ask() -> tuple[int, dict[str, Any]]:
            async with client.get(path) as reply:
                return reply.status, await reply.json()

        code, state = await ask()
        assert (code, state["status"], state["problems"]) == (200, "ok", [])
        left_out.append("store")
        code, state = await ask()
        assert (code, state["status"], state["handlers_left_out"]) == (status, "degraded", ["store"])
        assert state["problems"] == [{"component": "store", "text": "could not start; see the log"}]
