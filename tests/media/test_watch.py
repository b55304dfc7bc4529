"""When a PeerConnection is looked after."""

from appliance.core.events import Body, MediaStats
from appliance.media.watch import SLOT, TICK
from tests.clock import FakeClock
from tests.media.conftest import Call


async def test_calls_that_began_one_after_the_other_are_looked_after_together(call: Call, clock: FakeClock) -> None:
    told: list[list[float]] = []
    for _ in range(2):
        clock.advance(SLOT / 4)
        _, handle = call()
        times: list[float] = []
        told.append(times)

        def note(body: Body, times: list[float] = times) -> None:
            if isinstance(body, MediaStats) and body.mid == "0":
                times.append(clock.now)

        handle.on_fact = note
    clock.advance(3 * TICK)
    assert told[0] == told[1] == [1000.0 + TICK, 1000.0 + 2 * TICK, 1000.0 + 3 * TICK]


async def test_a_timer_that_comes_too_early_does_not_bring_the_next_one_forward(call: Call, clock: FakeClock) -> None:
    _, handle = call()
    clock.now -= 0.001
    handle.peer._watch.tick_later()
    clock.advance(TICK)
    assert not handle.all(MediaStats)
    clock.advance(0.001)
    assert handle.all(MediaStats)
