"""One connection to an HTTP server: let in or turned away when made, and ended when it never asks for anything."""

import asyncio
from collections import Counter as Tally
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from appliance.net.limits import descriptor_limit, is_scarce

HEAD_TIMEOUT_S = 10.0
"""For the head of a connection's first request to arrive."""
KEEP_ALIVE_S = 75.0
"""Between the end of an answer and the head of the next request: as nginx, and more than most clients keep theirs."""

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    b"Content-Type: text/plain\r\n\r\n"
)


class Admission:
    """Who may connect to one server, and what was turned away."""

    def __init__(self, max_connections: int) -> None:
        self.connections = 0
        """Open now."""
        self.refused: Tally[str] = Tally()
        """By reason: ``connections`` (as many as may be), ``descriptors`` (the process has no more to give),
        ``head_timeout`` (connected and did not ask)."""
        self._max = max_connections
        self._descriptors = descriptor_limit()

    def refusal(self, descriptor: int) -> str:
        """Why one more is turned away; empty when it is let in."""
        if self.connections >= self._max:
            return "connections"
        return "descriptors" if is_scarce(descriptor, self._descriptors) else ""


class HttpConnection(web.RequestHandler):
    """aiohttp's protocol with these limits.

    It closes a connection that is idle between requests itself, but neither counts connections nor has a time for the
    first head apart from that for later ones.
    """

    def __init__(self, admission: Admission, server: web.Server, **options: Any) -> None:
        """``options``: those of aiohttp's handler."""
        super().__init__(server, loop=asyncio.get_running_loop(), keepalive_timeout=KEEP_ALIVE_S, **options)
        self._admission = admission
        self._admitted = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone
        peer = transport.get_extra_info("socket")
        reason = self._admission.refusal(peer.fileno())
        if reason:
            self._admission.refused[reason] += 1
            transport.write(_BUSY)
            transport.close()
            return
        self._admitted = True
        self._admission.connections += 1
        super().connection_made(transport)
        self._head_timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT_S, self._asked_nothing)

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        if not self._admitted:
            return
        super().data_received(data)
        if self._head_timer is not None and self._request_count:
            self._head_timer.cancel()
            self._head_timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Of asyncio."""
        if not self._admitted:
            return
        self._admission.connections -= 1
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Of aiohttp. What a client did is no problem of ours, and nobody may fill the log with it."""
        if isinstance(kw.get("exc_info"), ConnectionError | HttpProcessingError):
            self.logger.debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)

    def _asked_nothing(self) -> None:
        self._head_timer = None
        self._admission.refused["head_timeout"] += 1
        self.force_close()
