"""The event handler: collects, writes every quarter second or two thousand events, and survives its database.

A database that is locked, full or away is tried again while the events wait in the bus's bounded queue; a value that
it refuses costs that event alone; a damaged SQLite file is set aside once and a new one begun.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from appliance.core.clock import Timer
from appliance.core.events import Counter, Event, parse_mask
from appliance.core.handler import HandlerContext
from appliance.core.selection import SelectConfig
from appliance.handlers.store import database
from appliance.handlers.store.archive import StoreArchive
from appliance.handlers.store.database import StoreError
from appliance.handlers.store.writer import Block, Writer

logger = logging.getLogger(__name__)

BATCH = 2_000
WRITE_AFTER = 0.25
MAX_PENDING = 4_000
"""Events in hand; more wait in the bus, which knows what to lose first."""
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
PRUNE_EVERY = 60.0
PRUNE_AGAIN = 0.5
"""Seconds to the next portion, when one was not enough."""
FLUSH_TIMEOUT = 3.0
DAY_US = 86_400_000_000

T = TypeVar("T")


class StoreConfig(SelectConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.store]``."""

    enabled: bool = True
    events: str = "all"
    url: str = ""
    """Empty for SQLite in the data directory, or e.g. ``postgresql+psycopg://user@host/name``."""
    password: str = ""
    """For a database server."""
    retention_days: float = 7.0
    """Older events and calls are deleted; 0 keeps them for ever."""
    max_events: int = 10_000_000
    """The oldest go beyond this many, about 9 GB in SQLite; 0 for no limit."""


class StoreHandler:
    """Contract: :class:`appliance.core.handler.EventHandler`, :class:`appliance.core.handler.KeepsCalls`."""

    Config = StoreConfig
    name = "store"
    knows_again = True
    """Contract: :class:`appliance.core.bus.KnowsAgain`."""

    def __init__(self, config: StoreConfig, context: HandlerContext) -> None:
        """:raises ValueError: a mask word is unknown. :raises StoreError: the URL is of no use."""
        self.mask = parse_mask(config.events)
        self.errors = 0
        """Batches that could not be written, each try counted."""
        self.lost = 0
        """Events given up."""
        self._config = config
        self._clock = context.clock
        self._url = database.store_url(config.url, config.password, context.data_dir)
        self._archive = StoreArchive(self.flush)
        self._writer: Writer | None = None
        self._thread: ThreadPoolExecutor | None = None
        """The only one that uses the database."""
        self._rows_thread: ThreadPoolExecutor | None = None
        """Makes the next rows while the database takes the last: each waits for the other less than half the time."""
        self._task: asyncio.Task[None] | None = None
        self._deliveries = context.deliveries
        self._deliveries.asked = True
        self._pending: list[Event] = []
        self._held: deque[int] = deque()
        """The lowest number of each block that is not done with, and of what is pending."""
        self._taken = 0
        self._done = 0
        """Of those taken: written or given up."""
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._nap = asyncio.Event()
        """Ends the pause before the next try."""
        self._moved = asyncio.Condition()
        self._stopping = False
        self._in_trouble = False
        self._set_aside = False
        self._prune_due = False
        self._prune_timer: Timer | None = None
        context.measured.append(self)

    @property
    def archive(self) -> StoreArchive:
        """What it kept; raises StoreError when asked while the store is not running."""
        return self._archive

    @property
    def last_id(self) -> int:
        """The highest event number found at the start."""
        return self._writer.last_id if self._writer is not None else 0

    async def start(self) -> None:
        """Open the database, make its tables. :raises StoreError: it can't be used; the message says why."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store writer")
        self._rows_thread = ThreadPoolExecutor(1, thread_name_prefix="store rows")
        try:
            await self._in_thread(self._open)
        except BaseException:
            self._thread.shutdown()
            self._rows_thread.shutdown()
            raise
        self._archive.open(database.connect(self._url, read_only=True))
        self._task = asyncio.create_task(self._run(), name="store writer")
        self._ask_to_prune()

    async def handle(self, batch: Sequence[Event]) -> None:
        """Take events; waits while the database is behind."""
        if batch and not self._pending:
            self._held.append(min(item.id for item in batch))
        self._pending += batch
        self._taken += len(batch)
        self._wake.set()
        if len(self._pending) >= BATCH:
            self._hurry.set()
        if len(self._pending) >= MAX_PENDING:
            async with self._moved:
                await self._moved.wait_for(lambda: len(self._pending) < MAX_PENDING)

    @property
    def oldest_held(self) -> int | None:
        """Contract: :class:`appliance.core.bus.Durable`."""
        return self._held[0] if self._held else None

    def hurry(self) -> None:
        """Write what is pending."""
        self._hurry.set()

    async def flush(self) -> None:
        """Return once everything taken so far is written, or after a few seconds when the database is in trouble."""
        target = self._taken
        if self._done >= target or self._task is None or self._task.done():
            return
        self._hurry.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT), self._moved:
                await self._moved.wait_for(lambda: self._done >= target)

    async def stop(self) -> None:
        """Write what is in hand, and close."""
        self._stopping = True
        self._wake.set()
        self._hurry.set()
        self._nap.set()
        if self._prune_timer is not None:
            self._prune_timer.cancel()
        if self._task is not None:
            await self._task
        self._archive.close()
        if self._thread is not None and self._writer is not None:
            await self._in_thread(self._writer.close)
            self._thread.shutdown()
        if self._rows_thread is not None:
            self._rows_thread.shutdown()

    def measure(self) -> Iterable[Counter]:
        """Rows and failures."""
        yield Counter("store_rows_total", self._writer.rows if self._writer is not None else 0)
        yield Counter("store_errors_total", self.errors)
        yield Counter("events_dropped_total", self.lost, {"handler": self.name, "reason": "serialise"})

    # --- writing ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        writing: asyncio.Task[None] | None = None
        while not (self._stopping and not self._pending):
            await self._wake.wait()
            self._wake.clear()
            while self._pending or self._prune_due:
                if self._prune_due:
                    if writing is not None:
                        await writing
                    await self._prune()
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WRITE_AFTER):
                        await self._hurry.wait()
                self._hurry.clear()
                items, self._pending = self._pending, []
                async with self._moved:
                    self._moved.notify_all()
                block = await self._prepare(items)
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._finish(block, len(items)), name="store block")
        if writing is not None:
            await writing

    async def _prepare(self, items: list[Event]) -> Block | None:
        assert self._writer is not None
        try:
            return await self._in_thread(self._writer.prepare, items, self._deliveries, thread=self._rows_thread)
        except Exception:
            logger.exception("store: %d events are lost", len(items))
            self.errors += 1
            self.lost += len(items)
            return None

    async def _finish(self, block: Block | None, taken: int) -> None:
        if block is not None:
            await self._write(block)
        async with self._moved:
            self._done += taken
            self._held.popleft()
            self._moved.notify_all()

    async def _write(self, block: Block) -> None:
        attempt = 0
        while not await self._try(block):
            if self._stopping:
                logger.error("store: the last %d events could not be written", len(block))
                self.lost += len(block)
                return
            self._nap.clear()
            timer = self._clock.call_later(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)], self._nap.set)
            await self._nap.wait()
            timer.cancel()
            attempt += 1
            if attempt > 1 and not self._stopping:
                with contextlib.suppress(SQLAlchemyError, StoreError, OSError):
                    await self._in_thread(self._reopen)

    async def _try(self, block: Block) -> bool:
        """Whether the block is done with."""
        assert self._writer is not None
        try:
            await self._in_thread(self._writer.commit, block)
        except Exception as problem:
            self.errors += 1
            words = str(problem.args[0]) if problem.args else type(problem).__name__
            if isinstance(problem, SQLAlchemyError) and database.is_broken(problem) and not self._set_aside:
                await self._begin_anew(words)
                return await self._try(block)
            if isinstance(problem, SQLAlchemyError) and database.is_passing(problem):
                if not self._in_trouble:
                    self._in_trouble = True
                    logger.error("store: can't write, events wait and it is tried again: %s", words)
                return False
            if block.refused:
                self.lost += len(block) - block.sorted_out + block.lost
                logger.exception("store: events of a refused block are lost")
                return True
            block.refused = words
            return await self._try(block)
        if block.refused:
            self.lost += block.lost
            logger.error("store: %d of %d events are lost: %s", block.lost, len(block), block.refused)
        if self._in_trouble:
            self._in_trouble = False
            logger.warning("store: writing again")
        return True

    # --- opening ---------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """In the thread."""
        try:
            database.make_file(self._url)
            self._writer = self._new_writer()
        except OSError as problem:
            raise StoreError(f"{self._url.database}: {problem.strerror or problem}") from None
        except SQLAlchemyError as problem:
            words = str(problem.args[0]) if problem.args else type(problem).__name__
            where = self._url.render_as_string(hide_password=True)
            if not database.is_broken(problem):
                raise StoreError(f"{where}: {words}") from None
            self._move_aside(words)
            self._writer = self._new_writer()

    def _new_writer(self) -> Writer:
        engine = database.connect(self._url)
        writer = Writer(engine)
        try:
            writer.open()
        except BaseException:
            engine.dispose()
            raise
        return writer

    def _reopen(self) -> None:
        assert self._writer is not None
        database.make_file(self._url)
        self._writer.reopen()

    def _move_aside(self, words: str) -> None:
        self._set_aside = True
        database.make_file(self._url)
        aside = database.set_aside(self._url, self._clock.wall_us())
        logger.error("store: %s is damaged (%s); kept as %s, and a new one is begun", self._url.database, words, aside)
        database.make_file(self._url)

    async def _begin_anew(self, words: str) -> None:
        old = self._writer
        assert old is not None

        def reopen() -> None:
            old.close()
            self._move_aside(words)
            new = self._new_writer()
            new.book, new.rows = old.book, old.rows
            self._writer = new

        self._archive.close()
        try:
            await self._in_thread(reopen)
        except (SQLAlchemyError, StoreError, OSError) as problem:
            logger.error("store: no new database: %s", problem)
        self._archive.open(database.connect(self._url, read_only=True))

    # --- retention -------------------------------------------------------------------------------------------

    def _ask_to_prune(self) -> None:
        self._prune_due = True
        self._wake.set()

    async def _prune(self) -> None:
        assert self._writer is not None
        self._prune_due = False
        days = self._config.retention_days
        before_us = int(self._clock.wall_us() - days * DAY_US) if days > 0 else 0
        more = False
        writer = self._writer
        try:
            more = await self._in_thread(
                lambda: writer.prune(
                    before_us=before_us, max_events=self._config.max_events, now_us=self._clock.wall_us()
                )
            )
        except SQLAlchemyError as problem:
            self.errors += 1
            logger.error("store: old events could not be deleted: %s", problem.args[0] if problem.args else problem)
        if not self._stopping:
            self._prune_timer = self._clock.call_later(PRUNE_AGAIN if more else PRUNE_EVERY, self._ask_to_prune)

    async def _in_thread(
        self, work: Callable[..., T], *arguments: object, thread: ThreadPoolExecutor | None = None
    ) -> T:
        chosen = thread or self._thread
        assert chosen is not None
        return await asyncio.get_running_loop().run_in_executor(chosen, work, *arguments)
