"""Where a relayed address is asked for and with what: as the settings say, or as a REST API tells that gives logins.

draft-uberti-behave-turn-rest-00, asked as Janus asks it (``turn_rest_api``): ``service=turn``, and the key as ``key``
and ``api``. Answered by JSON with ``username``, ``password`` and ``uris``.
"""

import asyncio
import ssl
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from appliance.media.servers import Login, Server, TurnServer, turn_server

REST_SECONDS = 5.0
MAX_BYTES = 16_384
"""Of an answer; a longer one is none."""
MAX_URIS = 4
"""Of an answer, that are tried; the others are left."""


class Access(Struct, frozen=True):
    """``servers`` are tried in turn, until one lends."""

    servers: tuple[Server, ...]
    login: Login


class _Answer(Struct):
    username: str
    password: str
    uris: list[str]


async def access_of(config: TurnServer, now_s: int, context: ssl.SSLContext | None) -> Access:
    """For now (Unix seconds). :raises OSError: a REST API gives none; the message holds no secret."""
    if config.rest_api:
        return await _asked(config, context)
    return Access((config.server,), config.login(now_s))


async def _asked(config: TurnServer, context: ssl.SSLContext | None) -> Access:
    fields = {"service": "turn"}
    if config.rest_api_key:
        fields |= {"key": config.rest_api_key, "api": config.rest_api_key}
    if config.username:
        fields["username"] = config.username
    is_post = config.rest_api_method == "POST"
    try:
        async with (
            asyncio.timeout(REST_SECONDS),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                config.rest_api_method,
                config.rest_api,
                params=None if is_post else fields,
                data=fields if is_post else None,
                allow_redirects=False,
                ssl=context or True,
            ) as response,
        ):
            if response.status != 200:
                raise ConnectionError(f"its REST API answers {response.status}")
            body = b""
            while len(body) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                body += more
    except TimeoutError:
        raise ConnectionError(f"its REST API does not answer within {REST_SECONDS:.0f} s") from None
    except aiohttp.ClientConnectionError as problem:
        raise ConnectionError(f"its REST API can't be reached: {problem}") from None
    except aiohttp.ClientError as problem:
        # Others may show the address that was asked, and with it the key.
        raise ConnectionError(f"its REST API can't be asked: {type(problem).__name__}") from None
    return _read(body)


def _read(body: bytes) -> Access:
    try:
        answer = msgspec.json.decode(body[: MAX_BYTES + 1], type=_Answer)
        uris = [uri for uri in answer.uris if uri.startswith(("turn:", "turns:"))][:MAX_URIS]
        servers = tuple(turn_server(uri) for uri in uris)
    except (msgspec.DecodeError, ValueError) as problem:
        raise ConnectionError(f"its REST API gives no login: {problem}") from None
    if not servers:
        raise ConnectionError("its REST API gives no login: uris has none that begins with turn: or turns:")
    return Access(servers, Login(answer.username, answer.password))


def shown(config: TurnServer) -> str:
    """What a server is called in logs and metrics: where it is, or where its REST API is."""
    return urlsplit(config.rest_api).netloc.rpartition("@")[2] if config.rest_api else str(config.server)
