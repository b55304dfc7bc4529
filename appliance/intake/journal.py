"""What an intake has taken and the handlers have not kept yet, on disk: over a collector that is killed.

A message is appended before it is answered, and forgotten once every durable handler has its events
(:class:`appliance.core.bus.Durable`). After a restart what is left is read before anything new: the store recognises
what it has (:mod:`appliance.core.deliveries`), and handlers that have passed on or counted a message are told its
events as ``replayed``. Nothing is flushed to the disk itself: the journal outlives the process, not the machine.
"""

import asyncio
import logging
import os
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from appliance.core.clock import Clock, Timer
from appliance.core.deliveries import Deliveries, digest
from appliance.core.events import Counter, Event
from appliance.core.intake import Deliver, ProgressOfEach
from appliance.intake.marks import Marks, Position
from appliance.intake.noting import Noting
from appliance.intake.taken import BLOCK
from appliance.net.segments import MAX_RECORD, Record
from appliance.net.spool import Spool

logger = logging.getLogger(__name__)

PAUSE = 0.05
"""Seconds until it is asked again how far the handlers are; what they passed on since then comes to them twice."""
ROOM_S = 5.0
"""After a restart a durable handler that stands still is waited for no longer than this."""
TURN = 20
"""Messages of an earlier run after which others get their turn."""
FINISH_S = 2.0
"""For what was taken to be kept, when we are to end."""
AGAIN_S = 300.0
"""After a restart, in which a sender that heard no answer may bring a message again."""
TAKE_BYTES = 2**20
"""Read at once after a restart."""
YIELD_EVERY = 500
"""Objects of a message after which others get their turn."""
REMEMBERED = 10_000
"""Messages by which one is recognised that came again after a restart."""
ROOM_EACH = 64
"""Bytes on disk beside a message's own."""
ALONE = 1
"""Tag of a message whose events are numbered by themselves: others may be read beside it."""
_HEADER = struct.Struct("!Q8sQQ")
"""The run's time, which orders runs, and its name; the message's number; the place of its first event in the run."""

Read = Callable[[bytes, Deliver], Awaitable[None]]
"""Reads a message and hands its events on. Never raises."""


class _Run(NamedTuple):
    """From one start to its end."""

    began: int
    """Higher than that of the run before."""
    name: bytes


class _Entry:
    """A message that is not kept. ``last`` is the number of its last event, ``None`` while it is being read."""

    __slots__ = ("last", "position")

    def __init__(self, position: Position) -> None:
        self.position = position
        self.last: int | None = None


class Journal:
    """Of one intake. Without :meth:`open` it lets everything through and keeps nothing."""

    def __init__(self, name: str, max_mb: float, clock: Clock) -> None:
        """``name``: the intake's. ``max_mb``: on disk, 0 for no journal. :raises ValueError: it is less."""
        if not 0 <= max_mb < 2**20:
            raise ValueError(f"journal_max_mb: {max_mb} came, wanted 0 or more")
        self.ready = asyncio.Event()
        """What an earlier run has left is read, or there was nothing."""
        self.ready.set()
        self.read_again = 0
        """Messages of an earlier run."""
        self.unwritten = {"full": 0, "disk": 0, "long": 0}
        """Messages that a killed collector would lose, by reason."""
        self._name = name
        self._max_bytes = int(max_mb * 2**20)
        self._clock = clock
        self._replaying: asyncio.Task[None] | None = None
        self._spool: Spool | None = None
        self._progress: ProgressOfEach | None = None
        self._deliveries = Deliveries()
        self._marks: Marks | None = None
        self._run = _Run(0, b"")
        self._index = 0
        self._place = 0
        self._waiting: deque[_Entry] = deque()
        self._gone = 0
        """Messages before these, in this run."""
        self._passed: dict[str, int] = {}
        """How many of them, and of those before, each handler has had."""
        self._timer: Timer | None = None
        self._again: dict[str, None] = {}
        self._again_until = 0.0
        self._logged: set[str] = set()

    # --- begin and end ---------------------------------------------------------------------------------------

    def open(self, folder: Path, progress: ProgressOfEach, deliveries: Deliveries) -> None:
        """Keep in that folder what comes from now on. What can't be had there is logged, and nothing is kept."""
        if not self._max_bytes:
            return
        if progress.missing:
            logger.warning(
                "intake.%s: the journal waits for a start with handler %s", self._name, ", ".join(progress.missing)
            )
            return
        spool = Spool(folder, max_bytes=self._max_bytes, max_age_s=float("inf"))
        try:
            spool.open()
            self._marks = Marks(folder / "marks")
        except OSError as problem:
            spool.close()
            logger.error(
                "intake.%s: no journal: %s; what is not stored when a collector is killed is lost", self._name, problem
            )
            return
        self._spool, self._progress, self._deliveries = spool, progress, deliveries
        self._run = _Run(max(self._clock.wall_us(), self._marks.newest + 1), os.urandom(8))

    def begin(self, read: Read, deliver: Deliver) -> None:
        """Read what an earlier run has left, in its order; the events go through ``deliver``.

        Nothing new is to be read before :attr:`ready`.
        """
        if self._spool is None or not self._spool.unread:
            return
        logger.info("intake.%s: reading %d messages of an earlier run again", self._name, self._spool.unread)
        self.ready.clear()
        self._replaying = asyncio.create_task(self._replay(self._spool, read, deliver), name=f"{self._name} journal")

    async def _replay(self, spool: Spool, read: Read, deliver: Deliver) -> None:
        patience = self._clock.monotonic() + ROOM_S
        try:
            while records := spool.take(TAKE_BYTES):
                for record in records:
                    if self.read_again % TURN == 0:
                        await asyncio.sleep(0)
                    await self._room(patience)
                    await self._once_more(record, read, deliver)
        except Exception:
            logger.exception("intake.%s: the journal of an earlier run can't be read to its end", self._name)
        self._again_until = self._clock.monotonic() + AGAIN_S
        self.ready.set()

    async def _room(self, patience: float) -> None:
        progress = self._progress
        assert progress is not None
        while not (progress.can_keep() if self._clock.monotonic() < patience else progress.has_room()):  # noqa: ASYNC110
            # The queues have no event for it.
            await asyncio.sleep(PAUSE)

    async def _once_more(self, record: Record, read: Read, deliver: Deliver) -> None:
        assert self._progress is not None and self._marks is not None
        began, name, index, place = _HEADER.unpack_from(record.data)
        data = record.data[_HEADER.size :]
        had = self._marks.had((began, index))
        again = self._progress.again

        def telling_again(item: Event) -> None:
            with again(had):
                deliver(item)

        with self._reading((began, index)):
            await read(data, self._noting(telling_again, name, index, place, record.tag))
        self.read_again += 1
        self._again[digest(data)] = None
        if len(self._again) > REMEMBERED:
            del self._again[next(iter(self._again))]

    async def stop(self) -> None:
        """Close, once what was taken is kept; what is not in time is read again after the next start."""
        if self._spool is None:
            return
        assert self._progress is not None
        if self._replaying is not None:
            self._replaying.cancel()
            await asyncio.gather(self._replaying, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                while self._waiting and self._waiting[0].last is not None:
                    self._progress.hurry()
                    self._forget_kept()
                    if self._waiting:
                        await asyncio.sleep(PAUSE / 5)
        if self._timer is not None:
            self._timer.cancel()
        self._spool.close()
        assert self._marks is not None
        self._marks.close()
        self._spool = None

    # --- messages --------------------------------------------------------------------------------------------

    def is_double(self, data: bytes) -> bool:
        """Whether this is one that was read from the journal: its sender was not answered before we were killed."""
        if not self._again:
            return False
        if self._clock.monotonic() > self._again_until:
            self._again.clear()
            return False
        key = digest(data)
        if key not in self._again:
            return False
        # Once: it is answered now.
        del self._again[key]
        return True

    @contextmanager
    def keeping(self, data: bytes, count: int, deliver: Deliver) -> Iterator[Deliver]:
        """Write a message of ``count`` objects; inside, its events are handed on by what this gives.

        More than :data:`YIELD_EVERY` may be read with pauses, fewer are read in one go.
        """
        if self._spool is None or not count:
            yield deliver
            return
        # A place in the run costs, and is for a store to count by; one that is not there now may be after a restart.
        tag = 0 if count <= YIELD_EVERY and self._deliveries.asked else ALONE
        position = self._run.began, self._index
        if not self._write(Record(tag, _HEADER.pack(*self._run, self._index, self._place) + data)):
            yield deliver
            return
        noting = self._noting(deliver, self._run.name, self._index, self._place, tag)
        self._index += 1
        with self._reading(position):
            yield noting if self._deliveries.asked else deliver
        if not tag:
            self._place += noting.place - self._place % BLOCK

    @contextmanager
    def _reading(self, position: Position) -> Iterator[None]:
        assert self._progress is not None
        entry = _Entry(position)
        self._waiting.append(entry)
        try:
            yield
        except asyncio.CancelledError:
            # We are to end, and it is not read to its end: the next start does that.
            raise
        except Exception:
            self._is_read(entry)
            raise
        self._is_read(entry)

    def _is_read(self, entry: _Entry) -> None:
        assert self._progress is not None
        entry.last = self._progress.last_number
        if self._timer is None and self._spool is not None:
            self._timer = self._clock.call_later(PAUSE, self._look)

    def _noting(self, deliver: Deliver, run: bytes, index: int, place: int, tag: int) -> Noting:
        assert self._progress is not None
        # Where others come in between, places would not be in the order of numbers, by which a store counts them.
        block, first = divmod(place, BLOCK)
        name, first = (f"{run.hex()}/{index}", 0) if tag == ALONE else (f"{run.hex()}.{block}", first)
        return Noting(deliver, self._progress, self._deliveries, name, first)

    def _write(self, record: Record) -> bool:
        spool, size = self._spool, len(record.data) + ROOM_EACH
        assert spool is not None
        if size > min(MAX_RECORD, self._max_bytes // 4):
            return self._unwritten("long", f"a message of {len(record.data)} bytes is too long for it")
        while self._waiting and spool.bytes + size > self._max_bytes:
            # The newest are those that the store has still to write; what lies here for long a handler stands still at.
            oldest = len(self._waiting) // 8 + 1
            for _ in range(oldest):
                self._waiting.popleft()
            self._gone += oldest
            spool.commit(oldest)
            self._unwritten("full", "it is full, because a handler keeps nothing", oldest)
        try:
            spool.append([record], taken=True)
        except OSError as problem:
            return self._unwritten("disk", f"{spool.folder}: {problem.strerror or problem}")
        return True

    def _unwritten(self, reason: str, why: str, count: int = 1) -> bool:
        self.unwritten[reason] += count
        if reason not in self._logged:
            self._logged.add(reason)
            logger.warning(
                "intake.%s: journal: %s; events go on, but a collector that is killed loses them; counting in silence",
                self._name, why,
            )  # fmt: skip
        return False

    # --- what the handlers have ------------------------------------------------------------------------------

    def _look(self) -> None:
        self._timer = None
        self._forget_kept()
        if self._waiting and self._spool is not None:
            self._timer = self._clock.call_later(PAUSE, self._look)

    def _forget_kept(self) -> None:
        assert self._progress is not None and self._spool is not None
        # First, so that no mark is behind what is forgotten.
        self._mark()
        kept = self._progress.kept_until()
        self._deliveries.kept_until(kept)
        done = 0
        while self._waiting and (last := self._waiting[0].last) is not None and last <= kept:
            self._waiting.popleft()
            done += 1
        self._gone += done
        self._spool.commit(done)

    def _mark(self) -> None:
        """Note how far each handler is that tells others of an event, or counts it."""
        assert self._progress is not None and self._marks is not None
        far: dict[str, Position] = {}
        for name, number in self._progress.had_until().items():
            at = before = max(0, self._passed.get(name, 0) - self._gone)
            while at < len(self._waiting) and (last := self._waiting[at].last) is not None and last <= number:
                at += 1
            self._passed[name] = self._gone + at
            if at > before:
                far[name] = self._waiting[at - 1].position
        self._marks.note(far)

    def measure(self) -> Iterable[Counter]:
        """What lies on disk, and what could not."""
        labels = {"intake": self._name}
        yield Counter("intake_journal_messages", len(self._waiting), labels)
        yield Counter("intake_journal_bytes", self._spool.bytes if self._spool is not None else 0, labels)
        yield Counter("intake_journal_read_total", self.read_again, labels)
        damaged = self._spool.lost.get("corrupt", 0) if self._spool is not None else 0
        for reason, number in {**self.unwritten, "corrupt": damaged}.items():
            yield Counter("intake_journal_lost_total", number, labels | {"reason": reason})
