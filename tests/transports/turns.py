"""Waiting for what other tasks do, without sleeping."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Give the others their turns until it holds; 5 s are far more than they need."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # whose state it is has no event to wait for
            await asyncio.sleep(0)
