"""Chromium sends VP9 and AV1 in layers and decodes what is left of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.console.test_room import create, running_appliance
from tests.peers.appliance import Running
from tests.peers.chromium import chromium

pytestmark = pytest.mark.interop

ROOM = 78
SCRIPT = """
async ([url, codec, mode, room]) => {
  const { JanusSession } = await import('/static/janus.js');
  const session = await JanusSession.create(url);
  window.told = [];
  const attach = async (plugin) => {
    const handle = await session.attach(`janus.plugin.${plugin}`);
    handle.on = { event: (message) => told.push(message.plugindata?.data ?? {}) };
    return handle;
  };
  const connection = () => {
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    pc.ontrack = ({ track }) => {
      const video = document.createElement('video');
      video.autoplay = video.muted = true;
      video.srcObject = new MediaStream([track]);
      document.body.append(video);
    };
    return pc;
  };
  const described = async (pc, description) => {
    await pc.setLocalDescription(description);
    while (pc.iceGatheringState !== 'complete') await new Promise((next) => { pc.onicegatheringstatechange = next; });
    const { type, sdp } = pc.localDescription;
    return { type, sdp, trickle: false };
  };
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 480, height: 270 } });
  const send = async (handle, direction, body) => {
    const pc = connection();
    const sender = pc.addTransceiver(stream.getVideoTracks()[0],
      { direction, streams: [stream], sendEncodings: [{ scalabilityMode: mode }] });
    const codecs = RTCRtpReceiver.getCapabilities('video').codecs;
    const wanted = [`video/${codec}`, 'video/rtx'];
    sender.setCodecPreferences(codecs.filter((one) => wanted.includes(one.mimeType.toLowerCase())));
    const offer = await described(pc, await pc.createOffer());
    const answer = await handle.message(body, { ...offer, svc: [{ mid: '0', svc: mode }] });
    await pc.setRemoteDescription(answer.jsep);
    return pc;
  };
  if (room) {
    const publisher = await attach('videoroom');
    const { plugindata } = await publisher.message({ request: 'join', ptype: 'publisher', room, display: 'ann' });
    const up = new Promise((resolve) => { publisher.on.webrtcup = resolve; });
    window.sending = await send(publisher, 'sendonly', { request: 'publish' });
    await up;
    const viewer = await attach('videoroom');
    const streams = [{ feed: plugindata.data.id }];
    const offer = await viewer.message({ request: 'join', ptype: 'subscriber', room, streams });
    window.listed = offer.plugindata.data.streams;
    window.receiving = connection();
    await receiving.setRemoteDescription(offer.jsep);
    await viewer.message({ request: 'start' }, await described(receiving, await receiving.createAnswer()));
    window.choose = (wish) => viewer.message({ request: 'configure', streams: [{ mid: '0', ...wish }] });
  } else {
    const echo = await attach('echotest');
    window.sending = window.receiving = await send(echo, 'sendrecv', { video: true });
    window.choose = (wish) => echo.message(wish);
  }
  window.seen = async () => {
    const all = [...(await receiving.getStats()).values()];
    const found = all.find((one) => one.type === 'inbound-rtp') ?? {};
    return { width: found.frameWidth, frames: found.framesDecoded ?? 0, lost: found.packetsLost,
      rate: found.framesPerSecond, plis: found.pliCount, nacks: found.nackCount,
      mode: [...(await sending.getStats()).values()].find((one) => one.type === 'outbound-rtp')?.scalabilityMode };
  };
}
"""


async def until(page: Page, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the page sees, once it is as wanted."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(20):
            while not (found and wanted(found)):
                found = await page.evaluate("seen()")
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"never came true of {found}, told {await page.evaluate('told')}")
    return found


async def watch(page: Page, spatial: int, width: int) -> None:
    """The picture becomes that one, and moves on: the decoder has what it needs, and waits for nothing."""
    await page.evaluate("spatial => choose({ spatial_layer: spatial })", spatial)
    before = await until(page, lambda found: found["width"] == width)
    after = await until(page, lambda found: found["frames"] > before["frames"] + 10)
    assert after["width"] == width
    for name, wanted in (("lost", 0), ("nacks", 0), ("plis", before["plis"])):
        assert after[name] == wanted, name
    told = await page.evaluate("told.findLast((one) => 'spatial_layer' in one)")
    assert told["spatial_layer"] == spatial


@asynccontextmanager
async def call(
    browser: Browser, running: Running, codec: str, mode: str, room: int | None = None
) -> AsyncIterator[Page]:
    """With EchoTest, or with oneself in a room; all layers have come."""
    page = await browser.new_page()
    await page.goto(f"{running.web}/demo")
    await page.evaluate(SCRIPT, [running.addresses["websocket"], codec, mode, room])
    await until(page, lambda found: found["width"] == 480 and found["mode"] == mode)
    yield page
    await page.close()


async def test_a_receiver_chooses_its_layers(tmp_path: Path) -> None:
    async with running_appliance(tmp_path) as running, chromium() as browser:
        async with call(browser, running, "vp9", "L2T3") as page:
            await watch(page, 0, 240)
            await watch(page, 1, 480)
            await page.evaluate("choose({temporal_layer: 0})")
            await until(page, lambda found: 0 < found["rate"] <= 6)
            await page.evaluate("choose({temporal_layer: 2})")
            await until(page, lambda found: found["rate"] >= 12)
        await create(running.janus, room=ROOM, videocodec="av1")
        async with call(browser, running, "av1", "L2T2", ROOM) as page:
            (stream,) = await page.evaluate("listed")
            assert stream["svc"]["target-spatial-layer"] == 2
            assert stream["codec"] == "av1"
            await watch(page, 0, 240)
            await watch(page, 1, 480)
