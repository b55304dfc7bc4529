"""The demo call page in a real Chromium against a real Janus, whose events fill the console beside the video."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright, expect

from appliance.console.settings import Options
from appliance.core.events import from_janus
from tests.console.recorded import MemoryArchive
from tests.console.serve import application
from tests.peers.appliance import appliance
from tests.peers.chromium import chromium
from tests.peers.janus import free_port, janus
from tests.programs import need

expect.set_options(timeout=20_000)
"""A browser, a gateway and a second process share what may be a small and busy machine."""

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]


@asynccontextmanager
async def events_into(archive: MemoryArchive) -> AsyncIterator[str]:
    """An HTTP event backend of Janus; its address."""

    async def take(request: web.Request) -> web.Response:
        came = json.loads(await request.read())
        archive.add(event for item in (came if isinstance(came, list) else [came]) for event in from_janus(item))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


@asynccontextmanager
async def console(archive: MemoryArchive, janus_http: str) -> AsyncIterator[str]:
    server = TestServer(application(archive, Options(janus_http=janus_http), live_interval_s=0.2))
    await server.start_server()
    try:
        yield str(server.make_url("/demo"))
    finally:
        await server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


async def page_of(browser: Browser) -> tuple[Page, list[str]]:
    page = await browser.new_page(viewport={"width": 1440, "height": 1000})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


async def test_a_call_is_placed_seen_and_ended(browser: Browser, tmp_path: Path) -> None:
    need("janus")
    archive = MemoryArchive()
    async with (
        events_into(archive) as backend,
        janus(tmp_path / "janus", events_to=backend) as peer,
        console(archive, peer.url) as url,
    ):
        page, complaints = await page_of(browser)
        await page.goto(url)
        await page.get_by_role("button", name="Call", exact=True).click()
        await expect(page.locator("#state")).to_have_text("In the call")
        await expect(page.locator("#log")).to_contain_text("The data channel is open.")
        await page.get_by_label("Message").fill("hello <b>there</b>")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("#log .came")).to_have_text("Janus EchoTest here! You wrote: hello <b>there</b>")
        await page.wait_for_function("document.getElementById('remote').videoWidth > 0")
        await page.get_by_label("Bitrate cap").select_option("256000")
        await page.get_by_role("button", name="Mute camera").click()
        await expect(page.get_by_role("button", name="Unmute camera")).to_have_attribute("aria-pressed", "true")
        await page.get_by_role("button", name="Unmute camera").click()
        await expect(page.locator("#server .phases")).to_contain_text("DTLS")
        await expect(page.locator("#server tbody tr")).to_have_count(2)
        await page.screenshot(path=tmp_path / "demo.png", full_page=True)
        await page.get_by_role("button", name="Hang up").click()
        await expect(page.locator("#state")).to_have_text("Not in a call")
        await expect(page.locator("#server .verdict-word")).to_contain_text("Ended by the application")
        await expect(page.locator("#problem")).to_be_hidden()
        await page.screenshot(path=tmp_path / "demo-ended.png", full_page=True)
        await page.get_by_role("link", name="Open in the console").click()
        await expect(page.locator(".verdict-sentence")).to_contain_text("The application ended the call")
        assert complaints == []
        await page.close()


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_a_call_through_our_own_gateway(browser: Browser, tmp_path: Path, transport: str) -> None:
    http, websocket = free_port(), free_port()
    options = [
        f"transports.http.port={http}",
        f"transports.websocket.port={websocket}",
        f"console.janus_http=http://127.0.0.1:{http}/janus",
        f"console.janus_websocket=ws://127.0.0.1:{websocket}/",
    ]
    async with appliance(tmp_path / "data", options) as running:
        page, complaints = await page_of(browser)
        await page.goto(f"{running.web}/demo")
        await page.get_by_label("Janus API over").select_option(transport)
        await page.get_by_role("button", name="Call", exact=True).click()
        await expect(page.locator("#state")).to_have_text("In the call")
        await expect(page.locator("#log")).to_contain_text("The data channel is open.")
        await page.get_by_label("Message").fill("hello")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("#log .came")).to_have_text("Janus EchoTest here! You wrote: hello")
        await page.wait_for_function("document.getElementById('remote').videoWidth > 0")
        await expect(page.locator("#server tbody tr")).to_have_count(2)
        await page.screenshot(path=tmp_path / "demo.png", full_page=True)
        await page.get_by_role("button", name="Hang up").click()
        await expect(page.locator("#server .verdict-word")).to_contain_text("Ended by the application")
        await page.get_by_role("link", name="Open in the console").click()
        await expect(page.locator(".pairs tr.selected")).to_be_visible()
        await expect(page.locator("#path")).to_contain_text("the certificate is the one that the SDP names")
        await page.screenshot(path=tmp_path / "call.png", full_page=True)
        assert complaints == []
        await page.close()


async def test_a_reload_ends_the_call_and_keeps_the_choices(browser: Browser, tmp_path: Path) -> None:
    need("janus")
    archive = MemoryArchive()
    async with (
        events_into(archive) as backend,
        janus(tmp_path / "janus", events_to=backend) as peer,
        console(archive, peer.url) as url,
    ):
        page, complaints = await page_of(browser)
        await page.goto(url)
        await page.get_by_label("Bitrate cap").select_option("512000")
        await page.get_by_role("button", name="Call", exact=True).click()
        await expect(page.locator("#state")).to_have_text("In the call")
        await expect(page.locator("#server .verdict")).to_be_visible(timeout=10_000)
        await page.reload()
        await expect(page.get_by_label("Bitrate cap")).to_have_value("512000")
        await page.goto(url.removesuffix("/demo"))
        await expect(page.locator(".calls .badge", has_text="Ended")).to_be_visible(timeout=10_000)
        assert complaints == []
        await page.close()


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_a_gateway_that_is_down_is_said_to_be_down(browser: Browser, transport: str) -> None:
    archive = MemoryArchive()
    port = free_port()
    options = Options(janus_http=f"http://127.0.0.1:{port}/janus", janus_websocket=f"ws://127.0.0.1:{port}/")
    server = TestServer(application(archive, options))
    await server.start_server()
    page, complaints = await page_of(browser)
    await page.goto(str(server.make_url("/demo")))
    await page.get_by_label("Janus API over").select_option(transport)
    await page.get_by_role("button", name="Call", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text(f"The gateway does not answer at {transport[0]}")
    await expect(page.get_by_role("button", name="Call", exact=True)).to_be_enabled()
    assert await page.evaluate("document.getElementById('local').srcObject") is None, "the camera is let go"
    assert complaints == []
    await page.close()
    await server.close()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--use-fake-device-for-media-stream", "--deny-permission-prompts"],
            "The browser refused microphone and camera",
        ),
        (["--use-fake-ui-for-media-stream"], "The browser found no such microphone or camera"),
    ],
)
async def test_a_call_without_microphone_and_camera_carries_data(tmp_path: Path, flags: list[str], words: str) -> None:
    need("janus")
    program = need("chromium")
    archive = MemoryArchive()
    async with (
        async_playwright() as playwright,
        events_into(archive) as backend,
        janus(tmp_path / "janus", events_to=backend) as peer,
        console(archive, peer.url) as url,
    ):
        bare = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu", *flags])
        page, complaints = await page_of(bare)
        await page.goto(url)
        await page.get_by_role("button", name="Call", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text(words)
        await page.get_by_role("button", name="Call without microphone and camera").click()
        await expect(page.locator("#log")).to_contain_text("The data channel is open.")
        await page.get_by_label("Message").fill("data alone")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("#log .came")).to_contain_text("You wrote: data alone")
        await page.get_by_role("button", name="Hang up").click()
        await expect(page.locator("#state")).to_have_text("Not in a call")
        assert complaints == []
        await bare.close()
