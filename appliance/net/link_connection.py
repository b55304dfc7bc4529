"""One end of a link on a socket: messages out and in, requests both ways."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from appliance.net.link import (
    MAX_FRAME,
    FrameDecoder,
    FramingError,
    LinkError,
    Message,
    Request,
    Response,
    pack,
    unpack,
)

logger = logging.getLogger(__name__)

HIGH_WATER = 2**20
"""Unsent bytes at which the peer counts as slow."""
MAX_UNSENT = 32 * 2**20
"""Unsent bytes at which the peer counts as dead; only answers and what was unacknowledged can pile up so far."""
MAX_REQUESTS = 64
"""Requests that may wait for an answer at once."""
REQUEST_TIMEOUT = 5.0

OnRequest = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Serves ``(verb, args)``. :raises LookupError, ValueError: refused; the message goes to who asked."""


class RequestRefusedError(Exception):
    """The peer answered that it can't or won't; the message is the peer's."""


class LinkConnection(asyncio.Protocol):
    """A protocol for either side; the owner gets every message that is no request or response."""

    def __init__(
        self,
        *,
        on_open: Callable[["LinkConnection"], None],
        on_message: Callable[["LinkConnection", Message], None],
        on_writable: Callable[[], None],
        on_lost: Callable[["LinkConnection", str], None],
        on_request: OnRequest | None = None,
        max_frame: int = MAX_FRAME,
    ) -> None:
        """``max_frame``: that is taken until :meth:`trust`."""
        self.writable = False
        """Whether more can be sent without piling up."""
        self.malformed = 0
        """Frames whose body was no message."""
        self.peer = ""
        """Who this is, for logs."""
        self._on_open = on_open
        self._on_message = on_message
        self._on_writable = on_writable
        self._on_lost = on_lost
        self._on_request = on_request
        self._decoder = FrameDecoder(max_frame)
        self._transport: asyncio.Transport | None = None
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._why = "the peer closed the connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._transport = transport
        self.writable = True
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        try:
            for body in self._decoder.feed(data):
                try:
                    message = unpack(body)
                except LinkError as problem:
                    self.malformed += 1
                    if self.malformed == 1:
                        logger.warning("link %s: %s; counting further ones in silence", self.peer, problem)
                    continue
                self._take(message)
                if self._transport is None:
                    return
        except FramingError as problem:
            self.abort(str(problem))

    def _take(self, message: Message) -> None:
        if isinstance(message, Request):
            self._serve(message)
        elif isinstance(message, Response):
            waiting = self._asked.pop(message.id, None)
            if waiting is not None and not waiting.done():
                if message.ok:
                    waiting.set_result(message.result)
                else:
                    waiting.set_exception(RequestRefusedError(message.error or "no reason given"))
        else:
            self._on_message(self, message)

    def _serve(self, request: Request) -> None:
        try:
            if self._on_request is None:
                raise LookupError("nothing can be asked here")
            response = Response(id=request.id, ok=True, result=self._on_request(request.verb, request.args))
            frame = pack(response)
        except (LookupError, ValueError) as refusal:
            text = str(refusal.args[0]) if refusal.args else type(refusal).__name__
            frame = pack(Response(id=request.id, ok=False, error=text[:2000]))
        except Exception:
            logger.exception("link %s: %s failed", self.peer, request.verb[:100])
            frame = pack(Response(id=request.id, ok=False, error="internal error; see the log"))
        self._write(frame)

    def send(self, message: Message) -> None:
        """Send; what the peer does not read piles up, see :attr:`writable`. :raises LinkError: too large."""
        self._write(pack(message))

    def _write(self, frame: bytes) -> None:
        if self._transport is None:
            return
        self._transport.write(frame)
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            self.abort(f"the peer has not read {MAX_UNSENT} bytes")

    async def request(
        self, verb: str, args: Mapping[str, Any] | None = None, *, within: float = REQUEST_TIMEOUT
    ) -> dict[str, Any]:
        """Ask the peer.

        :raises RequestRefusedError: it refused, or too many requests wait.
        :raises TimeoutError: it did not answer in ``within`` seconds.
        :raises ConnectionError: the connection is or went away.
        """
        if self._transport is None:
            raise ConnectionError(f"link {self.peer}: not connected")
        if len(self._asked) >= MAX_REQUESTS:
            raise RequestRefusedError(f"{MAX_REQUESTS} requests wait for an answer already")
        number = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self.send(Request(id=number, verb=verb, args=dict(args or {})))
            async with asyncio.timeout(within):
                return await answer
        finally:
            self._asked.pop(number, None)

    def trust(self) -> None:
        """Take frames of any size that there is."""
        self._decoder.max_frame = MAX_FRAME

    def pause_writing(self) -> None:
        """Of asyncio: the peer reads slowly."""
        self.writable = False

    def resume_writing(self) -> None:
        """Of asyncio: it has caught up."""
        self.writable = True
        self._on_writable()

    def close(self) -> None:
        """End it once everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self, why: str) -> None:
        """End it at once."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Of asyncio."""
        self._transport = None
        self.writable = False
        why = str(error) if error is not None else self._why
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError(f"link {self.peer}: {why}"))
        self._on_lost(self, why)
