"""The Janus API over WebSockets (Janus's ``janus.transport.websockets``): one JSON a text frame, both ways.

A session's notifications go to the socket that created or claimed it, and it ends with its socket.
"""

from typing import Any

from appliance.core.clock import Clock
from appliance.core.errors import JanusError
from appliance.core.transport import Api, ModuleInfo
from appliance.transports.door import DoorConfig
from appliance.transports.json_websocket import JsonWebSocket, WebSocketClient
from appliance.transports.queries import answer_query

SUBPROTOCOL = "janus-protocol"


class WebSocketTransport(JsonWebSocket):
    """Serves the Janus API at ``ws://host:port/``, on any path."""

    class Config(DoorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``[transports.websocket]``."""

        enabled: bool = True
        host: str = "127.0.0.1"
        port: int = 8188
        events: bool = True
        """Publish a transport event (type 128) for each connection made and ended."""
        allow_origin: str = "*"
        """What web pages may connect: ``*``, or one origin. A client that names no origin always may."""
        heartbeat_s: float = 0.0
        """A ping after so long; a client that does not answer within half of it is gone. 0: none."""
        max_queued_bytes: int = 4_194_304
        """That wait for one client to read; it is disconnected when there are more."""

    name = "janus.transport.websockets"
    info = ModuleInfo("WebSockets transport", "The appliance's authors", "The Janus API over WebSockets.", "0.0.1", 1)

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        """:raises ValueError: the certificate can't be used."""
        super().__init__(
            config,
            clock,
            host=config.host,
            port=config.port,
            subprotocol=SUBPROTOCOL,
            allow_origin=config.allow_origin,
            heartbeat_s=config.heartbeat_s,
            max_queued_bytes=config.max_queued_bytes,
            what="Janus API over WebSockets",
            tells=config.events,
        )
        self.config = config
        self._api: Api | None = None

    async def start(self, api: Api) -> None:
        """Listen. :raises OSError: the address can't be had."""
        self._api = api
        await self._server.start()

    @property
    def _core(self) -> Api:
        assert self._api is not None
        return self._api

    async def answer(self, message: object, client: WebSocketClient) -> dict[str, Any]:
        """Serve one request."""
        return self._core.request(message, client)

    def refuse(self, problem: JanusError, client: WebSocketClient) -> dict[str, Any]:
        """The reply to what does not even become a request."""
        return self._core.refuse(problem, client)

    def tell(self, client: WebSocketClient, data: dict[str, Any]) -> None:
        """Publish a transport event."""
        self._core.transport_event(self.name, client.id, data)

    def gone(self, client: WebSocketClient) -> None:
        """Its sessions end, or wait to be claimed."""
        self._core.gone(client)

    def query(self, request: dict[str, Any]) -> dict[str, Any]:
        """``query_transport``."""
        return answer_query(self, request)
