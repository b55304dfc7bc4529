"""Live updates: one look at the archive for all who watch, pushed to each as Server-Sent Events.

A watcher holds what it has not been sent yet, newest state only: a slow browser misses intermediate states, never the
last one, and costs no more memory than one state a call. Server-Sent Events because a browser opens them again by
itself; the pages close theirs while hidden, because a browser allows six connections to a server.

Events on the stream: ``calls`` (summaries that are new or changed), ``reload`` (too much has changed: fetch the list
again), ``call`` (the call that this page shows has changed: fetch it again). A stream begins with the latter two: the
page was fetched before anybody watched for it, or its stream had been broken, and what changed meanwhile is told to
nobody.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web

from appliance.console.guard import SECURITY_HEADERS, UNTIL_S
from appliance.core.archive import Archive, CallSummary
from appliance.core.clock import Clock

logger = logging.getLogger(__name__)

LIST_LIMIT = 200
"""Calls looked at, newest first; older ones no longer change."""
MAX_PENDING = 100
"""Changed calls that wait for a browser before it is told to reload instead."""
HEARTBEAT_S = 15.0
WRITE_TIMEOUT_S = 20.0
"""A browser that takes no byte for so long is let go."""
SETTLING_TICKS = 5
"""A call that has ended is announced a few times more: its last events and its final verdict come a moment later."""
SHARE_OF_TIME = 0.1
"""At most this share of the time goes into explaining a call again for those who watch it."""


class Watcher:
    """One browser page: what it has not been sent yet."""

    def __init__(self, correlation_id: str | None, gone: Callable[[], bool] = lambda: False) -> None:
        self.correlation_id = correlation_id
        self.gone = gone
        self._calls: dict[str, CallSummary] = {}
        self._reload = False
        self._call = False
        self._wake = asyncio.Event()
        self.closed = False
        self.behind = True
        """What it shows may be older than the last look."""

    def catch_up(self) -> None:
        """Have the list fetched once."""
        self.behind = False
        self._reload = True
        self._wake.set()

    def offer(self, changed: Sequence[CallSummary]) -> None:
        """Calls that are new or have changed."""
        if not changed:
            return
        for call in changed:
            self._calls[call.correlation_id] = call
        if len(self._calls) > MAX_PENDING:
            self._calls.clear()
            self._reload = True
        self._wake.set()

    def offer_call(self) -> None:
        """The call that this page shows may have changed."""
        self._call = True
        self._wake.set()

    def close(self) -> None:
        """End the stream."""
        self.closed = True
        self._wake.set()

    async def next_chunk(self) -> bytes:
        """What to write next: events, or a comment when there has been nothing for :data:`HEARTBEAT_S`."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._wake.wait()
        except TimeoutError:
            return b": still here\n\n"
        self._wake.clear()
        return self.take()

    def take(self) -> bytes:
        """Everything that waits, as text of the stream."""
        parts: list[bytes] = []
        if self._reload:
            parts.append(b"event: reload\ndata: {}\n\n")
        if self._calls:
            parts.append(b"event: calls\ndata: " + msgspec.json.encode(list(self._calls.values())) + b"\n\n")
        if self._call:
            parts.append(b"event: call\ndata: {}\n\n")
        self._calls.clear()
        self._reload = self._call = False
        return b"".join(parts)


class Live:
    """Looks at the archive while somebody watches, and tells the watchers what has changed."""

    def __init__(self, clock: Clock, *, interval_s: float, max_watchers: int) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._max_watchers = max_watchers
        self._watchers: set[Watcher] = set()
        self._known: dict[str, CallSummary] = {}
        self._followed: dict[str, CallSummary] = {}
        self._settling: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def watchers(self) -> int:
        """Pages that watch now."""
        return len(self._watchers)

    def costs(self, correlation_id: str, seconds: float) -> None:
        """Explaining this call took so long: a long call is announced less often, so that it can't fill a core."""
        if any(watcher.correlation_id == correlation_id for watcher in self._watchers):
            self._not_before[correlation_id] = self._clock.monotonic() + seconds / SHARE_OF_TIME

    async def look(self, archive: Archive) -> None:
        """Compare the archive with what was seen last, and offer the differences."""
        calls = await archive.calls(limit=LIST_LIMIT)
        seen = {call.correlation_id: call for call in calls}
        changed = [call for call in calls if self._known.get(call.correlation_id) != call]
        for watcher in self._watchers:
            if watcher.behind:
                watcher.catch_up()
            else:
                watcher.offer(changed)
        for correlation_id in {watcher.correlation_id for watcher in self._watchers} - {None}:
            assert correlation_id is not None
            call = seen.get(correlation_id) or await archive.call(correlation_id)
            self._look_at(correlation_id, call)
        self._known = seen

    def _look_at(self, correlation_id: str, call: CallSummary | None) -> None:
        if call is None:
            return
        seen = self._followed.get(correlation_id)
        if call.ended_us is None or seen not in (call, None):
            self._settling[correlation_id] = SETTLING_TICKS
        elif seen is None:
            self._settling[correlation_id] = 1
        self._followed[correlation_id] = call
        left = self._settling.get(correlation_id, 0)
        if left <= 0 or self._clock.monotonic() < self._not_before.get(correlation_id, 0.0):
            return
        self._settling[correlation_id] = left - 1
        for watcher in self._watchers:
            if watcher.correlation_id == correlation_id:
                watcher.offer_call()

    async def _run(self, archive: Archive) -> None:
        while self._watchers:
            try:
                await self.look(archive)
            except Exception:
                logger.exception("console: the archive could not be read for live updates")
            await asyncio.sleep(self._interval_s)
            for watcher in self._watchers:
                if watcher.gone():
                    watcher.close()

    def _join(self, watcher: Watcher, archive: Archive) -> None:
        self._watchers.add(watcher)
        self._followed.pop(watcher.correlation_id or "", None)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(archive), name="console live updates")

    def _leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        correlation_id = watcher.correlation_id
        if correlation_id is not None and all(other.correlation_id != correlation_id for other in self._watchers):
            self._followed.pop(correlation_id, None)
            self._settling.pop(correlation_id, None)
            self._not_before.pop(correlation_id, None)
        if not self._watchers and self._task is not None:
            self._task.cancel()
            self._task = None

    @property
    def full(self) -> bool:
        """No further page can watch."""
        return len(self._watchers) >= self._max_watchers

    async def stream(self, request: web.Request, archive: Archive, correlation_id: str | None) -> web.StreamResponse:
        """Serve one page until it goes away; ask :attr:`full` first."""
        response = web.StreamResponse(
            headers={
                **SECURITY_HEADERS,
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
            }
        )
        transport, until_s = request.transport, request.get(UNTIL_S)

        def gone() -> bool:
            over = until_s is not None and self._clock.wall_us() >= until_s * 1_000_000
            return over or transport is None or transport.is_closing()

        watcher = Watcher(correlation_id, gone)
        self._join(watcher, archive)
        try:
            await response.prepare(request)
            await response.write(b"retry: 2000\n\n")
            while not watcher.closed:
                chunk = await watcher.next_chunk()
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await response.write(chunk)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._leave(watcher)
        return response

    async def close(self) -> None:
        """End every stream and stop looking."""
        for watcher in tuple(self._watchers):
            watcher.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
