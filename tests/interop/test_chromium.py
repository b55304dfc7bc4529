"""A real browser with the unmodified janus.js places an EchoTest call through the two real processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.peers.appliance import Running, appliance
from tests.peers.chromium import chromium
from tests.peers.janus_js import janus_js_site

pytestmark = pytest.mark.interop


@asynccontextmanager
async def janus_js_page(tmp_path: Path) -> AsyncIterator[Page]:
    async with janus_js_site(tmp_path) as site, chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{site}/index.html")
        await page.wait_for_function("window.ready === true")
        yield page


async def frames_decoded(page: Page) -> int:
    stats = await page.evaluate("stats()")
    frames: int = stats["inbound"].get("video", {}).get("framesDecoded", 0)
    return frames


async def place_call(page: Page, url: str) -> dict[str, int]:
    ids: dict[str, int] = await page.evaluate("url => connect(url)", url)
    await page.evaluate("call()")
    await page.wait_for_function("seen.states.includes('up')", timeout=15_000)
    await page.wait_for_function("seen.states.includes('data JanusDataChannel')", timeout=15_000)
    return ids


async def until_stats(page: Page, wanted: str) -> None:
    async with asyncio.timeout(20):
        await page.evaluate(f"untilStats(s => {wanted})")


async def assert_media_flows(page: Page) -> None:
    await until_stats(page, "s.inbound.video?.framesDecoded > 15")
    before = await frames_decoded(page)
    await until_stats(page, f"s.inbound.video.framesDecoded > {before + 15}")
    await until_stats(page, "s.inbound.audio?.totalSamplesReceived > 48000")
    stats = await page.evaluate("stats()")
    for kind in ("audio", "video"):
        assert stats["inbound"][kind]["packetsLost"] == 0, kind


async def assert_playout_waits(page: Page) -> None:
    """A picture is held for half a second at least, once the browser has been told so."""
    await page.evaluate("send({min_delay: 50, max_delay: 100})")
    await page.evaluate("stats().then(s => { window.before = s.inbound.video; })")
    held = "s.inbound.video.jitterBufferDelay - before.jitterBufferDelay"
    emitted = "s.inbound.video.jitterBufferEmittedCount - before.jitterBufferEmittedCount"
    await until_stats(page, f"{emitted} > 20 && ({held}) / ({emitted}) > 0.4")
    await page.evaluate("send({min_delay: -1})")


async def assert_data_is_echoed(page: Page) -> None:
    await page.evaluate("say('hello from a browser')")
    await page.wait_for_function("seen.data.length > 0", timeout=10_000)
    assert await page.evaluate("seen.data") == ["Janus EchoTest here! You wrote: hello from a browser"]


def assert_explained_as_healthy(explained: dict[str, Any]) -> None:
    # janus.js asks for the hangup and closes its PeerConnection at once: either may arrive first.
    assert explained["verdict"]["code"] in {"ended_by_app", "normal_close"}, explained["verdict"]
    outcomes = {phase["name"]: phase["outcome"] for phase in explained["phases"]}
    assert {outcomes[name] for name in ("ice", "dtls")} == {"ok"}, outcomes


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_janus_js_places_a_call(tmp_path: Path, transport: str) -> None:
    async with appliance(tmp_path / "data") as running, janus_js_page(tmp_path) as page:
        ids = await place_call(page, running.addresses[transport])
        await assert_data_is_echoed(page)
        await assert_media_flows(page)
        await page.evaluate("send({audio: true, video: false})")
        await page.evaluate("send({video: true, bitrate: 256000})")
        await assert_playout_waits(page)
        await page.evaluate("hangUp()")
        assert_explained_as_healthy(await running.call(ids["session"]))


async def test_a_closed_tab_over_websocket_ends_the_call(tmp_path: Path) -> None:
    async with appliance(tmp_path / "data") as running, janus_js_page(tmp_path) as page:
        ids = await place_call(page, running.addresses["websocket"])
        await until_stats(page, "s.inbound.video?.framesDecoded > 5")
        await page.close()
        explained = await running.call(ids["session"])
        assert explained["verdict"]["final"] is True
        await _assert_nothing_is_left(running)


async def _assert_nothing_is_left(running: Running) -> None:
    metrics = await running.get("/metrics")
    assert 'appliance_sessions{server="test"} 0' in metrics
