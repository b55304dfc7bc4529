"""The live hub alone: what is offered to whom, without sockets and without waiting."""

from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.console.live import MAX_PENDING, SETTLING_TICKS, SHARE_OF_TIME, Live, Watcher
from appliance.core.archive import CallSummary
from tests.clock import FakeClock
from tests.console.recorded import MemoryArchive


def call(number: int, ended_us: int | None = None) -> CallSummary:
    name = f"{number}-1-1@gw"
    return CallSummary(
        correlation_id=name, server="gw", session_id=number, handle_id=1, started_us=number, ended_us=ended_us
    )


class ListArchive(MemoryArchive):
    def __init__(self, *calls: CallSummary) -> None:
        super().__init__()
        self.list = list(calls)

    async def calls(self, **_: Any) -> Sequence[CallSummary]:
        return list(self.list)


def hub(*watchers: Watcher) -> Live:
    live = Live(FakeClock(), interval_s=1.0, max_watchers=2)
    live._watchers.update(watchers)
    return live


def told(watcher: Watcher) -> dict[str, Any]:
    """What waits, by event name."""
    found = {}
    for block in watcher.take().decode().split("\n\n"):
        if block:
            name, data = block.split("\n")
            found[name.removeprefix("event: ")] = msgspec.json.decode(data.removeprefix("data: "))
    return found


async def test_new_and_changed_calls_are_offered_and_the_rest_is_not() -> None:
    watcher = Watcher(None)
    live, archive = hub(watcher), ListArchive(call(1), call(2))
    await live.look(archive)
    assert told(watcher) == {"reload": {}}, "the page was fetched before anybody watched for it"
    archive.list = [call(1), call(2, ended_us=9), call(3)]
    await live.look(archive)
    assert [one["correlation_id"] for one in told(watcher)["calls"]] == ["2-1-1@gw", "3-1-1@gw"]
    await live.look(archive)
    assert told(watcher) == {}


async def test_a_slow_page_gets_the_newest_state_only_and_is_told_to_reload_when_too_much_waits() -> None:
    watcher = Watcher(None)
    for ended in (None, 5, 6):
        watcher.offer([call(1, ended)])
    assert [one["ended_us"] for one in told(watcher)["calls"]] == [6]
    watcher.offer([call(number) for number in range(MAX_PENDING + 1)])
    assert told(watcher) == {"reload": {}}


async def test_the_page_of_a_live_call_is_told_each_time_and_of_an_ended_one_a_few_times_more() -> None:
    watcher, other = Watcher("1-1-1@gw"), Watcher("2-1-1@gw")
    live, archive = hub(watcher, other), ListArchive(call(1), call(2, ended_us=3))
    await live.look(archive)
    assert "call" in told(watcher)
    assert "call" in told(other), "it may have ended between the page and its stream"
    for _ in range(3):
        await live.look(archive)
        assert "call" in told(watcher)
        assert told(other) == {}
    archive.list[0] = call(1, ended_us=7)
    ticks = []
    for _ in range(SETTLING_TICKS + 3):
        await live.look(archive)
        ticks.append("call" in told(watcher))
    assert ticks == [True] * SETTLING_TICKS + [False] * 3


async def test_a_call_that_takes_long_to_explain_is_told_of_less_often() -> None:
    clock = FakeClock()
    watcher = Watcher("1-1-1@gw")
    live, archive = Live(clock, interval_s=1.0, max_watchers=2), ListArchive(call(1))
    live._watchers.add(watcher)
    live.costs("1-1-1@gw", 0.5)
    clock.advance(0.5 / SHARE_OF_TIME - 0.1)
    await live.look(archive)
    assert "call" not in told(watcher)
    clock.advance(0.2)
    await live.look(archive)
    assert told(watcher) == {"call": {}}


async def test_the_end_of_a_call_that_takes_long_to_explain_is_told_when_it_may_be() -> None:
    clock = FakeClock()
    watcher = Watcher("1-1-1@gw")
    live, archive = Live(clock, interval_s=1.0, max_watchers=2), ListArchive(call(1))
    live._watchers.add(watcher)
    await live.look(archive)
    told(watcher)
    live.costs("1-1-1@gw", 1.0)
    archive.list = [call(1, ended_us=7)]
    for _ in range(SETTLING_TICKS + 3):
        clock.advance(1.0)
        await live.look(archive)
        assert "call" not in told(watcher)
    clock.advance(1.0 / SHARE_OF_TIME)
    await live.look(archive)
    assert "call" in told(watcher)


async def test_what_changes_between_a_page_and_its_stream_is_not_lost() -> None:
    early, late = Watcher(None), Watcher("1-1-1@gw")
    live, archive = hub(early), ListArchive(call(1))
    await live.look(archive)
    archive.list = [call(1, ended_us=7)]
    await live.look(archive)
    live._watchers.add(late)
    await live.look(archive)
    assert told(late) == {"reload": {}, "call": {}}


async def test_a_line_break_in_an_id_cannot_forge_an_event() -> None:
    watcher = Watcher(None)
    watcher.offer([msgspec.structs.replace(call(1), opaque_id="x\n\nevent: call\ndata: {}\n\n")])
    assert list(told(watcher)) == ["calls"]
