"""The page of what a server has now, with the two real processes and a real call, in Chromium."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from appliance.console.servers import ServerRoutes, client_of
from appliance.console.settings import Options, ServerAddress
from appliance.demo.client import EchoCall
from tests.console.recorded import MemoryArchive
from tests.console.serve import application
from tests.console.test_browser import served
from tests.peers.appliance import appliance
from tests.peers.chromium import chromium
from tests.peers.janus import Everything, free_port, janus
from tests.programs import need

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


async def test_sessions_handles_settings_and_hanging_up(browser: Browser, tmp_path: Path) -> None:
    options = [f"admin.http_port={free_port()}", 'admin.secret="only this one"']
    async with (
        appliance(tmp_path / "data", options) as running,
        EchoCall(running.janus) as call,
        EchoCall(running.janus) as other,
    ):
        await call.place()
        await other.place()
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(f"{running.web}/live")
        session = page.locator(".tree > li", has_text=f"Session {call.session_id}").first
        await expect(session).to_contain_text("1 handle")
        handle = session.locator(".tree > li")
        await expect(handle).to_contain_text("echotest")
        await expect(handle).to_contain_text("DTLS connected")
        await handle.locator("summary").click()
        await expect(handle.locator(".json")).to_contain_text('"plugin": "janus.plugin.echotest"')
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.screenshot(path=tmp_path / f"live-{scheme}.png")
        level = page.get_by_label("Log level")
        await expect(level).to_have_value("3")
        await level.select_option("4")
        await expect(level).to_be_enabled()
        await page.reload()
        await expect(page.get_by_label("Log level")).to_have_value("4")
        button = handle.get_by_role("button")
        if await handle.locator("details").get_attribute("open") is None:
            await handle.locator("summary").click()
        await button.click()
        await expect(button).to_have_text("Hang up this call?")
        await button.click()
        await expect(handle).to_contain_text("no PeerConnection")
        await session.get_by_role("button", name="Destroy").click()
        await session.get_by_role("button", name="Destroy the session?").click()
        await expect(page.locator(".tree > li", has_text=f"Session {call.session_id}")).to_have_count(0)
        await page.goto(f"{running.web}/call/{other.session_id}-{other.handle_id}-1@test")
        hang_up = page.get_by_role("button", name="Hang up")
        await hang_up.click()
        await page.get_by_role("button", name="Hang up this call?").click()
        await expect(page.locator(".verdict-word strong")).to_have_text("Ended by an administrator")
        await page.close()


async def test_a_real_janus_is_looked_into_and_a_call_there_is_hung_up(browser: Browser, tmp_path: Path) -> None:
    need("janus")
    (tmp_path / "secret").write_text("janusoverlord")
    async with janus(tmp_path / "janus", everything=Everything()) as peer:
        address = ServerAddress(name="janus-ref", url=peer.admin, secret_file=str(tmp_path / "secret"))
        console = application(MemoryArchive(), Options(janus_http=peer.url), servers=ServerRoutes([client_of(address)]))
        async with served(console) as url:
            caller, page = await browser.new_page(), await browser.new_page()
            await caller.goto(f"{url}/demo")
            await caller.get_by_role("button", name="Call", exact=True).click()
            await expect(caller.locator("#state")).to_have_text("In the call", timeout=20_000)
            await page.goto(f"{url}/live")
            await expect(page.locator(".server-facts")).to_contain_text("Janus WebRTC Server 1.1.2")
            handle = page.locator(".tree .tree > li")
            await expect(handle).to_contain_text("DTLS connected")
            await page.get_by_label("Slowlink threshold").fill("7")
            await page.keyboard.press("Enter")
            await page.reload()
            await expect(page.get_by_label("Slowlink threshold")).to_have_value("7")
            await handle.locator("summary").click()
            await handle.get_by_role("button", name="Hang up").click()
            await handle.get_by_role("button", name="Hang up this call?").click()
            await expect(caller.locator("#state")).to_have_text("Not in a call")
            await caller.close()
            await page.close()
