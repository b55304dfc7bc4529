"""One HTTP server: an aiohttp application on one address, started with a clear error and stopped gracefully."""

import asyncio
import errno
import os
import socket
import ssl
from collections import Counter as Tally
from typing import Any

from aiohttp import web

from appliance.net.http_connection import HEAD_TIMEOUT_S, Admission, HttpConnection

MAX_CONNECTIONS = 1_000
"""At once, where nothing else is said."""

MAX_USER_AGENT = 256


class HttpServer:
    """Serves ``app`` on ``host:port`` between :meth:`start` and :meth:`stop`.

    ``what`` names it in errors (``"Janus API"``). ``cancel_handlers``: a request's handler is cancelled when its
    client goes away, which a long poll wants (nothing is taken out of a queue for nobody) and a download may not.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        what: str,
        cancel_handlers: bool = False,
        grace_s: float = 2.0,
        tls: ssl.SSLContext | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """``tls``: serve with it, and only so. Bodies arrive as they were sent; who takes a Content-Encoding undoes it
        and counts while it does."""
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            handler_cancellation=cancel_handlers,
            shutdown_timeout=grace_s,
        )
        self._admission = Admission(max_connections)
        # The library would decompress before anybody asks who it is or counts the bytes, a thousand for each that came.
        self._options = {"access_log": None, "auto_decompress": False}
        self._listener: asyncio.Server | None = None
        self._what = what
        self._tls = tls
        self._host = host
        self._port = port

    @property
    def host(self) -> str:
        """As configured."""
        return self._host

    @property
    def port(self) -> int:
        """The port in use: the one that was given, or while running with port 0 the one that the system chose."""
        for listening in self._listener.sockets if self._listener is not None else ():
            return int(listening.getsockname()[1])
        return self._port

    @property
    def authority(self) -> str:
        """``host:port`` as URLs have it."""
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    @property
    def connections(self) -> int:
        """Open connections; 0 when not running."""
        return self._admission.connections if self._listener is not None else 0

    @property
    def refused(self) -> Tally[str]:
        """Connections that were turned away or ended unserved, by reason (:class:`Admission`)."""
        return self._admission.refused

    async def start(self) -> None:
        """Listen. :raises OSError: the address can't be had; the message names it and what wanted it."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: HttpConnection(self._admission, server, **self._options),
                self._host,
                self._port,
                ssl=self._tls,
                backlog=128,
                # A connection counts once it speaks TLS, so it may not take longer for that than for a request.
                ssl_handshake_timeout=None if self._tls is None else HEAD_TIMEOUT_S,
            )
        except (OSError, OverflowError) as error:
            await self._runner.cleanup()
            # Since Python 3.13 asyncio says of an address that is not ours that it "could not bind", and no number.
            number = error.errno or errno.EADDRNOTAVAIL if isinstance(error, OSError) else None
            if isinstance(error, socket.gaierror):
                reason = error.strerror
            elif isinstance(number, int) and number > 0:
                reason = os.strerror(number)
            else:
                reason = str(error)
            raise OSError(number, f"{self._what} can't listen on {self.authority}: {reason}") from None

    async def stop(self) -> None:
        """Stop listening, give running requests ``grace_s`` seconds, end the connections. Safe to call twice."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._runner.cleanup()


def addresses(request: web.BaseRequest) -> dict[str, Any]:
    """Both ends of a request's connection and its User-Agent, as transport events have them.

    ``ip``, ``port``, ``local_ip``, ``local_port`` and ``user_agent``, each only where it is known.
    """
    found: dict[str, Any] = {}
    for name, prefix in (("peername", ""), ("sockname", "local_")):
        address = request.get_extra_info(name)
        if isinstance(address, tuple):
            found |= {f"{prefix}ip": str(address[0]), f"{prefix}port": int(address[1])}
    if agent := request.headers.get("User-Agent"):
        found["user_agent"] = agent[:MAX_USER_AGENT]
    return found
