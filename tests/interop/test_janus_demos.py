"""Janus's own demo pages work against the gateway as they are: whoever moves over from Janus keeps their clients."""

from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.peers.appliance import appliance
from tests.peers.chromium import chromium
from tests.peers.janus_demos import janus_demos

pytestmark = pytest.mark.interop

PLAYING = (
    "id => [...document.querySelectorAll('video')].some(v => v.id.startsWith(id) && v.videoWidth && v.currentTime > 1)"
)


async def started(context: BrowserContext, url: str) -> Page:
    page = await context.new_page()
    await page.goto(url)
    await expect(page.locator("#start")).to_be_enabled()
    # The page binds the button once janus.js is ready.
    await page.wait_for_function("$._data(document.querySelector('#start'), 'events')?.click")
    await page.locator("#start").click()
    return page


async def test_the_echo_test_and_end_to_end_encryption(tmp_path: Path) -> None:
    async with (
        appliance(tmp_path / "data") as running,
        janus_demos(running.janus) as demos,
        chromium() as browser,
    ):
        context = await browser.new_context()
        echo = await started(context, f"{demos}/echotest.html?simulcast=yes")
        await echo.wait_for_function(PLAYING, arg="peervideo")
        await echo.locator("#datasend").fill("hello")
        await echo.locator("#datasend").press("Enter")
        await expect(echo.locator("#datarecv")).to_have_value("Janus EchoTest here! You wrote: hello")
        await echo.close()
        secret = await started(context, f"{demos}/e2etest.html")
        await secret.locator(".bootbox-input").fill("a key of theirs")
        await secret.locator(".bootbox .btn-primary").click()
        await secret.wait_for_function(PLAYING, arg="peervideo")


@pytest.mark.parametrize("name", ["videoroomtest", "mvideoroomtest"])
async def test_two_people_in_a_room(tmp_path: Path, name: str) -> None:
    async with (
        appliance(tmp_path / "data") as running,
        janus_demos(running.janus) as demos,
        chromium() as browser,
    ):
        context = await browser.new_context()
        pages = []
        for person in ("alice", "bob"):
            page = await started(context, f"{demos}/{name}.html")
            await page.locator("#username").fill(person)
            await page.locator("#register").click()
            await page.wait_for_function(PLAYING, arg="myvideo")
            pages.append(page)
        for page in pages:
            await page.bring_to_front()
            await page.wait_for_function(PLAYING, arg="remotevideo")


async def test_the_admin_page_finds_the_call(tmp_path: Path) -> None:
    settings = ["admin.allow_origin=*", "admin.secret=only-of-this-test"]
    async with (
        appliance(tmp_path / "data", settings) as running,
        janus_demos(running.janus, admin=running.addresses["admin"], secret="only-of-this-test") as demos,
        chromium() as browser,
    ):
        context = await browser.new_context()
        echo = await started(context, f"{demos}/echotest.html")
        await echo.wait_for_function(PLAYING, arg="peervideo")
        admin = await context.new_page()
        await admin.goto(f"{demos}/admin.html")
        await admin.locator("a[href='#settings']").click()
        await expect(admin.locator("#settings")).to_contain_text("session_timeout")
        await admin.locator("a[href='#handlesinfo']").click()
        await admin.locator("#sessions-list a").first.click()
        await admin.locator("#handles-list a").first.click()
        await expect(admin.locator("#handle-info")).to_contain_text('"plugin": "janus.plugin.echotest"')
        await expect(admin.locator("#handle-info")).to_contain_text("selected-pair")
