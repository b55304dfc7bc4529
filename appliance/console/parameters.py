"""Parameters of a request: read strictly, refused with their name, their value and what was wanted."""

import asyncio
from collections.abc import Sequence

from aiohttp import web

MAX_TEXT = 200
"""Characters of a search or an id."""
BODY_S = 10.0
"""For a small body to arrive."""


class BadParameterError(ValueError):
    """The message is for whoever wrote the address."""


def text(request: web.Request, name: str) -> str:
    """Empty when absent. :raises BadParameterError: too long."""
    return _checked(name, request.query.get(name, ""))


def correlation_id(request: web.Request) -> str:
    """From the path. :raises BadParameterError: too long."""
    return _checked("correlation_id", request.match_info["correlation_id"])


def _checked(name: str, value: str) -> str:
    if len(value) > MAX_TEXT:
        raise BadParameterError(f"{name}: {len(value)} characters came, wanted at most {MAX_TEXT}")
    return value


async def small_body(request: web.Request, limit: int) -> bytes:
    """All of a body; of one that is longer than ``limit``, so much and a byte.

    :raises web.HTTPRequestTimeout: it takes longer than :data:`BODY_S`.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    break
    except TimeoutError:
        late = web.HTTPRequestTimeout()
        late.force_close()
        raise late from None
    return bytes(body[: limit + 1])


def integer(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """:raises BadParameterError: not decimal digits, or out of range."""
    value = request.query.get(name)
    if value is None:
        return default
    # Length and alphabet first: int() takes other scripts' digits, underscores, and any number of them.
    if not (value.isascii() and value.isdigit() and len(value) <= 19) or not least <= int(value) <= most:
        raise BadParameterError(f"{name}: {value[:MAX_TEXT]!r} came, wanted an integer from {least} to {most}")
    return int(value)


def choice(request: web.Request, name: str, words: Sequence[str]) -> str:
    """One of ``words``, the first when absent. :raises BadParameterError: any other."""
    value = request.query.get(name, words[0])
    if value not in words:
        raise BadParameterError(f"{name}: {value[:MAX_TEXT]!r} came, wanted one of {', '.join(words)}")
    return value


def optional_flag(request: web.Request, name: str) -> bool | None:
    """``None`` when absent. :raises BadParameterError: neither true nor false."""
    value = request.query.get(name, "")
    if value not in {"", "true", "false"}:
        raise BadParameterError(f"{name}: {value[:MAX_TEXT]!r} came, wanted true or false")
    return None if value == "" else value == "true"
