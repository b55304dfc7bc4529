"""At which time, and how fast, a replay ships: with a clock that the test moves."""

import asyncio
from pathlib import Path

import pytest

from appliance.commands import ship
from appliance.commands.replay import Options, explain_files
from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import Event
from tests.clock import FakeClock

CLOSED = Path(__file__).parent.parent / "data" / "replay" / "pc_close.pcap.gz"


def events_of(**options: object) -> list[Event]:
    said: list[str] = []
    chosen = Options(metrics=True, **options)  # type: ignore[arg-type]
    _, events = explain_files([CLOSED], chosen, said.append, said.append)
    return events


def test_original_timestamps_unless_those_of_now_are_wanted() -> None:
    original = events_of()
    before_us = LoopClock().wall_us()
    at_full, at_real = events_of(now=True), events_of(now=True, speed="real")
    after_us = LoopClock().wall_us()
    assert original[-1].timestamp == 1_795_227_525_172_164
    spans = {events[-1].timestamp - events[0].timestamp for events in (original, at_full, at_real)}
    assert len(spans) == 1
    # A verdict may be said a moment after the last event: the last that was seen is of now.
    assert before_us <= max(item.timestamp for item in at_full if item.type != 4) <= after_us + 1_000_000
    assert before_us <= at_real[0].timestamp <= after_us


@pytest.mark.parametrize("speed", ["full", "real"])
async def test_real_speed_takes_as_long_as_the_call(speed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    real_sleep = asyncio.sleep

    async def advance(seconds: float) -> None:
        clock.advance(seconds)
        await real_sleep(0)

    monkeypatch.setattr("asyncio.sleep", advance)
    events = events_of()
    began = clock.monotonic()
    await ship._publish(events, EventBus(clock), clock, speed)
    took = clock.monotonic() - began
    span = (events[-1].timestamp - events[0].timestamp) / 1e6
    assert took == pytest.approx(span if speed == "real" else 0.0, abs=0.001)
