"""Every plugin, transport, intake and handler by the name of its section, and where its class is.

Targets are imported only when their section is used, so that the gateway starts without a database library. A third
party's package adds its own through the entry point groups of the same names.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

BUILTIN: dict[str, dict[str, str]] = {
    "plugins": {
        "echotest": "appliance.plugins.echotest:EchoTest",
        "videoroom": "appliance.plugins.videoroom:VideoRoom",
    },
    "transports": {
        "http": "appliance.transports.http:HttpTransport",
        "websocket": "appliance.transports.websocket:WebSocketTransport",
        "unix": "appliance.transports.unix:UnixTransport",
        "rabbitmq": "appliance.transports.rabbitmq:RabbitMqTransport",
        "mqtt": "appliance.transports.mqtt:MqttTransport",
    },
    "intake": {
        "admin": "appliance.intake.admin:AdminIntake",
        "stream": "appliance.intake.stream:StreamIntake",
        "http": "appliance.intake.http:HttpIntake",
        "websocket": "appliance.intake.websocket:WebSocketIntake",
        "rabbitmq": "appliance.intake.rabbitmq:RabbitMqIntake",
        "mqtt": "appliance.intake.mqtt:MqttIntake",
    },
    "handlers": {
        "hep": "appliance.handlers.hep:HepHandler",
        "prometheus": "appliance.handlers.prometheus:PrometheusHandler",
        "diagnosis": "appliance.handlers.diagnosis:DiagnosisHandler",
        "store": "appliance.handlers.store:StoreHandler",
        "watch": "appliance.handlers.watch:WatchHandler",
        "http": "appliance.handlers.output.http:HttpOutput",
        "webhook": "appliance.handlers.output.webhook:WebhookOutput",
        "websocket": "appliance.handlers.output.websocket:WebSocketOutput",
        "rabbitmq": "appliance.handlers.output.rabbitmq:RabbitMqOutput",
        "mqtt": "appliance.handlers.output.mqtt:MqttOutput",
        "file": "appliance.handlers.output.file:FileOutput",
        "recording": "appliance.handlers.recording:RecordingHandler",
    },
}

GROUPS = {
    "plugins": "appliance.plugins",
    "transports": "appliance.transports",
    "intake": "appliance.intakes",
    "handlers": "appliance.handlers",
}


class UnknownComponentError(LookupError):
    """No such plugin, transport, intake or handler; the message names the nearest known one."""


class Components:
    """The table of one kind: the built-in ones and what installed distributions offer."""

    def __init__(self, kind: str, builtin: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._targets = dict(BUILTIN[kind] if builtin is None else builtin)
        # Slow to import, and whoever loads no component needs none of it.
        from importlib.metadata import entry_points

        for point in entry_points(group=GROUPS[kind]):
            if point.name in self._targets:
                raise ValueError(
                    f"{kind}.{point.name}: both {self._targets[point.name]} and {point.value} want this name"
                )
            self._targets[point.name] = point.value

    @property
    def names(self) -> list[str]:
        """Sorted."""
        return sorted(self._targets)

    def load(self, name: str) -> Any:
        """Import and return the class. :raises UnknownComponentError: nothing has that name."""
        try:
            module, _, attribute = self._targets[name].partition(":")
        except KeyError:
            near = get_close_matches(name, self._targets, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.names)}"
            raise UnknownComponentError(f"{self.kind}.{name}: no such component; {hint}") from None
        return getattr(import_module(module), attribute)
