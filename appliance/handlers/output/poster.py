"""POSTs over HTTP one after the other, on a connection that is kept; whatever is not answered by 2xx has failed."""

import asyncio
import re
from collections.abc import Mapping

import aiohttp
from yarl import URL

from appliance.net.tls import ClientTls, client_context

TIMEOUT = 10.0
"""Seconds for one POST, as in sampleevh."""


class Poster:
    """Open between :meth:`open` and :meth:`close`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self, tls: ClientTls) -> None:
        """:raises ValueError: a file of ``tls`` can't be used."""
        context = await asyncio.to_thread(client_context, tls)
        # One connection, so that messages arrive in order.
        connector = aiohttp.TCPConnector(limit=1, ssl=context)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        """End the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """:raises OSError: no answer, or none that begins with 2; the message names the address without its secrets."""
        assert self._session is not None
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    raise ConnectionError(f"{shown(url)} answers {response.status} {response.reason}")
        except aiohttp.ClientError as problem:
            raise ConnectionError(f"{shown(url)}: {problem}") from None
        except TimeoutError:
            raise ConnectionError(f"{shown(url)}: no answer within {TIMEOUT:.0f} s") from None


def check_url(name: str, text: str, *, instead: str) -> None:
    """:raises ValueError: ``text`` is no http or https address, or holds a user; ``instead`` says what there is."""
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{name}: {shown(text)!r}: wanted http://... or https://...")
    if url.user or url.password:
        raise ValueError(f"{name}: wanted no user or password in it: {instead}")


def shown(url: str) -> str:
    """Without its query, which may hold a secret, and without a password that does not belong there."""
    return re.sub(r"(?<=://)[^/@]*@", "", url.partition("?")[0])
