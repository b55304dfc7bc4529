"""A page in Chromium that echoes through an engine of ours in this process, and its statistics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page

from tests.media.harness import Handle, engine
from tests.peers.chromium import chromium
from tests.peers.relay import Relay

PAGE = """
<!doctype html><script>
const pc = new RTCPeerConnection();
window.offer = async () => {
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } });
  for (const track of media.getTracks()) pc.addTrack(track, media);
  pc.ontrack = ({ track }) => {
    const element = document.createElement(track.kind);
    element.autoplay = element.muted = true;
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
  };
  await pc.setLocalDescription();
  if (pc.iceGatheringState !== 'complete')
    await new Promise((done) => pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done());
  return pc.localDescription.sdp;
};
window.answer = (sdp) => pc.setRemoteDescription({ type: 'answer', sdp });
window.mute = (on) => { for (const s of pc.getSenders()) if (s.track.kind === 'audio') s.track.enabled = !on; };
window.stats = async () => {
  const found = {};
  for (const s of (await pc.getStats()).values()) {
    if (['inbound-rtp', 'outbound-rtp', 'remote-inbound-rtp'].includes(s.type)) found[`${s.type} ${s.kind}`] = s;
    if (s.type === 'candidate-pair' && s.nominated) found.pair = s;
  }
  return found;
};
</script><body></body>
"""


@asynccontextmanager
async def call(way: Relay, **settings: Any) -> AsyncIterator[tuple[Page, Handle]]:
    """An echo call of Chromium with an engine of ours in this process."""
    server = await engine(stats_period=0.5, **settings)
    handle = Handle(server)
    try:
        async with chromium() as browser:
            page = await browser.new_page()
            await page.route("https://call.test/", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
            await page.goto("https://call.test/")
            offer: str = await page.evaluate("offer()")
            await page.evaluate("sdp => answer(sdp)", way.divert(handle.answer(way.hide(offer))))
            yield page, handle
    finally:
        await server.stop()


async def until(page: Page, wanted: Any, *, seconds: float = 30.0) -> dict[str, Any]:
    """Client statistics, once they are as wanted."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(seconds):
            while not (found and wanted(found)):
                found = await page.evaluate("stats()")
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"never came true of {found}")
    return found


def decoded(stats: dict[str, Any]) -> int:
    count: int = stats.get("inbound-rtp video", {}).get("framesDecoded", 0)
    return count
