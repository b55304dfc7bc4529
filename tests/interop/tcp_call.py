"""Run inside a namespace where UDP is dropped: Chromium tests its network and calls, over TCP; prints what it saw.

``python -m tests.interop.tcp_call FOLDER``
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Page, expect

from tests.peers.appliance import Running, appliance
from tests.peers.chromium import chromium
from tests.peers.janus import free_port
from tests.peers.namespace import ADDRESS

PORT = 40_000
WATCH = """
const Real = window.RTCPeerConnection;
window.peers = [];
window.RTCPeerConnection = class extends Real {
  constructor(...options) { super(...options); window.peers.push(this); }
};
window.frames_decoded = async () => {
  const stats = await window.peers.at(-1).getStats();
  return [...stats.values()].find((one) => one.type === "inbound-rtp" && one.kind === "video")?.framesDecoded ?? 0;
};
"""


def drop_udp() -> None:
    """Every datagram of this machine, from now on."""
    subprocess.run(["iptables", "-A", "OUTPUT", "-p", "udp", "-j", "DROP"], check=True)


async def tested(page: Page, url: str) -> dict[str, Any]:
    """The network test: what each row says, and the result."""
    await page.goto(f"{url}/demo?seconds=2")
    await page.get_by_role("button", name="Test my network").click()
    await expect(page.locator(".test-sentence")).to_be_visible(timeout=60_000)
    await expect(page.get_by_role("button", name="Test my network")).to_be_enabled(timeout=30_000)
    rows = await page.locator(".test-steps tr").all()
    found = {(await row.locator("th").inner_text()): (await row.locator("td").last.inner_text()) for row in rows}
    return {"rows": found, "result": await page.locator(".test-sentence").inner_text()}


async def called(page: Page, running: Running) -> dict[str, Any]:
    """A call that stays until pictures have come back twice."""
    await page.goto(f"{running.web}/demo")
    await page.get_by_role("button", name="Call", exact=True).click()
    await expect(page.locator("#state")).to_have_text("In the call", timeout=15_000)
    await page.wait_for_function("async () => await window.frames_decoded() > 10", timeout=20_000)
    before = await page.evaluate("window.frames_decoded()")
    await page.wait_for_function(f"async () => await window.frames_decoded() > {before + 20}", timeout=20_000)
    calls = (await running.get("/api/calls?live=true"))["calls"]
    metrics = await running.get("/metrics")
    await page.get_by_role("button", name="Hang up").click()
    pairs = [call["selected_pair"] for call in calls if call.get("selected_pair")]
    return {"pairs": pairs, "metrics": [line for line in metrics.splitlines() if "selected_pair" in line]}


async def main(folder: Path) -> None:
    http = free_port()
    options = [
        f'media.addresses=["{ADDRESS}"]', f"media.port={PORT}", "media.ice_tcp=true",
        f"transports.http.port={http}", f"console.janus_http=http://127.0.0.1:{http}/janus",
    ]  # fmt: skip
    async with appliance(folder / "data", options) as running, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1440, "height": 1000})
        await page.add_init_script(WATCH)
        drop_udp()
        told = await tested(page, running.web)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.screenshot(path=folder / f"blocked-{scheme}.png")
        told["call"] = await called(page, running)
        async with aiohttp.ClientSession() as session, session.get(f"{running.janus}/info") as reply:
            told["info"] = await reply.json()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
