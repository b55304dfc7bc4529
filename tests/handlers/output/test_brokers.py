"""Events published to real brokers, which are killed and started again meanwhile."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from appliance.core.bus import EventBus
from appliance.core.events import Event, Session, event
from appliance.handlers.output.mqtt import MqttOutput, MqttOutputConfig
from appliance.handlers.output.rabbitmq import RabbitMqOutput, RabbitMqOutputConfig
from appliance.intake.mqtt import MqttIntake, MqttIntakeConfig
from appliance.intake.rabbitmq import RabbitMqIntake, RabbitMqIntakeConfig
from appliance.net.rabbitmq import RabbitMqConfig, connect
from tests.clock import FakeClock
from tests.handlers.harness import context
from tests.handlers.output.backend import numbered, running, until
from tests.peers.mosquitto import Mosquitto, mosquitto
from tests.peers.rabbitmq import RabbitMq

pytestmark = pytest.mark.interop

LOAD = int(os.environ.get("APPLIANCE_BROKER_LOAD", "10000"))
"""Events while a broker is killed; 100000 takes a minute."""
SESSIONS = 50


def fresh(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def to_rabbitmq(broker: RabbitMq, **settings: Any) -> Any:
    config = RabbitMqOutputConfig(port=broker.port, password="guest", retransmissions_backoff=10, **settings)
    return partial(RabbitMqOutput, config)


def to_mqtt(broker: Mosquitto, **settings: Any) -> Any:
    return partial(MqttOutput, MqttOutputConfig(port=broker.port, retransmissions_backoff=10, **settings))


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("exchange", ["", "fanout"])
async def test_rabbitmq_has_what_rabbitmqevh_would_publish_and_has_said_so(
    shared_rabbitmq: RabbitMq, tmp_path: Path, exchange: str, grouping: bool
) -> None:
    key = fresh("janus-events")
    settings: dict[str, Any] = {"route_key": key, "exchange": fresh("janus-exchange") if exchange else ""}
    async with running(to_rabbitmq(shared_rabbitmq, grouping=grouping, **settings), tmp_path) as (handler, bus, _):
        for item in numbered(0, 250):
            bus.publish(item)
    # The bus has ended with everything confirmed, so everything is there.
    assert handler.attempts == {"ok": 3 if grouping else 250, "failed": 0}
    async with connect(RabbitMqConfig(port=shared_rabbitmq.port), "guest", name="test") as broker:
        queue = await broker.queue(key)
        found: list[int] = []
        for _ in range(3 if grouping else 250):
            message = await queue.get(no_ack=True)
            body = json.loads(message.body)
            found += [item["session_id"] for item in (body if grouping else [body])]
            assert message.content_type == "application/json"
            assert message.delivery_mode == 2
        assert found == list(range(250))
        assert await queue.get(no_ack=True, fail=False) is None


async def test_what_waits_for_rabbitmq_is_published_once_it_can_be_had(
    shared_rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    broker = shared_rabbitmq
    broker.kill()
    async with running(to_rabbitmq(broker, spool=True), tmp_path) as (handler, bus, subscription):
        for item in numbered(0, 500):
            bus.publish(item)
        await until(lambda: subscription.delivered == 500, 20)
        assert not getattr(handler, "connected", True)
        await asyncio.to_thread(broker.start)
        async with taking(broker) as got:
            await until(lambda: len(got) == 500, 30)
        assert [item.session_id for item in got] == list(range(500))


@asynccontextmanager
async def taking(broker: RabbitMq) -> AsyncIterator[list[Event]]:
    """A collector's intake behind the broker."""
    got: list[Event] = []
    config = RabbitMqIntakeConfig(port=broker.port, password="guest", queue="janus-events", durable=True)
    intake = RabbitMqIntake(config, FakeClock())
    await intake.start(got.append)
    try:
        yield got
    finally:
        await intake.stop()


async def publish_at_a_rate(bus: EventBus, events: list[Event]) -> None:
    """As much at a time as the queue has room for."""
    (subscription,) = bus.subscriptions
    for item in events:
        while len(subscription) >= subscription.depth:  # noqa: ASYNC110  # a turn of the loop at a time
            await asyncio.sleep(0.001)
        bus.publish(item)


def load() -> list[Event]:
    """Many sessions' events in turn; the timestamp counts within a session."""
    return [
        event(Session(name="created"), emitter="s", timestamp=number // SESSIONS, session_id=number % SESSIONS)
        for number in range(LOAD)
    ]


def is_complete_and_in_order(got: list[Event]) -> bool:
    wanted = list(range(LOAD // SESSIONS))
    return all([item.timestamp for item in got if item.session_id == session] == wanted for session in range(SESSIONS))


async def test_a_rabbitmq_killed_under_load_loses_nothing_and_doubles_nothing(
    shared_rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    async with (
        taking(shared_rabbitmq) as got,
        running(to_rabbitmq(shared_rabbitmq), tmp_path, depth=2000) as (handler, bus, queue),
    ):
        gone = asyncio.Event()

        async def publish() -> None:
            told = load()
            await publish_at_a_rate(bus, told[: LOAD // 2])
            await gone.wait()
            await publish_at_a_rate(bus, told[LOAD // 2 :])

        source = asyncio.create_task(publish())
        await until(lambda: len(got) > LOAD / 4, 60)
        shared_rabbitmq.kill()
        gone.set()
        await until(lambda: handler.attempts["failed"] > 0, 60)
        await asyncio.to_thread(shared_rabbitmq.start)
        await source
        await until(lambda: len(got) >= LOAD and not len(queue), 60)
        assert len(got) == LOAD
        assert is_complete_and_in_order(got)
        assert not queue.dropped


async def test_a_mosquitto_that_restarts_under_load_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        got: list[Event] = []
        settings: dict[str, Any] = {"client_id": "collector", "topics": ["/janus/events/#"]}
        intake = MqttIntake(MqttIntakeConfig(port=broker.port, **settings), FakeClock())
        await intake.start(got.append)
        async with running(to_mqtt(broker), tmp_path, depth=2000) as (_, bus, queue):
            await until(lambda: intake.connected)
            source = asyncio.create_task(publish_at_a_rate(bus, load()))
            await until(lambda: len(got) > LOAD / 2, 60)
            # In order, because Mosquitto writes down what it holds when it ends, and else every half hour.
            await asyncio.to_thread(broker.stop)
            await asyncio.to_thread(broker.start)
            await source
            await until(lambda: len(got) >= LOAD and not len(queue), 60)
            await intake.stop()
            assert len(got) == LOAD
            assert is_complete_and_in_order(got)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("by_type", [True, False])
async def test_mqtt_has_what_mqttevh_would_publish(
    shared_mosquitto: Mosquitto, tmp_path: Path, version: str, by_type: bool
) -> None:
    topic = f"/janus/{uuid.uuid4().hex[:8]}"
    told: list[tuple[str, dict[str, Any]]] = []
    protocol = aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311
    async with aiomqtt.Client("127.0.0.1", shared_mosquitto.port, protocol=protocol) as client:
        await client.subscribe(f"{topic}/#", qos=1)
        settings = {"topic": topic, "topic_by_type": by_type, "mqtt_version": version}
        async with running(to_mqtt(shared_mosquitto, **settings), tmp_path) as (_, bus, _):
            for item in numbered(0, 120):
                bus.publish(item)
        async for message in client.messages:
            told.append((str(message.topic), json.loads(message.payload)))
            if told[-1][1].get("event") == "disconnected":
                break
    place = f"{topic}/sessions" if by_type else topic
    assert told[0] == (f"{topic}/status", {"event": "connected", "eventhandler": "janus.eventhandler.mqttevh"})
    assert [where for where, _ in told[1:-1]] == [place] * 120
    assert [item["session_id"] for _, item in told[1:-1]] == list(range(120))
    assert told[1][1] == {
        "emitter": "s", "type": 1, "timestamp": 0, "session_id": 0, "event": {"name": "created"},
        "eventtype": "Sessions",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (RabbitMqOutput, RabbitMqOutputConfig(route_key="")),
        (RabbitMqOutput, RabbitMqOutputConfig(tls=True, tls_ca_file="/does/not/exist")),
        (MqttOutput, MqttOutputConfig(topic="/a/#")),
        (MqttOutput, MqttOutputConfig(qos=3)),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, kind: Any, settings: Any) -> None:
    with pytest.raises(ValueError, match=r"wanted|does/not/exist"):
        kind(settings, context(tmp_path, FakeClock()))
