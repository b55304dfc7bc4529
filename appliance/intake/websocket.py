"""Takes what Janus's wsevh pushes over a WebSocket: on any path and subprotocol, because a wrong one loses everything.

wsevh reads nothing, so nothing is answered.
"""

import hmac
from collections.abc import Iterable
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct

from appliance.core.clock import Clock
from appliance.core.deliveries import Deliveries
from appliance.core.events import Counter
from appliance.core.intake import Deliver, ProgressOfEach
from appliance.intake.journal import Journal
from appliance.intake.reader import Reader
from appliance.net.basic_auth import authorizes
from appliance.net.http_server import HttpServer

MAX_CONNECTIONS = 1000
"""At the same time; a Janus server has one."""
HEARTBEAT = 30.0
"""Seconds after which a silent connection is asked whether it is still there."""


class WebSocketIntakeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[intake.websocket]``."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = 8082
    secret_path: str = ""
    """The one path that is taken, as in ``/events-5f3a``: all that wsevh can show; empty: any."""
    user: str = ""
    """With a password: what must come by basic authentication, which wsevh can't do."""
    password: str = ""
    """What must come with ``user``."""
    max_message_bytes: int = 8 * 2**20
    """Of one message."""
    journal_max_mb: float = 32
    """As in ``[intake.http]``. What a killed collector had not read from a connection is lost, as wsevh waits for no
    answer."""


class WebSocketIntake:
    """Contract: :class:`appliance.core.intake.Intake`."""

    Config = WebSocketIntakeConfig
    name = "websocket"

    def __init__(self, config: WebSocketIntakeConfig, clock: Clock) -> None:
        """:raises ValueError: a user without a password or the reverse, a path that is none, or a size below 0."""
        if bool(config.user) != bool(config.password):
            raise ValueError("user and password are wanted together, or neither")
        if config.secret_path and not config.secret_path.startswith("/"):
            raise ValueError("secret_path: wanted one that begins with /")
        self.unauthorized = 0
        self.connections = 0
        """Open now."""
        self._journal = Journal(self.name, config.journal_max_mb, clock)
        self.reader = Reader(self.name, max_bytes=config.max_message_bytes, journal=self._journal)
        self._config = config
        self._sockets: set[web.WebSocketResponse] = set()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        application.on_shutdown.append(self._close_all)
        what = "events of Janus servers over WebSockets (intake.websocket)"
        self._server = HttpServer(application, config.host, config.port, what=what)

    @property
    def port(self) -> int:
        """The one in use."""
        return self._server.port

    @property
    def url(self) -> str:
        """What a Janus server's ``backend`` is set to."""
        return f"ws://{self._server.authority}"

    def keep_in(self, folder: Path, progress: ProgressOfEach, deliveries: Deliveries) -> None:
        """Contract: :class:`appliance.core.intake.KeepsJournal`."""
        self._journal.open(folder, progress, deliveries)

    async def start(self, deliver: Deliver) -> None:
        """Listen. :raises OSError: the address can't be had; the message names it."""
        self.reader.deliver = deliver
        self.reader.replay()
        await self._server.start()

    async def stop(self) -> None:
        """Close every connection (1001), and the door."""
        await self._server.stop()
        await self._journal.stop()

    def measure(self) -> Iterable[Counter]:
        """Events and messages by outcome, and connections."""
        yield from self.reader.measure()
        yield Counter("auth_failures_total", self.unauthorized, {"api": "intake"})
        yield Counter("intake_connected", self.connections, {"intake": self.name})

    async def _close_all(self, _application: web.Application) -> None:
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        offered = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        socket = web.WebSocketResponse(
            protocols=[each for each in offered if each],
            max_msg_size=self._config.max_message_bytes,
            heartbeat=HEARTBEAT,
            compress=False,
            timeout=2.0,
        )
        await self._journal.ready.wait()
        await socket.prepare(request)
        self._sockets.add(socket)
        self.connections += 1
        try:
            async for frame in socket:
                if frame.type is WSMsgType.ERROR:
                    self.reader.refuse(f"WebSocket: {frame.data}", str(request.remote))
                elif frame.type is WSMsgType.TEXT:
                    await self.reader.read(frame.data.encode("utf-8", "surrogatepass"), str(request.remote))
                elif frame.type is WSMsgType.BINARY:
                    await self.reader.read(frame.data, str(request.remote))
        finally:
            self.connections -= 1
            self._sockets.discard(socket)
        return socket

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            self.reader.refuse("no WebSocket", str(request.remote))
            text = "This is where Janus's wsevh pushes its events: set backend to this address, with ws://.\n"
            return web.Response(status=426, text=text, headers={"Upgrade": "websocket"})
        if "Sec-Fetch-Site" in request.headers or request.headers.get("User-Agent", "").startswith("Mozilla/"):
            # wsevh names an Origin too, but it is no browser: a web page must not put calls into the console.
            self.reader.refuse("a web page", str(request.remote))
            return web.Response(status=403, text="events are not taken from web pages\n")
        wanted = self._config.secret_path
        if wanted and not hmac.compare_digest(request.path.encode(), wanted.encode()):
            self.unauthorized += 1
            return web.Response(status=404)
        if not self._authorized(request.headers.get("Authorization", "")):
            self.unauthorized += 1
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="events"'})
        if self.connections >= MAX_CONNECTIONS:
            self.reader.refuse(f"{MAX_CONNECTIONS} connections are open already", str(request.remote))
            return web.Response(status=503)
        return None

    def _authorized(self, header: str) -> bool:
        config = self._config
        return not config.password or authorizes(header, config.user, config.password)
