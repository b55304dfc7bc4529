"""The Janus API through real brokers."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.core.admin import AdminApi
from appliance.core.admin_tools import AdminTools
from appliance.net.rabbitmq import Broker, RabbitMqConfig, connect
from appliance.transports.mqtt import MqttTransport, MqttTransportConfig
from appliance.transports.rabbitmq import RabbitMqTransport, RabbitMqTransportConfig
from tests.core.admin_world import FakeCaptures, FakeCollector, FakeLogs, FakeNetwork
from tests.core.fake_media import OFFER
from tests.core.world import JsonObject, World
from tests.intake.pushed import until
from tests.peers.mosquitto import Mosquitto
from tests.peers.rabbitmq import RabbitMq

pytestmark = pytest.mark.interop


@asynccontextmanager
async def serving(transport: RabbitMqTransport | MqttTransport) -> AsyncIterator[World]:
    world = World()
    tools = AdminTools(captures=FakeCaptures(), network=FakeNetwork(), collector=FakeCollector(), logs=FakeLogs())
    transport.serve_admin(AdminApi(world.gateway, tools, "hush"))
    await transport.start(world.gateway)
    try:
        await until(lambda: transport.connected)
        yield world
    finally:
        await transport.stop()


def request(janus: str, **rest: Any) -> bytes:
    return json.dumps({"janus": janus, "transaction": "t", **rest}).encode()


# --- RabbitMQ ------------------------------------------------------------------------------------------------


class Line:
    """A client of the API behind RabbitMQ."""

    def __init__(self, broker: Broker, config: RabbitMqTransportConfig) -> None:
        self.broker = broker
        self.config = config

    async def say(self, data: bytes, *, admin: bool = False, correlation: str = "c-1") -> None:
        key = self.config.to_janus_admin if admin else self.config.to_janus
        exchange = await self.broker.exchange(self.config.janus_exchange, "direct")
        await exchange.publish(aio_pika.Message(data, correlation_id=correlation), key)

    async def hear(self, *, admin: bool = False) -> tuple[JsonObject, str | None, str | None]:
        queue = await self.broker.queue(self.config.from_janus_admin if admin else self.config.from_janus)
        async with asyncio.timeout(5):
            while (message := await queue.get(no_ack=True, fail=False)) is None:  # noqa: ASYNC110  # it is asked
                await asyncio.sleep(0.005)
        return json.loads(message.body), message.correlation_id, message.reply_to

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        await self.say(request(janus, **rest))
        return (await self.hear())[0]


def rabbit_config(broker: RabbitMq, **settings: Any) -> RabbitMqTransportConfig:
    mark = uuid.uuid4().hex[:8]
    names: dict[str, Any] = {
        name: f"{name}-{mark}" for name in ("to_janus", "from_janus", "to_janus_admin", "from_janus_admin")
    }
    return RabbitMqTransportConfig(port=broker.port, password="guest", admin_enabled=True, **names, **settings)


@asynccontextmanager
async def line(broker: RabbitMq, **settings: Any) -> AsyncIterator[tuple[World, Line, RabbitMqTransport]]:
    config = rabbit_config(broker, **settings)
    transport = RabbitMqTransport(config)
    async with (
        serving(transport) as world,
        connect(RabbitMqConfig(port=broker.port), "guest", name="client") as connection,
    ):
        yield world, Line(connection, config), transport


@pytest.mark.parametrize("exchange", ["", "direct"])
async def test_a_call_over_rabbitmq(shared_rabbitmq: RabbitMq, exchange: str) -> None:
    name = f"janus-exchange-{uuid.uuid4().hex[:8]}" if exchange else ""
    async with line(shared_rabbitmq, janus_exchange=name, janus_exchange_type="direct") as (world, client, _):
        await client.say(request("create"), correlation="abc")
        created, correlation, reply_to = await client.hear()
        assert (correlation, reply_to) == ("abc", "Janus")
        session_id = created["data"]["id"]
        attached = await client.ask("attach", session_id=session_id, plugin="janus.plugin.echotest")
        ids = {"session_id": session_id, "handle_id": attached["data"]["id"]}
        offer = {"type": "offer", "sdp": OFFER}
        assert (await client.ask("message", **ids, body={"audio": True}, jsep=offer))["janus"] == "ack"
        world.settle()
        event, correlation, _ = await client.hear()
        assert (event["jsep"]["type"], correlation) == ("answer", None)
        await client.say(b"{no JSON")
        assert (await client.hear())[0]["error"]["code"] == 454
        assert (await client.ask("destroy", session_id=session_id))["janus"] == "success"
        assert {"event": "connected"} in [item.event.data for item in world.events if item.type == 128]


async def test_the_admin_api_over_rabbitmq(shared_rabbitmq: RabbitMq) -> None:
    async with line(shared_rabbitmq) as (world, client, transport):
        session_id = world.session()
        await client.say(request("list_sessions", admin_secret="hush"), admin=True)
        assert (await client.hear(admin=True))[0]["sessions"] == [session_id]
        await client.say(request("list_sessions"), admin=True)
        assert (await client.hear(admin=True))[0]["error"]["code"] == 403
        assert transport.exposes_admin


async def test_without_admin_enabled_it_is_not_served(shared_rabbitmq: RabbitMq) -> None:
    transport = RabbitMqTransport(RabbitMqTransportConfig(port=shared_rabbitmq.port, password="guest"))
    assert not transport.exposes_admin
    async with serving(transport):
        assert transport.exchange.admin_api is None


# --- MQTT ----------------------------------------------------------------------------------------------------


class Topics:
    """A client of the API behind MQTT."""

    def __init__(self, client: aiomqtt.Client, prefix: str) -> None:
        self.client = client
        self.prefix = prefix

    async def say(self, data: bytes, topic: str = "to", **options: Any) -> None:
        await self.client.publish(f"{self.prefix}/{topic}", data, qos=1, **options)

    async def hear(self) -> tuple[str, JsonObject, aiomqtt.Message]:
        async with asyncio.timeout(5):
            message = await anext(aiter(self.client.messages))
        return str(message.topic).removeprefix(self.prefix + "/"), json.loads(message.payload), message

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        await self.say(request(janus, **rest))
        topic, answer, _ = await self.hear()
        assert topic == "from"
        return answer


@asynccontextmanager
async def topics(broker: Mosquitto, version: str = "3.1.1") -> AsyncIterator[tuple[World, Topics]]:
    prefix = f"t{uuid.uuid4().hex[:8]}"
    names: dict[str, Any] = {
        "subscribe_topic": f"{prefix}/to", "publish_topic": f"{prefix}/from", "admin_subscribe_topic": f"{prefix}/to-a",
        "admin_publish_topic": f"{prefix}/from-a", "status_topic": f"{prefix}/status",
    }  # fmt: skip
    config: Any = MqttTransportConfig(
        port=broker.port, admin_enabled=True, mqtt_version="5" if version == "5" else "3.1.1", status=True, **names
    )
    protocol = aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311
    async with aiomqtt.Client("127.0.0.1", broker.port, protocol=protocol) as client:
        for name in ("from", "from-a", "status", "mine"):
            await client.subscribe(f"{prefix}/{name}", qos=1)
        async with serving(MqttTransport(config)) as world:
            found = Topics(client, prefix)
            assert (await found.hear())[:2] == (
                "status", {"event": "connected", "transport": "janus.transport.mqtt"},
            )  # fmt: skip
            yield world, found
        assert (await found.hear())[1]["event"] == "disconnected"


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_a_call_over_mqtt(shared_mosquitto: Mosquitto, version: str) -> None:
    async with topics(shared_mosquitto, version) as (world, client):
        session_id = (await client.ask("create"))["data"]["id"]
        attached = await client.ask("attach", session_id=session_id, plugin="janus.plugin.echotest")
        ids = {"session_id": session_id, "handle_id": attached["data"]["id"]}
        offer = {"type": "offer", "sdp": OFFER}
        assert (await client.ask("message", **ids, body={"audio": True}, jsep=offer))["janus"] == "ack"
        world.settle()
        assert (await client.hear())[1]["jsep"]["type"] == "answer"
        await client.say(b"{no JSON")
        assert (await client.hear())[1]["error"]["code"] == 454
        await client.say(request("list_sessions", admin_secret="hush"), "to-a")
        assert (await client.hear())[:2] == (
            "from-a", {"janus": "success", "transaction": "t", "sessions": [session_id]},
        )  # fmt: skip
        assert (await client.ask("destroy", session_id=session_id))["janus"] == "success"
        assert {"event": "connected"} in [item.event.data for item in world.events if item.type == 128]


async def test_with_mqtt_5_a_request_says_where_its_reply_goes(shared_mosquitto: Mosquitto) -> None:
    async with topics(shared_mosquitto, "5") as (_, client):
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # has no types
        properties.ResponseTopic = f"{client.prefix}/mine"
        properties.CorrelationData = b"\x00\x01"
        await client.say(request("create"), properties=properties)
        topic, answer, message = await client.hear()
        assert (topic, answer["janus"]) == ("mine", "success")
        assert getattr(message.properties, "CorrelationData", b"") == b"\x00\x01"
        assert (await client.ask("ping"))["janus"] == "pong"


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (RabbitMqTransport, RabbitMqTransportConfig(to_janus="")),
        (MqttTransport, MqttTransportConfig(publish_topic="a/+")),
        (MqttTransport, MqttTransportConfig(qos=7)),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind: Any, config: Any) -> None:
    with pytest.raises(ValueError, match="wanted"):
        kind(config)
