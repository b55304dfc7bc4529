"""``appliance record``: rules and bundles of a running collector."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

_PIECE = 2**18


class RecordError(RuntimeError):
    """The collector can't be reached or refuses; the message says why."""


async def record_calls(
    action: str, what: str, url: str, say: Callable[[str], Any], *, headers: dict[str, str] | None = None
) -> None:
    """``list``, ``start`` or ``stop`` the rule ``what``, or ``fetch`` the bundle ``what`` into this folder.

    ``headers``: of every request. :raises RecordError: see there.
    """
    if action != "list" and not what:
        raise RecordError("fetch: wanted a bundle's name" if action == "fetch" else f"{action}: wanted a rule")
    place = f"{url.rstrip('/')}/api/recordings"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60), headers=headers) as http:
            if action == "fetch":
                await _fetch(http, place, what, say)
                return
            method = {"list": "GET", "start": "POST", "stop": "DELETE"}[action]
            body = None if action == "list" else {"rule": what}
            async with http.request(method, place, json=body) as reply:
                await _checked(reply)
                _show(await reply.json(), say)
    except (aiohttp.ClientError, TimeoutError) as problem:
        raise RecordError(f"{url}: {problem or type(problem).__name__}. Is the appliance running?") from None
    except OSError as problem:
        raise RecordError(f"{what}: {problem.strerror or problem}") from None


async def _fetch(http: aiohttp.ClientSession, place: str, name: str, say: Callable[[str], Any]) -> None:
    path = Path(Path(name).name)
    async with http.get(f"{place}/{path.name}") as reply:
        await _checked(reply)
        # Never over a file that is there already.
        file = await asyncio.to_thread(path.open, "xb")
        with file:
            async for piece in reply.content.iter_chunked(_PIECE):
                await asyncio.to_thread(file.write, piece)
    say(f"{path}: explain it with: appliance replay {path}")


async def _checked(reply: aiohttp.ClientResponse) -> None:
    if reply.status >= 400:
        try:
            said = await reply.json()
            problem = said["error"]["message"]
        except (ValueError, KeyError, TypeError, aiohttp.ContentTypeError):
            problem = reply.reason
        raise RecordError(f"{reply.status}: {problem}")


def _show(found: dict[str, Any], say: Callable[[str], Any]) -> None:
    for rule in found["rules"]:
        say(f"rule       {rule}")
    for call in found["recording"]:
        say(f"recording  {call}")
    for bundle in found.get("bundles", ()):
        say(f"bundle     {bundle['name']}  {bundle['bytes']} bytes")
    if not any(found.values()):
        say("Nothing is recorded, and no rule is in force.")
