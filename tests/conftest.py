"""Settings of every test."""

import os

from hypothesis import settings

from tests.peers.brokers import shared_mosquitto, shared_rabbitmq  # noqa: F401  # fixtures

# A busy machine is no reason for a property to fail.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
