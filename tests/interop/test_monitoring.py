"""A real Prometheus beside the real appliance, while healthy, lossy and failing calls of two kinds of client go on."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from appliance.demo.client import CallError, EchoCall
from tests.dashboards import FILES, GRAFANA, alerts, annotations, dashboard
from tests.grafana_page.render import render
from tests.interop.test_chromium import janus_js_page
from tests.peers.appliance import Running, appliance
from tests.peers.prometheus import Prometheus, every_query, every_rule, every_variable, filled, prometheus
from tests.peers.relay import Relay, relay

pytestmark = pytest.mark.interop

MAY_FIRE = {"AppliancePacketLossCritical", "ApplianceMosLow", "ApplianceJitterHigh", "ApplianceRoundTripTimeHigh"}
"""Alerts whose expression may hold on a machine that is busy."""


class DivertedCall(EchoCall):
    """An aiortc call whose media takes the way of a relay."""

    def __init__(self, url: str, way: Relay) -> None:
        super().__init__(url)
        self._way = way

    async def _post(self, path: str, **message: Any) -> dict[str, Any]:
        if "jsep" in message:
            message["jsep"]["sdp"] = self._way.hide(message["jsep"]["sdp"])
        return await super()._post(path, **message)

    async def _wait_for(self, wanted: Any, what: str) -> dict[str, Any]:
        item = await super()._wait_for(wanted, what)
        if "jsep" in item:
            item["jsep"]["sdp"] = self._way.divert(item["jsep"]["sdp"])
        return item


class ForgedCall(EchoCall):
    """An aiortc call that announces another certificate than it has."""

    async def _post(self, path: str, **message: Any) -> dict[str, Any]:
        if "jsep" in message:
            sdp = message["jsep"]["sdp"]
            message["jsep"]["sdp"] = re.sub(r"(a=fingerprint:\S+) \S\S:\S\S", r"\1 00:00", sdp)
        return await super()._post(path, **message)


@asynccontextmanager
async def capture_server() -> AsyncIterator[int]:
    """Where HEP goes: a port that nobody reads."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        yield sink.getsockname()[1]


async def browser_call(page: Page, running: Running, way: Relay) -> dict[str, int]:
    await page.expose_function("divert", way.divert)
    await page.expose_function("hide", way.hide)
    ids: dict[str, int] = await page.evaluate("url => connect(url)", running.addresses["websocket"])
    await page.evaluate("call()")
    await page.wait_for_function("seen.states.includes('up')", timeout=15_000)
    return ids


async def test_real_calls_on_every_panel_and_rule(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        port = await enter(capture_server())
        hep = ["handlers.hep.enabled=true", f"handlers.hep.server=udp://127.0.0.1:{port}"]
        running = await enter(appliance(tmp_path / "data", hep))
        server = await enter(prometheus(tmp_path, int(running.web.rpartition(":")[2])))
        await server.until('min(count_over_time(up{job=~"appliance.*"}[1m])) >= 2', bool)
        good_way, lossy_way = await enter(relay()), await enter(relay(every_in=12, every_out=15))
        mute_way = await enter(relay(every_in=1))

        healthy_page = await enter(janus_js_page(tmp_path))
        assert healthy_page.context.browser is not None
        lossy_page = await healthy_page.context.browser.new_page()
        await lossy_page.goto(healthy_page.url)
        await lossy_page.wait_for_function("window.ready === true")
        healthy = await browser_call(healthy_page, running, good_way)
        lossy = await browser_call(lossy_page, running, lossy_way)
        aiortc = await enter(EchoCall(running.janus))
        await aiortc.place()
        mute = await enter(DivertedCall(running.janus, mute_way))
        await mute.place()
        forged = await enter(ForgedCall(running.janus))
        with pytest.raises(CallError):
            await forged.place()

        await server.until(
            f'appliance_handle_link_quality_ratio{{handle_id="{lossy["handle"]}",direction="out"}} < 1'
            " and on (handle_id) appliance_handle_audio_mos"
            f' and on (handle_id) rate(appliance_handle_plis_total{{handle_id="{lossy["handle"]}"}}[6s])',
            bool,
        )
        values = {
            "__rate_interval": "6s", "__range": "1m", "server": ".*", "plugin": ".*", "room": ".*",
            "session": str(lossy["session"]), "handle": str(lossy["handle"]),
        }  # fmt: skip
        await every_query(server, values)
        for title, expression in annotations(dashboard(GRAFANA / "dashboards" / "call.json")).items():
            if title.startswith("Loss"):
                await server.until(filled(expression, values), bool)
        await the_panels_are_drawn(server, healthy_page, values, tmp_path)
        await every_variable(server, values, {"room"})
        await every_rule(server)
        await alerts_say_what_is_wrong(server)
        await server.until('appliance_dtls_handshakes_total{outcome="fingerprint_mismatch"} == 1', bool)
        await server.until('appliance_verdicts_total{code="fingerprint_mismatch"} == 1', bool)

        for page in (healthy_page, lossy_page):
            await page.evaluate("fallSilent()")
        for sender in aiortc.connection.getSenders():
            sender.replaceTrack(None)

        async def counted() -> dict[str, Counts]:
            return {
                str(healthy["handle"]): await counted_by_browser(healthy_page, good_way),
                str(lossy["handle"]): await counted_by_browser(lossy_page, lossy_way),
                str(aiortc.handle_id): await counted_by_aiortc(aiortc),
            }

        await the_clients_count_the_same(server, counted, str(lossy["handle"]))


async def the_panels_are_drawn(server: Prometheus, page: Page, values: dict[str, str], folder: Path) -> None:
    """Every panel shows something, and nothing is drawn wrongly; ``APPLIANCE_PANELS`` is where the pictures stay."""
    pictures = Path(os.environ.get("APPLIANCE_PANELS") or folder)
    assert page.context.browser is not None
    for path in FILES:
        drawn = await page.context.browser.new_page(viewport={"width": 1440, "height": 900})
        await drawn.set_content(await render(path, server, values), wait_until="load")
        await drawn.wait_for_function("window.drawn === true")
        empty = await drawn.evaluate("[...document.querySelectorAll('.panel.empty h2')].map(e => e.textContent)")
        await drawn.screenshot(path=pictures / f"{path.stem}.png", full_page=True)
        await drawn.close()
        assert empty == [], path.stem


async def alerts_say_what_is_wrong(server: Prometheus) -> None:
    """Each alert's expression is answered; what is wrong here waits for its time to fire."""
    rules = {
        rule["name"]: rule
        for group in (await server.get("rules"))["groups"]
        for rule in group["rules"]
        if rule["type"] == "alerting"
    }
    assert set(rules) == set(alerts())
    await server.until(rules["ApplianceOneWayMedia"]["query"], bool)
    answers = {name: await server.query(rule["query"]) for name, rule in rules.items()}
    # A third of the calls is lossy; how bad it gets is up to the machine.
    with_data = {name for name, found in answers.items() if found} - MAY_FIRE
    assert with_data == {"ApplianceOneWayMedia", "AppliancePacketLossHigh"}


Counts = dict[str, dict[str, int]]
"""Packets by kind and direction."""


async def the_clients_count_the_same(
    server: Prometheus, counted: Callable[[], Awaitable[dict[str, Counts]]], lossy: str = ""
) -> None:
    """``counted``, by handle, is what must have arrived and left at the server's end of the way.

    Nothing is sent again but video of the handle ``lossy``; what was put back from there is taken off.
    """
    told: dict[str, Counts] = {}
    wanted: dict[str, Counts] = {}
    for _ in range(20):
        told, wanted = {}, await counted()
        for each in await server.query(
            "appliance_handle_rtp_packets_total * on (session_id, handle_id, mid) group_left (kind)"
            " appliance_handle_track_info"
        ):
            labels = each["metric"]
            if labels["kind"] in wanted.get(labels["handle_id"], {}):
                kinds = told.setdefault(labels["handle_id"], {})
                kinds.setdefault(labels["kind"], {})[labels["direction"]] = int(each["value"][1])
        again = await server.query('appliance_rtp_packets_retransmitted_total{kind="video",direction="in"}')
        if lossy in told:
            told[lossy]["video"]["in"] -= int(again[0]["value"][1])
        if told == wanted:
            break
        await asyncio.sleep(0.5)
    assert told == wanted


async def counted_by_browser(page: Page, way: Relay) -> Counts:
    """Packets in and out as the server must have seen them, without those that were sent again."""
    stats = await page.evaluate("stats()")
    counts: Counts = {}
    for kind in ("audio", "video"):
        sent, received = stats["outbound"][kind], stats["inbound"][kind]
        # Chromium counts what it sends again, and the padding that it probes with, as sent.
        repair = sent.get("rtxSsrc", 0)
        again_in = way.carried_in[repair] + way.dropped_in[repair]
        again_out = received.get("retransmittedPacketsReceived", 0)
        counts[kind] = {
            "in": sent["packetsSent"] - again_in - way.dropped_in[sent["ssrc"]],
            "out": received["packetsReceived"] - again_out + way.dropped_out[received["ssrc"]],
        }
    return counts


async def counted_by_aiortc(call: EchoCall) -> Counts:
    """The same of a call without loss."""
    stats = (await call.connection.getStats()).values()
    return {
        kind: {
            "in": sum(each.packetsSent for each in stats if each.type == "outbound-rtp" and each.kind == kind),
            "out": sum(each.packetsReceived for each in stats if each.type == "inbound-rtp" and each.kind == kind),
        }
        for kind in ("audio", "video")
    }
