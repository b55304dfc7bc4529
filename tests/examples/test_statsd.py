"""The example event handler: a package of its own, found through its entry point."""

import importlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.components import Components
from appliance.core.bus import EventBus
from appliance.core.events import CALL_SCHEMA, Event, External, event
from appliance.core.handler import EventHandler, HandlerContext
from tests.clock import FakeClock
from tests.examples.install import install
from tests.peers.appliance import appliance

RECORD = {
    "code": "healthy",
    "started_us": 1_000_000,
    "up_us": 1_250_000,
    "ended_us": 9_250_000,
    "duration_us": 8_000_000,
}


@pytest.fixture
def statsd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Any]]:
    for path in install("statsd", tmp_path):
        monkeypatch.syspath_prepend(path)
    importlib.invalidate_caches()
    yield Components("handlers").load("statsd")
    sys.modules.pop("statsd_handler", None)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(5)
        yield bound


def made(statsd: type[Any], port: int, folder: Path) -> Any:
    clock = FakeClock()
    context = HandlerContext(
        clock=clock,
        data_dir=folder,
        server_name="test",
        publish=lambda body, about: None,
        bus=EventBus(clock),
        measured=[],
    )
    handler: EventHandler = statsd(statsd.Config(port=port), context)
    return handler


def record(**changes: Any) -> Event:
    return event(External(schema=CALL_SCHEMA, data=RECORD | changes), emitter="test", timestamp=1)


async def test_a_call_that_is_over_is_told(statsd: type[Any], server: socket.socket, tmp_path: Path) -> None:
    handler = made(statsd, server.getsockname()[1], tmp_path)
    await handler.start()
    await handler.handle([record(), record(code="udp_blocked", up_us=None)])
    assert server.recv(1000) == b"webrtc.calls.healthy:1|c\nwebrtc.setup:250|ms\nwebrtc.duration:8000|ms"
    assert server.recv(1000) == b"webrtc.calls.udp_blocked:1|c"
    await handler.stop()


async def test_what_is_told_again_and_what_is_no_call_is_left_out(
    statsd: type[Any], server: socket.socket, tmp_path: Path
) -> None:
    handler = made(statsd, server.getsockname()[1], tmp_path)
    await handler.start()
    other = event(External(schema="somebody", data={}), emitter="test", timestamp=1)
    await handler.handle([replace(record(), replayed=True), other])
    await handler.handle([record()])
    assert server.recv(1000).startswith(b"webrtc.calls.healthy"), "and nothing before it"
    await handler.stop()


@pytest.mark.parametrize("settings", [{"port": 0}, {"port": 65_536}, {"prefix": "a b"}, {"prefix": ""}], ids=str)
def test_settings_that_make_no_sense_are_refused(statsd: type[Any], settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        statsd.Config(**settings)


async def test_the_appliance_finds_it_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", ":".join(install("statsd", site)))
    async with appliance(tmp_path / "data", ["handlers.statsd.port=9"]) as running:
        assert 'handler="statsd"' in await running.get("/metrics")
