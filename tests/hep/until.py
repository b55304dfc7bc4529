"""Waiting for what sockets and other processes do, which tells nobody."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """:raises TimeoutError: it has not come true."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  # nobody would set an event
            await asyncio.sleep(0.01)
