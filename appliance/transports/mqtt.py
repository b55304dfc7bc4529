"""The Janus API over MQTT (Janus's ``janus.transport.mqtt``): requests on one topic, replies on another.

With MQTT 5 a request may say where its reply goes (response topic) and what the reply carries (correlation data).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, NamedTuple

import aiomqtt
import msgspec
from msgspec import Struct
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.core.auth import secret_of
from appliance.core.transport import ModuleInfo
from appliance.net.mqtt import TIMEOUT, MqttConfig, connect, until_lost
from appliance.net.tls import context_if_wanted
from appliance.transports.broker import BrokerTransport
from appliance.transports.queries import answer_query


class MqttTransportConfig(MqttConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[transports.mqtt]``; the names are those of ``janus.transport.mqtt.jcfg`` where it has them."""

    enabled: bool = False
    events: bool = True
    """Publish a transport event (type 128) when the broker is there and when it is gone."""
    subscribe_topic: str = "to-janus"
    """Where requests come."""
    publish_topic: str = "from-janus"
    """Where replies and notifications go."""
    admin_enabled: bool = False
    """Serve the Admin API too; it has to have a secret then."""
    admin_subscribe_topic: str = "to-janus-admin"
    """Where its requests come."""
    admin_publish_topic: str = "from-janus-admin"
    """Where its replies go."""
    qos: int = 1
    """Quality of service both ways, 0 to 2."""
    status: bool = False
    """Say on ``status_topic`` when we are there, and let the broker say when we are gone (its last will)."""
    status_topic: str = "status"
    """Where that is said."""
    max_message_bytes: int = 1_048_576
    """Of one request."""


class Request(NamedTuple):
    """What a reply needs of its request; empty before MQTT 5."""

    response_topic: str = ""
    correlation: bytes = b""


class MqttTransport(BrokerTransport[Request, aiomqtt.Client]):
    """Whoever may publish on the topics is the client."""

    Config: ClassVar[type[Struct]] = MqttTransportConfig
    name = "janus.transport.mqtt"
    short_name = "mqtt"
    info = ModuleInfo("MQTT transport", "The appliance's authors", "The Janus API over MQTT.", "0.0.1", 1)

    def __init__(self, config: MqttTransportConfig) -> None:
        """:raises ValueError: a topic or the quality is no good, or a file."""
        super().__init__(
            f"Janus API over MQTT at {config.host}:{config.port}",
            max_message_bytes=config.max_message_bytes,
            tells=config.events,
            admin=config.admin_enabled,
        )
        for name in ("subscribe_topic", "publish_topic", "admin_subscribe_topic", "admin_publish_topic"):
            topic = getattr(config, name)
            if not topic or set("+#") & set(topic):
                raise ValueError(f"{name}: {topic!r} came, wanted one without + and #")
        if config.qos not in {0, 1, 2}:
            raise ValueError(f"qos: {config.qos} came, wanted 0, 1 or 2")
        context_if_wanted(config)
        self.config = config
        self._password = secret_of("password", config.password, config.password_file)

    @property
    def url(self) -> str:
        """Broker and topic."""
        return f"mqtt://{self.config.host}:{self.config.port}/{self.config.subscribe_topic}"

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[aiomqtt.Client]:
        config = self.config
        will = aiomqtt.Will(config.status_topic, _status("disconnected"), qos=1) if config.status else None
        async with connect(config, self._password, take=self._take, will=will) as client:
            yield client

    async def _use(self, client: aiomqtt.Client) -> None:
        config = self.config
        await client.subscribe(config.subscribe_topic, qos=config.qos)
        if self.exchange.admin_api is not None:
            await client.subscribe(config.admin_subscribe_topic, qos=config.qos)
        if config.status:
            await client.publish(config.status_topic, _status("connected"), qos=1)
        self.line = client
        self.tell("connected")
        lost = asyncio.ensure_future(until_lost(client))
        try:
            await self.pump_while(lost)
        finally:
            self.line = None
            self.tell("disconnected")
            lost.cancel()
            goodbyes = [client.publish(config.status_topic, _status("disconnected"), qos=0)] if config.status else []
            await asyncio.gather(lost, *goodbyes, return_exceptions=True)

    def _take(self, message: aiomqtt.Message) -> None:
        properties = message.properties
        request = Request(
            str(getattr(properties, "ResponseTopic", "")), bytes(getattr(properties, "CorrelationData", b""))
        )
        admin = str(message.topic) == self.config.admin_subscribe_topic
        self.received(message.payload, request, admin=admin)

    async def publish(self, data: bytes, about: Request | None, *, admin: bool) -> None:
        """Send one reply or notification."""
        config, client = self.config, self.line
        if client is None:
            raise ConnectionError("the connection is lost")
        topic = config.admin_publish_topic if admin else config.publish_topic
        properties = None
        if about is not None and config.mqtt_version == "5":
            if about.response_topic and not set("+#") & set(about.response_topic):
                topic = about.response_topic
            if about.correlation:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # has no types
                properties.CorrelationData = about.correlation
        try:
            await client.publish(topic, data, qos=config.qos, properties=properties, timeout=TIMEOUT)
        except aiomqtt.MqttError as problem:
            raise ConnectionError(str(problem)) from None

    def query(self, request: dict[str, Any]) -> dict[str, Any]:
        """``query_transport``."""
        return answer_query(self, request)


def _status(event: str) -> bytes:
    return msgspec.json.encode({"event": event, "transport": MqttTransport.name})
