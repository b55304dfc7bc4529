"""Who reads which queue of a consistent-hash exchange, and what is published to it."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.core.events import Core, Session, encode_json, event
from appliance.handlers.output.rabbitmq import RabbitMqOutput, RabbitMqOutputConfig, key_of, share_of
from appliance.intake.rabbitmq import RabbitMqIntake, RabbitMqIntakeConfig
from appliance.intake.shares import surplus
from appliance.net.rabbitmq import RabbitMqConfig, connect, share_names
from tests.clock import FakeClock
from tests.handlers.harness import context
from tests.peers.rabbitmq import RabbitMq


@pytest.mark.parametrize(
    ("busy", "readers", "left"),
    [
        (range(8), 1, []),
        (range(8), 2, [4, 5, 6, 7]),
        ([1, 3, 5, 6], 2, []),
        (range(8), 3, [3, 4, 5, 6, 7]),
        ([0, 2, 7], 3, []),
        (range(8), 20, [1, 2, 3, 4, 5, 6, 7]),
        ([], 2, []),
        (range(8), 0, []),
    ],
)
def test_a_collector_leaves_what_is_more_than_its_part(busy: Any, readers: int, left: list[int]) -> None:
    assert list(surplus(busy, 8, readers)) == left


def test_the_key_is_server_and_session() -> None:
    told = event(Session(name="created"), emitter="gw", timestamp=1, session_id=5)
    start = event(Core(status="started"), emitter="g" * 300, timestamp=1)
    assert key_of(encode_json(told)) == key_of(b"[" + encode_json(told) + b"]") == "gw.5"
    assert key_of(encode_json(start)) == "g" * 300 + ".0"
    # Every publisher gives the same, whatever it runs on.
    assert [share_of(encode_json(replace(told, session_id=number)), 8) for number in range(4)] == [3, 5, 7, 1]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"shares": -1}, "shares"),
        ({"shares": 257, "exchange": "e"}, "shares"),
        ({"shares": 4}, "exchange"),
        ({"shares": 4, "exchange": "e", "queue": ""}, "queue"),
        ({"balance_s": 0}, "balance_s"),
    ],
)
def test_intake_settings_that_make_no_sense_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RabbitMqIntake(RabbitMqIntakeConfig(**settings), FakeClock())


@pytest.mark.parametrize(
    ("settings", "named"), [({"shares": -1}, "shares"), ({"shares": 4}, "exchange"), ({"shares": 300}, "shares")]
)
def test_output_settings_that_make_no_sense_are_refused(settings: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=named):
        RabbitMqOutput(RabbitMqOutputConfig(**settings), context(tmp_path))


@pytest.mark.interop
async def test_a_session_is_in_one_queue_and_each_queue_has_some(shared_rabbitmq: RabbitMq, tmp_path: Path) -> None:
    name = f"events-{uuid.uuid4().hex[:8]}"
    config = RabbitMqOutputConfig(port=shared_rabbitmq.port, password="guest", exchange=name, route_key=name, shares=4)
    output = RabbitMqOutput(config, context(tmp_path))
    await output.start()
    for first in range(0, 400, 100):
        await output.handle(
            [
                event(Session(name="created"), emitter="gw", timestamp=number, session_id=number % 50)
                for number in range(first, first + 100)
            ]
        )
    await output.stop()
    found: dict[int, list[tuple[int, int]]] = {}
    async with connect(RabbitMqConfig(port=shared_rabbitmq.port), "guest", name="test") as broker:
        for place, one in enumerate(share_names(name, 4)):
            queue = await broker.queue(one)
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                for item in json.loads(message.body):
                    found.setdefault(item["session_id"], []).append((place, item["timestamp"]))
    assert len(found) == 50
    assert {places for told in found.values() for places, _ in told} == {0, 1, 2, 3}
    for session, told in found.items():
        assert len({place for place, _ in told}) == 1
        assert [when for _, when in told] == [session + 50 * turn for turn in range(8)]


@pytest.mark.interop
async def test_a_queue_that_somebody_deletes_is_made_again_and_nothing_is_lost(
    shared_rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    name = f"events-{uuid.uuid4().hex[:8]}"
    config = RabbitMqOutputConfig(port=shared_rabbitmq.port, password="guest", exchange=name, route_key=name, shares=2)
    output = RabbitMqOutput(config, context(tmp_path))
    await output.start()
    told = [event(Session(name="created"), emitter="gw", timestamp=1, session_id=number) for number in range(20)]
    await output.handle(told[:1])
    async with connect(RabbitMqConfig(port=shared_rabbitmq.port), "guest", name="test") as broker:
        for one in share_names(name, 2):
            await broker.channel.queue_delete(one)
        await output.handle(told)
        await output.stop()
        found: set[int] = set()
        for one in share_names(name, 2):
            queue = await broker.queue(one)
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                found |= {item["session_id"] for item in json.loads(message.body)}
    assert found == set(range(20))
    assert output.attempts["failed"] >= 1
