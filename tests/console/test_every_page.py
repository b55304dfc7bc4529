"""Each page in Chromium, in light and dark, on a desk and on a telephone: for everybody to use."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from appliance.console.servers import ServerRoutes, client_of
from tests.console.recorded import MemoryArchive
from tests.console.recorded_janus import RecordedJanus, serving
from tests.console.serve import application, filled_archive
from tests.console.test_api import only
from tests.console.test_browser import served
from tests.peers.chromium import chromium
from tests.peers.npm import installed

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]

DESK, TELEPHONE = (1280, 900), (390, 844)
LOOKS: tuple[tuple[Literal["light", "dark"], tuple[int, int], dict[str, Any]], ...] = (
    (
        "light",
        DESK,
        {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    ),
    # What the colours and the width can change of that.
    ("dark", DESK, {"type": "rule", "values": ["color-contrast"]}),
    ("light", TELEPHONE, {"type": "rule", "values": ["scrollable-region-focusable", "target-size"]}),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


def pages(archive: MemoryArchive) -> Iterator[tuple[str, str]]:
    """Address, and what is there once the page has drawn itself."""
    yield "/", ".calls tbody tr"
    yield "/fleet?by=code", ".fleet tbody tr"
    yield "/together?room=4321", ".together tbody tr"
    yield "/live", ".server-facts"
    for opaque_id in ("opaque-dtls_badfp", "opq-echo_http"):
        yield f"/call/{only(archive, opaque_id)}", "#events tbody tr"
    yield "/call/1-2-3@nowhere", "[role=alert]"
    yield "/code/ZZZZZZ", "[role=alert]"
    yield "/demo", "#call"
    yield "/demo/videoroom", "#enter"


async def complaints(page: Page, rules: dict[str, Any]) -> list[str]:
    """What axe finds, a line each."""
    found = await page.evaluate("rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", rules)
    return [
        f"{one['impact']} {one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


async def test_every_page_passes_axe(browser: Browser, tmp_path: Path) -> None:
    axe = (installed("axe-core@4.14.1") / "axe-core" / "axe.min.js").read_text("utf-8")
    archive = filled_archive(time.time_ns() // 1000 - 3_600_000_000)
    found: dict[str, list[str]] = {}
    async with (
        serving(RecordedJanus(), tmp_path) as janus,
        served(application(archive, servers=ServerRoutes([client_of(janus)], archive))) as url,
    ):
        varied = {"/", "/live", f"/call/{only(archive, 'opaque-dtls_badfp')}"}
        page = await browser.new_page()
        for path, ready in pages(archive):
            await page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
            await page.goto(url + path)
            await expect(page.locator(ready).first).to_be_visible()
            await page.evaluate(f"{axe}; 0")
            for colours, (width, height), rules in LOOKS if path in varied else LOOKS[:1]:
                await page.emulate_media(color_scheme=colours, reduced_motion="reduce")
                await page.set_viewport_size({"width": width, "height": height})
                said = await complaints(page, rules)
                if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    said.append("the page itself scrolls sideways")
                if said:
                    found[f"{path} {colours} {width}"] = said
        await page.close()
    assert found == {}
