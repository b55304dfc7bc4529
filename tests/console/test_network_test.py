"""The network test of ``/demo`` in Chromium, through our own gateway, and the code that it gives for support."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from appliance.console.pages import STATIC
from appliance.console.settings import Options
from tests.console.recorded import MemoryArchive
from tests.console.serve import application
from tests.console.test_browser import served
from tests.peers.appliance import Running, appliance
from tests.peers.chromium import chromium
from tests.peers.janus import free_port

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One for all: the two processes take longer to start than a test takes."""
    http = free_port()
    options = [
        f"transports.http.port={http}", f"console.janus_http=http://127.0.0.1:{http}/janus", "media.ice_tcp=true",
    ]  # fmt: skip
    async with appliance(tmp_path_factory.mktemp("data"), options) as started:
        yield started


async def outcome(page: Page, url: str, *, seconds: int = 2) -> dict[str, str]:
    """Run it; what each row says."""
    await page.goto(f"{url}/demo?seconds={seconds}")
    await page.get_by_role("button", name="Test my network").click()
    await expect(page.locator(".test-sentence")).to_be_visible(timeout=60_000)
    await expect(page.get_by_role("button", name="Test my network")).to_be_enabled(timeout=20_000)
    rows = await page.locator(".test-steps tr").all()
    return {(await row.locator("th").inner_text()): (await row.locator("td").last.inner_text()) for row in rows}


async def pictures(page: Page, folder: Path, name: str) -> None:
    """To be looked at."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        await page.screenshot(path=folder / f"{name}-{scheme}.png")


async def test_a_good_network_and_the_code_that_support_opens(
    browser: Browser, running: Running, tmp_path: Path
) -> None:
    page = await browser.new_page(viewport={"width": 1440, "height": 1000})
    for _ in range(3):
        rows = await outcome(page, running.web)
        if "packets arrive unevenly" not in await page.locator(".test-sentence").inner_text():
            break
        # A machine that is busy elsewhere makes them so, and the page is right to say it.
    assert list(rows) == ["Devices", "Gateway", "UDP", "TCP", "Round trip", "Loss", "Jitter", "Bandwidth", "TURN"]
    assert "answers after" in rows["UDP"]
    assert rows["TCP"].startswith("Not needed, but there as a fall-back: 127.0.0.1 port")
    assert rows["Loss"] == "0 % from you, 0 % to you"
    assert rows["Bandwidth"].startswith("At least ") and "tried for 2 s; your way out has room" in rows["Bandwidth"]
    assert rows["TURN"] == "None is configured."
    await expect(page.locator(".test-sentence")).to_have_text("Your network is fine for calls.")
    await pictures(page, tmp_path, "test")
    code = await page.locator(".test-code").inner_text()
    await page.goto(f"{running.web}/code/{code[:3].lower()}-{code[3:].lower()}")
    await expect(page.locator("h1")).to_contain_text(f"test-{code}")
    await expect(page.locator(".verdict-sentence")).to_contain_text("The application ended the call")
    figures = page.locator("#test")
    await expect(figures.locator(".test-sentence")).to_have_text("Your network is fine for calls.")
    await expect(figures.locator(".ways")).to_contain_text("UDP: works, in use")
    await expect(figures.locator(".ways")).to_contain_text("TCP: works")
    for row in await figures.locator("tbody tr").all():
        what, *cells = await row.locator("th, td").all_inner_texts()
        assert cells[0] != "–" and (cells[1] != "–" or what.startswith(("Room", "Under load"))), (what, cells)
    await pictures(page, tmp_path, "code")
    await page.goto(f"{running.web}/code/ZZZZZZ")
    await expect(page.get_by_role("alert")).to_contain_text("No test with the code ZZZZZZ is known")
    await page.close()


async def test_without_devices_and_without_a_way_it_says_so(browser: Browser, running: Running) -> None:
    page = await browser.new_page()
    # As a firewall would: the answer names a port where nothing listens, and another password, for the gateway's checks
    # find the browser; and the browser's own wait is cut short.
    await page.add_init_script(
        """
        const set = RTCPeerConnection.prototype.setRemoteDescription;
        RTCPeerConnection.prototype.setRemoteDescription = function (description) {
          setTimeout(() => {
            Object.defineProperty(this, "connectionState", { get: () => "failed" });
            this.onconnectionstatechange();
          }, 500);
          const sdp = description.sdp.replace(/(a=candidate:\\S+ 1 (?:udp|tcp) \\d+ \\S+) \\d+/gi, "$1 9")
            .replace(/a=ice-pwd:.*/g, "a=ice-pwd:" + "x".repeat(24));
          return set.call(this, { type: description.type, sdp });
        };
        navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", "NotAllowedError"); };
        """
    )
    rows = await outcome(page, running.web)
    assert rows["Devices"].startswith("The browser refused microphone and camera.")
    assert "port 9" in rows["UDP"] and rows["TCP"] == "No answer from 127.0.0.1 port 9 either."
    await expect(page.locator(".test-sentence")).to_contain_text(
        "Neither UDP nor TCP gets through between you and 127.0.0.1 port 9"
    )
    await expect(page.locator(".test-code")).to_be_visible()
    await page.close()


async def test_a_gateway_that_is_down_has_no_code_and_a_turn_server_gives_no_address(
    browser: Browser, archive: MemoryArchive, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("shared with coturn")
    options = Options(
        janus_http=f"http://127.0.0.1:{free_port()}/janus",
        turn_urls=(f"turn:127.0.0.1:{free_port()}",),
        turn_secret_file=str(tmp_path / "secret"),
    )
    async with served(application(archive, options)) as url:
        page = await browser.new_page()
        rows = await outcome(page, url)
        assert "The gateway does not answer" in rows["Gateway"]
        assert "gave no address" in rows["TURN"]
        await expect(page.locator(".test-sentence")).to_contain_text("This page can't reach the gateway")
        await expect(page.locator(".test-code")).to_have_count(0)
        await page.close()


LOOK = {
    "at": 0, "sent": 0, "received": 0, "bytesOut": 0, "bytesIn": 0, "lostIn": 0, "lostOut": 0, "jitterIn": None,
    "jitterOut": None, "rtt": None, "estimate": None, "level": 0, "pair": None,
}  # fmt: skip
LATER = {
    "at": 10_000, "sent": 1000, "received": 1000, "bytesOut": 1_250_000, "bytesIn": 1_250_000, "jitterIn": 4,
    "jitterOut": 5, "rtt": 40, "estimate": 2_000_000,
}  # fmt: skip


@pytest.mark.parametrize(
    ("later", "figures", "sentence"),
    [
        ({}, {"lossUp": 0, "lossDown": 0, "bitrateUp": 1_000_000, "rtt": 40}, "Your network is fine for calls."),
        (
            {"lostOut": 100, "received": 900, "lostIn": 100}, {"lossUp": 10, "lossDown": 0},
            "Calls will work, but not well: 10.0 % of your packets are lost on their way to the server.",
        ),
        (
            {"received": 900, "lostIn": 100}, {"lossUp": 0, "lossDown": 10},
            "Calls will work, but not well: 10.0 % of the packets to you are lost.",
        ),
        (
            {"rtt": 500, "jitterIn": 80}, {"jitterDown": 80},
            "Calls will work, but not well: it takes 500 ms there and back, and packets arrive unevenly.",
        ),
        ({"estimate": 60_000}, {}, "Calls will work, but not well: there is little room on your way out."),
        ({"received": 0}, {"lossDown": None}, "You are connected, but nothing of what you sent came back."),
        ({"rtt": None, "jitterIn": None, "jitterOut": None, "estimate": None}, {"rtt": None, "jitterUp": None},
         "Your network is fine for calls."),
    ],
)  # fmt: skip
async def test_what_the_figures_mean(
    browser: Browser, later: dict[str, Any], figures: dict[str, Any], sentence: str
) -> None:
    page = await browser.new_page()
    module = (STATIC / "measure.js").read_text().replace("export ", "")
    found = await page.evaluate(
        f"{module}; (() => {{ const found = figures({json.dumps([LOOK, LOOK | LATER | later])});"
        " return { found, text: conclude(found).text }; })()"
    )
    assert found["text"] == sentence
    assert {name: found["found"][name] for name in figures} == figures
    await page.close()


async def test_a_line_that_drops_at_once_is_told_from_one_that_delays(browser: Browser) -> None:
    page = await browser.new_page()
    module = (STATIC / "load.js").read_text()
    code = module[module.index("export function dropped") : module.index("/**\n * The way up is")]
    for lost, share in ((0, 0), (150, 0.25), (-3, 0), (900, 1)):
        looks = [LOOK | {"sent": 100 + 200 * second, "lostOut": lost * second // 3} for second in range(4)]
        found = await page.evaluate(f"0; {code.replace('export ', '')}; dropped({json.dumps(looks)}, 3)")
        assert found == share
    await page.close()


@pytest.mark.parametrize(
    ("back", "figures"),
    [
        # A burst that the line does not carry, then what it does: 1 Mbit/s, of which one packet in ten is lost.
        ((0, 0, 0, 0, 20, 60, 90), {"up": 900_000, "down": 320_000}),
        ((0, 0, 0, 0, 100, 225, 350), {"up": 1_000_000, "down": 1_000_000}),
    ],
)
async def test_what_a_line_carries_is_what_arrives(
    browser: Browser, back: tuple[int, ...], figures: dict[str, float]
) -> None:
    page = await browser.new_page()
    module = (STATIC / "load.js").read_text()
    rates = module[module.index("export function rates") : module.index("async function connected")]
    outwards = ((0, 0), (500, 100), (650, 110), (750, 125), (875, 130), (1000, 140), (1125, 150))
    looks = [
        LOOK | {"at": 1000 * second, "sent": sent, "bytesOut": 1000 * sent, "lostOut": lost, "bytesIn": 1000 * came,
                "estimate": 1000 * second}
        for second, ((sent, lost), came) in enumerate(zip(outwards, back, strict=True))
    ]  # fmt: skip
    found = await page.evaluate(f"0; {rates.replace('export ', '')}; rates({json.dumps(looks)}, 3)")
    assert found == {**figures, "estimate": 3000}
    await page.close()
