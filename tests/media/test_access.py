"""A REST API that gives logins: what it is asked, and what of its answer is taken."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from appliance.media import access as access_module
from appliance.media import lender as lender_module
from appliance.media.access import MAX_BYTES, Access, access_of, shown
from appliance.media.lender import Lender
from appliance.media.servers import Login, Server, TurnServer
from tests.clock import FakeClock

KEY = "key between us"
GOOD = {"username": "1700000000:a", "password": "p", "ttl": 60, "uris": ["turn:192.0.2.1:3478?transport=udp"]}


@asynccontextmanager
async def answering(answer: web.Response) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append({"method": request.method, **request.query, **await request.post()})
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    application = web.Application()
    application.router.add_route("*", "/turn", handle)
    async with TestServer(application) as server:
        yield str(server.make_url("/turn")), asked


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_the_answer_says_where_and_with_what(method: Any) -> None:
    uris = ["stun:192.0.2.1", "turn:192.0.2.1:3478?transport=udp", "turns:turn.example"]
    async with answering(web.json_response(GOOD | {"uris": uris})) as (url, asked):
        config = TurnServer(rest_api=url, rest_api_key=KEY, rest_api_method=method, username="gateway")
        found = await access_of(config, 0, None)
    assert found == Access(
        (Server("192.0.2.1", 3478, "udp"), Server("turn.example", 5349, "tls")), Login("1700000000:a", "p")
    )
    assert asked == [{"method": method, "service": "turn", "key": KEY, "api": KEY, "username": "gateway"}]
    assert shown(config) == url.removeprefix("http://").removesuffix("/turn")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (web.Response(status=403), "its REST API answers 403"),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), "its REST API answers 302"),
        (web.Response(text="<html>"), "its REST API gives no login: JSON is malformed"),
        (web.Response(text=" " * (MAX_BYTES + 1) + "{}"), "its REST API gives no login: Input data was truncated"),
        (web.json_response({"username": "a"}), "its REST API gives no login: Object missing required field `password`"),
        (web.json_response(GOOD | {"uris": ["stun:a"]}), "its REST API gives no login: uris has none that begins"),
        (web.json_response(GOOD | {"uris": ["turn:"]}), "its REST API gives no login: url: 'turn:' came, wanted"),
    ],
)
async def test_an_answer_that_is_none_is_told(answer: web.Response, problem: str) -> None:
    async with answering(answer) as (url, _):
        with pytest.raises(ConnectionError, match=problem) as error:
            await access_of(TurnServer(rest_api=url, rest_api_key=KEY, rest_api_method="GET"), 0, None)
    assert KEY.split(" ", maxsplit=1)[0] not in str(error.value)


async def test_nobody_answers(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    async with answering(web.Response()) as (url, _):
        pass
    lender = Lender("turn_servers[0]", TurnServer(rest_api=url, rest_api_key=KEY), clock, lambda *_: None)
    for _ in range(2):
        await lender._ask()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"TURN server {lender.name}: its REST API can't be reached: ")
    assert {tuple(count.labels.values()): count.value for count in lender.measure()} == {
        (lender.name,): 0, (lender.name, "unreachable"): 2,
    }  # fmt: skip


async def test_each_server_is_tried_and_each_attempt_has_a_new_login(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Access] = []

    async def refusing(access: Access, _family: int, _context: Any) -> Any:
        seen.append(access)
        raise ConnectionError("no")

    monkeypatch.setattr(lender_module, "allocated", refusing)
    monkeypatch.setattr(access_module, "MAX_URIS", 1)
    async with answering(web.json_response(GOOD | {"uris": ["turn:a", "turn:b"]})) as (url, asked):
        lender = Lender("turn_servers[0]", TurnServer(rest_api=url), clock, lambda *_: None)
        for _ in range(2):
            await lender._ask()
    assert len(asked) == 2
    assert [[server.host for server in access.servers] for access in seen] == [["a"]] * 4
