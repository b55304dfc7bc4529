"""Tells a StatsD server how calls ended, by their records (external events of schema ``appliance.call``)."""

import re
import socket
from collections.abc import Sequence
from typing import Any, ClassVar

from msgspec import Struct

from appliance.core.events import CALL_SCHEMA, Event, EventType, External, parse_mask
from appliance.core.handler import HandlerContext


class StatsdConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.statsd]``."""

    enabled: bool = True
    events: str = "external"
    """Calls are told of by external events, and nothing else is asked for."""
    host: str = "127.0.0.1"
    port: int = 8125
    """Of the StatsD server, UDP."""
    prefix: str = "webrtc"
    """What every name begins with."""

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port: {self.port} came, wanted 1 to 65535")
        if not re.fullmatch(r"[\w.-]+", self.prefix):
            raise ValueError(f"prefix: {self.prefix!r} came, wanted letters, digits, dots, dashes and underscores")


class Statsd:
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = StatsdConfig
    name = "statsd"

    def __init__(self, config: StatsdConfig, context: HandlerContext) -> None:
        self.mask: EventType = parse_mask(config.events)
        self.refused = 0
        """Datagrams that the system did not take: nobody listens, or its buffer is full."""
        self._config = config
        self._socket: socket.socket | None = None

    async def start(self) -> None:
        """Look the server up, once. :raises OSError: it has no address, and the collector goes on without us."""
        address = socket.getaddrinfo(self._config.host, self._config.port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(address[0], socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(address[4])

    async def handle(self, batch: Sequence[Event]) -> None:
        """Tell of the calls that are over. Nothing here waits."""
        for item in batch:
            body = item.event
            # What a gateway tells again to a collector that has just started was told before.
            if isinstance(body, External) and body.schema == CALL_SCHEMA and not item.replayed:
                self._send("\n".join(self.lines(body.data)))

    def lines(self, record: dict[str, Any]) -> list[str]:
        """One call in StatsD's words; the record is that of :class:`appliance.diagnosis.record.CallRecord`."""
        prefix = self._config.prefix
        lines = [f"{prefix}.calls.{record['code']}:1|c"]
        if record.get("up_us") is not None:
            lines.append(f"{prefix}.setup:{(record['up_us'] - record['started_us']) // 1000}|ms")
            lines.append(f"{prefix}.duration:{record['duration_us'] // 1000}|ms")
        return lines

    def _send(self, text: str) -> None:
        assert self._socket is not None, "handle() comes after start()"
        try:
            self._socket.send(text.encode())
        except OSError:
            self.refused += 1

    async def stop(self) -> None:
        """Close."""
        if self._socket is not None:
            self._socket.close()
