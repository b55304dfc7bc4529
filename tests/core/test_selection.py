"""What a handler is given of the events of its mask."""

from collections.abc import Sequence

import pytest

from appliance.core.bus import EventBus
from appliance.core.events import (
    Body,
    Connection,
    Core,
    Event,
    EventType,
    Handle,
    IceState,
    MediaStats,
    Plugin,
    RtcpReport,
    Session,
    event,
)
from appliance.core.selection import MAX_HANDLES, SelectConfig, Selector, Whereabouts, selector_of
from tests.clock import FakeClock


class Taker:
    """A consumer that is only there for its queue."""

    name = "taker"
    mask = EventType.ALL

    async def start(self) -> None: ...
    async def handle(self, batch: Sequence[Event]) -> None: ...
    async def stop(self) -> None: ...


def told(events: Sequence[Event], config: SelectConfig) -> list[int]:
    """The timestamps of what comes through."""
    bus = EventBus(FakeClock())
    subscription = bus.add(Taker(), selector=Selector(config))
    for item in events:
        bus.publish(item)
    return [item.timestamp for item in subscription.take(10_000)]


def at(moment: int, body: Body, handle: int | None = 1, emitter: str = "a") -> Event:
    session = None if body.type in {EventType.CORE, EventType.TRANSPORT} else 7
    return event(body, emitter=emitter, timestamp=moment, session_id=session, handle_id=handle)


def room(name: str, number: int | str) -> Plugin:
    return Plugin(plugin=f"janus.plugin.{name}", data={"event": "joined", "room": number})


CALLS = [
    at(0, Core(status="started"), None),
    at(1, Session(name="created"), None),
    at(2, Handle(name="attached", plugin="janus.plugin.videoroom"), 1),
    at(3, Handle(name="attached", plugin="janus.plugin.echotest"), 2),
    at(4, room("videoroom", 1234), 1),
    at(5, IceState(ice="connected"), 1),
    at(6, IceState(ice="connected"), 2),
    at(7, Handle(name="attached", plugin="janus.plugin.videoroom"), 3),
    at(8, room("videoroom", "5678"), 3),
    at(9, IceState(ice="connected"), 3),
    # Janus tells who leaves without naming a handle.
    at(10, room("videoroom", 1234), None),
    at(11, room("videoroom", 5678), None),
    at(12, Handle(name="detached", plugin="janus.plugin.videoroom"), 3),
    at(13, IceState(ice="connected"), 1, "b"),
    at(14, Session(name="destroyed"), None),
]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SelectConfig(servers=["a", "b"]), list(range(15))),
        (SelectConfig(servers=["b"]), [13]),
        (SelectConfig(plugins=["echotest"]), [0, 1, 3, 6, 14]),
        (SelectConfig(plugins=["janus.plugin.videoroom"]), [0, 1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 14]),
        (SelectConfig(rooms=["1234"]), [0, 1, 2, 3, 4, 5, 7, 10, 14]),
        (SelectConfig(rooms=["5678"], plugins=["videoroom"]), [0, 1, 2, 7, 8, 9, 11, 12, 14]),
    ],
)
def test_servers_plugins_and_rooms(config: SelectConfig, expected: list[int]) -> None:
    assert told(CALLS, config) == expected


def stats(moment: int, mid: str = "0", media: str = "audio", handle: int = 1) -> Event:
    return at(moment, MediaStats(mid=mid, media=media), handle)


def test_statistics_are_thinned_for_each_track_and_the_last_is_told_before_the_hangup() -> None:
    events = [
        *(stats(n) for n in range(8)),
        *(stats(100 + n, "1", "video") for n in range(4)),
        *(stats(200 + n, handle=2) for n in range(2)),
        *(at(300 + n, RtcpReport(direction="in", packet_type=200, ssrc=5)) for n in range(5)),
        at(400, IceState(ice="connected")),
        at(500, Connection(connection="hangup")),
        at(501, Handle(name="detached", plugin="p")),
        at(600, Handle(name="detached", plugin="p"), 2),
    ]
    expected = [0, 3, 6, 100, 103, 200, 300, 303, 400, 7, 304, 500, 501, 201, 600]
    assert told(events, SelectConfig(statistics_every=3)) == expected


def test_a_call_that_begins_again_begins_with_a_statistic() -> None:
    events = [stats(0), stats(1), at(2, Connection(connection="hangup")), stats(3), stats(4)]
    assert told(events, SelectConfig(statistics_every=10)) == [0, 1, 2, 3]


def test_what_is_left_out_is_counted() -> None:
    bus = EventBus(FakeClock())
    bus.add(Taker(), selector=Selector(SelectConfig(servers=["b"], statistics_every=2)))
    for item in (stats(0), at(1, IceState(ice="x"), 1, "b")):
        bus.publish(item)
    counts = {counter.name: counter.value for counter in bus.measure()}
    assert counts["events_left_out_total"] == 1


def test_handles_are_forgotten_before_there_are_too_many() -> None:
    where = Whereabouts()
    first = at(0, Handle(name="attached", plugin="p"), 1)
    where.of(first)
    for number in range(2, MAX_HANDLES + 2):
        where.of(at(0, Handle(name="attached", plugin="q"), number))
    assert where.of(at(0, IceState(ice="x"), 1)).plugin == ""
    assert where.of(at(0, IceState(ice="x"), 2)).plugin == "q"


def test_settings_that_want_everything_cost_nothing() -> None:
    assert selector_of(SelectConfig()) is None
    assert selector_of(SelectConfig(rooms=["1"])) is not None
    with pytest.raises(ValueError, match="statistics_every: 0 came, wanted 1 or more"):
        selector_of(SelectConfig(statistics_every=0))
