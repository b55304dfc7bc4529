"""From something happening in the gateway to a HEP listener having it, with 50 sessions and statistics each second.

Both ends read one wall clock: the HEP timestamp is the event's own, taken when it happened; arrival is when the
listener has decoded the packet.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp

from appliance.hep.listener import HepListener
from appliance.hep.message import HepMessage
from benchmarks.figures import Figure
from benchmarks.load import Echoes, Load
from tests.peers.appliance import appliance

SESSIONS = 50
SECONDS = 15.0


async def _measure() -> list[float]:
    Echoes().install("127.0.0.1")
    delays_ms: list[float] = []
    counting = False

    def arrived(message: HepMessage) -> None:
        if counting:
            delays_ms.append(time.time_ns() / 1e6 - message.timestamp_us / 1e3)

    listener = HepListener(arrived, host="127.0.0.1", port=0)
    await listener.start()
    options = ["handlers.hep.enabled=true", f"handlers.hep.server=udp://127.0.0.1:{listener.port}"]
    with tempfile.TemporaryDirectory() as folder:
        async with appliance(Path(folder), options) as running, aiohttp.ClientSession() as http:
            load = Load(running.janus, http)
            for _ in range(SESSIONS):
                await load.call()
            counting = True
            await load.pump(10, 160, SECONDS)
            counting = False
            await load.close()
    await listener.stop()
    return delays_ms


def main() -> list[Figure]:
    """p50 and p99 of every HEP packet in the steady state."""
    delays = asyncio.run(_measure())
    cuts = statistics.quantiles(delays, n=100)
    note = f"{len(delays)} packets in {SECONDS:.0f} s, {SESSIONS} sessions"
    return [
        Figure("event to HEP listener, p50", cuts[49], "ms", "", note),
        Figure("event to HEP listener, p99", cuts[98], "ms", "<= 10", note),
    ]
