"""``appliance watch``: the events of a running collector, as lines or JSON."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp

from appliance.core.events import Counters, EventDecodeError, from_janus
from appliance.diagnosis.describe import describe_event


class WatchError(RuntimeError):
    """The collector can't be reached or refuses; the message says what to do."""


def line_of(content: dict[str, Any]) -> str:
    """One event in words: time, server, handle, what happened. Empty for what is no news to people."""
    if "lost" in content:
        return f"... {content['lost']} events were not shown: the terminal is slower than they come"
    try:
        (item,) = from_janus(content)
    except (EventDecodeError, ValueError) as problem:
        return f"??? {problem}"
    if isinstance(item.event, Counters):
        # Every few seconds from every gateway, for the metrics.
        return ""
    time = datetime.fromtimestamp(item.timestamp / 1e6, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    who = content.get("correlation_id") or item.session_id or item.emitter
    return f"{time}  {who}  {describe_event(item)}"


async def watch_events(
    url: str,
    wanted: dict[str, Any],
    *,
    as_json: bool,
    say: Callable[[str], Any],
    headers: dict[str, str] | None = None,
) -> None:
    """Print until the collector ends or the user does. ``headers``: of the request.

    :raises WatchError: it can't be reached or refuses."""
    parameters = {key: str(value) for key, value in wanted.items() if value is not None}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20, headers=headers) as http,
            http.get(f"{url.rstrip('/')}/events", params=parameters) as reply,
        ):
            if reply.status != 200:
                raise WatchError(f"{url}: {reply.status}: {(await reply.text()).strip()[:200]}")
            async for line in reply.content:
                if not line.strip():
                    continue
                words = line.decode().rstrip("\n") if as_json else line_of(json.loads(line))
                if words:
                    say(words)
    except (aiohttp.ClientError, TimeoutError) as problem:
        raise WatchError(f"{url}: {problem or type(problem).__name__}. Is the appliance running?") from None
