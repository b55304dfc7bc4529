"""What rabbitmqevh and mqttevh publish, through real brokers."""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import aiomqtt
import pytest

from appliance.core.events import Event
from appliance.intake.doubles import MAX_KNOWN
from appliance.intake.mqtt import MqttIntake, MqttIntakeConfig
from appliance.intake.rabbitmq import RabbitMqIntake, RabbitMqIntakeConfig
from appliance.intake.reader import Reader
from appliance.net.mqtt import MqttConfig
from appliance.net.rabbitmq import Broker, RabbitMqConfig, connect
from tests.clock import FakeClock
from tests.intake.pushed import BAD, EVENT, GOOD, LIMIT, outcomes, recorded, until
from tests.peers.mosquitto import Mosquitto, mosquitto
from tests.peers.rabbitmq import RabbitMq

pytestmark = pytest.mark.interop


# --- RabbitMQ ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def reading(
    broker: RabbitMq, slow: "Slow | None" = None, **settings: Any
) -> AsyncIterator[tuple[RabbitMqIntake, list[Event]]]:
    got: list[Event] = []
    config = RabbitMqIntakeConfig(port=broker.port, password="guest", max_message_bytes=LIMIT, **settings)
    intake = RabbitMqIntake(config, FakeClock())
    if slow is not None:
        intake.progress, slow.taken = slow, got
    await intake.start(got.append)
    try:
        yield intake, got
    finally:
        await intake.stop()


@asynccontextmanager
async def publishing(broker: RabbitMq) -> AsyncIterator[Broker]:
    async with connect(RabbitMqConfig(port=broker.port), "guest", name="test") as connection:
        yield connection


def fresh(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def settled(broker: Broker, queue: str) -> bool:
    """Nothing waits there any more."""
    declared = await broker.channel.declare_queue(queue, passive=True)
    return declared.declaration_result.message_count == 0


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("kind", ["default exchange", "fanout", "direct"])
async def test_a_janus_servers_messages_arrive_as_they_were(
    shared_rabbitmq: RabbitMq, kind: str, durable: bool
) -> None:
    frames, expected = recorded()
    queue = fresh("janus-events")
    exchange = "" if kind == "default exchange" else fresh("janus-exchange")
    async with publishing(shared_rabbitmq) as broker:
        # As rabbitmqevh does, before anybody listens: never durable, but an operator may have made it so.
        await broker.channel.declare_queue(queue, durable=durable)
        where: aio_pika.abc.AbstractExchange = broker.channel.default_exchange
        if exchange:
            where = await broker.channel.declare_exchange(exchange, kind, durable=durable)
        settings: dict[str, Any] = {
            "queue": queue,
            "exchange": exchange,
            "exchange_type": kind if exchange else "fanout",
        }
        async with reading(shared_rabbitmq, **settings) as (intake, got):
            await until(lambda: intake.connected)
            for frame in frames:
                await where.publish(aio_pika.Message(frame, content_type="application/json"), queue)
            await until(lambda: len(got) >= len(expected))
            assert got == expected
            assert intake.reader.malformed == intake.reader.refused == intake.reader.doubles == 0
        assert await settled(broker, queue)


async def test_without_a_queues_name_it_takes_what_comes_while_it_is_there(shared_rabbitmq: RabbitMq) -> None:
    name = fresh("janus-exchange")
    async with (
        reading(shared_rabbitmq, queue="", exchange=name) as (intake, got),
        publishing(shared_rabbitmq) as broker,
    ):
        await until(lambda: intake.connected)
        exchange = await broker.exchange(name, "fanout")
        await exchange.publish(aio_pika.Message(GOOD), "any")
        await until(lambda: len(got) == 1)


async def test_what_is_no_event_is_rejected_and_the_rest_goes_on(shared_rabbitmq: RabbitMq) -> None:
    queue = fresh("janus-events")
    async with reading(shared_rabbitmq, queue=queue) as (intake, got), publishing(shared_rabbitmq) as broker:
        await until(lambda: intake.connected)
        for message in (*BAD.values(), json.dumps([{"a": 1}, EVENT]).encode(), GOOD):
            await broker.channel.default_exchange.publish(aio_pika.Message(message), queue)
        await until(lambda: len(got) == 2)
        counts = outcomes(list(intake.measure()))
        assert counts["refused"] == 1
        assert counts["malformed"] >= len(BAD) - 1
        await until(lambda: intake.connected)
        assert await settled(broker, queue)


async def test_a_message_that_the_broker_brings_again_is_taken_once(shared_rabbitmq: RabbitMq) -> None:
    queue = fresh("janus-events")
    async with reading(shared_rabbitmq, queue=queue) as (intake, got), publishing(shared_rabbitmq) as broker:
        await until(lambda: intake.connected)
        send = broker.channel.default_exchange.publish
        for name in ("a", "b", "a", "b", "c"):
            await send(aio_pika.Message(GOOD, message_id=name), queue)
        await until(lambda: len(got) == 3 and intake.reader.doubles == 2)


def test_of_messages_without_a_name_only_the_broker_knows_which_come_again() -> None:
    reader = Reader("rabbitmq", max_bytes=LIMIT)
    told = [reader.is_double("", data, again=again) for data, again in (
        (GOOD, False), (GOOD, False), (GOOD, True), (b"other", True), (b"other", True),
    )]  # fmt: skip
    assert told == [False, False, True, False, True]
    for number in range(MAX_KNOWN):
        reader.is_double(str(number), b"", again=False)
    assert not reader.is_double("", GOOD, again=True)


class Slow:
    """Handlers that keep what they are told to have kept."""

    def __init__(self) -> None:
        self.kept = 0
        self.hurried = 0
        self.taken: list[Event] = []

    @property
    def last_number(self) -> int:
        return len(self.taken)

    def has_room(self) -> bool:
        return True

    def can_keep(self) -> bool:
        return True

    def kept_until(self) -> int:
        return self.kept

    def hurry(self) -> None:
        self.hurried += 1


async def test_a_message_is_the_brokers_until_its_events_are_kept(shared_rabbitmq: RabbitMq) -> None:
    queue = fresh("janus-events")
    messages = [json.dumps([EVENT | {"timestamp": 10 * n + k} for k in range(2)]).encode() for n in range(5)]
    async with publishing(shared_rabbitmq) as broker:
        await broker.queue(queue)
        for number, message in enumerate(messages):
            await broker.channel.default_exchange.publish(aio_pika.Message(message, message_id=f"m{number}"), queue)
        slow = Slow()
        async with reading(shared_rabbitmq, slow, queue=queue, prefetch=4) as (intake, got):
            # No further one comes before the first is acknowledged, so the handlers are asked to hurry.
            await until(lambda: len(got) == 8 and slow.hurried > 0)
            assert [intake.deliveries.of(number) for number in (1, 2, 8)] == [("m0", 0), ("m0", 1), ("m3", 1)]
            slow.kept = 5
            await until(lambda: len(got) == 10)
            assert intake.deliveries.of(5) is None
            slow.kept = 6
            await until(lambda: intake.deliveries.of(6) is None)
        # It went with four events in hand: their two messages come again, to the next.
        async with reading(shared_rabbitmq, queue=queue) as (_, again):
            await until(lambda: len(again) == 4)
            assert [item.timestamp for item in again] == [30, 31, 40, 41]
        assert await settled(broker, queue)


async def test_what_needs_not_be_kept_is_acknowledged_at_once(shared_rabbitmq: RabbitMq) -> None:
    queue = fresh("janus-events")
    async with (
        publishing(shared_rabbitmq) as broker,
        reading(shared_rabbitmq, Slow(), queue=queue, prefetch=1, acknowledge="taken") as (intake, got),
    ):
        await until(lambda: intake.connected)
        for _ in range(3):
            await broker.channel.default_exchange.publish(aio_pika.Message(GOOD), queue)
        await until(lambda: len(got) == 3)


async def test_two_collectors_share_a_queue(shared_rabbitmq: RabbitMq) -> None:
    queue = fresh("janus-events")
    async with (
        reading(shared_rabbitmq, queue=queue, prefetch=1) as (one, first),
        reading(shared_rabbitmq, queue=queue, prefetch=1) as (two, second),
        publishing(shared_rabbitmq) as broker,
    ):
        await until(lambda: one.connected and two.connected)
        for _ in range(100):
            await broker.channel.default_exchange.publish(aio_pika.Message(GOOD), queue)
        await until(lambda: len(first) + len(second) == 100)


async def test_a_wrong_password_is_told_and_tried_again(
    shared_rabbitmq: RabbitMq, caplog: pytest.LogCaptureFixture
) -> None:
    config = RabbitMqIntakeConfig(port=shared_rabbitmq.port, password="wrong-9f")
    intake = RabbitMqIntake(config, FakeClock())
    await intake.start(lambda _event: None)
    await until(lambda: bool(caplog.records), 20)
    await intake.stop()
    assert "ACCESS_REFUSED" in caplog.text
    assert "wrong-9f" not in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"queue": ""},
        {"prefetch": 0},
        {"acknowledge": "never"},
        {"password_file": "/does/not/exist"},
        {"tls": True, "tls_ca_file": "/does/not/exist"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings)) if "tls" not in settings else "tls_ca_file"):
        RabbitMqIntake(RabbitMqIntakeConfig(**settings), FakeClock())


# --- MQTT ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def subscribed(broker: Mosquitto, **settings: Any) -> AsyncIterator[tuple[MqttIntake, list[Event]]]:
    got: list[Event] = []
    config = MqttIntakeConfig(port=broker.port, max_message_bytes=LIMIT, **settings)
    intake = MqttIntake(config, FakeClock())
    await intake.start(got.append)
    try:
        await until(lambda: intake.connected)
        yield intake, got
    finally:
        await intake.stop()


@asynccontextmanager
async def speaking(broker: Mosquitto, **options: Any) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client("127.0.0.1", broker.port, **options) as client:
        yield client


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_janus_servers_publications_arrive_as_they_were(
    shared_mosquitto: Mosquitto, version: str, qos: int
) -> None:
    frames, expected = recorded()
    events = [event for frame in frames for event in json.loads(frame)]
    topic = f"/janus/{uuid.uuid4().hex[:8]}"
    settings: dict[str, Any] = {"topics": [f"{topic}/#"], "qos": qos, "mqtt_version": version}
    async with subscribed(shared_mosquitto, **settings) as (intake, got), speaking(shared_mosquitto) as client:
        await client.publish(f"{topic}/status", b'{"event":"connected","eventhandler":"janus.eventhandler.mqttevh"}')
        for number, event in enumerate(events):
            # addevent = true, and one topic a type; without, all come on the one topic.
            where = f"{topic}/label" if number % 2 else topic
            await client.publish(where, json.dumps(event | {"eventtype": "Name"}).encode(), qos=qos)
        await until(lambda: len(got) >= len(expected))
        assert got == expected
        assert intake.reader.malformed == 0


async def test_bad_publications_are_counted_and_the_rest_goes_on(shared_mosquitto: Mosquitto) -> None:
    topic = f"/janus/{uuid.uuid4().hex[:8]}"
    async with subscribed(shared_mosquitto, topics=[topic]) as (intake, got), speaking(shared_mosquitto) as client:
        for message in (*BAD.values(), GOOD):
            await client.publish(topic, message, qos=1)
        await until(lambda: len(got) == 1)
        assert intake.reader.refused == 1
        assert intake.reader.malformed >= len(BAD) - 2


async def test_a_broker_that_asks_for_a_password_is_shown_one(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    with mosquitto(tmp_path / "broker", user="collector", password="s3cret") as broker:
        file = tmp_path / "password"
        file.write_text("s3cret\n")
        settings: dict[str, Any] = {"username": "collector", "password_file": str(file), "topics": ["/j"]}
        async with (
            subscribed(broker, **settings) as (_, got),
            speaking(broker, username="collector", password="s3cret") as client,
        ):
            await client.publish("/j", GOOD)
            await until(lambda: len(got) == 1)
        refused = MqttIntake(MqttIntakeConfig(port=broker.port, username="collector", password="no"), FakeClock())
        await refused.start(lambda _event: None)
        await until(lambda: bool(caplog.records), 20)
        await refused.stop()
    assert "uthori" in caplog.text


@pytest.mark.parametrize("settings", [{"topics": []}, {"qos": 3}, {"password_file": "/does/not/exist"}])
def test_mqtt_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        MqttIntake(MqttIntakeConfig(**settings), FakeClock())


def test_both_brokers_settings_have_the_same_words_for_tls() -> None:
    assert {"tls", "tls_ca_file", "tls_verify"} <= set(MqttConfig.__struct_fields__) & set(
        RabbitMqConfig.__struct_fields__
    )
