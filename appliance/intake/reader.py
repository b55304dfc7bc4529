"""Reads what came in one piece, whatever it came by: every event that is one goes on, the rest is counted."""

import asyncio
import logging
from collections.abc import Iterable

from appliance.core.deliveries import digest
from appliance.core.events import Counter, EventDecodeError
from appliance.core.intake import Deliver
from appliance.intake import dialect
from appliance.intake.doubles import Doubles
from appliance.intake.journal import YIELD_EVERY, Journal

logger = logging.getLogger(__name__)


class Reader:
    """Counts what came and hands the events on. Nothing that came makes it raise."""

    def __init__(self, name: str, *, max_bytes: int, journal: Journal | None = None) -> None:
        """``name``: that of the intake. ``max_bytes``: of one message. ``journal``: of what nobody brings again."""
        self.deliver: Deliver | None = None
        """Where events go; ``None`` before the start and after the end, when none come."""
        self.received = 0
        self.malformed = 0
        self.refused = 0
        """Messages that were too long, or came from where they may not."""
        self.doubles = 0
        """Messages that had come before."""
        self.journal = journal
        self._name = name
        self._max_bytes = max_bytes
        self._known = Doubles()
        self._logged = False

    def take(self, data: bytes, source: str = "") -> bool:
        """Read a message; false: there was no event in it."""
        items = self._items(data, source)
        if self.journal is None or self.deliver is None:
            return sum([self._read(item, source) for item in items]) > 0
        if self.journal.is_double(data):
            self.doubles += 1
            return True
        with self.journal.keeping(data, len(items), self.deliver) as deliver:
            return sum([self._read(item, source, deliver) for item in items]) > 0

    async def read(self, data: bytes, source: str = "", *, deliver: Deliver | None = None) -> bool:
        """The same for what may be long: others get their turn in between.

        :param deliver: in place of the reader's; such a message is in no need of the journal.
        """
        items = self._items(data, source)
        if deliver is not None or self.journal is None or self.deliver is None:
            return await self._read_all(items, source, deliver)
        if self.journal.is_double(data):
            self.doubles += 1
            return True
        with self.journal.keeping(data, len(items), self.deliver) as keeping:
            return await self._read_all(items, source, keeping)

    def replay(self) -> None:
        """Begin to read what the journal holds of an earlier run."""
        if self.journal is not None and self.deliver is not None:
            self.journal.begin(self._once_more, self.deliver)

    async def _once_more(self, data: bytes, deliver: Deliver) -> None:
        await self.read(data, "the journal", deliver=deliver)

    async def _read_all(self, items: list[object], source: str, deliver: Deliver | None) -> bool:
        good = 0
        for count, item in enumerate(items, 1):
            good += self._read(item, source, deliver)
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return good > 0

    def is_double(self, identity: str, data: bytes, *, again: bool) -> bool:
        """Whether a message has been taken before; remembers it.

        :param identity: what its sender calls it; where it says nothing, equal bytes are the same message, and only
            where the broker says that it may have brought them before (``again``).
        """
        key = identity or digest(data)
        known = self._known.last(key, 0.0) is not None
        if known and (identity or again):
            self.doubles += 1
            return True
        return False

    def forget(self, identity: str, data: bytes) -> None:
        """A message was not taken after all."""
        self._known.forget(identity or digest(data))

    def refuse(self, why: str, source: str = "") -> None:
        """Count something that was not even read."""
        self.refused += 1
        self._note(why, source)

    def measure(self) -> Iterable[Counter]:
        """``intake_events_total`` by outcome."""
        counts = {"ok": self.received, "malformed": self.malformed, "refused": self.refused, "duplicate": self.doubles}
        for outcome, value in counts.items():
            yield Counter("intake_events_total", value, {"intake": self._name, "outcome": outcome})
        if self.journal is not None:
            yield from self.journal.measure()

    def _items(self, data: bytes, source: str) -> list[object]:
        if len(data) > self._max_bytes:
            self.refuse(f"{len(data)} bytes came, wanted at most {self._max_bytes}", source)
            return []
        try:
            document = dialect.decode(data)
        except EventDecodeError as problem:
            self.malformed += 1
            self._note(str(problem), source)
            return []
        return document if isinstance(document, list) else [document]

    def _read(self, item: object, source: str, deliver: Deliver | None = None) -> bool:
        try:
            found = list(dialect.read_one(item))
        except EventDecodeError as problem:
            self.malformed += 1
            self._note(str(problem), source)
            return False
        take = self.deliver and (deliver or self.deliver)
        if take is not None:
            for event in found:
                self.received += 1
                take(event)
        return bool(found)

    def _note(self, problem: str, source: str) -> None:
        # Once, for whoever sets it up; the counts tell the rest.
        if not self._logged:
            self._logged = True
            whence = f" from {source}" if source else ""
            logger.warning(
                "intake.%s: an event%s refused: %s; counting further ones in silence", self._name, whence, problem[:300]
            )
