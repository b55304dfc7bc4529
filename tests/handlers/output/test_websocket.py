"""Events pushed to a real WebSocket server."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance.handlers.output import websocket
from appliance.handlers.output.websocket import WebSocketOutput, WebSocketOutputConfig
from tests.clock import FakeClock
from tests.handlers.harness import context
from tests.handlers.output.backend import Backend, backend, numbered, running, until


def output(server: Backend, **settings: Any) -> Any:
    config = WebSocketOutputConfig(backend=server.ws_url, retransmissions_backoff=1, **settings)
    return partial(WebSocketOutput, config)


async def test_events_that_wait_go_in_groups_on_one_socket(tmp_path: Path) -> None:
    async with backend() as server:
        async with running(output(server, subprotocol="janus-event-handlers"), tmp_path) as (_, bus, _):
            for item in numbered(0, 250):
                bus.publish(item)
        assert [len(json.loads(body)) for body in server.bodies] == [100, 100, 50]
        assert server.sessions == list(range(250))
        assert server.protocols == ["janus-event-handlers"]
        assert len(server.peers) == 1


async def test_a_backend_that_goes_and_comes_back_gets_everything_in_order(tmp_path: Path) -> None:
    async with backend() as server:
        async with running(output(server), tmp_path) as (handler, bus, _):
            for item in numbered(0, 100):
                bus.publish(item)
            await until(lambda: len(server.sessions) == 100)
            await server.stop()
            for item in numbered(100, 300):
                bus.publish(item)
            await server.start()
            await until(lambda: len(server.sessions) >= 400)
            assert handler.attempts["ok"] == 4
        assert server.sessions == list(range(400))


async def test_a_backend_that_does_not_read_is_given_up_and_gets_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "TIMEOUT", 0.2)
    async with backend() as server:
        async with running(output(server), tmp_path) as (handler, bus, _):
            for item in numbered(0, 1):
                bus.publish(item)
            await until(lambda: server.sessions == [0])
            server.open.clear()
            for item in numbered(1, 100):
                bus.publish(item)
            # One more frame may be read by what was waiting for it already.
            await until(lambda: handler.attempts["failed"] >= 1)
            server.open.set()
            await until(lambda: server.sessions[-1:] == [100])
        assert sorted(set(server.sessions)) == list(range(101))


@pytest.mark.parametrize("settings", [{"backend": "http://x/"}, {"backend": "ws://u:p@x/"}, {"user": "u"}])
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        WebSocketOutput(WebSocketOutputConfig(**settings), context(tmp_path, FakeClock()))
