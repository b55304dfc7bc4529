"""What the settings of several handlers have in common means the same in each."""

import pytest
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from appliance.handlers.output.http import HttpOutputConfig
from appliance.handlers.output.mqtt import MqttOutputConfig
from appliance.handlers.output.rabbitmq import RabbitMqOutputConfig
from appliance.handlers.output.websocket import WebSocketOutputConfig
from appliance.net.mqtt import MqttConfig
from appliance.net.rabbitmq import RabbitMqConfig
from appliance.net.tls import ClientTls


def by_name(kind: type[Struct]) -> dict[str, FieldInfo]:
    return {field.name: field for field in fields(kind)}


@pytest.mark.parametrize(
    ("whole", "piece"),
    [
        (HttpOutputConfig, ClientTls),
        (WebSocketOutputConfig, ClientTls),
        (RabbitMqOutputConfig, RabbitMqConfig),
        (MqttOutputConfig, MqttConfig),
    ],
)
def test_a_handler_has_all_settings_of_its_connection_with_the_same_defaults(
    whole: type[Struct], piece: type[Struct]
) -> None:
    mine = by_name(whole)
    for name, field in by_name(piece).items():
        assert (mine[name].type, mine[name].default) == (field.type, field.default), name
