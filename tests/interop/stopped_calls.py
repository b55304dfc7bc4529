"""Run inside a namespace: servers that lack an address, are stopped and are killed; prints the verdict of each call.

``python -m tests.interop.stopped_calls FOLDER``
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
from aiohttp import web

from appliance.demo.client import CallError, EchoCall
from tests.interop.faults.house import explained_by_replay
from tests.interop.faults.kept import keep
from tests.peers.appliance import Running, appliance
from tests.peers.janus import Janus, free_port, janus
from tests.peers.namespace import ADDRESS


def interface(state: str) -> None:
    """The only one but loopback, and with it its addresses: ``up`` or ``down``."""
    subprocess.run(["ip", "link", "set", "v0", state], check=True)
    # A Janus that looks for addresses before the carrier is back finds none.
    for _ in range(1000):
        shown = subprocess.run(["ip", "-o", "link", "show", "v0"], check=True, capture_output=True, text=True).stdout
        if f"state {state.upper()}" in shown:
            return
    raise TimeoutError(f"v0 did not get {state}: {shown}")


class Relay:
    """Takes a server's events, writes them down, and passes them on. It answers at once: a Janus that stops does not
    wait until the last of its events are taken."""

    def __init__(self, target: str, trace: Path) -> None:
        self._target = target
        self._trace = trace
        self._bodies: asyncio.Queue[bytes] = asyncio.Queue()
        self._more = asyncio.Condition()
        self._seen = b""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        with self._trace.open("ab") as file:
            file.write(body.replace(b"\n", b" ") + b"\n")
        self._bodies.put_nowait(body)
        async with self._more:
            self._seen += body
            self._more.notify_all()
        return web.Response()

    async def up(self, session_id: int) -> None:
        """The call of this session is up, and its server has said so."""
        wanted = re.compile(rb'"session_id":%d[^{}]*"event":{"connection":"webrtcup"}' % session_id)
        async with asyncio.timeout(10), self._more:
            await self._more.wait_for(lambda: wanted.search(self._seen))

    async def pass_on(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                body = await self._bodies.get()
                async with http.post(self._target, data=body, headers={"Content-Type": "application/json"}) as reply:
                    assert reply.status == 200, await reply.text()


@asynccontextmanager
async def relayed(target: str, trace: Path) -> AsyncIterator[tuple[Relay, str]]:
    """One that runs, and its URL."""
    relay = Relay(target, trace)
    application = web.Application()
    application.router.add_post("/", relay.take)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    passing = asyncio.create_task(relay.pass_on(), name="pass on")
    try:
        yield relay, f"http://127.0.0.1:{port}/"
    finally:
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)
        await runner.cleanup()


@asynccontextmanager
async def talking(url: str) -> AsyncIterator[EchoCall]:
    """A call that is up."""
    async with EchoCall(url, address=ADDRESS) as call:
        await call.place()
        await call.wait_for_data()
        yield call


async def killed_gateway(running: Running) -> dict[str, str]:
    """Ours, asked to stop and then killed; its supervisor starts it again."""
    found = {}
    for number in (signal.SIGTERM, signal.SIGKILL):
        running.restarted.clear()
        async with talking(running.janus) as call:
            assert running.supervisor.gateway.process is not None
            os.kill(running.supervisor.gateway.process.pid, number)
            explained = await running.call(call.session_id)
            found[f"gateway {number.name}"] = explained["verdict"]["code"]
        async with asyncio.timeout(15):
            await running.restarted.wait()
    return found


async def stop(server: Janus, number: signal.Signals, relay: Relay, call: EchoCall) -> None:
    """Once the server has said that the call is up."""
    await relay.up(call.session_id)
    os.kill(server.pid, number)
    await server.process.wait()


async def stopped_janus(running: Running, folder: Path, relay: Relay, events_to: str) -> dict[str, str]:
    """The real one: without an address, asked to stop, killed and started again."""
    found = {}
    async with janus(folder / "first", events_to=events_to) as server:
        interface("down")
        async with EchoCall(server.url, address="127.0.0.1") as call:
            with suppress(CallError):
                await call.place()
            found["janus without address"] = (await running.call(call.session_id))["verdict"]["code"]
        interface("up")
        async with talking(server.url) as call:
            await stop(server, signal.SIGTERM, relay, call)
            # A Janus that goes does not wait until its last event was taken; that it is back says the same.
            async with janus(folder / "second", events_to=events_to) as again:
                found["janus SIGTERM"] = (await running.call(call.session_id))["verdict"]["code"]
                async with talking(again.url) as second:
                    await stop(again, signal.SIGKILL, relay, second)
                    async with janus(folder / "third", events_to=events_to):
                        found["janus SIGKILL"] = (await running.call(second.session_id))["verdict"]["code"]
    return found


async def main(folder: Path) -> None:
    port, trace = free_port(), folder / "janus.jsonl"
    async with (
        # The gateway is to be found again when it is back.
        appliance(folder / "data", [f"intake.http.port={port}", f"transports.http.port={free_port()}"]) as running,
        relayed(f"http://127.0.0.1:{port}/", trace) as (relay, events_to),
    ):
        found = await stopped_janus(running, folder, relay, events_to)
        found |= await killed_gateway(running)
    for code in ("gathering_failed", "server_shutdown"):
        keep(trace, code, "a real Janus without an address, stopped and killed")
    recorded = [call["verdict"]["code"] for call in explained_by_replay(trace)]
    print(json.dumps({"live": found, "recorded": recorded}))


asyncio.run(main(Path(sys.argv[1])))
