"""``appliance check``: STUN servers, the TURN server and Admin APIs, real ones and ports that say nothing."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from appliance.commands.check_admin import ask_admins
from appliance.console.settings import ServerAddress
from appliance.media import trial
from appliance.media.config import MediaConfig
from appliance.media.servers import TurnServer
from appliance.net.http_server import HttpServer
from appliance.wire import stun
from tests.commands.test_check import said, settings_of
from tests.peers.coturn import PASSWORD, USER, coturn


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "WAITS", (0.1, 0.2))


@contextmanager
def silent() -> Iterator[str]:
    """A port that takes datagrams and says nothing."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as there:
        there.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{there.getsockname()[1]}"


class Told(asyncio.DatagramProtocol):
    """A STUN server that sees everybody come from ``port``."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        value = stun.xor_address(("192.0.2.1", self._port), data[8:20])
        answer = stun.build(stun.BINDING, stun.Class.SUCCESS, data[8:20], [(stun.XOR_MAPPED_ADDRESS, value)], None)
        self._transport.sendto(answer, address)


@pytest.mark.interop
async def test_a_real_server_sees_us_and_lends_an_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with coturn(tmp_path / "coturn") as server:
        problems, text = await said(
            settings_of(
                tmp_path,
                "media.ice=full",
                f'media.stun_servers=["{server.address}"]',
                f'media.turn_servers=[{{url="turn:{server.address}", username="{USER}", password="{PASSWORD}"}}]',
            )
        )
    lent = re.search(
        rf"ok       media.turn_servers\[0\]: turn:{server.address} lends 127.0.0.1:(\d+), given back at once "
        r"\(none for IPv6\)",
        text,
    )
    assert lent, text
    # Logged when the server has agreed.
    assert f"TURN allocation deleted ('127.0.0.1', {lent[1]})" in caplog.text
    assert f"ok       media.stun_servers[0]: {server.address}: answers, and sees 127.0.0.1 as 127.0.0.1:" in text
    assert problems == 0
    assert PASSWORD not in text


@pytest.mark.interop
async def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path) -> None:
    with coturn(tmp_path / "coturn") as server:
        (refused,) = await trial.try_servers(
            MediaConfig(
                ice="full",
                turn_servers=[TurnServer(url=f"turn:{server.address}", username=USER, password="not that one")],
            )
        )
    assert not refused.good
    assert "lends no address: its user name, password or secret is wrong: " in refused.text
    assert " 401 " in refused.text
    assert "not that one" not in refused.text


async def test_silent_ports_are_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.3)
    with silent() as stun_port, silent() as turn_port:
        found = await trial.try_servers(
            MediaConfig(ice="full", stun_servers=[stun_port], turn_servers=[TurnServer(url=f"turn:{turn_port}")])
        )
    assert [one.good for one in found] == [False, False]
    assert found[0].text.startswith(f"media.stun_servers[0]: {stun_port}: no answer to 127.0.0.1 within ")
    assert f"turn:{turn_port} lends no address: no answer within " in found[1].text


async def test_a_server_that_no_media_address_reaches_is_told() -> None:
    (far,) = await trial.try_servers(MediaConfig(ice="full", stun_servers=["192.0.2.1:3478"]))
    assert far == trial.Trial(
        False, "media.stun_servers[0]: 192.0.2.1:3478: no address of media.addresses can reach 192.0.2.1"
    )


async def test_names_that_are_none_are_told() -> None:
    found = await trial.try_servers(
        MediaConfig(ice="full", stun_servers=["a..b:3478"], turn_servers=[TurnServer(url="turn:a..b")])
    )
    assert [one.good for one in found] == [False, False]


async def test_servers_that_disagree_show_a_symmetric_nat() -> None:
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_datagram_endpoint(partial(Told, port), local_addr=("127.0.0.1", 0)))[0]
        for port in (4001, 4002)
    ]
    try:
        servers = [f"127.0.0.1:{one.get_extra_info('sockname')[1]}" for one in made]
        first, second, verdict = await trial.try_servers(MediaConfig(ice="full", stun_servers=servers))
        same = await trial.try_servers(MediaConfig(ice="full", stun_servers=[servers[0]] * 2))
    finally:
        for one in made:
            one.close()
    assert (first.good, second.good, verdict.good) == (True, True, False)
    assert "as 192.0.2.1:4001 and 192.0.2.1:4002: a symmetric NAT" in verdict.text
    assert [one.good for one in same] == [True, True]


async def test_admin_servers_say_their_name_or_what_is_wrong(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        asked = json.loads(await request.text())
        if asked["janus"] == "info":
            return web.json_response({"janus": "server_info", "server-name": "edge"})
        if asked.get("admin_secret") != "the right one":
            return web.json_response({"janus": "error", "error": {"code": 403, "reason": "Unauthorized request"}})
        return web.json_response({"janus": "success", "status": {}})

    app = web.Application()
    app.router.add_post("/admin", answer)
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("the right one")
    wrong.write_text("another one")
    server = HttpServer(app, "127.0.0.1", 0, what="Admin API")
    await server.start()
    try:
        url = f"http://127.0.0.1:{server.port}/admin"
        found = await ask_admins(
            [
                ServerAddress(name="a", url=url, secret_file=str(right)),
                ServerAddress(name="b", url=url, secret_file=str(wrong)),
                ServerAddress(name="c", url=f"{url}/elsewhere"),
                ServerAddress(name="d", url="http://user:hidden@127.0.0.1/admin"),
            ]
        )
    finally:
        await server.stop()
    assert [one.good for one in found] == [True, False, False, False]
    assert found[0].text == f"console.admin: a: {url} answers, and its name is 'edge'"
    assert found[1].text == f"console.admin: b: {url} refuses: Unauthorized request (403)"
    assert "can't be asked: it answers 404" in found[2].text
    assert found[3].text.startswith("console.admin: d: url: ")
    assert not any(word in one.text for one in found for word in ("hidden", "another one", "the right one"))


@pytest.mark.parametrize(
    ("said", "polled", "good", "words"),
    [
        ({"server-name": "edge", "event_handlers": True}, ["edge"], [True], "its name is 'edge'"),
        ({"server-name": "edge", "event_handlers": False}, ["edge"], [False], "none of its event handlers is enabled"),
        ({"server-name": "edge", "event_handlers": False}, [], [True], "its name is 'edge'"),
        ({"server-name": "MyJanusInstance"}, ["edge"], [False], "'MyJanusInstance': intake.admin compares it with"),
        ({"server-name": "edge"}, ["other"], [True, False], "intake.admin: other: console.admin has no such server"),
    ],
)  # fmt: skip
async def test_servers_that_are_polled_have_the_name_of_their_events(
    said: dict[str, object], polled: list[str], good: list[bool], words: str
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"janus": "server_info"} | said)

    app = web.Application()
    app.router.add_post("/admin", answer)
    server = HttpServer(app, "127.0.0.1", 0, what="Admin API")
    await server.start()
    try:
        address = ServerAddress(name="edge", url=f"http://127.0.0.1:{server.port}/admin")
        found = await ask_admins([address], polled=polled)
    finally:
        await server.stop()
    assert [one.good for one in found] == good
    assert words in found[-1].text
