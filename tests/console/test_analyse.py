"""A file is posted as the page posts it, and explained by a process of its own."""

from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.console.analyse import Analysis

DATA = Path(__file__).parent.parent / "data" / "replay"
Client = TestClient[Any, Any]


async def test_a_capture_is_explained(client: Client) -> None:
    content = (DATA / "ice_wrongcand.pcap.gz").read_bytes()
    answer = await client.post("/api/analyse?name=../office call.pcap.gz", data=content)
    assert answer.status == 200
    told = await answer.json()
    assert [(call["file"], call["verdict"]["code"]) for call in told["calls"]] == [
        ("office-call.pcap.gz", "udp_blocked_or_firewall")
    ]


async def test_what_is_no_recording_is_refused_in_words(client: Client) -> None:
    answer = await client.post("/api/analyse?name=holiday.jpg", data=b"\xff\xd8\xff\xe0")
    assert answer.status == 422
    error = (await answer.json())["error"]
    assert error["message"].startswith("holiday.jpg: begins with")


async def test_another_sites_page_may_not_post(client: Client) -> None:
    answer = await client.post("/api/analyse", data=b"x", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 403


async def test_too_large_and_too_slow_are_refused() -> None:
    application = web.Application()
    application.router.add_post("/large", Analysis(max_file=10).post)
    application.router.add_post("/slow", Analysis(work_timeout=0.0).post)
    async with TestClient(TestServer(application)) as client:
        assert (await client.post("/large", data=bytes(11))).status == 413
        assert (await client.post("/slow", data=(DATA / "pc_close.pcap.gz").read_bytes())).status == 422
