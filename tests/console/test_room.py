"""The demo room in Chromium against the real appliance: three people see each other, one leaves, one is sent out."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page, expect

from tests.peers.appliance import Running, appliance
from tests.peers.chromium import chromium
from tests.peers.janus import free_port

pytestmark = pytest.mark.interop

expect.set_options(timeout=20_000)

MOVES = re.compile(r"^\d+×\d+ at [1-9]\d*/s · ")
"""Decoded pictures: how large, and that there are some each second."""


@asynccontextmanager
async def running_appliance(folder: Path) -> AsyncIterator[Running]:
    """On ports that the page is told of."""
    port = free_port()
    options = [f"transports.websocket.port={port}", f"console.janus_websocket=ws://127.0.0.1:{port}/"]
    async with appliance(folder, options) as running:
        yield running


async def enter(browser: Browser, web: str, name: str, complaints: list[str], room: int = 1234) -> Page:
    page = await browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(f"{web}/demo/videoroom?room={room}")
    await page.fill("#display", name)
    await page.click("#enter")
    await expect(page.locator("#state")).to_have_text("In the room")
    await expect(page.locator(".tile.own figcaption strong")).to_have_text(f"{name} (you)")
    return page


async def sees(page: Page, *names: str) -> None:
    """Everybody named has a moving picture on this page, and nobody else is on it."""
    others = page.locator(".tile:not(.own)")
    await expect(others).to_have_count(len(names))
    for name in names:
        await expect(others.filter(has_text=name).locator(".muted")).to_have_text(MOVES)


async def test_three_people_see_each_other(tmp_path: Path) -> None:
    complaints: list[str] = []
    async with running_appliance(tmp_path) as running, chromium() as browser:
        ann, bob, eve = [await enter(browser, running.web, name, complaints) for name in ("ann", "bob", "eve")]
        await sees(ann, "bob", "eve")
        await sees(bob, "ann", "eve")
        await sees(eve, "ann", "bob")
        together = await running.get("/api/members?room=1234")
        assert {one["display"]: {w["display"] for w in one["watches"]} for one in together["members"]} == {
            "ann": {"bob", "eve"}, "bob": {"ann", "eve"}, "eve": {"ann", "bob"},
        }  # fmt: skip
        await bob.click("#leave")
        await expect(bob.locator("#state")).to_have_text("Not in a room")
        await sees(ann, "eve")
        await sees(eve, "ann")
        await bob.click("#enter")
        await sees(ann, "bob", "eve")
        await eve.close()
        await expect(ann.locator(".tile:not(.own)")).to_have_count(1)
    assert complaints == []


async def create(janus: str, **room: Any) -> None:
    """Make a room as a client of the Janus API does."""

    async with aiohttp.ClientSession() as http:

        async def say(path: str, **message: Any) -> dict[str, Any]:
            async with http.post(janus + path, json={"transaction": "t", **message}) as reply:
                found: dict[str, Any] = await reply.json()
                return found

        session = (await say("", janus="create"))["data"]["id"]
        plugin = "janus.plugin.videoroom"
        handle = (await say(f"/{session}", janus="attach", plugin=plugin))["data"]["id"]
        made = await say(f"/{session}/{handle}", janus="message", body={"request": "create", **room})
        assert made["plugindata"]["data"]["videoroom"] == "created"
        await say(f"/{session}", janus="destroy")


async def test_who_talks_is_marked(tmp_path: Path) -> None:
    complaints: list[str] = []
    async with running_appliance(tmp_path) as running, chromium() as browser:
        # The made-up microphone beeps once a second, which is quiet on the whole.
        await create(running.janus, room=77, audiolevel_event=True, audio_active_packets=20, audio_level_average=120)
        ann = await enter(browser, running.web, "ann", complaints, room=77)
        await expect(ann.locator(".tile.own.talking")).to_have_count(1)
        await ann.click("#mute-microphone")
        await expect(ann.locator(".tile.own.talking")).to_have_count(0)
    assert complaints == []


async def test_a_room_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    complaints: list[str] = []
    async with running_appliance(tmp_path) as running, chromium() as browser:
        page = await browser.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{running.web}/demo/videoroom?room=99")
        await page.click("#enter")
        await expect(page.locator("#problem")).to_contain_text("No such room (99)")
        await expect(page.locator("#enter")).to_be_enabled()
        async with aiohttp.ClientSession() as http, http.get(f"{running.web}/healthz") as reply:
            assert reply.status == 200
    assert complaints == []
