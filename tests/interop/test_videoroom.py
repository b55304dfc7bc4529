"""Three browsers with the unmodified janus.js in one room: everyone sees everyone, and one leaves."""

import asyncio
import shutil
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page

from tests.peers.appliance import appliance
from tests.peers.chromium import chromium
from tests.peers.npm import installed

pytestmark = pytest.mark.interop

PAGES = Path(__file__).parent.parent / "peers" / "web"


async def serve(site: Path) -> tuple[web.AppRunner, int]:
    modules = installed("janus-gateway@1.4.2", "webrtc-adapter@9.0.6")
    shutil.copytree(PAGES, site)
    shutil.copy(modules / "janus-gateway/npm/dist/janus.es.js", site)
    shutil.copy(modules / "webrtc-adapter/out/adapter.js", site)
    application = web.Application()
    application.router.add_static("/", site)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]


async def until(page: Page, condition: str) -> None:
    """Ask again until it holds; what went wrong is shown instead of a bare time-out."""
    try:
        async with asyncio.timeout(25):
            while not await page.evaluate(condition):
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"{condition}: {await page.evaluate('frames()')}, {await page.evaluate('seen')}")


async def test_three_people_see_each_other_and_one_leaves(tmp_path: Path) -> None:
    runner, port = await serve(tmp_path / "site")
    try:
        async with appliance(tmp_path / "data") as running, chromium() as browser:
            pages: list[Page] = []
            ids: list[int] = []
            for name in ("ann", "bob", "eve"):
                page = await browser.new_page()
                await page.goto(f"http://127.0.0.1:{port}/room.html")
                await page.wait_for_function("window.ready === true")
                ids.append(
                    await page.evaluate("([url, name]) => enter(url, name)", [running.addresses["websocket"], name])
                )
                pages.append(page)
            for page in pages:
                await until(page, "watching(2)")
            await pages[0].evaluate("leave()")
            for page in pages[1:]:
                await until(page, f"seen.gone.includes({ids[0]})")
                before = max((await page.evaluate("frames()")).values())
                await until(page, f"frames().then(now => Object.values(now).some(one => one > {before + 10}))")
                assert await page.evaluate("seen.problems") == []
    finally:
        await runner.cleanup()
