import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from appliance.core.bus import EventBus, Subscription
from appliance.core.clock import LoopClock
from appliance.core.events import Connection, Event, EventType, Gap, MediaStats, event
from appliance.core.stamp import Stamper
from tests.clock import FakeClock


def stats(n: int) -> Event:
    return event(MediaStats(media="audio", mid="0"), emitter="gw", timestamp=n, session_id=1, handle_id=2)


def state(n: int) -> Event:
    return event(Connection(connection="webrtcup"), emitter="gw", timestamp=n, session_id=1, handle_id=2)


class Recorder:
    name = "recorder"
    mask = EventType.ALL

    def __init__(self) -> None:
        self.got: list[Event] = []
        self.arrived = asyncio.Event()
        self.stopped = False

    async def start(self) -> None: ...

    async def handle(self, batch: Sequence[Event]) -> None:
        assert not self.stopped
        self.got += batch
        self.arrived.set()

    async def stop(self) -> None:
        self.stopped = True


async def test_every_queue_drains_before_its_consumer_stops() -> None:
    recorder = Recorder()
    bus = EventBus(LoopClock())
    bus.add(recorder)
    async with bus:
        for n in range(250):
            bus.publish(stats(n))
    assert [item.timestamp for item in recorder.got] == list(range(250))
    assert recorder.stopped


async def test_a_handler_that_does_not_start_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recorder):
        name = "broken"

        async def start(self) -> None:
            raise OSError("no capture server")

    recorder = Recorder()
    bus = EventBus(LoopClock())
    bus.add(Broken())
    bus.add(recorder)
    async with bus:
        bus.publish(state(1))
    assert len(recorder.got) == 1
    assert "no capture server" in caplog.text


class Moody(Recorder):
    name = "moody"

    def __init__(self, bad: set[int]) -> None:
        super().__init__()
        self.bad = bad
        self.calls = 0

    async def handle(self, batch: Sequence[Event]) -> None:
        self.calls += 1
        if any(item.timestamp in self.bad for item in batch):
            raise RuntimeError("not today")
        await super().handle(batch)


async def test_a_handler_that_raises_harms_nobody_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    moody, recorder = Moody({1}), Recorder()
    bus = EventBus(LoopClock())
    subscription = bus.add(moody)
    bus.add(recorder)
    async with bus:
        bus.publish(state(1))
        await recorder.arrived.wait()
        bus.publish(state(2))
    assert [item.timestamp for item in recorder.got] == [1, 2]
    assert [item.timestamp for item in moody.got] == [2]
    assert (subscription.failed, subscription.delivered) == (1, 1)
    assert "not today" in caplog.text


async def test_an_event_that_a_handler_raises_at_costs_nothing_but_itself(caplog: pytest.LogCaptureFixture) -> None:
    moody = Moody({30, 31, 60})
    bus = EventBus(LoopClock())
    subscription = bus.add(moody)
    async with bus:
        for number in range(100):
            bus.publish(replace(state(number), id=1000 + number))
    assert [item.timestamp for item in moody.got] == [number for number in range(100) if number not in {30, 31, 60}]
    assert (subscription.failed, subscription.delivered) == (3, 97)
    # The batch, and each event once.
    assert moody.calls == 101
    (record,) = caplog.records
    assert "moody lost event 1030 " in record.getMessage()
    assert record.exc_info is not None


async def test_a_handler_that_raises_at_everything_leaves_others_their_turn(caplog: pytest.LogCaptureFixture) -> None:
    moody, recorder = Moody(set(range(500))), Recorder()
    bus = EventBus(LoopClock())
    subscription = bus.add(moody)
    bus.add(recorder)
    async with bus:
        for number in range(500):
            bus.publish(state(number))
        await recorder.arrived.wait()
        assert subscription.failed < 100
    assert len(recorder.got) == subscription.failed == 500
    assert moody.calls == 505
    assert len(caplog.records) == 1


def test_a_mask_keeps_the_rest_away() -> None:
    class OnlyWebrtc(Recorder):
        mask = EventType.WEBRTC

    subscription = Subscription(OnlyWebrtc(), FakeClock())
    subscription.offer(stats(1))
    subscription.offer(state(2))
    assert len(subscription) == 1


def test_a_full_queue_loses_statistics_before_states() -> None:
    subscription = Subscription(Recorder(), FakeClock(), depth=10)
    for n in range(8):
        subscription.offer(stats(n))
    for n in range(100, 106):
        subscription.offer(state(n))
    assert subscription.dropped == {"media": 4}
    subscription.offer(stats(9))
    assert subscription.dropped == {"media": 5}
    assert len(subscription) == 10


def test_states_go_oldest_first_when_nothing_else_is_left() -> None:
    subscription = Subscription(Recorder(), FakeClock(), depth=3)
    for n in range(5):
        subscription.offer(state(n))
    assert subscription.dropped == {"webrtc": 2}
    assert len(subscription) == 3


def test_a_queue_is_bounded_in_bytes_too() -> None:
    subscription = Subscription(Recorder(), FakeClock(), max_bytes=1500)
    for n in range(5):
        subscription.offer(state(n))
    assert len(subscription) == 2
    assert subscription.bytes <= 1500


async def test_a_loss_is_marked_in_the_stream() -> None:
    recorder = Recorder()
    bus = EventBus(LoopClock())
    bus.add(recorder, depth=2)
    async with bus:
        for n in range(1, 6):
            bus.publish(state(n))
    first = recorder.got[0].body
    assert isinstance(first, Gap)
    assert (first.reason, first.dropped, first.first_timestamp) == ("queue_full", {"webrtc": 3}, 1)
    assert [item.timestamp for item in recorder.got[1:]] == [4, 5]


async def test_a_handler_that_hangs_does_not_hold_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.core.bus.DRAIN_TIMEOUT", 0.01)

    class Stuck(Recorder):
        async def handle(self, batch: Sequence[Event]) -> None:
            await asyncio.Event().wait()

    stuck = Stuck()
    bus = EventBus(LoopClock())
    bus.add(stuck)
    async with bus:
        bus.publish(state(1))
    assert stuck.stopped


def test_the_age_of_the_oldest_is_told() -> None:
    clock = FakeClock()
    subscription = Subscription(Recorder(), clock)
    assert subscription.oldest_age() == 0
    subscription.offer(state(1))
    clock.advance(3)
    subscription.offer(state(2))
    assert subscription.oldest_age() == 3
    values = {counter.name: counter.value for counter in subscription.measure()}
    assert values["event_queue_length"] == 2


async def test_a_mark_of_loss_has_a_number_of_its_own() -> None:
    recorder, clock = Recorder(), LoopClock()
    stamper = Stamper(clock)
    bus = EventBus(clock, stamper.stamp)
    bus.add(recorder, depth=2)
    async with bus:
        for _ in range(2):
            recorder.arrived.clear()
            for n in range(1, 6):
                bus.publish(stamper.stamp(state(n)))
            await recorder.arrived.wait()
    gaps = [item for item in recorder.got if isinstance(item.body, Gap)]
    assert len(gaps) == 2
    numbers = [item.id for item in recorder.got]
    assert 0 not in numbers
    assert len(set(numbers)) == len(numbers)


async def test_a_source_that_can_wait_waits_for_a_slow_consumer_and_not_for_one_that_stands_still() -> None:
    class Slow(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.turn = asyncio.Semaphore(0)

        async def handle(self, batch: Sequence[Event]) -> None:
            await self.turn.acquire()
            await super().handle(batch)

    slow, clock = Slow(), FakeClock()
    bus = EventBus(clock)
    subscription = bus.add(slow, depth=1000)
    async with bus:
        for n in range(600):
            bus.publish(state(n))
        assert not bus.has_room()
        # It has taken nothing for a second: the others are not to wait for it.
        clock.advance(1.0)
        assert bus.has_room()
        slow.turn.release()
        await slow.arrived.wait()
        await asyncio.sleep(0)
        # It moves again, but a batch has left the queue; the rest is not more than half.
        assert len(subscription) <= 500
        assert bus.has_room()
        for _ in range(10):
            slow.turn.release()


class Keeping(Recorder):
    """Loses nothing that it was given, once it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.oldest_held: int | None = None
        self.hurried = 0
        self.turn = asyncio.Semaphore(0)

    def hurry(self) -> None:
        self.hurried += 1

    async def handle(self, batch: Sequence[Event]) -> None:
        await self.turn.acquire()
        await super().handle(batch)


async def test_a_source_knows_which_events_every_durable_consumer_has() -> None:
    keeping, forgetful = Keeping(), Recorder()
    bus = EventBus(LoopClock())
    bus.add(forgetful)
    bus.add(keeping)
    async with bus:
        assert bus.kept_until() == bus.last_number == 0
        for number in range(1, 151):
            bus.publish(replace(state(number), id=number))
        assert (bus.last_number, bus.kept_until()) == (150, 0)
        await asyncio.sleep(0)
        # The first hundred are being handed over.
        assert bus.kept_until() == 0
        keeping.oldest_held = 40
        keeping.turn.release()
        await keeping.arrived.wait()
        await asyncio.sleep(0)
        assert bus.kept_until() == 39
        keeping.oldest_held = None
        assert bus.kept_until() == 100
        keeping.arrived.clear()
        keeping.turn.release()
        await keeping.arrived.wait()
        await asyncio.sleep(0)
        assert bus.kept_until() == 150
        bus.hurry()
        assert keeping.hurried == 1


async def test_a_source_that_repeats_waits_for_a_durable_consumer_that_stands_still_or_never_started() -> None:
    class Broken(Keeping):
        async def start(self) -> None:
            raise OSError("no")

    keeping, clock = Keeping(), FakeClock()
    bus = EventBus(clock)
    bus.add(keeping, depth=100)
    async with bus:
        assert bus.can_keep()
        for number in range(60):
            bus.publish(state(number))
        clock.advance(60)
        assert bus.has_room()
        assert not bus.can_keep()
        keeping.turn.release()
    bus = EventBus(clock)
    bus.add(Broken())
    async with bus:
        assert bus.has_room()
        assert not bus.can_keep()
