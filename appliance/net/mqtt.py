"""One connection to an MQTT broker, version 3.1.1 or 5: settings, TLS, and errors as ``ConnectionError``."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiomqtt
from aiomqtt import Message, MqttError, ProtocolVersion, Will
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.net.cancellation import heed_cancellation
from appliance.net.tls import ClientTls, context_if_wanted

TIMEOUT = 10.0
"""Seconds for a connection, and for each answer of the broker."""
QUIET = logging.getLogger("appliance.mqtt.library")
"""The library warns of what is an everyday thing here: acknowledgements that come in bulk."""
QUIET.setLevel(logging.ERROR)


class MqttConfig(ClientTls, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What everything that connects to an MQTT broker is told."""

    host: str = "127.0.0.1"
    port: int = 1883
    """8883 is usual with TLS."""
    mqtt_version: Literal["3.1.1", "5"] = "3.1.1"
    """Of the protocol."""
    client_id: str = ""
    """With one, the broker keeps what it has for us while we are away; it throws out whoever else uses the same one.
    Empty: one by chance."""
    username: str = ""
    """Of the account; empty: none."""
    password: str = ""
    """Of the account."""
    password_file: str = ""
    """A file that holds it, in place of ``password``."""
    keep_alive_s: int = 20
    """A broker that is silent for so long is asked, and then given up."""


class _Direct(asyncio.Queue[Message]):
    """Hands a message over in the moment it comes, before the library acknowledges it, and holds none back."""

    take: Callable[[Message], None]

    def put_nowait(self, item: Message) -> None:
        """Hand over."""
        self.take(item)


@asynccontextmanager
async def connect(
    config: MqttConfig,
    password: str,
    *,
    take: Callable[[Message], None] | None = None,
    will: Will | None = None,
) -> AsyncIterator[aiomqtt.Client]:
    """A connection, closed at the end.

    :param take: is called with each message that comes, before it is acknowledged; never raises.
    :raises ConnectionError: it can't be had, is refused, or is lost while it is used.
    """
    queue = type("Taking", (_Direct,), {"take": staticmethod(take or _ignore)})
    five = config.mqtt_version == "5"
    lasting = bool(config.client_id)
    options: dict[str, Any] = {}
    if five:
        options["clean_start"] = not lasting
        if lasting:
            options["properties"] = _lasting()
    else:
        options["clean_session"] = not lasting
    try:
        client = aiomqtt.Client(
            config.host,
            config.port,
            username=config.username or None,
            password=password or None,
            identifier=config.client_id or None,
            protocol=ProtocolVersion.V5 if five else ProtocolVersion.V311,
            will=will,
            timeout=TIMEOUT,
            keepalive=config.keep_alive_s,
            tls_context=context_if_wanted(config),
            queue_type=queue,
            max_inflight_messages=1000,
            max_queued_outgoing_messages=0,
            logger=QUIET,
            **options,
        )
        async with client:
            yield client
    except MqttError as problem:
        raise ConnectionError(str(problem) or type(problem).__name__) from None


def _lasting() -> Properties:
    """A session that outlives the connection by a day (MQTT 5 section 3.1.2.11.2)."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # the library has no types there
    properties.SessionExpiryInterval = 86_400
    return properties


def _ignore(_message: Message) -> None:
    pass


async def until_lost(client: aiomqtt.Client) -> None:
    """Wait for the end of the connection. :raises MqttError: it is lost."""
    heed_cancellation()
    async for _ in client.messages:
        pass
