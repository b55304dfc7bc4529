"""The Janus API over TCP, one JSON object a line, for clients on this machine."""

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from appliance.core.errors import ErrorCode, JanusError
from appliance.core.events import Counter
from appliance.core.messages import JsonError, parse
from appliance.core.transport import Api, ModuleInfo

NAME = "example.transport.lines"
LABEL = "lines"
"""In counts. Metrics show it as ``other``: their labels are closed sets."""


class LinesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[transports.lines]``."""

    enabled: bool = True
    port: int = 7088
    """On loopback; 0: whichever is free."""
    max_message_bytes: int = 65_536
    """Of one line; a longer one ends the connection."""
    max_connections: int = 100
    """At once."""
    max_queued_bytes: int = 1_048_576
    """That wait for one client to read; it is disconnected when there are more."""


class LinesClient:
    """Contract: :class:`appliance.core.transport.Client`. One connection."""

    transport = NAME

    def __init__(self, writer: asyncio.StreamWriter, max_queued_bytes: int) -> None:
        self.id = str(secrets.randbits(64))
        self._writer = writer
        self._max_queued_bytes = max_queued_bytes

    def session_began(self, session_id: int) -> None:
        """Nothing to note: whatever comes for it goes to this connection."""

    def session_over(self, session_id: int, *, timeout: bool) -> None:
        """Nothing to do: the connection may have other sessions."""

    def push(self, session_id: int, message: dict[str, Any]) -> None:
        """Send an event."""
        self.send(message)

    def send(self, message: dict[str, Any]) -> None:
        """Queue a line; who does not read is disconnected."""
        if self._writer.transport.get_write_buffer_size() > self._max_queued_bytes:
            self._writer.transport.abort()
        else:
            self._writer.write(msgspec.json.encode(message) + b"\n")


class LinesTransport:
    """Contract: :class:`appliance.core.transport.ApiTransport`."""

    Config = LinesConfig
    name = NAME
    info = ModuleInfo("Lines transport", "an example", "The Janus API over TCP, one JSON a line.", "1.0", 1)

    def __init__(self, config: LinesConfig) -> None:
        self._config = config
        self._api: Api | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._refused = 0

    @property
    def url(self) -> str:
        """``tcp://127.0.0.1:7088``."""
        port = self._server.sockets[0].getsockname()[1] if self._server is not None else self._config.port
        return f"tcp://127.0.0.1:{port}"

    async def start(self, api: Api) -> None:
        """Listen. :raises OSError: the port can't be had; the message names it."""
        self._api = api
        limit = self._config.max_message_bytes
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._config.port, limit=limit)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._config.max_connections:
            self._refused += 1
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer), name="lines connection")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._api is not None
        client = LinesClient(writer, self._config.max_queued_bytes)
        self._api.transport_event(NAME, client.id, {"event": "connected", "admin_api": False})
        try:
            while line := await reader.readline():
                client.send(self._answer(line, client))
                # A burst of one client leaves the others their turn, and itself time to read.
                await writer.drain()
        except (OSError, ValueError):
            # The client is gone, or its line is too long.
            pass
        finally:
            writer.close()
            self._api.gone(client)
            self._api.transport_event(NAME, client.id, {"event": "disconnected"})

    def _answer(self, line: bytes, client: LinesClient) -> dict[str, Any]:
        assert self._api is not None
        try:
            message = parse(line)
        except JsonError as error:
            return self._api.refuse(JanusError(ErrorCode.INVALID_JSON, f"Invalid JSON: {error.detail}"), client)
        return self._api.request(message, client)

    async def stop(self) -> None:
        """Stop listening, end the connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def measure(self) -> Iterable[Counter]:
        """Connections, and what limits cost."""
        yield Counter("transport_connections", len(self._connections), {"transport": LABEL})
        yield Counter("transport_limits_total", self._refused, {"transport": LABEL, "limit": "connections"})
