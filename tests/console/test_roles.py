"""Every route of the web server, and who may use it: nobody, a reader or an operator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from appliance.console.settings import Options
from tests.console.recorded import MemoryArchive
from tests.console.serve import application
from tests.console.test_api import only
from tests.console.test_login import READING, SECRET, files

__all__ = ["files"]

Client = TestClient[Any, Any]
NOBODY, READER, OPERATOR = range(3)
GUESTS = {NOBODY: None, READER: READING, OPERATOR: SECRET}
ONE = "/api/calls/{correlation_id}"
SERVER = "/api/servers/{server}"
SESSION = f"{SERVER}/sessions/{{session}}"
HANDLE = f"{SESSION}/handles/{{handle}}"
LEAST: dict[tuple[str, str], int] = {
    # Pages hold no data; what they are drawn with is asked for.
    **dict.fromkeys(
        (("GET", path) for path in (
            "/", "/call/{correlation_id}", "/code/{code}", "/fleet", "/together", "/live", "/demo", "/demo/videoroom",
            "/static/{path}", "/favicon.ico", "/healthz", "/readyz", "/api/session", "/api/config",
        )),
        NOBODY,
    ),
    ("POST", "/api/login"): NOBODY,
    ("POST", "/api/logout"): NOBODY,
    # Whoever has a bad network need not be one who may look at calls.
    ("POST", "/api/test/{code}"): NOBODY,
    ("POST", "/api/test/{code}/load"): NOBODY,
    **dict.fromkeys(
        (("GET", path) for path in (
            "/api/live", "/api/calls", "/api/records", "/api/fleet", "/api/members", "/api/openapi.json", ONE,
            f"{ONE}/events", f"{ONE}/events.jsonl", f"{ONE}/webrtc-stats.jsonl", f"{ONE}/hep", f"{ONE}/bundle",
            "/api/recordings", "/api/recordings/{name}", "/api/servers", SERVER, SESSION, HANDLE,
            "/api/{path}", "/metrics",
        )),
        READER,
    ),
    ("POST", "/api/analyse"): READER,
    **dict.fromkeys(
        (
            ("POST", "/api/recordings"), ("DELETE", "/api/recordings"), ("POST", f"{ONE}/record"),
            ("DELETE", f"{ONE}/record"), ("POST", f"{ONE}/hangup"), ("POST", f"{SERVER}/settings"),
            ("POST", f"{SESSION}/destroy"), ("POST", f"{HANDLE}/hangup"),
        ),
        OPERATOR,
    ),
}  # fmt: skip
"""A route that is new has to be written down here, with a thought."""


async def metrics(_request: web.Request) -> web.Response:
    return web.Response(text="of a handler")


@pytest.fixture
async def guarded(archive: MemoryArchive, files: dict[str, Any]) -> AsyncIterator[Client]:
    app = application(archive, Options(**files), live_interval_s=0.02)
    app.router.add_get("/metrics", metrics)
    async with TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True)) as made:
        yield made


def declared(client: Client) -> set[tuple[str, str]]:
    routes = client.server.app.router.routes()  # type: ignore[attr-defined]  # a TestServer's
    return {(route.method, route.resource.canonical) for route in routes if route.resource and route.method != "HEAD"}


def address(path: str, call: str) -> str:
    values = {"correlation_id": call, "server": "gw", "session": 1, "handle": 2, "code": "ABCDEF", "name": "none.zip"}
    return path.format(**values, path="main.js")


async def statuses(client: Client, call: str, role: int) -> dict[tuple[str, str], int]:
    secret = GUESTS[role]
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    found = {}
    for method, path in LEAST:
        async with client.request(method, address(path, call), headers=headers) as reply:
            found[method, path] = reply.status
    return found


async def test_the_table_has_every_route(guarded: Client) -> None:
    assert declared(guarded) == set(LEAST)


@pytest.mark.parametrize("role", [NOBODY, READER, OPERATOR], ids=["nobody", "reader", "operator"])
async def test_who_may_use_which_route(guarded: Client, archive: MemoryArchive, role: int) -> None:
    refusal = 401 if role == NOBODY else 403
    found = await statuses(guarded, only(archive, "opq-echo_http"), role)
    refused = {route for route, status in found.items() if status == refusal}
    # Asked without a secret in its body, the login itself answers 400.
    assert refused == {route for route, least in LEAST.items() if least > role}


async def test_pages_and_answers_carry_a_policy_that_runs_no_inline_code(
    guarded: Client, archive: MemoryArchive
) -> None:
    call = only(archive, "opq-echo_http")
    headers = {"Authorization": f"Bearer {SECRET}"}
    for (method, path), least in LEAST.items():
        if method != "GET" or path in {"/healthz", "/readyz", "/metrics", "/api/live", "/api/session"}:
            continue
        async with guarded.get(address(path, call), headers=headers if least else {}) as reply:
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy and "unsafe" not in policy, path
            assert "frame-ancestors 'none'" in policy and reply.headers["X-Content-Type-Options"] == "nosniff", path
