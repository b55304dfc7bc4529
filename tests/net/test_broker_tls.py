"""Connections to brokers by TLS: to one whose certificate is trusted, and to no other."""

from pathlib import Path

import pytest

from appliance.net import mqtt, rabbitmq
from appliance.net.mqtt import MqttConfig
from appliance.net.rabbitmq import RabbitMqConfig
from tests.hep.certificates import certificate
from tests.peers.mosquitto import mosquitto
from tests.peers.rabbitmq import RabbitMq

pytestmark = pytest.mark.interop


# The library leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
async def test_mqtt(tmp_path: Path) -> None:
    trusted, key = certificate(tmp_path, "localhost")
    with mosquitto(tmp_path / "broker", certificate=(trusted, key)) as broker:
        config = MqttConfig(host="localhost", port=broker.port, tls=True, tls_ca_file=str(trusted))
        async with mqtt.connect(config, "") as client:
            await client.publish("topic", b"x", qos=1)
        careless = MqttConfig(host="localhost", port=broker.port, tls=True, tls_verify=False)
        async with mqtt.connect(careless, "") as client:
            await client.publish("topic", b"x", qos=1)
        with pytest.raises(ConnectionError, match="certificate verify failed"):
            async with mqtt.connect(MqttConfig(host="localhost", port=broker.port, tls=True), ""):
                pass


async def test_rabbitmq(shared_rabbitmq: RabbitMq) -> None:
    port, trusted = shared_rabbitmq.tls_port, str(shared_rabbitmq.certificate)
    config = RabbitMqConfig(host="localhost", port=port, tls=True, tls_ca_file=trusted)
    async with rabbitmq.connect(config, "guest", name="test") as broker:
        await broker.queue("")
    careless = RabbitMqConfig(host="localhost", port=port, tls=True, tls_verify=False)
    async with rabbitmq.connect(careless, "guest", name="test") as broker:
        await broker.queue("")
    with pytest.raises(OSError, match="certificate verify failed"):
        async with rabbitmq.connect(RabbitMqConfig(host="localhost", port=port, tls=True), "guest", name="test"):
            pass
    with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
        async with rabbitmq.connect(config, "wrong", name="test"):
            pass
