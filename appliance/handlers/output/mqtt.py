"""Publishes events to an MQTT broker as Janus's mqttevh does: one event a message, on one topic or on one a type."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

import aiomqtt
import msgspec
from msgspec import Struct

from appliance.core.auth import secret_of
from appliance.core.handler import HandlerContext
from appliance.handlers.output.base import OutputConfig, OutputHandler, RemoteConfig, part
from appliance.handlers.output.packing import Message, with_type_name
from appliance.net.keeper import Keeper
from appliance.net.mqtt import TIMEOUT, MqttConfig, connect, until_lost
from appliance.net.tls import context_if_wanted

AT_ONCE = 50
"""Messages on their way to the broker before the first has been acknowledged."""
PACKAGE = "janus.eventhandler.mqttevh"


class MqttOutputConfig(RemoteConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.mqtt]``; the names are those of ``janus.eventhandler.mqttevh.jcfg`` where it has them."""

    host: str = "127.0.0.1"
    port: int = 1883
    """8883 is usual with TLS."""
    mqtt_version: Literal["3.1.1", "5"] = "3.1.1"
    """Of the protocol."""
    client_id: str = ""
    """It throws out whoever else uses the same one; empty: one by chance."""
    username: str = ""
    """Of the account; empty: none."""
    password: str = ""
    """Of the account."""
    password_file: str = ""
    """A file that holds it, in place of ``password``."""
    keep_alive_s: int = 20
    """A broker that is silent for so long is asked, and then given up."""
    topic: str = "/janus/events"
    """Where events are published."""
    topic_by_type: bool = True
    """On a topic for each type of event beneath it: ``/janus/events/webrtc``, ``/janus/events/media``, ..."""
    addevent: bool = True
    """Add the name of the event's type (``eventtype``)."""
    qos: int = 1
    """Quality of service, 0 to 2. With 0 nobody knows what has arrived."""
    retain: bool = False
    """Let the broker keep the last event of each topic for who comes later."""
    status: bool = True
    """Say on ``topic/status`` when we are there, and let the broker say when we are gone (its last will)."""


class MqttOutput(OutputHandler):
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = MqttOutputConfig
    name = "mqtt"
    tweakable = frozenset({"topic_by_type", "addevent", "qos", "retain"})

    def __init__(self, config: MqttOutputConfig, context: HandlerContext) -> None:
        """:raises ValueError: a setting is no good."""
        super().__init__(config, context)
        self._password = secret_of("password", config.password, config.password_file)
        self._keeper: Keeper[aiomqtt.Client] = Keeper(
            f"events to MQTT at {config.host}:{config.port}", self._dial, self._until_lost
        )

    @property
    def config(self) -> MqttOutputConfig:
        """The settings in force."""
        assert isinstance(self._settings, MqttOutputConfig)
        return self._settings

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._keeper.connected

    def _check(self, config: OutputConfig) -> None:
        super()._check(config)
        assert isinstance(config, MqttOutputConfig)
        if not config.topic or set("+#") & set(config.topic):
            raise ValueError(f"topic: {config.topic!r} came, wanted one without + and #")
        if config.qos not in {0, 1, 2}:
            raise ValueError(f"qos: {config.qos} came, wanted 0, 1 or 2")
        context_if_wanted(part(config, MqttConfig))

    async def _open(self) -> None:
        self._keeper.start()

    async def _close(self) -> None:
        await self._keeper.stop()

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[aiomqtt.Client]:
        config = self.config
        place = f"{config.topic}/status"
        will = aiomqtt.Will(place, _status("disconnected"), qos=1, retain=False) if config.status else None
        async with connect(part(config, MqttConfig), self._password, will=will) as client:
            if config.status:
                await client.publish(place, _status("connected", eventhandler=PACKAGE), qos=1)
            yield client

    async def _until_lost(self, client: aiomqtt.Client) -> None:
        try:
            await until_lost(client)
        finally:
            if self.config.status:
                # In order the broker drops the will, so it is said here; on a lost connection nothing is.
                client_says_goodbye = client.publish(f"{self.config.topic}/status", _status("disconnected"), qos=0)
                await asyncio.gather(client_says_goodbye, return_exceptions=True)

    async def send(self, message: Message) -> None:
        """Publish one."""
        config = self.config
        try:
            async with asyncio.timeout(TIMEOUT):
                client = await self._keeper.current()
        except TimeoutError:
            raise ConnectionError(self._keeper.problem or "no connection") from None
        topic = f"{config.topic}/{message.label}" if config.topic_by_type else config.topic
        data = with_type_name(message.type, message.data) if config.addevent else message.data
        try:
            await client.publish(topic, data, qos=config.qos, retain=config.retain, timeout=TIMEOUT)
        except (aiomqtt.MqttError, RuntimeError) as problem:
            raise ConnectionError(str(problem) or "not acknowledged") from None

    async def send_all(self, messages: Sequence[Message]) -> int:
        """Publish some at a time, in order; what comes after the first that is not acknowledged is sent again."""
        done = 0
        while done < len(messages):
            part = messages[done : done + AT_ONCE]
            results = await asyncio.gather(*(self.send(message) for message in part), return_exceptions=True)
            for result in results:
                if isinstance(result, OSError):
                    self._failed(result)
                    return done
                if isinstance(result, BaseException):
                    raise result
                self._succeeded(1)
                done += 1
        return done


def _status(event: str, **more: str) -> bytes:
    return msgspec.json.encode({"event": event} | more)
