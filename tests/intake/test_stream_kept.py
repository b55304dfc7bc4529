"""What a gateway is told of its events: taken while there is room, kept once a crash of the collector loses none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import Event, EventType, encode_msgpack
from appliance.handlers.link import LinkHandler
from appliance.intake.stream import ALIVE_SECONDS, PAUSE, StreamConfig, StreamIntake
from appliance.intake.taken import MAX_WAITING, Taken
from appliance.net.link import Ack, Events, Hello, Message, Welcome
from tests.clock import FakeClock
from tests.intake.links import RawPeer, gateway, socket_address, state, times, until


class Handlers:
    """Stands for the bus: numbers what comes, and says what the test wants."""

    def __init__(self) -> None:
        self.got: list[Event] = []
        self.room = True
        self.kept = 0
        self.hurried = 0
        self.hurry_keeps = False

    @property
    def last_number(self) -> int:
        return len(self.got)

    def has_room(self) -> bool:
        return self.room

    can_keep = has_room

    def kept_until(self) -> int:
        return self.kept

    def hurry(self) -> None:
        self.hurried += 1
        if self.hurry_keeps:
            self.kept = self.last_number


@contextlib.asynccontextmanager
async def collecting(address: str, clock: FakeClock, handlers: Handlers) -> AsyncIterator[StreamIntake]:
    intake = StreamIntake(StreamConfig(), clock)
    intake.progress = handlers
    intake.listen_on(address)
    await intake.start(handlers.got.append)
    try:
        yield intake
    finally:
        handlers.hurry_keeps = True
        await intake.stop()


async def greeted(address: str, boot: str = "one") -> tuple[RawPeer, Message | None]:
    peer = await RawPeer.dial(address)
    peer.send(Hello(v=1, boot=boot, server="gw"))
    return peer, await peer.receive()


def frame(seq: int, count: int) -> Events:
    return Events(seq=seq, events=[encode_msgpack(state(number)) for number in range(seq, seq + count)])


async def test_kept_follows_taken() -> None:
    clock, handlers = FakeClock(), Handlers()
    with socket_address() as address:
        async with collecting(address, clock, handlers) as intake:
            peer, _ = await greeted(address)
            peer.send(frame(0, 3), frame(3, 2))
            assert [await peer.receive(), await peer.receive()] == [Ack(next=3, kept=0), Ack(next=5, kept=0)]
            origins = [intake.deliveries.of(number) for number in range(1, 6)]
            assert [origin.place for origin in origins if origin] == [0, 1, 2, 3, 4]
            assert len({origin.message for origin in origins if origin}) == 1
            # A frame counts as a whole.
            for kept, told in ((2, None), (4, Ack(next=5, kept=3)), (5, Ack(next=5))):
                handlers.kept = kept
                clock.advance(PAUSE)
                if told is not None:
                    assert await peer.receive() == told
            assert len(intake.deliveries) == 0
            assert intake._watch is None, "nothing is left to look after"
            await peer.close()


async def test_where_there_is_no_room_it_is_taken_later_and_the_gateway_hears_that_somebody_lives() -> None:
    clock, handlers = FakeClock(), Handlers()
    handlers.room = False
    with socket_address() as address:
        async with collecting(address, clock, handlers):
            peer, _ = await greeted(address)
            peer.send(frame(0, 3))
            await until(lambda: len(handlers.got) == 3)
            for _ in range(2):
                clock.advance(ALIVE_SECONDS + PAUSE)
                assert await peer.receive() == Ack(next=0)
            handlers.kept = 3
            handlers.room = True
            clock.advance(PAUSE)
            assert await peer.receive() == Ack(next=3)
            await peer.close()


def test_frames_that_are_not_kept_for_long_cost_little() -> None:
    taken = Taken("gw", "one")
    for number in range(1, 2 * MAX_WAITING + 1):
        taken.took(number, number)
    for _ in range(MAX_WAITING):  # and nothing in them
        taken.took(2 * MAX_WAITING, 2 * MAX_WAITING)
    assert len(taken._waiting) == MAX_WAITING
    assert taken.is_kept_until(MAX_WAITING + 1) and taken.kept == MAX_WAITING - 1
    assert taken.is_kept_until(2 * MAX_WAITING) and taken.kept == 2 * MAX_WAITING
    assert taken.waits is True, "it was not told that they are taken"


async def test_a_gateway_that_comes_back_hears_what_was_kept_meanwhile() -> None:
    clock, handlers = FakeClock(), Handlers()
    with socket_address() as address:
        async with collecting(address, clock, handlers) as intake:
            peer, _ = await greeted(address)
            peer.send(frame(0, 3), frame(3, 3))
            await peer.receive()
            await peer.close()
            await until(lambda: intake.gateways == [])
            handlers.kept = 3
            clock.advance(PAUSE)
            peer, welcome = await greeted(address)
            assert welcome == Welcome(v=1, next=6)
            assert await peer.receive() == Ack(next=6, kept=3)
            await peer.close()


async def test_what_a_dead_collector_did_not_keep_its_successor_is_told_and_knows_again() -> None:
    clock, first, second = FakeClock(), Handlers(), Handlers()
    with socket_address() as address:
        async with gateway(address, clock) as link:
            await until(lambda: link._redial is not None)
            async with collecting(address, clock, first) as dead:
                clock.advance(5)
                await until(lambda: link.connected)
                await link.handle([state(number) for number in range(10)])
                await until(lambda: link.acknowledged == 10)
                origins = {item.timestamp: dead.deliveries.of(place) for place, item in enumerate(first.got, 1)}
                # Of the ten none is kept when it is killed.
                dead._finish = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
            await until(lambda: not link.connected)
            async with collecting(address, clock, second) as heir:
                clock.advance(5)
                await until(lambda: len(second.got) == 10)
                told = {item.timestamp: heir.deliveries.of(place) for place, item in enumerate(second.got, 1)}
                assert told == origins
                assert not any(item.replayed for item in second.got)
                second.kept = 10
                clock.advance(PAUSE)
                await until(lambda: link.window.is_empty)


async def test_a_collector_that_ends_in_order_says_first_what_it_has() -> None:
    clock, handlers, heir = FakeClock(), Handlers(), Handlers()
    with socket_address() as address:
        async with gateway(address, clock) as link:
            await until(lambda: link._redial is not None)
            async with collecting(address, clock, handlers):
                clock.advance(5)
                await until(lambda: link.connected)
                await link.handle([state(number) for number in range(10)])
                await until(lambda: link.acknowledged == 10)
                assert link.window.unkept == 10
            await until(lambda: not link.connected)
            assert handlers.hurried == 1
            assert link.window.is_empty
            async with collecting(address, clock, heir):
                clock.advance(5)
                await link.handle([state(10)])
                await until(lambda: times(heir.got)[-1:] == [10])
            assert [item.timestamp for item in heir.got if not item.replayed and item.session_id] == [10]


class Slow:
    """A handler with much to do for each hundred events."""

    name = "slow"
    mask = EventType.ALL

    def __init__(self) -> None:
        self.got = 0

    async def start(self) -> None: ...

    async def handle(self, batch: Sequence[Event]) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        self.got += len(batch)

    async def stop(self) -> None: ...


async def test_what_a_gateway_has_piled_up_fills_no_queue_of_the_collector_to_the_brim() -> None:
    count, clock, slow = 45_000, LoopClock(), Slow()
    bus = EventBus(clock)
    subscription = bus.add(slow)
    with socket_address() as address:
        async with bus:
            intake = StreamIntake(StreamConfig(), clock)
            intake.progress = bus
            intake.listen_on(address)
            link = LinkHandler(address, server_name="gw", clock=clock)
            for start in range(0, count, 100):
                await link.handle([state(number) for number in range(start, start + 100)])
            await intake.start(bus.publish)
            await link.start()
            await until(lambda: slow.got == count)
            await link.stop()
            await intake.stop()
    assert not subscription.dropped
