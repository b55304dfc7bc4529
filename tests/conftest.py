"""Settings of every test."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.peers.brokers import shared_mosquitto, shared_rabbitmq  # noqa: F401  # fixtures

# A busy machine is no reason for a property to fail.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests drive real programs go first: they take longest, and none is to be left alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("interop")}
    if os.environ.get("CI"):
        # Real programs on a machine that others use too: once more, and the report names it. Whoever works on a test
        # sees its first failure.
        for item in items:
            if item.get_closest_marker("interop"):
                item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=lambda item: item.path not in slow)
