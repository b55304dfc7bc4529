"""A real Prometheus scrapes recorded calls that go on, and answers every query of every dashboard and rule."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import Body, Event, Shutdown, event
from appliance.core.handler import HandlerContext
from appliance.handlers.prometheus import PrometheusConfig, PrometheusHandler
from tests.metrics.traces import SERVER, read, trace
from tests.peers.prometheus import Prometheus, every_query, every_rule, every_variable, prometheus

pytestmark = pytest.mark.interop

CASES = ("chrome_echo_http", "loss_slowlink", "dtls_badfp", "videoroom_http")
SPEED = 3.0
SILENT = {
    "NACK and PLI B": "Janus counts no PLI",
}
"""Queries whose answer may be empty with these calls."""


def rounds(case: str, clock: LoopClock) -> Iterator[tuple[float, list[Event]]]:
    """A recorded case, again and again: what to publish, and how many seconds to wait after it."""
    recorded = [item for item in trace(case) if item.session_id is not None or item.type == 128]
    for number in count(1):
        batch: list[Event] = []
        for item, following in zip(recorded, [*recorded[1:], recorded[0]], strict=True):
            moved = replace(
                item,
                timestamp=clock.wall_us(),
                session_id=item.session_id + number if item.session_id is not None else None,
                handle_id=item.handle_id + number if item.handle_id is not None else None,
            )
            batch.append(moved)
            wait = (following.timestamp - item.timestamp) / 1e6 / SPEED
            if wait > 0.02:
                yield min(wait, 0.5), batch
                batch = []
        yield 0.1, batch


class Served:
    """The exporter on a bus and a web server, with calls that go on."""

    def __init__(self, folder: Path) -> None:
        self.clock = LoopClock()
        self.bus = EventBus(self.clock)

        def publish(_body: Body, _about: Event) -> None: ...

        context = HandlerContext(
            clock=self.clock, data_dir=folder, server_name="collector", publish=publish, bus=self.bus,
            measured=[self.bus],
        )  # fmt: skip
        self.handler = PrometheusHandler(PrometheusConfig(), context)
        self.bus.add(self.handler)
        self._tasks: list[asyncio.Task[None]] = []

    async def _call(self, case: str) -> None:
        for wait, batch in rounds(case, self.clock):
            for item in batch:
                self.bus.publish(item)
            await asyncio.sleep(wait)

    def begin(self) -> None:
        self._tasks = [asyncio.create_task(self._call(case), name=case) for case in CASES]

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[int]:
        application = web.Application()
        application.add_routes(self.handler.routes())
        async with self.bus, TestServer(application) as server:
            assert server.port is not None
            self.begin()
            try:
                yield server.port
            finally:
                await self.end()


async def test_it_answers_every_panel_and_rule(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with served.run() as port, prometheus(tmp_path, port) as server:
        await server.until('min(count_over_time(up{job=~"appliance.*"}[1m])) >= 7', bool)
        (call, *_) = await server.until(
            "appliance_handle_round_trip_time_seconds and on (handle_id) appliance_handle_audio_mos"
            " and on (handle_id) rate(appliance_handle_rtp_packets_lost_by_peer_total[6s])",
            bool,
        )
        values = {
            "__rate_interval": "6s",
            "__range": "1m",
            "server": ".*",
            "plugin": ".*",
            "room": ".*",
            "session": call["metric"]["session_id"],
            "handle": call["metric"]["handle_id"],
        }
        await every_query(server, values, SILENT)
        await every_variable(server, values)
        await every_rule(server)
        await served.end()
        await the_same_values(server, served)
        await exemplars(server)
        await nothing_left_of_calls_that_ended(server, served)


async def the_same_values(server: Prometheus, served: Served) -> None:
    """What Prometheus stored is what the exporter counted."""
    mine = {
        key: value
        for key, value in read("".join(served.handler.exporter.metrics(openmetrics=False))).items()
        if key[0].startswith("appliance_rtp_") or key[0] == "appliance_hangups_total"
    }
    assert sum(value for (name, _), value in mine.items() if name == "appliance_rtp_packets_total") > 1000

    def same(found: list[dict[str, Any]]) -> bool:
        theirs = {}
        for each in found:
            labels = {
                name: text for name, text in each["metric"].items() if name not in {"__name__", "job", "instance"}
            }
            theirs[each["metric"]["__name__"], frozenset(labels.items())] = float(each["value"][1])
        return theirs == mine

    await server.until('{__name__=~"appliance_rtp_.+|appliance_hangups_total",job="appliance"}', same)


async def exemplars(server: Prometheus) -> None:
    found = await server.get(
        "query_exemplars", query="appliance_setup_phase_duration_seconds_bucket", start="0", end="9999999999"
    )
    named = {each["labels"]["correlation_id"] for series in found for each in series["exemplars"]}
    assert named
    assert all(name.endswith(f"@{SERVER}") for name in named)


async def nothing_left_of_calls_that_ended(server: Prometheus, served: Served) -> None:
    served.bus.publish(event(Shutdown(), emitter=SERVER, timestamp=served.clock.wall_us()))
    await server.until("appliance_handle_info or appliance_handle_rtp_packets_total", lambda found: not found)
    await server.until("sum(appliance_peerconnections)", lambda found: float(found[0]["value"][1]) == 0)
