"""Brokers that a whole module of tests shares: RabbitMQ takes seconds to start."""

from collections.abc import Iterator

import pytest

from tests.hep.certificates import certificate
from tests.peers.mosquitto import Mosquitto, mosquitto
from tests.peers.rabbitmq import RabbitMq, rabbitmq


@pytest.fixture(scope="session")
def shared_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """Who kills it starts it again; a test takes names of its own for what it declares."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    with rabbitmq(folder / "broker", certificate=certificate(folder, "localhost")) as broker:
        yield broker


@pytest.fixture(scope="session")
def shared_mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Nobody kills this one; a test takes topics of its own."""
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker
