"""The exporter as a scraper sees it."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from appliance.core.bus import EventBus
from appliance.core.events import VERDICT_SCHEMA, Body, Event, EventType, External, event
from appliance.core.handler import EventHandler, HandlerContext, ServesWeb
from appliance.handlers.prometheus import PrometheusConfig, PrometheusHandler
from appliance.metrics.text import OPENMETRICS_TYPE, TEXT_TYPE
from tests.clock import FakeClock
from tests.metrics.test_handles import until
from tests.metrics.traces import read

PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)

Client = TestClient[web.Request, web.Application]


def handler(config: PrometheusConfig | None = None) -> PrometheusHandler:
    clock = FakeClock()

    def publish(_body: Body, _about: Event) -> None:
        raise AssertionError("an exporter has nothing to say on the bus")

    bus = EventBus(clock)
    context = HandlerContext(
        clock=clock, data_dir=Path("/nonexistent"), server_name="collector", publish=publish, bus=bus, measured=[bus]
    )
    return PrometheusHandler(config or PrometheusConfig(), context)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    target = handler()
    await target.handle(until("chrome_echo_http", 5))
    application = web.Application()
    application.add_routes(target.routes())
    async with TestClient(TestServer(application), auto_decompress=False) as found:
        yield found


def test_it_keeps_the_contract() -> None:
    target = handler()
    typed: EventHandler = target
    assert isinstance(target, ServesWeb)
    assert typed.mask == EventType.ALL


@pytest.mark.parametrize("path", ["/metrics", "/metrics/handles"])
async def test_text_is_the_default(client: Client, path: str) -> None:
    response = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert response.status == 200
    assert response.headers["Content-Type"] == TEXT_TYPE
    assert "Content-Encoding" not in response.headers
    assert read(await response.text())


@pytest.mark.parametrize("path", ["/metrics", "/metrics/handles"])
async def test_prometheus_gets_openmetrics_in_gzip(client: Client, path: str) -> None:
    response = await client.get(path, headers={"Accept": PROMETHEUS_ACCEPTS, "Accept-Encoding": "gzip"})
    assert response.headers["Content-Type"] == OPENMETRICS_TYPE
    assert response.headers["Content-Encoding"] == "gzip"
    text = gzip.decompress(await response.read()).decode()
    assert text.endswith("# EOF\n")
    assert "appliance_" in text


async def test_both_say_the_same(client: Client) -> None:
    found = []
    for encoding in ("identity", "gzip"):
        response = await client.get("/metrics/handles", headers={"Accept-Encoding": encoding})
        data = await response.read()
        found.append(gzip.decompress(data) if encoding == "gzip" else data)
    assert found[0] == found[1] != b""


async def test_head_has_no_body(client: Client) -> None:
    response = await client.head("/metrics")
    assert response.status == 200
    assert await response.read() == b""


async def test_a_call_that_ends_while_it_is_written_harms_nothing() -> None:
    target = handler()
    events = until("chrome_echo_http", 5)
    await target.handle(events)
    pieces = target.exporter.handle_pieces(openmetrics=False)
    begun = [next(pieces)]
    await target.handle(until("chrome_echo_http", 7)[len(events) :])
    target.exporter.bounded.population.clear("janus-ref")
    assert read("".join((*begun, *pieces)))


async def test_two_scrapers_at_once(client: Client) -> None:
    async with ClientSession() as session:
        one = await session.get(client.make_url("/metrics/handles"))
        other = await session.get(client.make_url("/metrics/handles"))
        assert read(await one.text()) == read(await other.text())


async def test_every_verdict_of_the_diagnosis_has_a_series() -> None:
    from appliance.diagnosis.verdict import CODES

    target = handler()
    for code in CODES:
        body = External(schema=VERDICT_SCHEMA, data={"code": code})
        await target.handle([event(body, emitter="s", timestamp=1, session_id=1, handle_id=1)])
    values = read("".join(target.exporter.metrics(openmetrics=False)))
    found = {dict(labels)["code"]: value for (name, labels), value in values.items() if name.endswith("verdicts_total")}
    assert found == dict.fromkeys(CODES, 1)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"max_handles": -1}, "max_handles: -1 came, wanted 0 or more"),
        ({"opaque_id": "plain"}, "opaque_id"),
        ({"max_handle": 1}, "max_handle"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(settings, PrometheusConfig)


async def test_its_mask_is_what_was_asked_for() -> None:
    assert handler(PrometheusConfig(events="sessions, webrtc")).mask == EventType.SESSION | EventType.WEBRTC
    with pytest.raises(ValueError, match="unknown event type 'nonsense'"):
        handler(PrometheusConfig(events="nonsense"))
