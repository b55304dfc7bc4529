"""Firefox with the unmodified janus.js: another SDP, another ICE, another DTLS stack than Chromium's."""

from pathlib import Path

import pytest

from tests.interop.test_chromium import assert_explained_as_healthy
from tests.peers.appliance import appliance
from tests.peers.firefox import firefox
from tests.peers.janus_js import janus_js_site

pytestmark = pytest.mark.interop


async def test_janus_js_places_a_call(tmp_path: Path) -> None:
    async with (
        appliance(tmp_path / "data") as running,
        janus_js_site(tmp_path) as site,
        firefox() as page,
    ):
        await page.goto(f"{site}/index.html")
        await page.until("window.ready === true")
        ids = await page.evaluate(f"connect({running.addresses['websocket']!r})")
        await page.evaluate("call()")
        await page.until("seen.states.includes('up') && seen.states.includes('data JanusDataChannel')")
        await page.evaluate("say('hello from a browser')")
        await page.until("seen.data.length > 0")
        assert await page.evaluate("seen.data") == ["Janus EchoTest here! You wrote: hello from a browser"]
        await page.until("stats().then((s) => s.inbound.video?.framesDecoded > 30)")
        stats = await page.evaluate("stats()")
        for kind in ("audio", "video"):
            assert stats["inbound"][kind]["packetsReceived"] > 0
            assert stats["inbound"][kind]["packetsLost"] == 0, kind
            assert stats["remote"][kind]["packetsLost"] == 0, kind
        await page.evaluate("hangUp()")
        assert_explained_as_healthy(await running.call(ids["session"]))
