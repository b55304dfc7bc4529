"""A client of the Admin API of a gateway of ours or of a Janus server, over HTTP."""

import asyncio
import secrets
import ssl
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from appliance.net.tls import ClientTls, client_context

TIMEOUT_S = 5.0
MAX_ANSWER = 8 * 2**20
MAX_AT_ONCE = 8
"""Requests to one server."""
MAX_WAITING = 64
"""Requests that wait for their turn; a further one is refused."""


class AdminRefusedError(Exception):
    """The server answered with an error: its ``code`` as Janus has it, and its words."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code


class AdminClient:
    """One server. :raises ValueError: the address is none, or a file is no good; the message names the setting."""

    def __init__(
        self, name: str, url: str, *, secret: str = "", tls: ClientTls | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        """``name``: as the server's events have it. ``tls``: how the certificate of an https server is checked."""
        self.name = name
        address = URL(url)
        if address.scheme not in {"http", "https"} or not address.host or address.user:
            raise ValueError(f"admin: {name}: url: {url!r}: wanted http://host:7088/admin")
        self._url = address
        self._secret = secret
        self._timeout_s = timeout_s
        self._tls: ssl.SSLContext | None = client_context(tls or ClientTls()) if address.scheme == "https" else None
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, verb: str, *ids: int, **arguments: Any) -> dict[str, Any]:
        """The reply to one request about the server, or the session, or the session and handle in ``ids``.

        :raises AdminRefusedError: the server refuses.
        :raises ConnectionError: it can't be reached, is too slow, or says what is no reply.
        """
        if self._waiting >= MAX_WAITING:
            raise ConnectionError(f"{MAX_WAITING} requests wait for it already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                reply = await self._post(ids, {"janus": verb, **arguments})
        except TimeoutError:
            raise ConnectionError(f"no answer within {self._timeout_s:.0f} s") from None
        except (aiohttp.ClientError, OSError) as problem:
            raise ConnectionError(str(problem) or type(problem).__name__) from None
        finally:
            self._waiting -= 1
        if reply.get("janus") == "error":
            error = reply.get("error")
            if not isinstance(error, dict):
                error = {}
            code = error.get("code")
            raise AdminRefusedError(code if isinstance(code, int) else 0, str(error.get("reason", "no reason"))[:200])
        return reply

    async def _post(self, ids: tuple[int, ...], message: dict[str, Any]) -> dict[str, Any]:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=MAX_AT_ONCE, ssl=self._tls or True)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        message |= {"transaction": secrets.token_hex(6)}
        if self._secret:
            message["admin_secret"] = self._secret
        url = self._url
        for number in ids:
            url = url / str(number)
        async with self._session.post(url, data=msgspec.json.encode(message), allow_redirects=False) as reply:
            body = bytearray()
            async for piece in reply.content.iter_any():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise ConnectionError(f"it answers with more than {MAX_ANSWER} bytes")
            if reply.status != 200:
                raise ConnectionError(f"it answers {reply.status} {reply.reason}; is that the Admin API's address?")
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ConnectionError("it answers with what is no JSON object") from None

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
