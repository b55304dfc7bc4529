"""Every field of every kind of event that a Janus sends, replaced by each kind of value: refused, or every handler
takes it and the page that explains the call is made.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.core.bus import EventBus
from appliance.core.events import Event, EventDecodeError
from appliance.core.handler import HandlerContext
from appliance.core.stamp import Stamper
from appliance.diagnosis.calls import split
from appliance.diagnosis.explain import explain
from appliance.handlers.diagnosis import DiagnosisConfig, DiagnosisHandler
from appliance.handlers.prometheus import PrometheusConfig, PrometheusHandler
from appliance.handlers.recording.live import LiveCalls
from appliance.intake import dialect
from tests.clock import FakeClock
from tests.handlers.hep_calls import mapper

DATA = Path(__file__).parent.parent / "data/janus-1.4"
SIP = {"emitter": "janus-ref", "type": 64, "event": {
    "plugin": "janus.plugin.sip", "data": {"event": "sip-in", "sip": "OPTIONS sip:a SIP/2.0\r\nCall-ID: 7\r\n\r\n"},
}}  # fmt: skip
VALUES: tuple[object, ...] = (
    None, True, -1, 0, 2**53 - 1, 2**62, 2**70, 1e308, -1e308, 5e-324, "", "\0", "<b>\u202e", "A" * 5000, [], [1], {},
    {"a": [{}]}, "-5", "1 1 udp 1 1.2.3.4 99999 typ host", "v=0\r\nm=audio",
)  # fmt: skip


def trace(name: str) -> list[dict[str, Any]]:
    found = [json.loads(line)["event"] for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]
    plugin = next(item for item in found if item["type"] == 64)
    return [*found, {**plugin, **SIP}]


def places(value: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Everywhere in a document."""
    yield place
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:2]):
            yield from places(inner, (*place, index))


def replaced(value: Any, place: tuple[str | int, ...], by: object) -> Any:
    if not place:
        return by
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], by)
    return copy


def mutilated(items: list[dict[str, Any]]) -> Iterator[list[Event]]:
    """The call, once for each event: behind it stands everything that can be made of it."""
    seen: set[tuple[object, ...]] = set()
    for index, item in enumerate(items):
        stamper, found = Stamper(FakeClock()), []
        new = [place for place in places(item) if (key := (item["type"], item.get("subtype"), place)) not in seen
               and not seen.add(key) and len(place) < 5]  # type: ignore[func-returns-value]  # fmt: skip
        changed = [replaced(item, place, value) for place in new for value in VALUES]
        if not changed:
            continue
        for given in [*items[: index + 1], *changed, *items[index + 1 :]]:
            try:
                found += [stamper.stamp(event) for event in dialect.read(dialect.decode(json.dumps(given).encode()))]
            except EventDecodeError:
                continue
        yield found


@pytest.mark.parametrize("name", ["aiortc_echo", "chrome_echo_http", "videoroom_http"])
async def test_no_handler_loses_a_batch_by_what_a_server_says(name: str) -> None:
    clock = FakeClock()
    context = HandlerContext(
        clock=clock, data_dir=Path(), server_name="test", publish=lambda _body, _about: None, bus=EventBus(clock),
        measured=[],
    )  # fmt: skip
    for events in mutilated(trace(name)[:120]):
        hep, live = mapper(), LiveCalls(max_events=100)
        diagnosis, prometheus = (
            DiagnosisHandler(DiagnosisConfig(), context), PrometheusHandler(PrometheusConfig(), context),
        )  # fmt: skip
        for item in events:
            hep.take(item, clock.now)
            live.add(item)
        await diagnosis.handle(events)
        await prometheus.handle(events)
        hep.flush()
        for _call, said in split(events).items():
            explain(said, now_us=events[-1].timestamp)
