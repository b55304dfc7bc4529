"""The pages in a real Chromium, with recorded calls behind them. Screenshots go to pytest's folder for the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from appliance.core.events import Event
from tests.console.recorded import MemoryArchive, another, recorded
from tests.console.serve import application
from tests.console.test_api import hour_long_call, only
from tests.peers.chromium import chromium

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all: starting it takes longer than most of these tests."""
    async with chromium() as started:
        yield started


class Watched:
    """A page and everything that it complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console", lambda line: self.complaints.append(line.text) if line.type in {"error", "warning"} else None
        )
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def heard(self, line: ConsoleMessage) -> None:
        if line.type in {"error", "warning"}:
            self.complaints.append(line.text)


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()


@asynccontextmanager
async def opened(browser: Browser, archive: MemoryArchive, **context: Any) -> AsyncIterator[Watched]:
    async with served(application(archive, live_interval_s=0.05)) as url:
        page = await browser.new_page(viewport={"width": 1440, "height": 900}, **context)
        watched = Watched(page, url)
        yield watched
        await page.close()
        assert watched.complaints == []


async def test_a_failed_call_is_found_and_read_in_light_and_dark(
    browser: Browser, archive: MemoryArchive, tmp_path: Path
) -> None:
    for scheme in ("light", "dark"):
        async with opened(browser, archive, color_scheme=scheme) as shown:
            page = shown.page
            await page.goto(shown.url)
            await expect(page.locator(".calls tbody tr")).to_have_count(6)
            await page.screenshot(path=tmp_path / f"list-{scheme}.png")
            await page.get_by_label("Search calls").fill("badfp")
            await expect(page.locator(".calls tbody tr")).to_have_count(1)
            await page.get_by_role("link", name="Fingerprint mismatch").click()
            await expect(page.locator(".verdict-sentence")).to_contain_text("certificate is not the one")
            await expect(page.locator(".phase.outcome-failed")).to_contain_text("DTLS")
            await expect(page.locator(".verdict")).to_contain_text("application developer")
            await expect(page.locator("#path")).to_contain_text("selected")
            await expect(page.locator("#hep tbody tr").first).to_be_visible()
            await page.screenshot(path=tmp_path / f"call-{scheme}.png", full_page=True)
            await page.go_back()
            await expect(page.locator(".calls tbody tr")).to_have_count(1)


async def test_what_the_collector_has_trouble_with_is_said_above_the_page(
    browser: Browser, archive: MemoryArchive
) -> None:
    left_out = ["store"]
    async with served(application(archive, left_out=left_out)) as url:
        page = await browser.new_page()
        await page.clock.install()
        await page.goto(url)
        await expect(page.locator("#health")).to_have_text("store: could not start; see the log")
        left_out.clear()
        await page.clock.fast_forward(10_000)
        await expect(page.locator("#health")).to_be_hidden()
        await page.close()


async def test_evidence_leads_to_its_event_and_a_deep_link_to_both(browser: Browser, archive: MemoryArchive) -> None:
    correlation_id = only(archive, "opq-loss_ws")
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(f"{shown.url}/call/{correlation_id}")
        evidence = page.locator(".evidence a").last
        words = await evidence.locator("span").last.text_content()
        await evidence.click()
        found = page.locator(".events tr.found")
        await expect(found.locator("summary")).to_have_text(words or "nothing")
        await expect(found.locator(".json")).to_contain_text('"emitter": "janus-ref"')
        await expect(found).to_be_in_viewport()
        await page.reload()
        await expect(page.locator(".events tr.found summary")).to_have_text(words or "nothing")


async def test_events_are_filtered_by_type_and_stay_open(browser: Browser, archive: MemoryArchive) -> None:
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(f"{shown.url}/call/{only(archive, 'opq-loss_ws')}")
        media = page.locator("#events .chip", has_text="Media")
        await expect(media).to_have_attribute("aria-pressed", "true")
        every = await page.locator(".events tbody tr").count()
        await media.click()
        await expect(media).to_have_attribute("aria-pressed", "false")
        await expect(page.locator(".events tbody tr", has_text="Statistics")).to_have_count(0)
        assert 0 < await page.locator(".events tbody tr").count() < every


async def test_the_page_is_used_with_the_keyboard_alone(browser: Browser, archive: MemoryArchive) -> None:
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(shown.url)
        await expect(page.locator(".calls tbody tr")).to_have_count(6)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to content"
        first = page.locator(".calls tbody a").first
        for _ in range(25):  # the field of a time has seven stops of its own
            await page.keyboard.press("Tab")
            if await first.evaluate("link => link === document.activeElement"):
                break
        name = await first.text_content()
        await page.keyboard.press("Enter")
        await expect(page.locator(".verdict-word strong")).to_have_text(name or "nothing")


async def test_offer_and_answer_stand_side_by_side_with_what_was_negotiated(
    browser: Browser, archive: MemoryArchive
) -> None:
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(f"{shown.url}/call/{only(archive, 'opq-echo_http')}")
        video = page.locator(".sdp-section", has_text="video · mid 1")
        await expect(video.locator("summary")).to_contain_text("VP8")
        await expect(video.locator("summary")).to_contain_text("sendrecv → sendrecv")
        await video.locator("summary").click()
        await expect(video.locator("tr.only-left", has_text="H264").first).to_be_visible()
        await expect(video.locator("tr.differs", has_text="a=setup:actpass")).to_contain_text("a=setup:active")
        await page.goto(f"{shown.url}/call/{only(archive, 'opq-reneg_ws')}")
        await expect(page.get_by_role("group", name="Negotiation").get_by_role("button")).not_to_have_count(1)


async def test_a_call_appears_runs_and_ends_without_a_reload(browser: Browser, archive: MemoryArchive) -> None:
    events = [another(item, 5) for item in recorded("chrome_echo_http")]
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(shown.url)
        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(page.locator(".calls tbody tr")).to_have_count(6)
        [correlation_id] = archive.add(events[:40])
        row = page.locator(f'.calls tr[data-id="{correlation_id}"]')
        await expect(row.locator(".badge.live")).to_be_visible()
        await row.locator("a").click()
        await expect(page.locator("h1 .badge.live")).to_be_visible()
        archive.add(events[40:])
        await expect(page.locator("h1 .badge", has_text="Ended")).to_be_visible()
        await expect(page.locator(".verdict-sentence")).to_contain_text("The application ended the call")
        told = page.get_by_role("status").filter(has_text="Verdict:")
        await expect(told).to_have_text("Verdict: Ended by the application")


async def test_the_ladder_shows_each_message_between_its_two_ends(
    browser: Browser, archive: MemoryArchive, tmp_path: Path
) -> None:
    for scheme in ("light", "dark"):
        async with opened(browser, archive, color_scheme=scheme) as shown:
            page = shown.page
            await page.goto(f"{shown.url}/call/{only(archive, 'opq-echo_http')}")
            ladder = page.locator("#ladder")
            offer = ladder.locator(".rung", has_text="An offer from the client")
            await expect(offer).to_have_text("From Browser to Gateway API: An offer from the client, 3 media lines")
            await expect(ladder.locator(".rung", has_text="An answer from the server")).to_contain_text(
                "From Gateway API to Browser: "
            )
            await expect(ladder.locator(".rung", has_text="DTLS: handshake done")).to_contain_text(
                "Between Browser and Gateway media: "
            )
            await expect(ladder.locator(".rung", has_text="audio (mid 0) arrives")).to_contain_text(
                "From Browser to Gateway media: "
            )
            await expect(ladder.locator(".rung", has_text="echotest: state").first).to_contain_text(
                "From Plugin to Gateway API"
            )
            await expect(ladder.locator(".rung.report")).to_have_count(0)
            await ladder.screenshot(path=tmp_path / f"ladder-{scheme}.png")
            await ladder.get_by_role("button", name="Reports and statistics").click()
            await expect(ladder.locator(".rung.report").first).to_contain_text("Statistics of audio")
            await page.reload()
            await expect(ladder.locator(".rung.report").first).to_be_visible()
            await offer.click()
            await expect(page.locator(".events tr.found summary")).to_have_text(
                "An offer from the client, 3 media lines"
            )


async def test_a_call_is_replayed_from_its_events(browser: Browser, archive: MemoryArchive) -> None:
    # Nothing makes bundles here: that the browser notes the refusal is no complaint of the page.
    refused = "Failed to load resource: the server responded with a status of 503 (Service Unavailable)"
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(f"{shown.url}/call/{only(archive, 'opaque-dtls_badfp')}")
        await page.get_by_role("button", name="Replay").click()
        await expect(page.get_by_text("Replayed from events.jsonl: the same verdict as below.")).to_be_visible(
            timeout=20_000
        )
        await expect(page.locator(".analysed .verdict-sentence")).to_contain_text("certificate is not the one")
        assert shown.complaints == [refused]
        shown.complaints.clear()


async def test_addresses_are_hidden_everywhere_for_a_picture(browser: Browser, archive: MemoryArchive) -> None:
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(f"{shown.url}/call/{only(archive, 'opq-echo_http')}")
        await expect(page.locator("#ladder .rung", has_text="Pair in use")).to_contain_text("127.0.0.1:32921")
        hide = page.get_by_role("button", name="Hide addresses")
        await hide.click()
        await expect(hide).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("#ladder .rung", has_text="Pair in use")).to_contain_text("127.0.x.x:32921")
        await expect(page.locator("#events tbody tr").first).to_be_visible()
        await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        await expect(page.locator(".events .json").first).to_contain_text("emitter")
        assert "127.0.0.1" not in await page.locator("main").inner_html()
        await page.reload()
        await expect(page.locator(".pairs")).to_contain_text("127.0.x.x")


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("192.0.2.7:5000, then 10.1.2.3.", "192.0.x.x:5000, then 10.1.x.x."),
        ("2001:db8:0:1:2:3:4:5 and 2001:db8::1, fe80::1:2, ::1", "2001:db8:x and 2001::x, fe80::x, :x"),
        ("at 12:04:05, version 1.4.1, 1.2.3.4.5", "at 12:04:05, version 1.4.1, 1.2.3.4.5"),
        ("3A:A3:1E:BC:CD:93:69:F1:58:34:EC:25:F4:C3:4A:82", "3A:A3:1E:BC:CD:93:69:F1:58:34:EC:25:F4:C3:4A:82"),
    ],
)
async def test_what_is_an_address_and_what_is_not(
    browser: Browser, archive: MemoryArchive, text: str, cut: str
) -> None:
    async with opened(browser, archive) as shown:
        await shown.page.goto(shown.url)
        found = await shown.page.evaluate(
            """async text => {
              const dom = await import("/static/dom.js");
              dom.hideAddresses(true);
              return dom.plain(text);
            }""",
            text,
        )
        assert found == cut


HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\u202ereversed'


def hostile(item: Event) -> Event:
    """Every text that an endpoint chooses, chosen by an enemy."""
    changed = msgspec.structs.replace(item, opaque_id=HOSTILE)
    content = msgspec.to_builtins(item.event)
    for key, value in content.items():
        if key in {"plugin", "reason", "opaque_id", "media", "codec"} and isinstance(value, str):
            content[key] = HOSTILE
        if key == "jsep":
            value["sdp"] = value["sdp"].replace("a=mid:0", f"a=mid:{HOSTILE}").replace("s=-", f"s={HOSTILE}")
    return msgspec.structs.replace(changed, event=msgspec.convert(content, type(item.event)))


async def test_hostile_texts_are_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    archive = MemoryArchive()
    [correlation_id] = archive.add(hostile(item) for item in recorded("loss_slowlink"))
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(shown.url)
        # As it came, but for the character that would have turned the words after it around.
        await expect(page.locator(".calls .who strong")).to_have_text(HOSTILE.replace("\u202e", "\ufffd"))
        await page.goto(f"{shown.url}/call/{correlation_id}")
        await expect(page.locator("h1")).to_contain_text("<script>alert(2)</script>")
        # The events come after the head of the page; only then is there something to open.
        await page.locator(".events details").first.wait_for(state="attached")
        await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        await expect(page.locator(".events .json").first).to_contain_text("onerror")
        assert await page.locator("main img, main script").count() == 0
        await page.screenshot(path=tmp_path / "hostile.png", full_page=True)


@pytest.mark.parametrize("path", ["/call/1-2-3@nowhere", "/call/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/call/%E0%A4%A"])
async def test_an_unknown_call_is_said_to_be_unknown(browser: Browser, archive: MemoryArchive, path: str) -> None:
    async with opened(browser, archive) as shown:
        await shown.page.goto(shown.url + path)
        await expect(shown.page.get_by_role("alert")).to_contain_text("is known; it may have been too long ago")
        shown.complaints.remove("Failed to load resource: the server responded with a status of 404 (Not Found)")


async def test_an_hour_long_call_opens_with_all_its_plots(browser: Browser, tmp_path: Path) -> None:
    archive = MemoryArchive()
    [correlation_id] = archive.add(hour_long_call())
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(shown.url)
        await expect(page.locator(".calls tbody tr")).to_have_count(1)
        await page.locator(".calls tbody a").first.click()
        await expect(page.locator("canvas")).to_have_count(11)
        await expect(page.locator(".events tbody tr").first).to_be_visible()
        await page.screenshot(path=tmp_path / "hour.png", full_page=True)
        await expect(page.locator("#events .chip", has_text="Media 7,2")).to_have_attribute("aria-pressed", "false")
        assert unquote(page.url).endswith(correlation_id)


async def test_a_lost_console_is_said_and_found_again(browser: Browser, archive: MemoryArchive) -> None:
    page = await browser.new_page()
    server = TestServer(application(archive, live_interval_s=0.05))
    await server.start_server()
    port = server.port
    await page.goto(str(server.make_url("/")))
    await expect(page.locator("#connection")).to_have_text("Live")
    await server.close()
    await expect(page.locator("#connection")).to_contain_text("Connection lost")
    again = TestServer(application(archive, live_interval_s=0.05), port=port)
    async with asyncio.timeout(10):
        await again.start_server()
        await expect(page.locator("#connection")).to_have_text("Live", timeout=9_000)
    await again.close()


async def test_a_file_that_is_dropped_on_the_page_is_explained(
    browser: Browser, archive: MemoryArchive, tmp_path: Path
) -> None:
    captured = Path(__file__).parent.parent / "data" / "replay" / "ice_wrongcand.pcap.gz"
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(shown.url)
        await expect(page.locator(".calls tbody tr")).to_have_count(6)
        async with page.expect_file_chooser() as choosing:
            await page.get_by_role("button", name="Analyse a file").click()
        await (await choosing.value).set_files(captured)
        await expect(page.locator(".analysed .verdict-sentence")).to_contain_text("No UDP packet got through")
        transfer = await page.evaluate_handle(
            """bytes => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(bytes)], "dropped.pcap.gz"));
              return transfer;
            }""",
            list(captured.read_bytes()),
        )
        await page.dispatch_event("main", "drop", {"dataTransfer": transfer})
        await expect(page.locator(".analyse")).to_contain_text("dropped.pcap.gz: one call.")
        await expect(page.locator(".analysed .phase.outcome-failed")).to_contain_text("ICE")
        await page.screenshot(path=tmp_path / "analysed.png", full_page=True)
