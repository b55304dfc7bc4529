"""Chromium's calls: what only a browser does right, or answers with an alert, or sends in three layers."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from appliance.core.events import MediaStats
from tests.interop.faults.case import Case, Line, check, run, stay
from tests.interop.faults.house import JsonObject, house
from tests.peers.chromium import chromium

pytestmark = pytest.mark.interop

PAGE = """
<!doctype html><script>
window.pc = new RTCPeerConnection();
window.offer = async (video, encodings) => {
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video });
  for (const track of media.getTracks())
    pc.addTransceiver(track, { streams: [media], sendEncodings: track.kind === 'video' ? encodings : undefined });
  await pc.setLocalDescription();
  if (pc.iceGatheringState !== 'complete')
    await new Promise((done) => pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done());
  return pc.localDescription.sdp;
};
window.answer = (sdp) => pc.setRemoteDescription({ type: 'answer', sdp });
window.mute = () => pc.getSenders().forEach((sender) => { sender.track.enabled = false; });
</script>
"""
LAYERS = [
    {"rid": "h", "maxBitrate": 900_000},
    {"rid": "m", "maxBitrate": 300_000, "scaleResolutionDownBy": 2},
    {"rid": "l", "maxBitrate": 100_000, "scaleResolutionDownBy": 4},
]
TALK_S = 8.0


class Tab:
    """A page that calls."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.page: Page

    async def call(
        self,
        line: Line,
        *,
        video: bool = True,
        layers: bool = False,
        wrong: bool = False,
        echo: JsonObject | None = None,
    ) -> None:
        """``echo``: what EchoTest is asked for."""
        self.page = page = await self._browser.new_page()
        await page.route("https://call.test/", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        await page.goto("https://call.test/")
        wanted = {"width": 640, "height": 480} if video else False
        sdp = await page.evaluate("([video, layers]) => offer(video, layers)", [wanted, LAYERS if layers else [{}]])
        await line.api.ask("message", body=echo or {}, jsep={"type": "offer", "sdp": sdp, "trickle": False})
        answer = (await line.api.next("event"))["jsep"]["sdp"]
        if wrong:
            answer = re.sub(r"(?<=a=fingerprint:sha-256 )..:..", "00:00", answer)
        await page.evaluate("sdp => answer(sdp)", answer)


def cases(browser: Browser) -> list[Case]:
    async def refuses(line: Line) -> None:
        """The answer that it was given is not the server's."""
        await Tab(browser).call(line, video=False, wrong=True)

    async def simulcast(line: Line) -> None:
        await Tab(browser).call(line, layers=True)
        await line.up()
        await asyncio.sleep(TALK_S)
        told = [item for item in line.house.journal.items if item.session_id == line.session_id]
        assert {"video", "video-sim1"} <= {item.body.media for item in told if isinstance(item.body, MediaStats)}

    async def muted(line: Line) -> None:
        tab = Tab(browser)
        await tab.call(line)
        await line.up()
        await tab.page.evaluate("mute()")
        await asyncio.sleep(TALK_S)

    async def hears_nothing(line: Line) -> None:
        """It sees itself, and hears nothing: the plugin keeps the audio back."""
        await Tab(browser).call(line, echo={"audio": False, "video": True})
        await line.up()

    async def tab_closed(line: Line) -> None:
        tab = Tab(browser)
        await tab.call(line, video=False)
        await line.up()
        await asyncio.sleep(1.5)
        await tab.page.evaluate("pc.close()")

    return [
        Case(
            name="answer of another server",
            wire="dtls_alert_received",
            play=refuses,
            code="dtls_alert_received",
            end=stay,
        ),
        Case(name="heard by nobody", play=hears_nothing, code="one_way_audio", live="one_way_audio"),
        Case(name="simulcast", play=simulcast, code="ended_by_app", live="healthy"),
        Case(name="muted", play=muted, code="ended_by_app", live="healthy"),
        Case(name="closed", wire="normal_close", play=tab_closed, code="normal_close", end=stay),
    ]


async def test_a_browser(tmp_path: Path) -> None:
    async with house(tmp_path) as gateway, chromium() as browser:
        wanted = cases(browser)
        outcomes = await run(gateway, wanted)
    check(wanted, outcomes)
