"""Run inside a namespace: a real Janus, a third of whose events are lost on the way to a collector that comes late."""

import asyncio
import json
import sys
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from appliance.demo.client import EchoCall
from appliance.net.admin_client import AdminClient
from appliance.net.http_server import HttpServer
from tests.peers.appliance import Running, appliance
from tests.peers.janus import Everything, free_port, janus
from tests.peers.namespace import ADDRESS

NAME = "janus-peer"
SECRET = "janusoverlord"
SESSIONS = 24
ENDS = {"destroyed", "detached", "hangup"}


class LossyWay:
    """Between Janus and the collector: passes on what it is told to."""

    def __init__(self) -> None:
        self.to = ""
        self.loses_a_third = False
        self.deaf_to: int | None = None
        """A session whose ends get lost."""
        self.lost: list[str] = []
        self._count = count()

    async def take(self, request: web.Request) -> web.Response:
        told = await request.json()
        kept = [item for item in (told if isinstance(told, list) else [told]) if self._passes(item)]
        if kept:
            async with aiohttp.ClientSession() as http, http.post(self.to, json=kept) as reply:
                assert reply.status == 200, await reply.text()
        return web.Response()

    def _passes(self, item: dict[str, Any]) -> bool:
        if not self.to:
            return False
        body = item["event"] if isinstance(item["event"], dict) else {}
        word = body.get("name") or body.get("connection")
        if word in ENDS and item["session_id"] == self.deaf_to:
            return False
        if word and self.loses_a_third and next(self._count) % 3 == 0:
            self.lost.append(word)
            return False
        return True


async def churn(url: str) -> None:
    """Sessions and handles that come, and of which half go."""
    async with aiohttp.ClientSession() as http:

        async def ask(path: str, verb: str, **more: str) -> int:
            message = {"janus": verb, "transaction": "x", **more}
            async with http.post(url + path, json=message) as reply:
                answer = await reply.json()
            assert answer["janus"] in {"success", "ack"}, answer
            return int(answer.get("data", {}).get("id", 0))

        for number in range(SESSIONS):
            session = await ask("", "create")
            handles = [await ask(f"/{session}", "attach", plugin="janus.plugin.echotest") for _ in range(2)]
            if number % 2:
                await ask(f"/{session}/{handles[0]}", "detach")
            if number % 4 == 1:
                await ask(f"/{session}", "destroy")


async def there(admin: AdminClient) -> tuple[int, int]:
    """Sessions and handles by the Admin API."""
    sessions = (await admin.ask("list_sessions"))["sessions"]
    handles = [len((await admin.ask("list_handles", each))["handles"]) for each in sessions]
    return len(sessions), sum(handles)


def value(metrics: str, name: str, label: str = "") -> int:
    lines = [line for line in metrics.splitlines() if line.startswith(f"appliance_{name}{{") and label in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


async def shown(running: Running) -> tuple[int, int]:
    """Sessions and handles by the collector."""
    metrics = await running.get("/metrics")
    label = f'server="{NAME}"'
    return value(metrics, "sessions", label), value(metrics, "handles", label)


async def agree(running: Running, admin: AdminClient) -> tuple[int, int]:
    async with asyncio.timeout(20):
        # Nobody tells when they do.
        while (found := await shown(running)) != await there(admin) or await differs(running):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


async def differs(running: Running) -> bool:
    """By the last poll."""
    return value(await running.get("/metrics"), "admin_difference") > 0


async def main(folder: Path) -> None:
    way = LossyWay()
    application = web.Application()
    application.router.add_post("/", way.take)
    proxy = HttpServer(application, "127.0.0.1", 0, what="lossy way")
    await proxy.start()
    port = free_port()
    secret = folder / "secret"
    secret.write_text(SECRET)
    told: dict[str, Any] = {}
    async with janus(folder / "janus", events_to=f"http://127.0.0.1:{proxy.port}/", everything=Everything()) as server:
        admin = AdminClient(NAME, server.admin, secret=SECRET)
        options = [
            f"intake.http.port={port}",
            "intake.admin.enabled=true",
            "intake.admin.interval_s=0.4",
            "intake.admin.requests_per_second=500",
            f'console.admin=[{{name="{NAME}",url="{server.admin}",secret_file="{secret}"}}]',
        ]
        async with EchoCall(server.url, address=ADDRESS) as call:
            await call.place()
            await call.wait_for_frames("video", 15)
            async with appliance(folder / "data", options) as running:
                way.to = f"http://127.0.0.1:{port}/"
                told["joined"] = await agree(running, admin)
                where = f"/api/calls/{call.session_id}-{call.handle_id}-1@{NAME}"
                told["live"] = await running.get(where)
                told["live_metrics"] = await running.get("/metrics")
                way.loses_a_third = True
                await churn(server.url)
                told["after_churn"] = await agree(running, admin)
                way.deaf_to = call.session_id
                await call.hang_up()
                told["explained"] = await running.call(call.session_id)
                told["at_the_end"] = await agree(running, admin)
                told["metrics"] = await running.get("/metrics")
                way.to = ""
        await admin.close()
    await proxy.stop()
    told["lost"] = way.lost
    print(json.dumps(told))


asyncio.run(main(Path(sys.argv[1])))
