import asyncio
import gzip
import socket

import aiohttp
import pytest
from aiohttp import web

from appliance.net.http_server import HttpServer


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


def application() -> web.Application:
    app = web.Application()
    app.router.add_get("/", hello)
    return app


async def test_serves_and_says_which_port() -> None:
    server = HttpServer(application(), "127.0.0.1", 0, what="test")
    assert server.port == 0
    await server.start()
    try:
        assert server.port > 0
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{server.port}/") as response,
        ):
            assert await response.text() == "hello"
            assert server.connections == 1
    finally:
        await server.stop()
        await server.stop()
    assert server.connections == 0


async def test_a_body_that_is_compressed_arrives_as_it_was_sent() -> None:
    app = web.Application()

    async def size(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    app.router.add_post("/", size)
    bomb = gzip.compress(bytes(10_000_000))
    server = HttpServer(app, "127.0.0.1", 0, what="test")
    await server.start()
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                f"http://127.0.0.1:{server.port}/", data=bomb, headers={"Content-Encoding": "gzip"}
            ) as response,
        ):
            assert await response.text() == str(len(bomb))
    finally:
        await server.stop()


async def test_an_address_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = HttpServer(application(), "127.0.0.1", port, what="Janus API")
        with pytest.raises(OSError, match=f"Janus API can't listen on 127.0.0.1:{port}: Address already in use"):
            await server.start()
        await server.stop()


async def test_an_address_that_is_not_ours_is_named() -> None:
    server = HttpServer(application(), "192.0.2.1", 8080, what="web")
    with pytest.raises(OSError, match=r"web can't listen on 192.0.2.1:8080: Cannot assign requested address"):
        await server.start()


async def test_a_client_that_goes_away_ends_its_handler() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", wait)
    server = HttpServer(app, "127.0.0.1", 0, what="test", cancel_handlers=True)
    await server.start()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await began.wait()
        writer.close()
        async with asyncio.timeout(5):
            await ended.wait()
    finally:
        await server.stop()
