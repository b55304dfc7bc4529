"""The gateway's one consumer of events: sends them to the collector, and takes the collector's commands.

Calls come first: nothing here waits for the collector. What it does not keep yet, where a crash does not lose it, is
sent again after one (:mod:`appliance.handlers.link_window`); what comes meanwhile waits in a bounded queue, whose
losses a ``Gap`` marks. A collector that has just started is told the state of every call that is up
(:mod:`appliance.handlers.link_memory`).
"""

import asyncio
import logging
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from appliance.core.clock import Clock, Timer
from appliance.core.correlation import Correlator
from appliance.core.events import Counter, Event, EventType, encode_msgpack
from appliance.core.queue import EventQueue
from appliance.handlers.link_memory import LinkMemory
from appliance.handlers.link_window import LinkWindow
from appliance.net.link import (
    MAX_FRAME,
    VERSION,
    Ack,
    Events,
    Hello,
    Message,
    Replay,
    UnixAddress,
    Welcome,
    parse_address,
)
from appliance.net.link_connection import LinkConnection, OnRequest, RequestRefusedError

logger = logging.getLogger(__name__)

BATCH = 100
"""Events in one frame."""
FRAME_BYTES = 2**20
MAX_EVENT = MAX_FRAME // 2
"""Bytes; nothing that a gateway emits comes near it."""
WINDOW = 5_000
"""Events sent and not taken."""
WINDOW_BYTES = 8 * 2**20
DEPTH = 50_000
"""Events that wait while the collector is away: some minutes of fifty calls."""
MAX_BYTES = 32 * 2**20
REDIAL_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
PATIENCE = 3
"""Dials in vain before it is said that there is no collector."""
STALL_SECONDS = 5.0
"""A collector that acknowledges nothing for so long is given up, and dialled again."""
FLUSH_SECONDS = 3.0


class LinkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing of its own: ``server.link`` names the address."""

    enabled: bool = True
    events: str = "all"


class LinkHandler:
    """Contract: :class:`appliance.core.handler.EventHandler`."""

    Config = LinkConfig
    name = "link"
    mask = EventType.ALL

    def __init__(
        self,
        address: str,
        *,
        server_name: str,
        clock: Clock,
        boot: str = "",
        token: str = "",
        depth: int = DEPTH,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """:raises LinkError: the address is none."""
        self.on_request: OnRequest | None = None
        """Serves what the collector asks: ``hangup``, ``describe``, ... May be set at any time."""
        self.boot = boot or secrets.token_hex(8)
        self.acknowledged = 0
        """Events that the collector has taken."""
        self._address = parse_address(address)
        self._server_name = server_name
        self._token = token
        self._clock = clock
        self._queue = EventQueue(clock, depth=depth, max_bytes=max_bytes, reason="link_down")
        self._memory = LinkMemory(clock)
        self._correlator = Correlator()
        self._next = 0
        self.window = LinkWindow()
        self._connection: LinkConnection | None = None
        self._welcomed = False
        self._progress_at = 0.0
        self._unsendable = 0
        self.failures = 0
        """Dials in vain since it was connected last."""
        self._dialling: asyncio.Task[None] | None = None
        self._redial: Timer | None = None
        self._watch: Timer | None = None
        self._idle: asyncio.Future[None] | None = None
        self._stopped = True

    @property
    def connected(self) -> bool:
        """Whether the collector takes events."""
        return self._welcomed

    async def start(self) -> None:
        """Begin to dial. A collector that is not there yet is no error."""
        self._stopped = False
        self._dial()
        self._watch_progress()

    async def handle(self, batch: Sequence[Event]) -> None:
        """Send, or queue for later. Never waits."""
        for item in batch:
            self._queue.offer(item)
        self._pump()

    async def stop(self) -> None:
        """Give the collector a moment to take what is left, and end."""
        if not self._is_idle():
            if self._redial is not None:
                # A gateway that ends right after it began: the collector may have come up just now.
                self._redial.cancel()
                self._dial()
            self._idle = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._idle
            except TimeoutError:
                pass
        self._stopped = True
        if left := self._backlog():
            logger.warning("link: the collector did not take the last %d events", left)
        for timer in (self._redial, self._watch):
            if timer is not None:
                timer.cancel()
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.gather(self._dialling, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()

    def measure(self) -> Iterable[Counter]:
        """Whether it is up, what went over, what waits and what was lost."""
        labels = {"handler": "link_backlog"}
        yield Counter("link_connected", float(self._welcomed))
        yield Counter("link_events_total", self.acknowledged)
        yield Counter("link_unkept_events", self.window.unkept)
        yield Counter("link_forgotten_events_total", self.window.forgotten)
        yield Counter("event_queue_length", self._backlog(), labels)
        yield Counter("event_queue_capacity", self._queue.depth, labels)
        yield Counter("event_queue_oldest_age_seconds", self._queue.oldest_age(), labels)
        yield Counter("events_dropped_total", sum(self._queue.dropped.values()), labels | {"reason": "disconnected"})

    async def ask(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        """Ask the collector. :raises ConnectionError: it is away, refuses, or does not answer in time."""
        connection = self._connection
        if connection is None or not self._welcomed:
            raise ConnectionError("it is not connected")
        try:
            return await connection.request(verb, args)
        except TimeoutError:
            raise ConnectionError("it does not answer") from None
        except RequestRefusedError as refusal:
            raise ConnectionError(str(refusal)) from None

    # --- the connection --------------------------------------------------------------------------------------

    def _dial(self) -> None:
        self._redial = None
        self._dialling = asyncio.get_running_loop().create_task(self._connect(), name="link dial")

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STALL_SECONDS):
                if isinstance(self._address, UnixAddress):
                    await loop.create_unix_connection(self._make_connection, self._address.path)
                else:
                    await loop.create_connection(self._make_connection, self._address.host, self._address.port)
        except (OSError, TimeoutError) as problem:
            self._dial_later(str(problem) or "no answer")

    def _make_connection(self) -> LinkConnection:
        return LinkConnection(
            on_open=self._opened,
            on_message=self._message,
            on_writable=self._pump,
            on_lost=self._lost,
            on_request=self._serve,
        )

    def _dial_later(self, why: str, *, lost: bool = False) -> None:
        if self._stopped:
            return
        # Both processes are started together: the first refusals mean nothing.
        if lost or self.failures == PATIENCE:
            what = "no collector" if not lost else "the collector is gone"
            logger.warning("link: %s at %s: %s; events wait", what, self._address, why)
        delay = REDIAL_SECONDS[min(self.failures, len(REDIAL_SECONDS) - 1)]
        self.failures += 1
        self._redial = self._clock.call_later(delay, self._dial)

    def _opened(self, connection: LinkConnection) -> None:
        connection.peer = str(self._address)
        self._connection = connection
        self._progress_at = self._clock.monotonic()
        connection.send(Hello(v=VERSION, boot=self.boot, server=self._server_name, token=self._token))

    def _lost(self, connection: LinkConnection, why: str) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        lost, self._welcomed = self._welcomed, False
        if lost:
            self.failures = 0
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._dial_later(why, lost=lost)

    def _watch_progress(self) -> None:
        self._watch = self._clock.call_later(1.0, self._watch_progress)
        if self._connection is None or (self._welcomed and not self.window.in_flight):
            self._progress_at = self._clock.monotonic()
        elif self._clock.monotonic() - self._progress_at > STALL_SECONDS:
            what = "acknowledges nothing" if self._welcomed else "says nothing"
            self._connection.abort(f"the collector {what} for {STALL_SECONDS:.0f} s")

    # --- messages --------------------------------------------------------------------------------------------

    def _message(self, connection: LinkConnection, message: Message) -> None:
        if isinstance(message, Ack):
            # It lives, though it may want no more yet.
            self._progress_at = self._clock.monotonic()
            self._acknowledge(message.next, message.next if message.kept is None else message.kept)
            self._pump()
        elif isinstance(message, Welcome):
            self._begin(connection, message)

    def _begin(self, connection: LinkConnection, welcome: Welcome) -> None:
        if welcome.v != VERSION or welcome.error:
            why = welcome.error or f"it speaks version {welcome.v} of the link, this gateway {VERSION}"
            logger.warning("link: the collector at %s refuses: %s", self._address, why)
            connection.abort(f"the collector refuses: {why}")
            return
        old: list[bytes] = []
        if welcome.next is None:
            first = self.window.first
            old = self._memory.recall(before=self._next if first is None else first)
            for frame in _frames(old):
                connection.send(Replay(events=frame))
        self.window.rewind(welcome.next)
        again = self.window.to_send
        logger.info("link: connected to %s; %d events told again, %d sent again", self._address, len(old), again)
        self.failures = 0
        self._welcomed = True
        self._progress_at = self._clock.monotonic()
        self._pump()

    def _acknowledge(self, taken: int, kept: int) -> None:
        self.window.acknowledge(taken, kept)
        self.acknowledged = max(self.acknowledged, min(taken, self._next))

    def _backlog(self) -> int:
        """Events that the collector does not have."""
        return len(self._queue) + self.window.in_flight + self.window.to_send

    def _is_idle(self) -> bool:
        return self.window.is_empty and not self._queue.waiting()

    def _pump(self) -> None:
        """Send while there is something to send and room for it."""
        while (
            self._connection is not None
            and self._welcomed
            and self._connection.writable
            and (self.window.to_send or self._queue.waiting())
            and self.window.in_flight < WINDOW
            and self.window.in_flight_bytes < WINDOW_BYTES
        ):
            if not self.window.in_flight:
                self._progress_at = self._clock.monotonic()
            if self.window.to_send:
                some = self.window.send_again(BATCH)
                seq, events = some[0][0], [data for _, data in some]
            else:
                seq = self._next
                events = [data for item in self._queue.take(BATCH) if (data := self._number(item))]
            for frame in _frames(events):
                self._connection.send(Events(seq=seq, events=frame))
                seq += len(frame)
        if self._idle is not None and not self._idle.done() and self._is_idle():
            self._idle.set_result(None)

    def _number(self, item: Event) -> bytes | None:
        # Correlated here, because a collector that starts later has not seen how many PeerConnections a handle had.
        if item.handle_id is not None:
            item = replace(item, correlation_id=self._correlator.of(item))
        try:
            data = encode_msgpack(item)
        except (TypeError, OverflowError, RecursionError):
            # A client can make it so: one word of it is enough.
            if not self._unsendable:
                logger.exception("link: an event of type %d can't be encoded; counting further ones", item.type)
            self._unsendable += 1
            data = b""
        if not 0 < len(data) <= MAX_EVENT:
            self._queue.lose(item)
            return None
        self.window.sent(self._next, data)
        self._memory.keep(self._next, item, data)
        self._next += 1
        return data

    def _serve(self, verb: str, args: dict[str, object]) -> dict[str, object]:
        if self.on_request is None:
            raise LookupError("the gateway is not ready for commands")
        return self.on_request(verb, args)


def _frames(events: Sequence[bytes]) -> Iterable[list[bytes]]:
    """Groups of at most :data:`BATCH` events, and about :data:`FRAME_BYTES` bytes."""
    frame: list[bytes] = []
    size = 0
    for data in events:
        if frame and (len(frame) >= BATCH or size + len(data) > FRAME_BYTES):
            yield frame
            frame, size = [], 0
        frame.append(data)
        size += len(data)
    if frame:
        yield frame
