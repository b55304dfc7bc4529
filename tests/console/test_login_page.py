"""The login in a real Chromium."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from appliance.console.login import ATTEMPTS
from appliance.console.settings import Options
from tests.clock import FakeClock
from tests.console.recorded import MemoryArchive
from tests.console.serve import application
from tests.console.test_api import only
from tests.console.test_browser import served
from tests.console.test_login import READING, SECRET, files
from tests.peers.chromium import chromium

__all__ = ["files"]

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


async def log_in(page: Page, secret: str) -> None:
    await page.get_by_label("Secret").fill(secret)
    await page.keyboard.press("Enter")


async def test_a_reader_logs_in_and_an_operator_is_offered_more(
    browser: Browser, archive: MemoryArchive, files: dict[str, Any], tmp_path: Path
) -> None:
    clock = FakeClock()
    call = only(archive, "opq-echo_http")
    async with served(application(archive, Options(**files), live_interval_s=0.05, clock=clock)) as url:
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(f"{url}/call/{call}")
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await expect(page.locator("#main")).to_be_hidden()
        await page.screenshot(path=tmp_path / "login.png")
        await log_in(page, "wrong secret")
        await expect(page.get_by_role("alert")).to_have_text("That is not the secret.")
        await log_in(page, READING)
        await expect(page.locator(".verdict-sentence")).to_be_visible()
        await expect(page.locator("#session")).to_contain_text("reader")
        await expect(page.get_by_role("link", name="Download the bundle")).to_be_visible()
        await page.get_by_role("link", name="Calls", exact=True).click()
        await expect(page.locator(".calls tbody tr")).to_have_count(6)
        await expect(page.locator("#connection")).to_have_text("Live")
        # The login ends while the page is open: its stream ends with it, and nobody reads on.
        clock.advance(13 * 3600)
        await expect(page.get_by_role("alert")).to_have_text("Your login has ended.")
        await log_in(page, SECRET)
        await expect(page.locator("#session")).to_contain_text("operator")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await page.close()


async def test_guessing_is_told_to_wait(browser: Browser, archive: MemoryArchive, files: dict[str, Any]) -> None:
    async with served(application(archive, Options(**files), clock=FakeClock())) as url:
        page = await browser.new_page()
        await page.goto(url)
        for number in range(ATTEMPTS):
            async with page.expect_response("**/api/login"):
                await log_in(page, f"guess {number}")
        await log_in(page, SECRET)
        await expect(page.get_by_role("alert")).to_have_text("Too many wrong secrets; try again in 12 s.")
        await page.close()


async def test_whom_the_proxy_knows_is_not_asked(browser: Browser, archive: MemoryArchive) -> None:
    options = Options(proxy_addresses=("127.0.0.1",))
    async with served(application(archive, options)) as url:
        known = await browser.new_page(extra_http_headers={"X-Forwarded-User": "ana@example.org"})
        await known.goto(url)
        await expect(known.locator(".calls tbody tr")).to_have_count(6)
        await expect(known.locator("#session")).to_have_text("ana@example.org (reader)")
        unknown = await browser.new_page()
        await unknown.goto(url)
        await expect(unknown.get_by_role("alert")).to_contain_text("those whom its reverse proxy knows")
        for page in (known, unknown):
            await page.close()
