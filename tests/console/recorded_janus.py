"""The Admin API of a real Janus, as it was recorded, served to be asked."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from appliance.console.settings import ServerAddress

RECORDED = Path(__file__).parent.parent / "data" / "janus-1.4" / "admin.api.jsonl"
SECRET = "janusoverlord"


class RecordedJanus:
    """Answers as the real one did; a request that was not recorded gets 404."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[tuple[str, str], dict[str, Any]] = {}
        self.garbled: bytes | None = None
        for line in RECORDED.read_text().splitlines():
            exchange = json.loads(line)
            if exchange.get("request", {}).get("admin_secret") == SECRET:
                key = exchange["path"], exchange["request"]["janus"]
                known = self.answers.get(key)
                # The first that says something: lists are empty before and after the recorded call.
                if known is None or not known.get("sessions", True):
                    self.answers[key] = exchange["response"]

    async def answer(self, request: web.Request) -> web.Response:
        message = await request.json()
        self.asked.append({"path": request.path} | message)
        if self.garbled is not None:
            return web.Response(body=self.garbled)
        if message["janus"] != "info" and message.get("admin_secret") != SECRET:
            error = {"code": 403, "reason": "Unauthorized request (wrong or missing secret/token)"}
            return web.json_response({"janus": "error", "error": error})
        found = self.answers.get((request.path, message["janus"]))
        if found is None:
            return web.Response(status=404)
        return web.json_response(found | {"transaction": message["transaction"]})


@asynccontextmanager
async def serving(janus: RecordedJanus, folder: Path) -> AsyncIterator[ServerAddress]:
    """Where it can be asked, under the name ``janus-ref``; the file with its secret is put into ``folder``."""
    secret_file = folder / "secret"
    secret_file.write_text(SECRET)
    app = web.Application()
    app.router.add_post("/{path:.*}", janus.answer)
    async with TestServer(app) as server:
        yield ServerAddress(name="janus-ref", url=str(server.make_url("/admin")), secret_file=str(secret_file))
