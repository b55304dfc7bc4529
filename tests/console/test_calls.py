"""The list of calls: what it can be asked for, over HTTP and in Chromium."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient
from playwright.async_api import Browser, expect

from appliance.core.archive import CallSummary
from appliance.core.events import Plugin
from tests.console.recorded import MemoryArchive, another, recorded
from tests.console.test_api import only
from tests.console.test_browser import opened
from tests.peers.chromium import chromium

Client = TestClient[Any, Any]
PAGE = 100


async def listed(client: Client, **asked: str) -> dict[str, str]:
    """Verdict codes by opaque id."""
    async with client.get("/api/calls", params=asked) as reply:
        assert reply.status == 200
        return {call["opaque_id"]: call["verdict"]["code"] for call in (await reply.json())["calls"]}


async def test_calls_are_asked_for_by_how_grave_their_verdict_is(client: Client, archive: MemoryArchive) -> None:
    every = await listed(client)
    faults, notices, good = [await listed(client, severity=word) for word in ("fault", "notice", "good")]
    assert faults["opaque-dtls_badfp"] == "fingerprint_mismatch"
    assert good["opq-echo_http"] == "ended_by_app"
    severities = {call.opaque_id: (call.verdict or {})["severity"] for call in archive.summaries.values()}
    for word, found in (("fault", faults), ("notice", notices), ("good", good)):
        assert set(found) == {name for name, severity in severities.items() if severity == word}
    assert faults | notices | good == every
    async with client.get("/api/calls?severity=grave") as reply:
        assert reply.status == 400
        assert "wanted one of any, fault, notice, good" in await reply.text()


async def test_calls_of_a_group_are_those_that_were_counted(client: Client) -> None:
    for by in ("network", "protocol", "code"):
        async with client.get("/api/fleet", params={"by": by, "since": "0"}) as reply:
            groups = (await reply.json())["groups"]
        for group in groups:
            if group["key"] is not None:
                assert len(await listed(client, by=by, key=group["key"])) == group["calls"], group
    assert await listed(client, by="network", key="192.0.2.0/24") == {}
    for asked in ({"by": "network"}, {"key": "192.0.2.0/24"}):
        async with client.get("/api/calls", params=asked) as reply:
            assert reply.status == 400 and "by, key: wanted together" in await reply.text()


async def test_a_verdict_is_found_by_its_words(client: Client) -> None:
    assert list(await listed(client, search="fingerprint mismatch")) == ["opaque-dtls_badfp"]


def crowd(archive: MemoryArchive, numbers: range) -> list[CallSummary]:
    """Calls like a recorded one, each a second after the other, added to the list alone."""
    like = archive.summaries[only(archive, "opq-loss_ws")]  # the latest
    made = [
        msgspec.structs.replace(
            like, correlation_id=f"{n}-2-1@gw", opaque_id=f"call {n}", started_us=like.started_us + n * 1_000_000
        )
        for n in numbers
    ]
    archive.summaries |= {call.correlation_id: call for call in made}
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.mark.interop
@pytest.mark.asyncio(loop_scope="module")
async def test_a_list_that_stays_open_does_not_grow(browser: Browser, archive: MemoryArchive) -> None:
    crowd(archive, range(1, 251))
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(shown.url)
        rows, more = page.locator(".calls tbody tr"), page.get_by_role("button", name="Older calls")
        await expect(rows).to_have_count(PAGE)
        await expect(page.locator("#connection")).to_have_text("Live")
        crowd(archive, range(251, 281))
        await expect(rows.first.locator(".who strong")).to_have_text("call 280")
        await expect(rows).to_have_count(PAGE)
        await expect(rows.last.locator(".who strong")).to_have_text("call 181")
        await more.click()
        await expect(rows).to_have_count(2 * PAGE)
        names = await rows.locator(".who strong").all_inner_texts()
        assert names == [f"call {n}" for n in range(280, 80, -1)]
        crowd(archive, range(281, 291))
        await expect(rows.first.locator(".who strong")).to_have_text("call 290")
        await expect(rows).to_have_count(2 * PAGE)


@pytest.mark.interop
@pytest.mark.asyncio(loop_scope="module")
async def test_faults_and_a_time_are_filters_with_an_address(browser: Browser, archive: MemoryArchive) -> None:
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(shown.url)
        rows = page.locator(".calls tbody tr")
        await expect(rows).to_have_count(6)
        await page.get_by_label("Verdict", exact=True).select_option("Faults")
        await expect(rows.filter(has_text="Ended by the application")).to_have_count(0)
        faults = await rows.count()
        assert 0 < faults < 6
        await page.reload()
        await expect(rows).to_have_count(faults)
        await page.get_by_label("Verdict", exact=True).select_option("Any verdict")
        await expect(rows).to_have_count(6)
        # To the minute: the field has no seconds, and the calls were recorded minutes apart.
        last = max(archive.summaries.values(), key=lambda call: call.started_us)
        text = await page.evaluate(
            """us => {
              const at = new Date(us / 1000);
              const [month, day, hour, minute] = [at.getMonth() + 1, at.getDate(), at.getHours(), at.getMinutes()]
                .map((one) => String(one).padStart(2, "0"));
              return `${at.getFullYear()}-${month}-${day}T${hour}:${minute}`;
            }""",
            last.started_us,
        )
        await page.get_by_label("Started before").fill(text)
        await expect(page.locator(f'.calls tr[data-id="{last.correlation_id}"]')).to_have_count(0)
        kept = await rows.count()
        assert 0 < kept < 6
        await page.reload()
        await expect(rows).to_have_count(kept)
        await expect(page.get_by_label("Started before")).to_have_value(text)


@pytest.mark.interop
@pytest.mark.asyncio(loop_scope="module")
async def test_a_group_of_the_fleet_leads_to_its_calls(browser: Browser, archive: MemoryArchive) -> None:
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(f"{shown.url}/fleet?by=code&hours=9999999")
        await page.get_by_role("link", name="Fingerprint mismatch").click()
        rows, chip = (
            page.locator(".calls tbody tr"),
            page.get_by_role("button", name="Verdict Fingerprint mismatch, show all"),
        )
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("opaque-dtls_badfp")
        await page.reload()
        await expect(rows).to_have_count(1)
        await chip.click()
        await expect(rows).to_have_count(6)
        await expect(chip).to_be_hidden()


@pytest.mark.interop
@pytest.mark.asyncio(loop_scope="module")
async def test_a_phase_that_goes_on_grows_with_nothing_told(browser: Browser, archive: MemoryArchive) -> None:
    events = [another(item, 5) for item in recorded("chrome_echo_http")][:40]
    [correlation_id] = archive.add(events)
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.clock.install(time=events[-1].timestamp / 1e6)
        await page.goto(f"{shown.url}/call/{correlation_id}")
        pending = page.locator(".phase.outcome-pending .phase-time")
        await expect(pending).to_contain_text(" s")
        await page.clock.fast_forward(600_000)
        await expect(pending).to_contain_text("10 min")


@pytest.mark.interop
@pytest.mark.asyncio(loop_scope="module")
async def test_people_of_a_room_come_and_go_without_a_reload(browser: Browser, archive: MemoryArchive) -> None:
    events = recorded("videoroom_http")
    joined = [
        n
        for n, item in enumerate(events)
        if isinstance(item.event, Plugin) and item.event.data.get("event") == "joined"
    ]
    archive.add(events[: joined[1]])
    async with opened(browser, archive) as shown:
        page = shown.page
        await page.goto(f"{shown.url}/together?room=4321")
        people = page.locator(".together tbody tr")
        await expect(people).to_have_count(1)
        archive.add(events[joined[1] : joined[1] + 1])
        await expect(people).to_have_count(2, timeout=15_000)
        await expect(people.locator(".badge.live")).to_have_count(2)
        archive.add(events[joined[1] + 1 :])
        await expect(people.locator(".badge.live")).to_have_count(0, timeout=15_000)
