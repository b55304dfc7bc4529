"""The Admin API over HTTP (``http://127.0.0.1:7088/admin``) and over WebSockets (port 7188).

Whoever comes by here can end every call. So there is no default secret; without one only this machine is served, and
no web page is unless it is named.
"""

from typing import Any

from aiohttp import web

from appliance.core.clock import Clock
from appliance.core.errors import JanusError
from appliance.core.transport import AdminApi
from appliance.net.host import HostGuard, is_loopback
from appliance.transports.door import DoorConfig
from appliance.transports.json_http import JsonHttp
from appliance.transports.json_websocket import JsonWebSocket, WebSocketClient

SUBPROTOCOL = "janus-admin-protocol"
MAX_QUEUED_BYTES = 4_194_304


class AdminConfig(DoorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[admin]``: the Admin API. It listens on other addresses than loopback only when it has a secret."""

    enabled: bool = True
    host: str = "127.0.0.1"
    http_port: int = 7088
    """The Admin API over HTTP."""
    websocket_port: int = 7188
    """The Admin API over WebSockets."""
    base_path: str = "/admin"
    """Where HTTP has it."""
    secret: str = ""
    """What every request but ``info`` and ``ping`` must carry as ``admin_secret``."""
    secret_file: str = ""
    """A file that holds it."""
    allow_origin: str = ""
    """What web pages may use it: ``*``, or one origin; empty: none."""
    max_capture_bytes: int = 1_073_741_824
    """Of one file that ``start_pcap`` or ``start_text2pcap`` writes, in ``captures`` of the data directory."""


def check_exposure(config: AdminConfig, secret: str) -> None:
    """:raises ValueError: others could come in, and nothing asks who they are."""
    if secret or is_loopback(config.host):
        return
    raise ValueError(
        f"host is {config.host!r}, which others can reach: wanted secret or secret_file, or a loopback one"
    )


def _host_guard(config: AdminConfig) -> HostGuard | None:
    # A page that got a name of its own to point here does not know the secret, but where there is none it could ask.
    return None if config.secret or config.secret_file else HostGuard()


class AdminHttp(JsonHttp):
    """Requests by POST; ``info`` and ``ping`` also by GET."""

    name = "janus.transport.http"
    admin_api = True

    def __init__(self, config: AdminConfig, api: AdminApi, clock: Clock | None = None, *, tells: bool = True) -> None:
        """:raises ValueError: the certificate can't be used."""
        super().__init__(
            config,
            clock,
            host=config.host,
            port=config.http_port,
            base_path=config.base_path,
            allow_origin=config.allow_origin,
            refuses_foreign=True,
            what="Admin API over HTTP",
            tells=tells,
            host_guard=_host_guard(config),
        )
        self._api = api

    async def start(self) -> None:
        """Listen. :raises OSError: the address can't be had."""
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._server.stop()

    async def answer(self, message: object, request_id: str) -> dict[str, Any]:
        """Serve one request."""
        return await self._api.request(message)

    def refuse(self, problem: JanusError, request_id: str) -> dict[str, Any]:
        """The reply to what does not even become a request."""
        return self._api.refuse(problem)

    def tell(self, request_id: str, data: dict[str, Any]) -> None:
        """Publish a transport event."""
        self._api.transport_event(self.name, request_id, data)

    async def get(self, request: web.Request, request_id: str, parts: list[str]) -> web.Response:
        """There is nothing else to get."""
        return web.Response(status=400)


class AdminWebSocket(JsonWebSocket):
    """One JSON a text frame."""

    name = "janus.transport.websockets"
    admin_api = True

    def __init__(self, config: AdminConfig, api: AdminApi, clock: Clock | None = None, *, tells: bool = True) -> None:
        """:raises ValueError: the certificate can't be used."""
        super().__init__(
            config,
            clock,
            host=config.host,
            port=config.websocket_port,
            subprotocol=SUBPROTOCOL,
            allow_origin=config.allow_origin,
            heartbeat_s=0.0,
            max_queued_bytes=MAX_QUEUED_BYTES,
            what="Admin API over WebSockets",
            tells=tells,
            host_guard=_host_guard(config),
        )
        self._api = api

    async def start(self) -> None:
        """Listen. :raises OSError: the address can't be had."""
        await self._server.start()

    async def answer(self, message: object, client: WebSocketClient) -> dict[str, Any]:
        """Serve one request."""
        return await self._api.request(message)

    def refuse(self, problem: JanusError, client: WebSocketClient) -> dict[str, Any]:
        """The reply to what does not even become a request."""
        return self._api.refuse(problem)

    def tell(self, client: WebSocketClient, data: dict[str, Any]) -> None:
        """Publish a transport event."""
        self._api.transport_event(self.name, client.id, data)

    def gone(self, client: WebSocketClient) -> None:
        """Nothing here lives as long as a socket."""
