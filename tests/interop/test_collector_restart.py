"""A collector is killed under a real Prometheus while a call goes on: no rate leaps, no handle is lost or doubled."""

import asyncio
import itertools
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from appliance.demo.client import EchoCall
from tests.interop.test_monitoring import Counts, counted_by_aiortc, the_clients_count_the_same
from tests.peers.appliance import appliance
from tests.peers.janus import free_port
from tests.peers.prometheus import Prometheus, prometheus

pytestmark = pytest.mark.interop


async def test_counts_go_on_where_the_collector_was_killed(tmp_path: Path) -> None:
    port = free_port()
    async with (
        appliance(tmp_path / "data", [f"console.port={port}"]) as running,
        prometheus(tmp_path, port) as server,
        EchoCall(running.janus) as call,
    ):
        await call.place()
        await server.until("sum(appliance_handle_rtp_packets_total) > 100", bool)
        collector = running.supervisor.collector.process
        assert collector is not None
        os.kill(collector.pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            await running.restarted.wait()
        await server.until("sum(appliance_rtp_packets_total) > 100", bool)
        await call.wait_for_frames("video", 15)

        for sender in call.connection.getSenders():
            sender.replaceTrack(None)

        async def counted() -> dict[str, Counts]:
            return {str(call.handle_id): await counted_by_aiortc(call)}

        # The handle's counters are the engine's: they end where the client's do, whoever was there to tell them.
        await the_clients_count_the_same(server, counted)
        assert float((await server.query("sum(appliance_peerconnections)"))[0]["value"][1]) == 1

        sent = (await counted_by_aiortc(call))["audio"]["in"]
        rises = await rises_of(server, 'appliance_rtp_packets_total{direction="in",kind="audio"}')
        assert 0 < sum(rise * often for rise, often in rises.items()) <= sent


async def rises_of(server: Prometheus, selector: str) -> Counter[float]:
    """Every rise between two scrapes, as ``rate()`` takes it: a fall is a start from zero. How often each came."""
    rises: Counter[float] = Counter()
    for series in await server.query(f"{selector}[5m]"):
        values = [float(value) for _, value in series["values"]]
        for before, after in itertools.pairwise(values):
            rises[after - before if after >= before else after] += 1
    return rises
