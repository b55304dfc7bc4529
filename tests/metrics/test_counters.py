"""Counts that others keep."""

from collections.abc import Iterable

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from appliance.core.bus import EventBus
from appliance.core.events import Counter, Counters, Event, EventType, event
from appliance.core.measure import Durations
from appliance.metrics.exporter import Exporter
from tests.clock import FakeClock
from tests.metrics.traces import Scrape

GATEWAY = "gateway-1"


def told(clock: FakeClock, *counters: Counter) -> Event:
    return event(Counters(counters=counters), emitter=GATEWAY, timestamp=clock.wall_us())


def value(target: Exporter, name: str, **labels: str) -> float | None:
    return Scrape(target).values.get((f"appliance_{name}", frozenset(labels.items())))


def test_a_gateways_counts_are_shown_as_its_own() -> None:
    clock = FakeClock()
    target = Exporter(clock, server_name="collector")
    labels = {"transport": "http", "request": "create", "outcome": "success"}
    target.take(told(clock, Counter("api_requests_total", 7, labels), Counter("not_declared_total", 1)))
    assert value(target, "api_requests_total", server=GATEWAY, **labels) == 7
    assert "not_declared" not in Scrape(target).text
    target.take(told(clock, Counter("api_requests_total", 2, labels)))
    assert value(target, "api_requests_total", server=GATEWAY, **labels) == 2, (
        "it started again, as Prometheus will see"
    )


def test_unknown_label_values_become_one() -> None:
    clock = FakeClock()
    target = Exporter(clock, server_name="collector")
    counters = [
        Counter("api_requests_total", 1, {"transport": f"t{n}", "request": f"r{n}", "outcome": "ok", "extra": str(n)})
        for n in range(500)
    ]
    target.take(told(clock, *counters, Counter("link_connected", float("nan"))))
    assert (
        value(target, "api_requests_total", server=GATEWAY, transport="other", request="other", outcome="other") == 500
    )
    assert value(target, "link_connected", server=GATEWAY) is None


def test_a_silent_gateway_is_no_longer_shown() -> None:
    clock = FakeClock()
    target = Exporter(clock, server_name="collector")
    target.take(told(clock, Counter("link_connected", 1)))
    clock.advance(59)
    assert value(target, "link_connected", server=GATEWAY) == 1
    clock.advance(2)
    assert value(target, "link_connected", server=GATEWAY) is None


class Counts:
    def __init__(self, *counters: Counter) -> None:
        self.counters = counters

    def measure(self) -> Iterable[Counter]:
        return self.counters


def test_this_process_is_asked_at_each_scrape() -> None:
    clock = FakeClock()
    measured = [Counts(Counter("hep_packets_sent_total", 3, {"transport": "udp", "proto_type": "1"}))]
    target = Exporter(clock, server_name="collector", measured=measured)
    labels = {"server": "collector", "transport": "udp", "proto_type": "1"}
    assert value(target, "hep_packets_sent_total", **labels) == 3
    measured.append(Counts(Counter("hep_packets_sent_total", 4, {"transport": "udp", "proto_type": "1"})))
    assert value(target, "hep_packets_sent_total", **labels) == 7


class Consumer:
    name = "store"
    mask = EventType.ALL

    async def start(self) -> None: ...

    async def handle(self, batch: object) -> None: ...

    async def stop(self) -> None: ...


async def test_the_bus_is_shown_with_its_durations() -> None:
    clock = FakeClock()
    bus = EventBus(clock)
    bus.add(Consumer(), depth=5)
    target = Exporter(clock, server_name="collector", measured=[bus])
    async with bus:
        for _ in range(3):
            bus.publish(told(clock))
        assert value(target, "event_queue_length", server="collector", handler="store") == 3
        assert value(target, "event_queue_capacity", server="collector", handler="store") == 5
    assert value(target, "events_delivered_total", server="collector", handler="store", outcome="ok") == 3
    assert value(target, "event_delivery_duration_seconds_count", server="collector", handler="store") == 1
    assert value(target, "event_delivery_duration_seconds_sum", server="collector", handler="store") == 0
    quickest = {"server": "collector", "handler": "store", "le": "0.0005"}
    assert value(target, "event_delivery_duration_seconds_bucket", **quickest) == 1


def test_durations_are_a_histogram() -> None:
    durations = Durations()
    for seconds in (0.0005, 0.0006, 0.2, 7.0):
        durations.add(seconds)
    clock = FakeClock()
    target = Exporter(clock, server_name="collector")
    labels = {"transport": "http", "request": "create"}
    counters = list(durations.measure("api_request_duration_seconds", labels))
    strange = Counter("api_request_duration_seconds_bucket", 9, labels | {"le": "made up"})
    target.take(told(clock, *counters, strange))
    found = {
        bound: value(target, "api_request_duration_seconds_bucket", server=GATEWAY, le=bound, **labels)
        for bound in ("0.0005", "0.001", "0.1", "0.25", "5.0", "+Inf", "made up")
    }
    assert found == {"0.0005": 1, "0.001": 2, "0.1": 2, "0.25": 3, "5.0": 3, "+Inf": 4, "made up": None}
    assert value(target, "api_request_duration_seconds_count", server=GATEWAY, **labels) == 4
    assert value(target, "api_request_duration_seconds_sum", server=GATEWAY, **labels) == 7.2011
    text = "".join(target.metrics(openmetrics=True))
    assert "# TYPE appliance_api_request_duration_seconds histogram\n" in text
    assert len(list(openmetrics_families(text))) > 10  # type: ignore[no-untyped-call]
