"""Each page in Chromium with markup in every text that an endpoint or a server may choose."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from appliance.console.servers import ServerRoutes, client_of
from appliance.core.events import Event
from tests.console.recorded import MemoryArchive, recorded
from tests.console.recorded_janus import RecordedJanus, serving
from tests.console.serve import application
from tests.console.test_browser import Watched, served
from tests.peers.chromium import chromium

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]

MARKUP = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}javascript:alert(3)"
WORDS = frozenset({
    "janus", "name", "event", "owner", "type", "schema", "ice", "dtls", "connection", "code", "severity", "phase",
    "final", "confidence", "actor", "also", "id", "transport", "transaction",
})  # fmt: skip
"""Keys whose values are of a closed list; another one would be no such event."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


def spoilt(value: Any, key: str = "") -> Any:
    """The same with markup for every text; of a description, in lines that any client may write."""
    if key == "room":
        return MARKUP  # rooms may have strings for ids
    if isinstance(value, dict):
        return {name: spoilt(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [spoilt(item, key) for item in value]
    if not isinstance(value, str) or key in WORDS:
        return value
    if key == "sdp":
        return value.replace("s=-", f"s={MARKUP}").replace("a=mid:", f"a=x-{MARKUP}\r\na=mid:")
    return MARKUP


def hostile(item: Event) -> Event:
    """As a hostile client makes it; as it was where that would be no event."""
    named = msgspec.structs.replace(item, opaque_id=MARKUP if item.opaque_id else None)
    try:
        body = msgspec.convert(spoilt(msgspec.to_builtins(item.event)), type(item.event))
    except msgspec.ValidationError:
        return named
    return msgspec.structs.replace(named, event=body)


class HostileJanus(RecordedJanus):
    """Its handles, its names and its version are markup."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = {key: spoilt(answer) for key, answer in self.answers.items()}


async def harmless(page: Page, url: str, ready: str) -> str:
    """Open it, and everything that can be opened in it; what it says."""
    await page.goto(url)
    await expect(page.locator(ready).first).to_be_visible()
    await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert await page.locator("main img, main script, main iframe, main [onerror]").count() == 0, url
    assert await page.locator("main a[href^='javascript:']").count() == 0, url
    return await page.locator("main").inner_text()


async def test_markup_stays_text_on_every_page(browser: Browser, tmp_path: Path) -> None:
    archive = MemoryArchive()
    for name in ("videoroom_http", "loss_slowlink", "dtls_badfp"):
        archive.add(map(hostile, recorded(name)))
    calls = sorted(archive.summaries, key=lambda one: archive.summaries[one].started_us)
    async with (
        serving(HostileJanus(), tmp_path) as janus,
        served(application(archive, servers=ServerRoutes([client_of(janus)], archive))) as url,
    ):
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        shown, asked = Watched(page, url), quote(MARKUP, safe="")
        assert MARKUP in await harmless(page, url, ".calls tbody tr")
        assert MARKUP in await harmless(page, f"{url}/fleet?by=room&hours=9999999", ".fleet tbody tr")
        # The store keeps so much of a plugin's name.
        assert MARKUP[:64] in await harmless(page, f"{url}/fleet?by=plugin&hours=9999999", ".fleet tbody tr")
        assert MARKUP in await harmless(page, f"{url}/together?room={asked}", ".together tbody tr")
        for call in (calls[0], calls[-1]):
            assert MARKUP in await harmless(page, f"{url}/call/{quote(call)}", "#events tbody tr")
        assert MARKUP in await harmless(page, f"{url}/live", ".server-facts")
        await harmless(page, f"{url}/live?server={asked}", "h1")
        await harmless(page, f"{url}/?search={asked}", ".list-head")
        # What is no call and no test is a 404 that the browser notes.
        assert shown.complaints == []
        # Neither slashes nor braces can be in an id.
        asked = quote(MARKUP.partition("</")[0], safe="")
        await harmless(page, f"{url}/call/{asked}", "[role=alert]")
        await harmless(page, f"{url}/code/{asked}", "[role=alert]")
        assert not [said for said in shown.complaints if not said.startswith("Failed to load resource")]
        await page.close()
