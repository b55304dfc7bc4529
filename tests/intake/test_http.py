"""POSTs as sampleevh makes them, over real sockets."""

import asyncio
import base64
import gzip
import json
import socket
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.core.events import Event
from appliance.intake import dialect
from appliance.intake.http import HttpIntake, HttpIntakeConfig
from tests.clock import FakeClock
from tests.intake.pushed import until

TRACE = Path(__file__).parent.parent / "data/janus-1.4/aiortc_echo_combined.jsonl"
EVENT = {"type": 1, "timestamp": 1, "session_id": 7, "event": {"name": "created"}}


@asynccontextmanager
async def listening(**settings: Any) -> AsyncIterator[tuple[HttpIntake, list[Event]]]:
    got: list[Event] = []
    intake = HttpIntake(HttpIntakeConfig(port=0, **settings), FakeClock())
    await intake.start(got.append)
    try:
        yield intake, got
    finally:
        await intake.stop()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def post(intake: HttpIntake, body: object, path: str = "/", **options: Any) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **options.pop("headers", {})}
    async with (
        aiohttp.ClientSession() as session,
        session.post(intake.url + path, data=data, headers=headers, **options) as response,
    ):
        return response.status, await response.text()


def outcomes(intake: HttpIntake) -> dict[str, float]:
    return {c.labels["outcome"]: c.value for c in intake.measure() if "outcome" in c.labels}


def recorded_posts() -> Sequence[list[Any]]:
    posts: dict[int, list[Any]] = {}
    for line in TRACE.read_text().splitlines():
        item = json.loads(line)
        posts.setdefault(item["post"], []).append(item["event"])
    return list(posts.values())


async def test_a_janus_servers_posts_arrive_as_they_were() -> None:
    async with listening() as (intake, got):
        for events in recorded_posts():
            assert await post(intake, events) == (200, "")
        expected = [found for events in recorded_posts() for found in dialect.read(events)]
        assert got == expected
        assert outcomes(intake) == {"ok": len(expected), "malformed": 0, "refused": 0, "duplicate": 0}


@pytest.mark.parametrize("path", ["/", "/events", "/a/b?c=d", "//x", "/%2e%2e/y"])
async def test_any_path_will_do(path: str) -> None:
    async with listening() as (intake, got):
        assert (await post(intake, EVENT, path))[0] == 200
        assert len(got) == 1


async def test_a_connection_is_kept_for_the_next_post() -> None:
    async with listening() as (intake, got):
        head = b"POST /x HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", intake.port)
        for number in range(3):
            body = json.dumps([EVENT | {"timestamp": number}]).encode()
            writer.write(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200") and b"Content-Length: 0" in answer
        writer.close()
        await writer.wait_closed()
        assert len(got) == 3


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
async def test_a_person_who_looks_is_told_what_this_is(method: str) -> None:
    async with listening() as (intake, got), aiohttp.ClientSession() as session:
        async with session.request(method, intake.url) as response:
            assert response.status == 405
            assert "set backend to this address" in await response.text()
        assert outcomes(intake)["refused"] == 1 and not got


async def test_a_server_that_heard_no_answer_repeats_itself_in_vain() -> None:
    clock, got = FakeClock(), list[Event]()
    intake = HttpIntake(HttpIntakeConfig(port=0), clock)
    await intake.start(got.append)
    try:
        for seconds in (0, 59, 59):
            clock.advance(seconds)
            assert await post(intake, [EVENT]) == (200, "")
        assert len(got) == 1 and outcomes(intake)["duplicate"] == 2
        clock.advance(60)
        await post(intake, [EVENT])
        assert len(got) == 2
        # What was no event is refused each time.
        assert [(await post(intake, [{"type": 1}]))[0] for _ in range(2)] == [400, 400]
        assert outcomes(intake) == {"ok": 2, "malformed": 2, "refused": 0, "duplicate": 2}
    finally:
        await intake.stop()


async def test_a_post_waits_until_the_journal_of_an_earlier_run_is_read() -> None:
    async with listening() as (intake, got):
        intake._journal.ready.clear()
        posting = asyncio.create_task(post(intake, EVENT))
        await until(lambda: intake._running == 1)
        assert got == []
        intake._journal.ready.set()
        assert (await posting)[0] == 200 and len(got) == 1


async def test_compressed_bodies_are_read() -> None:
    bodies = [json.dumps([EVENT | {"timestamp": number}] * 100).encode() for number in range(3)]
    sent = (gzip.compress(bodies[0]), "gzip"), (zlib.compress(bodies[1]), "deflate"), (bodies[2], "identity")
    async with listening() as (intake, got):
        for data, name in sent:
            assert (await post(intake, data, headers={"Content-Encoding": name}, skip_auto_headers=[]))[0] == 200
        assert len(got) == 300


@pytest.mark.parametrize(
    ("body", "encoding", "status", "text"),
    [
        (gzip.compress(b"\0" * 50_000_000, mtime=0), "gzip", 413, "wanted at most 100000 bytes"),
        (b" " * 100_001, "identity", 413, "wanted at most 100000 bytes"),
        (gzip.compress(b"[]", mtime=0)[:-4], "gzip", 400, "the body ends too early"),
        (b"no gzip at all", "gzip", 400, "incorrect header check"),
        (b"[]", "br", 415, "Content-Encoding 'br' came, wanted gzip, deflate or none"),
    ],
)
async def test_a_body_that_is_too_much_is_refused(body: bytes, encoding: str, status: int, text: str) -> None:
    async with listening(max_body_bytes=100_000) as (intake, got):
        answer = await post(intake, body, headers={"Content-Encoding": encoding})
        assert answer[0] == status and text in answer[1]
        assert outcomes(intake)["refused"] == 1 and not got
        assert (await post(intake, EVENT))[0] == 200, "and the next is read"


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 200_000, b'{"a":' * 100_000, b"\xff\xfe\0", b"[1,"])
async def test_what_is_no_json_is_refused_and_counted(body: bytes) -> None:
    async with listening() as (intake, got):
        status, text = await post(intake, body)
        assert status == 400 and "JSON" in text
        assert outcomes(intake)["malformed"] == 1 and not got


async def test_an_event_that_is_none_costs_itself_alone() -> None:
    async with listening() as (intake, got):
        status, text = await post(intake, [EVENT, {"type": 1}, EVENT, 7, EVENT])
        assert status == 400 and text.startswith("2 refused: ") and "timestamp" in text
        assert len(got) == 3
        assert outcomes(intake) == {"ok": 3, "malformed": 2, "refused": 0, "duplicate": 0}


async def test_user_and_password_are_asked_for_where_they_are_set(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(user="myuser", password="mypwd") as (intake, got):
        assert (await post(intake, EVENT))[0] == 401
        for wrong in (("myuser", "x"), ("x", "mypwd"), ("", "")):
            assert (await post(intake, EVENT, headers=basic(*wrong)))[0] == 401
        for header in ("Basic", "Basic !!!", "Bearer bXl1c2VyOm15cHdk"):
            assert (await post(intake, EVENT, headers={"Authorization": header}))[0] == 401
        assert not got
        assert (await post(intake, EVENT, headers=basic("myuser", "mypwd")))[0] == 200
        assert len(got) == 1
        assert [c.value for c in intake.measure() if c.name == "auth_failures_total"] == [7]
    assert "mypwd" not in caplog.text


def test_half_a_login_is_refused() -> None:
    with pytest.raises(ValueError, match="user and password are wanted together"):
        HttpIntake(HttpIntakeConfig(user="u"), FakeClock())


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        intake = HttpIntake(HttpIntakeConfig(port=port), FakeClock())
        with pytest.raises(OSError, match=rf"intake\.http .* can't listen on 127\.0\.0\.1:{port}: "):
            await intake.start(lambda item: None)


async def test_it_binds_to_loopback_until_told_otherwise() -> None:
    config = HttpIntakeConfig()
    assert (config.host, config.port) == ("127.0.0.1", 8081)


@pytest.mark.parametrize("header", ["Origin", "Sec-Fetch-Site"])
async def test_a_web_page_can_not_post_events(header: str) -> None:
    async with listening() as (intake, got):
        status, text = await post(intake, [], headers={header: "http://evil.example"})
        assert (status, got) == (403, [])
        assert "web pages" in text
        assert intake.refused == 1


@pytest.mark.parametrize(
    ("settings", "status"),
    [({}, 403), ({"user": "janus", "password": "secret"}, 401), ({"host": "0.0.0.0"}, 200)],
)
async def test_events_are_not_taken_under_a_name_that_may_have_been_pointed_here(
    settings: dict[str, str], status: int
) -> None:
    intake = HttpIntake(HttpIntakeConfig(port=0, **settings), FakeClock())  # type: ignore[arg-type]  # strings all
    await intake.start(lambda item: None)
    try:
        async with aiohttp.ClientSession() as client:
            for host, expected in (("evil.example:8081", status), ("localhost:8081", 401 if status == 401 else 200)):
                url = f"http://127.0.0.1:{intake.port}/"
                async with client.post(url, data=b"[]", headers={"Host": host}) as reply:
                    assert reply.status == expected
    finally:
        await intake.stop()
