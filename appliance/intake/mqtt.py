"""Takes what Janus's mqttevh publishes, on one topic or on one for each type of event."""

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import aiomqtt
from msgspec import field

from appliance.core.auth import secret_of
from appliance.core.clock import Clock
from appliance.core.deliveries import Deliveries
from appliance.core.events import Counter
from appliance.core.intake import Deliver, ProgressOfEach
from appliance.intake.journal import Journal
from appliance.intake.reader import Reader
from appliance.net.keeper import Keeper
from appliance.net.mqtt import MqttConfig, connect, until_lost
from appliance.net.tls import context_if_wanted

STATUS = "/status"
"""Ends the topic on which mqttevh says that it is there, which is no event."""


class MqttIntakeConfig(MqttConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[intake.mqtt]``."""

    enabled: bool = False
    topics: list[str] = field(default_factory=lambda: ["/janus/events/#"])
    """What is subscribed to: mqttevh's ``topic``, and ``/#`` for those beneath it. ``$share/NAME/...`` lets several
    collectors share the events (MQTT 5)."""
    qos: int = 1
    """Quality of service, 0 to 2; mqttevh's own ``qos`` is 0 unless set."""
    max_message_bytes: int = 8 * 2**20
    """Of one message."""
    journal_max_mb: float = 32
    """As in ``[intake.http]``. A message is in the journal before it is acknowledged; to be brought what came while no
    collector ran takes a ``client_id`` and a ``qos`` of 1 or 2, at both ends."""


class MqttIntake:
    """Contract: :class:`appliance.core.intake.Intake`."""

    Config = MqttIntakeConfig
    name = "mqtt"

    def __init__(self, config: MqttIntakeConfig, clock: Clock) -> None:
        """:raises ValueError: there is nothing to subscribe to, the quality or a size is none, or a file is no good."""
        if not config.topics:
            raise ValueError("topics: wanted at least one")
        if config.qos not in {0, 1, 2}:
            raise ValueError(f"qos: {config.qos} came, wanted 0, 1 or 2")
        context_if_wanted(config)
        self._config = config
        password = secret_of("password", config.password, config.password_file)
        self._keeper: Keeper[aiomqtt.Client] = Keeper(
            f"events from MQTT at {config.host}:{config.port}",
            partial(connect, config, password, take=self._take),
            self._subscribe,
        )
        self._subscribed = False
        self._starting: asyncio.Task[None] | None = None
        self._journal = Journal(self.name, config.journal_max_mb, clock)
        self.reader = Reader(self.name, max_bytes=config.max_message_bytes, journal=self._journal)

    @property
    def connected(self) -> bool:
        """Whether the broker is there and gives us events."""
        return self._subscribed

    def keep_in(self, folder: Path, progress: ProgressOfEach, deliveries: Deliveries) -> None:
        """Contract: :class:`appliance.core.intake.KeepsJournal`."""
        self._journal.open(folder, progress, deliveries)

    async def start(self, deliver: Deliver) -> None:
        """Begin to connect; the broker need not be there yet."""
        self.reader.deliver = deliver
        self.reader.replay()
        self._starting = asyncio.create_task(self._start(), name="mqtt intake")

    async def _start(self) -> None:
        await self._journal.ready.wait()
        self._keeper.start()

    async def stop(self) -> None:
        """Close."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._keeper.stop()
        await self._journal.stop()

    def measure(self) -> Iterable[Counter]:
        """Events and messages by outcome."""
        yield from self.reader.measure()
        yield Counter("intake_connected", float(self.connected), {"intake": self.name})

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        for topic in self._config.topics:
            await client.subscribe(topic, qos=self._config.qos)
        self._subscribed = True
        try:
            await until_lost(client)
        finally:
            self._subscribed = False

    def _take(self, message: aiomqtt.Message) -> None:
        if str(message.topic).endswith(STATUS):
            return
        data = message.payload
        # With acknowledgements what was not acknowledged is sent again; an event names its microsecond, so equal bytes
        # are the same event.
        if not (message.qos and self.reader.is_double("", data, again=True)):
            self.reader.take(data, f"topic {message.topic}")
