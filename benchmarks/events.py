"""Events in and out: how many a collector takes, what a stalled backend costs, how late an HTTP backend hears.

The collector is measured as a process of its own with HEP, metrics and diagnosis on, fed in groups of 100 from here.
The delay is from an event's own timestamp until the backend has read it; ours and Janus's sampleevh report the same
50 EchoTest sessions, placed by the same client, to the same backend.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
from aiohttp import web

from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import IceState, MediaStats, Session, encode_json, event
from appliance.core.handler import HandlerContext
from appliance.handlers.output.http import HttpOutput, HttpOutputConfig
from appliance.net.rabbitmq import RabbitMqConfig, connect
from appliance.supervisor import Child
from benchmarks.figures import Figure
from benchmarks.load import Echoes, Load, cpu_seconds
from benchmarks.store import STATS
from tests.peers import namespace
from tests.peers.janus import free_port, janus
from tests.peers.rabbitmq import rabbitmq

EVENTS = 100_000
GROUP = 100
HANDLES = 500
STALLED = 72_000
"""An hour of 20 events a second."""
SESSIONS = 50


def _groups() -> list[bytes]:
    """Of five events four statistics and one ICE state, of many handles in turn, as Janus posts them."""
    groups: list[bytes] = []
    for first in range(0, EVENTS, GROUP):
        items = []
        for number in range(first, first + GROUP):
            handle = 10**15 + number % HANDLES
            body: Any = IceState(ice="connected") if number // HANDLES % 5 == 0 else STATS
            made = event(
                body, emitter="janus", timestamp=1_795_000_000_000_000 + number, session_id=handle, handle_id=handle
            )
            items.append(encode_json(made))
        groups.append(b"[" + b",".join(items) + b"]")
    return groups


async def _metrics(http: aiohttp.ClientSession, url: str) -> dict[str, float]:
    async with http.get(f"{url}/metrics") as reply:
        text = await reply.text()
    found = re.findall(r"^(\w+\{?[^}\n]*\}?) ([0-9.e+]+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


async def _collect() -> dict[str, dict[str, float]]:
    """By way in: events a second of CPU and of the clock, and events lost in queues."""
    told: dict[str, dict[str, float]] = {}
    groups = _groups()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(rabbitmq(folder / "rabbitmq"))
        sink = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sink.bind(("127.0.0.1", 0))
        for way in ("http", "rabbitmq"):
            port = free_port()
            options = {
                "server.data_dir": folder / way, "console.port": 0, "listener.port": 0, "intake.http.port": port,
                "handlers.hep.server": f"udp://127.0.0.1:{sink.getsockname()[1]}", "handlers.store.enabled": "false",
                "handlers.recording.enabled": "false",
                "intake.rabbitmq.enabled": str(way == "rabbitmq").lower(), "intake.rabbitmq.port": broker.port,
                "intake.rabbitmq.password": "guest", "server.log_level": "error",
            }  # fmt: skip
            sets = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
            child = Child("collector", [*sets, "collect"])
            ready = await child.start()
            stack.push_async_callback(child.stop)
            assert child.process is not None
            async with aiohttp.ClientSession() as http:
                feed = _post(http, port, groups) if way == "http" else _publish(broker.port, groups)
                before, began = cpu_seconds(child.process.pid), time.perf_counter()
                await feed
                while True:
                    counts = await _metrics(http, ready.addresses["web"])
                    done = sum(v for k, v in counts.items() if k.startswith("appliance_events_delivered_total"))
                    lost = sum(v for k, v in counts.items() if k.startswith("appliance_events_dropped_total"))
                    waiting = sum(v for k, v in counts.items() if k.startswith("appliance_event_queue_length"))
                    taken = sum(v for k, v in counts.items() if f'intake="{way}",outcome="ok"' in k)
                    if taken == EVENTS and not waiting:
                        break
                    await asyncio.sleep(0.05)
                took, used = time.perf_counter() - began, cpu_seconds(child.process.pid) - before
            told[way] = {"cpu": EVENTS / used, "clock": EVENTS / took, "lost": lost, "delivered": done}
            await child.stop()
    return told


async def _post(http: aiohttp.ClientSession, port: int, groups: list[bytes]) -> None:
    for group in groups:
        async with http.post(f"http://127.0.0.1:{port}/", data=group) as reply:
            assert reply.status == 200


async def _publish(port: int, groups: list[bytes]) -> None:
    async with connect(RabbitMqConfig(port=port), "guest", name="bench", confirms=False) as line:
        await line.queue("janus-events")
        for group in groups:
            await line.channel.default_exchange.publish(aio_pika.Message(group), "janus-events")


# --- a stalled backend ---------------------------------------------------------------------------------------


def _resident_kib() -> int:
    text = Path("/proc/self/status").read_text("ascii")
    return int(text.split("VmRSS:")[1].split()[0])


async def _stalled() -> dict[str, float]:
    """Growth in KiB while the events of an hour come in behind a backend that takes a request and never answers."""
    never = asyncio.Event()

    async def hold(_request: web.BaseRequest) -> web.Response:
        await never.wait()
        return web.Response()

    runner = web.ServerRunner(web.Server(hold), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    clock = LoopClock()
    with tempfile.TemporaryDirectory() as folder:
        context = HandlerContext(
            clock=clock, data_dir=Path(folder), server_name="bench", publish=lambda body, about: None,
            bus=EventBus(clock), measured=[],
        )  # fmt: skip
        bus = EventBus(clock)
        subscription = bus.add(HttpOutput(HttpOutputConfig(backend=url), context))
        async with bus:
            sizes = []
            for number in range(STALLED):
                if number % (STALLED // 4) == 0:
                    sizes.append(_resident_kib())
                body = MediaStats(mid="0", media="audio", packets_received=number) if number % 10 else Session(name="x")
                bus.publish(event(body, emitter="s", timestamp=number, session_id=1, handle_id=number))
                if number % GROUP == 0:
                    await asyncio.sleep(0)
            sizes.append(_resident_kib())
            never.set()
            waiting, lost = len(subscription), sum(subscription.dropped.values())
    await runner.cleanup()
    # The first quarter fills the queue; after it nothing is to grow.
    return {"fill": sizes[1] - sizes[0], "growth": sizes[-1] - sizes[1], "waiting": waiting, "lost": lost}


# --- the delay -----------------------------------------------------------------------------------------------


async def _receive(port: int) -> None:
    """A backend of its own process: writes each event's delay, by path, when it is told to end."""
    delays: dict[str, list[float]] = {}

    async def take(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        now = time.time_ns() // 1000
        delays.setdefault(request.path, []).extend((now - item["timestamp"]) / 1000 for item in json.loads(body))
        return web.Response()

    runner = web.ServerRunner(web.Server(take))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(delays))


async def _listens(port: int) -> None:
    """Wait for the backend: what it costs to start is not a delay."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def _sessions(url: str, seconds: float) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=400)) as http:
        load = Load(url, http)
        for _ in range(SESSIONS):
            await load.call()
        await load.pump(50, 160, seconds)
        await load.close()


async def _delay(seconds: float) -> None:
    Echoes().install(namespace.ADDRESS)
    with tempfile.TemporaryDirectory() as name:
        folder, port, api = Path(name), free_port(), free_port()
        receiver = subprocess.Popen(  # noqa: ASYNC220  # once, before anything is measured
            [sys.executable, "-m", "benchmarks.events", "--receive", str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        await _listens(port)
        options = {
            "server.data_dir": folder / "data", "transports.http.port": api, "transports.websocket.port": 0,
            "admin.enabled": "false", "media.addresses": f'["{namespace.ADDRESS}"]', "console.port": 0,
            "listener.port": 0, "handlers.hep.enabled": "false", "intake.http.port": 0, "handlers.http.enabled": "true",
            "handlers.http.backend": f"http://127.0.0.1:{port}/ours", "server.log_level": "error",
        }  # fmt: skip
        sets = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
        collector, gateway = Child("collector", [*sets, "collect"]), Child("gateway", [*sets, "gateway"])
        await collector.start()
        await gateway.start()
        # The link, and the first connection to the backend: Janus has had both when it answers first.
        await asyncio.sleep(1.0)
        await _sessions(f"http://127.0.0.1:{api}/janus", seconds)
        await gateway.stop()
        await collector.stop()
        async with janus(folder / "janus", events_to=f"http://127.0.0.1:{port}/janus") as peer:
            await _sessions(peer.url, seconds)
        out, _ = receiver.communicate("", timeout=20)
    print(out.strip())


def main() -> list[Figure]:
    """All three."""
    figures: list[Figure] = []
    for way, told in asyncio.run(_collect()).items():
        note = f"{told['clock']:.0f}/s by the clock, {told['lost']:.0f} lost"
        name = f"events a second a core from {way}, groups of {GROUP}, with HEP, metrics and diagnosis"
        figures.append(Figure(name, told["cpu"], "events/s", ">= 20000", note))
    stalled = asyncio.run(_stalled())
    figures.append(
        Figure(
            f"growth behind a stalled backend over {STALLED} events, once the queue is full",
            stalled["growth"], "KiB", "<= 2048",
            f"{stalled['fill']:.0f} KiB to fill it; {stalled['waiting']:.0f} wait, {stalled['lost']:.0f} dropped",
        )
    )  # fmt: skip
    done = namespace.run_inside(["-m", "benchmarks.events", "--delay", "8"], timeout=240)
    if done.returncode:
        raise RuntimeError(f"the measured run failed:\n{done.stdout}")
    delays = json.loads(done.stdout.splitlines()[-1])
    p99 = {path: statistics.quantiles(values, n=100)[98] for path, values in delays.items()}
    half = {path: statistics.median(values) for path, values in delays.items()}
    note = (
        f"median {half['/ours']:.1f} ms of {len(delays['/ours'])} events; Janus p99 {p99['/janus']:.1f} ms, "
        f"median {half['/janus']:.1f} ms of {len(delays['/janus'])}"
    )
    figures.append(Figure(f"delay to an HTTP backend at {SESSIONS} sessions, p99", p99["/ours"], "ms", "<= 10", note))
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--receive", type=int)
    parser.add_argument("--delay", type=float)
    arguments = parser.parse_args()
    run = partial(_receive, arguments.receive) if arguments.receive else partial(_delay, arguments.delay)
    asyncio.run(run())
    os._exit(0)
