"""What servers push, good and bad, and the wait until it has come."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.core.events import Counter, Event
from appliance.intake import dialect

TRACE = Path(__file__).parent.parent / "data/janus-1.4/aiortc_echo_combined.jsonl"
EVENT: dict[str, Any] = {"type": 1, "timestamp": 1, "session_id": 7, "event": {"name": "created"}}
GOOD = json.dumps([EVENT]).encode()
LIMIT = 100_000
"""Bytes of a message that the intakes under test take."""

BAD: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"\xff\xfe\x00{",
    "cut": GOOD[:-5],
    "a number": b"17",
    "null": b"null",
    "no event": b'[{"a":1}]',
    "wrong types": b'[{"type":"x","timestamp":[],"event":7}]',
    "deep": b"[" * 90_000,
    "deep and closed": b"[" * 40_000 + b"]" * 40_000,
    "deep in an event": b'{"type":64,"timestamp":1,"event":{"plugin":"p","data":' + b'{"a":' * 500 + b"1" + b"}" * 502,
    "an endless number": b'{"type":1,"timestamp":' + b"9" * 5000 + b',"event":{"name":"created"}}',
    "not a character": b'{"type":1,"timestamp":1,"event":{"name":"\\ud800"}}',
    "too long": b"[" + b" " * LIMIT + b"]",
}
"""Each is refused; ``[]`` is no mistake."""


def recorded() -> tuple[list[bytes], list[Event]]:
    """What a Janus server posted during a call, and the events that are in it."""
    posts: dict[int, list[Any]] = {}
    for line in TRACE.read_text().splitlines():
        item = json.loads(line)
        posts.setdefault(item["post"], []).append(item["event"])
    events = [found for post in posts.values() for found in dialect.read(post)]
    return [json.dumps(post).encode() for post in posts.values()], events


def outcomes(counters: list[Counter]) -> dict[str, float]:
    return {c.labels["outcome"]: c.value for c in counters if "outcome" in c.labels}


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for what another program has to do."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # nothing tells us but the look itself
            await asyncio.sleep(0.005)
