"""Pushes events over a WebSocket as Janus's wsevh does, but knows what has arrived.

A WebSocket acknowledges nothing, so a ping follows each message: the pong says that the backend has read it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType
from msgspec import Struct
from yarl import URL

from appliance.core.auth import secret_of
from appliance.core.handler import HandlerContext
from appliance.handlers.output.base import OutputConfig, OutputHandler, RemoteConfig, part
from appliance.handlers.output.packing import Message
from appliance.net.keeper import Keeper
from appliance.net.tls import ClientTls, client_context

TIMEOUT = 10.0
"""Seconds for a connection and for a pong."""
MAX_MESSAGE = 65_536
"""Bytes of a message from the backend, which has nothing to say."""


class WebSocketOutputConfig(RemoteConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.websocket]``."""

    grouping: bool = True
    """Up to 100 events in one message, an array, of those that wait anyway; else one event, an object, in each."""
    backend: str = "ws://127.0.0.1:8080/"
    """Where events are pushed: ``ws://`` or ``wss://``."""
    subprotocol: str = ""
    """What is offered to the backend; empty: nothing."""
    user: str = ""
    """With a password: basic authentication."""
    password: str = ""
    """What goes with ``user``."""
    password_file: str = ""
    """A file that holds it, in place of ``password``."""


class WebSocketOutput(OutputHandler):
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = WebSocketOutputConfig
    name = "websocket"

    def __init__(self, config: WebSocketOutputConfig, context: HandlerContext) -> None:
        """:raises ValueError: a setting is no good."""
        super().__init__(config, context)
        self._config = config
        self._password = secret_of("password", config.password, config.password_file)
        self._pong: asyncio.Future[None] | None = None
        self._number = 0
        self._keeper: Keeper[ClientWebSocketResponse] = Keeper(
            f"events to {config.backend.partition('?')[0]}", self._dial, self._read
        )

    @property
    def connected(self) -> bool:
        """Whether the backend is there."""
        return self._keeper.connected

    def _check(self, config: OutputConfig) -> None:
        super()._check(config)
        assert isinstance(config, WebSocketOutputConfig)
        try:
            url = URL(config.backend)
        except ValueError:
            url = URL()
        if url.scheme not in {"ws", "wss"} or not url.host or url.user or url.password:
            raise ValueError("backend: wanted ws://... or wss://..., without user and password")
        if bool(config.user) != bool(secret_of("password", config.password, config.password_file)):
            raise ValueError("user, password: wanted together, or neither")
        client_context(part(config, ClientTls))

    async def _open(self) -> None:
        self._keeper.start()

    async def _close(self) -> None:
        await self._keeper.stop()

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[ClientWebSocketResponse]:
        config = self._config
        headers = {}
        if config.user:
            headers["Authorization"] = aiohttp.encode_basic_auth(config.user, self._password, "utf-8")
        tls: ssl.SSLContext = await asyncio.to_thread(client_context, part(config, ClientTls))
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, connect=TIMEOUT)) as session,
                session.ws_connect(
                    config.backend,
                    protocols=[config.subprotocol] if config.subprotocol else [],
                    headers=headers,
                    ssl=tls,
                    # Pongs are ours to read.
                    autoping=False,
                    max_msg_size=MAX_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                ) as socket,
            ):
                yield socket
        except aiohttp.ClientError as problem:
            raise ConnectionError(str(problem)) from None

    async def _read(self, socket: ClientWebSocketResponse) -> None:
        try:
            async for frame in socket:
                if frame.type is WSMsgType.PING:
                    await socket.pong(frame.data)
                elif frame.type is WSMsgType.PONG and frame.data == self._mark():
                    self._read_it()
        finally:
            if self._pong is not None and not self._pong.done():
                self._pong.set_exception(ConnectionError("the connection is lost"))

    def _read_it(self) -> None:
        if self._pong is not None and not self._pong.done():
            self._pong.set_result(None)

    def _mark(self) -> bytes:
        return str(self._number).encode()

    async def send(self, message: Message) -> None:
        """Push it and wait until the backend has read it."""
        try:
            async with asyncio.timeout(TIMEOUT):
                socket = await self._keeper.current()
        except TimeoutError:
            raise ConnectionError(self._keeper.problem or "no connection") from None
        self._pong = asyncio.get_running_loop().create_future()
        self._number += 1
        try:
            async with asyncio.timeout(TIMEOUT):
                await socket.send_str(message.data.decode())
                await socket.ping(self._mark())
                await self._pong
        except TimeoutError:
            self._keeper.drop("the backend does not read")
            raise ConnectionError(f"nothing was read within {TIMEOUT:.0f} s") from None
        except (aiohttp.ClientError, RuntimeError) as problem:
            raise ConnectionError(str(problem)) from None
        finally:
            if self._pong.done() and not self._pong.cancelled():
                self._pong.exception()
            self._pong = None
