"""Which further peers a configuration names: brokers, backends and the database, as addresses to try."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from appliance.config import Settings, section_struct

BROKERS = (
    "handlers.rabbitmq", "handlers.mqtt", "intake.rabbitmq", "intake.mqtt", "transports.rabbitmq", "transports.mqtt",
)  # fmt: skip
ADDRESSES = (
    ("handlers.http", "backend"), ("handlers.websocket", "backend"), ("handlers.webhook", "url"),
    ("handlers.store", "url"),
)  # fmt: skip
"""Settings that hold a URL."""
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "postgresql": 5432, "mariadb": 3306, "mysql": 3306}
"""Of each scheme where a URL names no port."""


class Peer(msgspec.Struct, frozen=True):
    """A peer over TCP. ``port`` is 0 where the setting is no address that can be tried."""

    setting: str
    host: str
    port: int


def named_peers(settings: Settings) -> Iterator[Peer]:
    """The peers of every section that is switched on; a database in a file and an empty address are none."""
    for path in BROKERS:
        broker: Any = settings.section(path, section_struct(path))
        if broker.enabled:
            yield Peer(path, broker.host, broker.port)
    for path, key in ADDRESSES:
        section: Any = settings.section(path, section_struct(path))
        url = getattr(section, key)
        if section.enabled and url and not url.startswith("sqlite"):
            yield _peer(f"{path}.{key}", url)


def _peer(setting: str, url: str) -> Peer:
    try:
        parts = urlsplit(url)
        # The driver's name follows a plus sign.
        return Peer(setting, parts.hostname or "", parts.port or PORTS.get(parts.scheme.partition("+")[0], 0))
    except ValueError:
        return Peer(setting, "", 0)
