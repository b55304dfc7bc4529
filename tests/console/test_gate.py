"""The gate over HTTP: what is open, what wants a reader, what wants an operator, and how one becomes either."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from appliance.commands.bearer import bearer
from appliance.commands.record import RecordError, record_calls
from appliance.console.login import ATTEMPTS
from appliance.console.settings import Options
from tests.clock import FakeClock
from tests.console.recorded import MemoryArchive
from tests.console.serve import application
from tests.console.test_api import only
from tests.console.test_login import READING, SECRET, files

__all__ = ["files"]

Client = TestClient[Any, Any]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def guarded(archive: MemoryArchive, files: dict[str, Any], clock: FakeClock) -> AsyncIterator[Client]:
    server = TestServer(application(archive, Options(**files), live_interval_s=0.02, clock=clock))
    async with TestClient(server, cookie_jar=CookieJar(unsafe=True)) as made:
        yield made


async def log_in(client: Client, secret: str) -> int:
    async with client.post("/api/login", json={"secret": secret}) as reply:
        return reply.status


async def status(client: Client, path: str, method: str = "GET", **options: Any) -> int:
    async with client.request(method, path, **options) as reply:
        return reply.status


DATA = ("/api/calls", "/api/fleet", "/api/live", "/api/recordings", "/api/openapi.json", "/api/nothing", "/nothing")
ENDS = ("", "/events", "/events.jsonl", "/webrtc-stats.jsonl", "/hep", "/bundle")
PAGES = ("/", "/call/1-2-3@gw", "/fleet", "/together", "/demo", "/demo/videoroom", "/static/main.js", "/healthz")


async def test_pages_are_open_and_data_is_not(guarded: Client, archive: MemoryArchive) -> None:
    for path in PAGES:
        assert await status(guarded, path) == 200, path
    one = only(archive, "opq-echo_http")
    for path in (*DATA, *(f"/api/calls/{one}{rest}" for rest in ENDS)):
        assert await status(guarded, path) == 401, path
    for method, path in (("POST", "/api/analyse"), ("POST", "/api/recordings"), ("DELETE", f"/api/calls/{one}/record")):
        assert await status(guarded, path, method) == 401, path


@pytest.mark.parametrize(
    "path", ["/static/../api/calls", "/call/..%2f..%2fapi/calls", "//api/calls", "/API/calls", "/api%2fcalls"]
)
async def test_no_spelling_of_a_path_gets_around_it(guarded: Client, path: str) -> None:
    from yarl import URL

    async with guarded.session.get(URL(str(guarded.make_url("")).rstrip("/") + path, encoded=True)) as reply:
        assert reply.status in {401, 404} and b"correlation_id" not in await reply.read()


async def test_a_reader_reads_and_an_operator_changes(guarded: Client, archive: MemoryArchive) -> None:
    record = f"/api/calls/{only(archive, 'opq-echo_http')}/record"
    assert await log_in(guarded, READING) == 200
    assert await status(guarded, "/api/calls") == 200
    assert await status(guarded, record, "POST") == 403
    assert await status(guarded, "/api/analyse", "POST") == 422, "an empty file; but it was let in"
    assert await log_in(guarded, SECRET) == 200
    assert await status(guarded, record, "POST") == 503, "nothing records here; but it was let in"
    async with guarded.post("/api/logout") as reply:
        assert (await reply.json())["role"] is None
    assert await status(guarded, "/api/calls") == 401


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(guarded: Client) -> None:
    async with guarded.post("/api/login", json={"secret": SECRET}) as reply:
        [cookie] = reply.headers.getall("Set-Cookie")
        assert reply.headers["Cache-Control"] == "no-store" and SECRET not in cookie
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Max-Age=43200" in cookie and "Path=/" in cookie
    assert "Secure" not in cookie, "this is plain HTTP"
    assert (
        await status(guarded, "/api/login", "POST", json={"secret": SECRET}, headers={"Sec-Fetch-Site": "cross-site"})
        == 403
    )


async def test_a_login_ends(guarded: Client, clock: FakeClock) -> None:
    assert await log_in(guarded, READING) == 200
    clock.advance(12 * 3600 + 1)
    assert await status(guarded, "/api/calls") == 401


async def test_guessing_is_slowed_down_by_whatever_way(guarded: Client, clock: FakeClock) -> None:
    for number in range(ATTEMPTS):
        guess = f"guess {number}"
        if number % 2:
            assert await log_in(guarded, guess) == 401
        else:
            assert await status(guarded, "/api/session", headers={"Authorization": f"Bearer {guess}"}) == 200
    async with guarded.post("/api/login", json={"secret": SECRET}) as reply:
        assert reply.status == 429 and reply.headers["Retry-After"] == "13"
    for path in ("/api/session", "/api/calls"):
        assert await status(guarded, path, headers={"Authorization": f"Bearer {SECRET}"}) == 429, path
    clock.advance(13)
    assert await log_in(guarded, SECRET) == 200


async def test_programs_show_the_secret_with_each_request(guarded: Client) -> None:
    assert await status(guarded, "/api/calls", headers={"Authorization": f"Bearer {READING}"}) == 200
    assert await status(guarded, "/api/recordings", "POST", headers={"Authorization": f"Bearer {READING}"}) == 403
    async with guarded.get("/api/calls", headers={"Authorization": "Basic xyz"}) as reply:
        assert reply.status == 401 and reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"secret": 7}', b"\xff", b'{"secret": "' + b"x" * 5000 + b'"}'])
async def test_what_is_no_login_is_said_to_be_none(guarded: Client, body: bytes) -> None:
    assert await status(guarded, "/api/login", "POST", data=body) == 400


async def test_a_header_counts_from_a_proxy_only(archive: MemoryArchive) -> None:
    trusting = Options(proxy_addresses=("127.0.0.1",), operators=("ana",))
    for options, wanted in (
        (trusting, (200, 403, "reader")),
        (replace(trusting, proxy_addresses=("192.0.2.1",)), (401, 401, None)),
    ):
        async with TestClient(TestServer(application(archive, options))) as client:
            ben = {"X-Forwarded-User": "ben"}
            read = await status(client, "/api/calls", headers=ben)
            changed = await status(client, "/api/recordings", "POST", headers=ben)
            async with client.get("/api/session", headers=ben) as reply:
                session = await reply.json()
            assert (read, changed, session["role"]) == wanted
    async with TestClient(TestServer(application(archive, trusting))) as client:
        ana = {"X-Forwarded-User": "ana"}
        assert await status(client, "/api/recordings", "POST", headers=ana) == 400, "no rule; but she was let in"
        assert await status(client, "/api/calls") == 401


async def test_behind_a_proxy_with_tls_the_cookie_stays_there(archive: MemoryArchive, files: dict[str, Any]) -> None:
    options = Options(**files, proxy_addresses=("127.0.0.1",))
    async with TestClient(TestServer(application(archive, options, clock=FakeClock()))) as client:
        sent = {"X-Forwarded-Proto": "https"}
        async with client.post("/api/login", json={"secret": SECRET}, headers=sent) as reply:
            assert "Secure" in reply.headers["Set-Cookie"]
        for number in range(ATTEMPTS):
            hop = {"X-Forwarded-For": f"192.0.2.{number}, 198.51.100.9"}
            assert await status(client, "/api/login", "POST", json={"secret": "?"}, headers=hop) == 401
        assert await status(client, "/api/login", "POST", json={"secret": "?"}, headers=hop) == 429
        assert (
            await status(
                client, "/api/login", "POST", json={"secret": "?"}, headers={"X-Forwarded-For": "198.51.100.10"}
            )
            == 401
        )


async def test_commands_log_in_with_the_secret_of_a_file(guarded: Client, files: dict[str, Any]) -> None:
    url, said = str(guarded.make_url("")), list[str]()
    with pytest.raises(RecordError, match="401: this is for those who have logged in"):
        await record_calls("list", "", url, said.append)
    with pytest.raises(RecordError, match="503: nothing records calls"):
        await record_calls("list", "", url, said.append, headers=bearer(files["reader_secret_file"]))
    assert bearer("") == {}


async def test_without_a_login_everybody_operates(archive: MemoryArchive) -> None:
    async with TestClient(TestServer(application(archive))) as client, client.get("/api/session") as reply:
        assert await reply.json() == {"role": "operator", "user": None, "login": False, "takes_secret": False}
