"""Connections that cost something and bring nothing: too many, silent, slow."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from appliance.net import http_connection
from appliance.net.http_server import HttpServer
from appliance.net.tls import server_context
from tests.net.test_http_server import application
from tests.transports.test_door import make_certificate

SHORT_S = 0.05


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a first head is short."""
    monkeypatch.setattr(http_connection, "HEAD_TIMEOUT_S", SHORT_S)


async def serving(app: web.Application, **options: object) -> AsyncIterator[HttpServer]:
    server = HttpServer(app, "127.0.0.1", 0, what="test", **options)  # type: ignore[arg-type]  # whatever it takes
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def connected(server: HttpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def until(server: HttpServer, connections: int) -> None:
    async with asyncio.timeout(5):
        while server.connections != connections:  # noqa: ASYNC110  # what is waited for is the system's
            await asyncio.sleep(0)


async def test_one_connection_too_many_is_told_so_before_it_asks() -> None:
    async for server in serving(application(), max_connections=2):
        kept = [await connected(server) for _ in range(2)]
        reader, writer = await connected(server)
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n")
        writer.close()
        assert (server.connections, dict(server.refused)) == (2, {"connections": 1})
        kept[0][1].close()
        await until(server, 1)
        reader, writer = await connected(server)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        for _, each in (*kept, (reader, writer)):
            each.close()


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost:"])
async def test_who_never_finishes_asking_is_disconnected(hurry: None, beginning: bytes) -> None:
    async for server in serving(application()):
        reader, writer = await connected(server)
        writer.write(beginning)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        assert server.refused == {"head_timeout": 1}


@pytest.mark.parametrize(
    "asked", [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", b"GET / HTTP/1.1\r\nno header\r\n\r\n"]
)
async def test_nobody_fills_the_log(asked: bytes, caplog: pytest.LogCaptureFixture) -> None:
    reading, over = asyncio.Event(), asyncio.Event()

    async def read(request: web.Request) -> web.Response:
        reading.set()
        try:
            return web.Response(body=await request.read())
        finally:
            over.set()

    app = web.Application()
    app.router.add_post("/", read)
    async for server in serving(app):
        reader, writer = await connected(server)
        writer.write(asked)
        async with asyncio.timeout(5):
            if asked.startswith(b"POST"):
                await reading.wait()
                writer.transport.abort()
                await over.wait()
            else:
                assert (await reader.read()).startswith(b"HTTP/1.0 400")
        writer.close()
        await until(server, 0)
    assert not [each for each in caplog.records if each.levelname not in {"DEBUG", "INFO"}]


async def test_what_is_our_own_fault_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise RuntimeError("ours")

    app = web.Application()
    app.router.add_get("/", fail)
    async for server in serving(app):
        reader, writer = await connected(server)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 500 " in await reader.readline()
        writer.close()
    assert "RuntimeError: ours" in caplog.text


async def test_a_request_that_takes_its_time_is_not_disconnected(hurry: None) -> None:
    asked, told = asyncio.Event(), asyncio.Event()

    async def poll(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade"):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            asked.set()
            async for frame in socket:
                await socket.send_str(frame.data)
            return socket
        asked.set()
        await told.wait()
        return web.Response(text="told")

    app = web.Application()
    app.router.add_get("/", poll)
    async for server in serving(app):
        url = f"http://127.0.0.1:{server.port}/"
        async with aiohttp.ClientSession() as client, client.ws_connect(url) as socket:
            waiting = asyncio.create_task(client.get(url))
            await asked.wait()
            await after_the_time()
            await socket.send_str("still there")
            assert (await socket.receive()).data == "still there"
            told.set()
            answer = await waiting
            assert await answer.text() == "told"
            # And the same connection is good for another.
            async with client.get(url) as again:
                assert await again.text() == "told"
        assert server.refused == {}


async def after_the_time() -> None:
    """Until a timer that was started now, for as long as a first head has, has run out."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(SHORT_S * 2, over.set_result, None)
    await over


async def test_the_last_descriptors_are_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "is_scarce", lambda descriptor, limit: True)
    async for server in serving(application()):
        reader, writer = await connected(server)
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        assert server.refused == {"descriptors": 1}


async def test_stopping_does_not_wait_for_those_who_say_nothing() -> None:
    async for server in serving(application(), grace_s=60.0):
        reader, writer = await connected(server)
        await until(server, 1)
        async with asyncio.timeout(5):
            await server.stop()
            assert await reader.read() == b""
        writer.close()


async def test_tls_has_the_same_limits(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=certificate)
    trusting.check_hostname = False
    async for server in serving(application(), tls=server_context(certificate, key), max_connections=1):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting)
        late_reader, late_writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting)
        async with asyncio.timeout(5):
            assert (await late_reader.read()).startswith(b"HTTP/1.1 503 ")
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert server.refused == {"connections": 1}
        for each in (writer, late_writer):
            each.close()
