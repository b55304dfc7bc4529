"""Chromium sends one picture in three encodings; another one chooses which of them it gets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.console.test_room import create, enter, running_appliance, sees
from tests.peers.appliance import Running
from tests.peers.chromium import chromium

pytestmark = pytest.mark.interop

ROOM = 77
SCRIPT = """
async ([url, room, width]) => {
  const { RoomStay } = await import('/static/room.js');
  window.noted = [];
  window.layers = [];
  const stay = window.stay = new RoomStay({
    state() {}, people() {}, talking() {}, note: (text) => noted.push(text), ended: (reason) => noted.push(reason),
  });
  const wish = { audio: true, video: { width, height: width * 9 / 16 } };
  const stream = width ? await navigator.mediaDevices.getUserMedia(wish) : null;
  const encodings = [{ rid: 'h' }, { rid: 'm', scaleResolutionDownBy: 2 }, { rid: 'l', scaleResolutionDownBy: 4 }];
  await stay.enter({ url, stream, room, display: 'somebody', encodings });
  window.encoded = async () => Object.fromEntries([...(await stay.sending.getStats()).values()]
    .filter((one) => one.type === 'outbound-rtp' && one.kind === 'video').map((one) => [one.rid, one.framesEncoded]));
  window.video = document.createElement('video');
  video.autoplay = video.muted = true;
  document.body.append(video);
  window.get = async () => {
    if (!stay.watcher) return { frames: 0 };
    const [[feed, { stream }]] = stay.people;
    if (!video.srcObject) video.srcObject = stream;
    const told = stay.watcher.on.event;
    if (!stay.listens) stay.watcher.on.event = (message) => {
      const data = message.plugindata?.data ?? {};
      for (const what of ['substream', 'temporal']) if (what in data) layers.push([what, data[what]]);
      told(message);
    };
    stay.listens = true;
    const found = [...(await stay.receiving.getStats()).values()]
      .find((one) => one.type === 'inbound-rtp' && one.kind === 'video');
    return { feed, width: found?.frameWidth, keyframes: found?.keyFramesDecoded, frames: found?.framesDecoded,
      layers, lost: found?.packetsLost, freezes: found?.freezeCount };
  };
}
"""


@asynccontextmanager
async def person(browser: Browser, running: Running, *, width: int = 0) -> AsyncIterator[Page]:
    """In the room; ``width`` is that of the picture that they send, 0 of one who only watches."""
    page = await browser.new_page()
    await page.goto(f"{running.web}/demo/videoroom")
    await page.evaluate(SCRIPT, [running.addresses["websocket"], ROOM, width])
    yield page
    assert await page.evaluate("noted") == []


async def until(page: Page, wanted: Any) -> dict[str, Any]:
    """What the watching page gets, once it is as wanted."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(30):
            while not (found and wanted(found)):
                found = await page.evaluate("get()")
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"never came true of {found}")
    return found


async def test_a_viewer_chooses_its_encoding(tmp_path: Path) -> None:
    async with running_appliance(tmp_path) as running, chromium() as browser:
        await create(running.janus, room=ROOM)
        async with person(browser, running, width=960), person(browser, running) as viewer:
            await until(viewer, lambda s: (s["frames"] or 0) > 5)
            for substream, width in ((0, 240), (2, 960), (1, 480)):
                before = await viewer.evaluate("get()")
                await viewer.evaluate(
                    "([feed, substream]) => stay.choose(feed, substream)", [before["feed"], substream]
                )
                after = await until(viewer, lambda s, wanted=width: s["width"] == wanted)
                if before["width"] != width:
                    assert after["keyframes"] > before["keyframes"]
                assert ["substream", substream] in after["layers"]
                # The decoder goes on: nothing is missing in the numbers that were closed up.
                moved = await until(viewer, lambda s, had=after["frames"]: s["frames"] > had + 10)
                assert moved["width"] == width
                assert moved["lost"] == 0


async def test_a_viewer_of_the_demo_chooses_the_small_picture(tmp_path: Path) -> None:
    complaints: list[str] = []
    async with running_appliance(tmp_path) as running, chromium() as browser:
        ann, bob = [await enter(browser, running.web, name, complaints) for name in ("ann", "bob")]
        await sees(ann, "bob")
        await sees(bob, "ann")
        quality = ann.locator(".tile:not(.own) .muted")
        await expect(quality).to_contain_text("640×480")
        await ann.get_by_label("Picture of bob").select_option("0")
        await expect(quality).to_contain_text("160×120")
        await ann.get_by_label("Picture of bob").select_option("2")
        await expect(quality).to_contain_text("640×480")
        await expect(bob.locator(".tile:not(.own) .muted")).to_contain_text("640×480")
    assert complaints == []
