"""The gateway's end of the link against real collectors, dead ones and rude ones."""

import asyncio
from typing import Any

import pytest

from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import Connection, Event, Gap, Jsep, SessionDescription, decode_msgpack, event
from appliance.handlers.link import STALL_SECONDS, WINDOW, LinkHandler
from appliance.net.link import Ack, Events, Hello, LinkError, Replay, Request, Response, Welcome
from tests.clock import FakeClock
from tests.intake.links import collector, gateway, raw_collector, socket_address, state, stats, times, until


async def test_100_000_events_arrive_once_and_in_order() -> None:
    got: list[int] = []
    with socket_address() as address:
        async with collector(address, lambda item: got.append(item.timestamp)) as intake, gateway(address) as link:
            for start in range(0, 100_000, 100):
                await link.handle([stats(n) for n in range(start, start + 100)])
                await asyncio.sleep(0)
            await until(lambda: link.acknowledged == 100_000)
            assert got == list(range(100_000))
            assert intake.received == 100_000


async def test_it_is_a_consumer_that_the_bus_can_drain() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append):
            link = LinkHandler(address, server_name="gw", clock=LoopClock())
            bus = EventBus(LoopClock())
            bus.add(link)
            async with bus:
                await until(lambda: link.connected)
                for n in range(500):
                    bus.publish(state(n))
            assert times(got) == list(range(500))


async def test_events_wait_for_a_collector_that_is_not_there_yet() -> None:
    got: list[Event] = []
    clock = FakeClock()
    with socket_address() as address:
        async with gateway(address, clock) as link:
            await link.handle([state(n) for n in range(50)])
            await until(lambda: link.failures == 1)
            async with collector(address, got.append):
                clock.advance(0.2)
                await until(lambda: len(got) == 50)
            assert times(got) == list(range(50))


async def test_pauses_between_calls_grow_to_five_seconds() -> None:
    clock = FakeClock()
    with socket_address() as address:
        async with gateway(address, clock) as link:
            for pause in (0.2, 0.5, 1.0, 2.0, 5.0, 5.0):
                await until(lambda: link._redial is not None)
                assert link._redial is not None
                assert link._redial.when - clock.now == pytest.approx(pause)  # type: ignore[attr-defined]  # FakeTimer
                clock.advance(pause)


async def test_what_does_not_fit_is_lost_statistics_first_and_the_gap_is_marked() -> None:
    got: list[Event] = []
    clock = FakeClock()
    with socket_address() as address:
        async with gateway(address, clock, depth=10) as link:
            await until(lambda: link._redial is not None)
            for n in range(8):
                await link.handle([stats(n)])
            for n in range(100, 112):
                await link.handle([state(n)])
            dropped = {c.labels["reason"]: c.value for c in link.measure() if c.name == "events_dropped_total"}
            assert dropped == {"disconnected": 10}
            async with collector(address, got.append):
                clock.advance(0.2)
                await until(lambda: len(got) == 11)
    gap = got[0].body
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.dropped, gap.first_timestamp) == ("link_down", {"media": 8, "webrtc": 2}, 0)
    assert times(got[1:]) == list(range(102, 112))


async def test_a_collector_that_dies_in_the_middle_of_a_batch_has_its_successor_get_everything() -> None:
    got: list[Event] = []
    clock = FakeClock()
    with socket_address() as address:
        async with gateway(address, clock) as link:
            await until(lambda: link._redial is not None)
            async with raw_collector(address) as arrived:
                clock.advance(0.2)
                peer = await arrived.get()
                assert isinstance(await peer.receive(), Hello)
                peer.send(Welcome(v=1))
                await until(lambda: link.connected)
                await link.handle([state(n, handle=n % 10) for n in range(300)])
                first = await peer.receive()
                assert isinstance(first, Events) and first.seq == 0 and len(first.events) == 100
                peer.send(Ack(next=100))
                await until(lambda: link.acknowledged == 100)
                await peer.close()
            await until(lambda: not link.connected)
            await link.handle([state(300)])
            async with collector(address, got.append):
                clock.advance(0.2)
                await until(lambda: got and got[-1].timestamp == 300)
    replayed = [item for item in got if item.replayed]
    gap = got[len(replayed)]
    assert times(replayed) == list(range(100)), "acknowledged, and told again because the new one can't know"
    assert isinstance(gap.body, Gap) and gap.body.reason == "restart"
    assert times(got[len(replayed) + 1 :]) == list(range(100, 301))


async def test_a_connection_that_breaks_costs_nothing_and_doubles_nothing() -> None:
    got: list[Event] = []
    clock = FakeClock()
    with socket_address() as address:
        async with collector(address, got.append) as intake, gateway(address, clock) as link:
            await until(lambda: link.connected)
            for start in range(0, 1000, 100):
                await link.handle([state(n) for n in range(start, start + 100)])
                for connection in list(intake._connections):
                    connection.abort("cut")
                await until(lambda: link._redial is not None)
                clock.advance(5)
                await until(lambda: link.connected)
            await until(lambda: got and got[-1].timestamp == 999)
    assert times(got) == list(range(1000))


async def test_a_new_collector_is_told_the_state_of_calls_and_no_statistics() -> None:
    first: list[Event] = []
    second: list[Event] = []
    clock = FakeClock()
    with socket_address() as address:
        async with gateway(address, clock) as link:
            await until(lambda: link._redial is not None)
            async with collector(address, first.append):
                clock.advance(0.2)
                await until(lambda: link.connected)
                await link.handle([state(1), stats(2), state(3, handle=9), stats(4)])
                await until(lambda: link.acknowledged == 4)
            await until(lambda: not link.connected)
            async with collector(address, second.append):
                clock.advance(5)
                await until(lambda: link.connected)
                await link.handle([stats(5)])
                await until(lambda: second and second[-1].timestamp == 5)
    assert [item.replayed for item in first] == [False] * 4
    assert times([item for item in second if item.replayed]) == [1, 3]
    gap = second[2].body
    assert isinstance(gap, Gap) and gap.reason == "restart"
    assert [item.correlation_id for item in (*second[:2], second[3])] == ["1-2-1@gw", "1-9-1@gw", "1-2-1@gw"]


async def test_the_count_of_peerconnections_goes_on_over_a_new_collector() -> None:
    offer = event(
        Jsep(owner="remote", jsep=SessionDescription("offer", "v=0")),
        emitter="gw", timestamp=3, session_id=1, handle_id=2,
    )  # fmt: skip
    hangup = event(Connection(connection="hangup"), emitter="gw", timestamp=2, session_id=1, handle_id=2)
    got: list[Event] = []
    clock = FakeClock()
    with socket_address() as address:
        async with gateway(address, clock) as link:
            await until(lambda: link._redial is not None)
            async with collector(address, lambda item: None):
                clock.advance(0.2)
                await until(lambda: link.connected)
                await link.handle([offer, hangup, offer])
                await until(lambda: link.acknowledged == 3)
            await until(lambda: not link.connected)
            async with collector(address, got.append):
                clock.advance(5)
                await until(lambda: link.connected)
                await link.handle([stats(9)])
                await until(lambda: got and got[-1].timestamp == 9)
    assert [item.correlation_id for item in got] == ["1-2-2@gw", None, "1-2-2@gw"]


async def test_a_collector_that_never_reads_blocks_nothing_and_is_given_up() -> None:
    clock = FakeClock()
    with socket_address() as address:
        async with raw_collector(address) as arrived, gateway(address, clock) as link:
            peer = await arrived.get()
            await peer.receive()
            peer.send(Welcome(v=1))
            await until(lambda: link.connected)
            for start in range(0, 20_000, 100):
                await link.handle([state(n) for n in range(start, start + 100)])
            assert link.window.in_flight <= WINDOW + 100
            for _ in range(int(STALL_SECONDS) + 2):
                clock.advance(1.0)
            await until(lambda: not link.connected)
            await until(lambda: link._redial is not None)
            clock.advance(0.2)
            again = await arrived.get()
            assert isinstance(await again.receive(), Hello)
            again.send(Welcome(v=1, next=0))
            received = 0
            while received < 20_000:
                message = await again.receive()
                assert isinstance(message, Events) and message.seq == received
                assert decode_msgpack(message.events[0]).timestamp == received
                received += len(message.events)
                again.send(Ack(next=received))
            await peer.close()
            await again.close()


async def test_one_that_never_welcomes_is_given_up_too() -> None:
    clock = FakeClock()
    with socket_address() as address:
        async with raw_collector(address) as arrived, gateway(address, clock) as link:
            peer = await arrived.get()
            assert isinstance(await peer.receive(), Hello)
            for _ in range(int(STALL_SECONDS) + 2):
                clock.advance(1.0)
            assert await peer.receive() is None
            await until(lambda: link._redial is not None)
            await peer.close()


async def test_another_version_of_the_link_is_refused_in_words(caplog: pytest.LogCaptureFixture) -> None:
    with socket_address() as address:
        async with raw_collector(address) as arrived, gateway(address):
            peer = await arrived.get()
            await peer.receive()
            peer.send(Welcome(v=2))
            assert await peer.receive() is None
            await until(lambda: "it speaks version 2 of the link, this gateway 1" in caplog.text)
            await peer.close()


async def test_commands_are_served_and_refused() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def serve(verb: str, args: dict[str, Any]) -> dict[str, Any]:
        asked.append((verb, args))
        if verb == "describe":
            return {"state": "up"}
        if verb == "break":
            raise RuntimeError("a bug")
        raise LookupError("no such handle 7")

    with socket_address() as address:
        async with raw_collector(address) as arrived, gateway(address) as link:
            link.on_request = serve
            peer = await arrived.get()
            await peer.receive()
            peer.send(
                Welcome(v=1),
                Request(id=1, verb="describe", args={"handle_id": 7}),
                Request(id=2, verb="hangup"),
                Request(id=3, verb="break"),
            )
            assert [await peer.receive() for _ in range(3)] == [
                Response(id=1, ok=True, result={"state": "up"}),
                Response(id=2, ok=False, error="no such handle 7"),
                Response(id=3, ok=False, error="internal error; see the log"),
            ]
            await peer.close()
    assert asked[0] == ("describe", {"handle_id": 7})


async def test_the_end_waits_for_what_is_on_its_way() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append):
            async with gateway(address) as link:
                await until(lambda: link.connected)
                await link.handle([state(n) for n in range(1000)])
            assert len(got) == 1000


async def test_an_event_that_cannot_be_sent_is_a_gap_and_not_the_end() -> None:
    from appliance.core.events import Plugin

    odd = event(Plugin(plugin="p", data={"thing": object()}), emitter="gw", timestamp=5)
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append), gateway(address) as link:
            await until(lambda: link.connected)
            await link.handle([odd, state(6)])
            await link.handle([state(7)])
            await until(lambda: len(got) == 3)
    assert times([got[0], got[2]]) == [6, 7]
    assert isinstance(got[1].body, Gap) and got[1].body.dropped == {"plugins": 1}


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(LinkError, match="wanted unix:/path or tcp://host:port"):
        LinkHandler("collector:9000", server_name="gw", clock=FakeClock())


async def test_replay_comes_before_anything_new() -> None:
    clock = FakeClock()
    with socket_address() as address:
        async with raw_collector(address) as arrived, gateway(address, clock) as link:
            peer = await arrived.get()
            await peer.receive()
            peer.send(Welcome(v=1))
            await link.handle([state(1)])
            assert isinstance(await peer.receive(), Events)
            peer.send(Ack(next=1))
            await until(lambda: link.acknowledged == 1)
            await peer.close()
            await until(lambda: link._redial is not None)
            await link.handle([state(2)])
            clock.advance(0.2)
            peer = await arrived.get()
            assert isinstance(await peer.receive(), Hello)
            peer.send(Welcome(v=1))
            assert isinstance(await peer.receive(), Replay)
            second = await peer.receive()
            assert isinstance(second, Events) and second.seq == 1
            assert [decode_msgpack(data).timestamp for data in second.events] == [2]
            await peer.close()
