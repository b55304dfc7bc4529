"""A queue of events that never grows beyond its bounds and loses nothing silently.

Bounded in count and bytes. A full one gives way in order: statistics and reports first, state changes last, each loss
counted by type; when events are taken again, a :class:`~appliance.core.events.Gap` goes first, so that a verdict can
say that its evidence has a hole.
"""

from collections import deque
from collections.abc import Callable

from appliance.core.clock import Clock
from appliance.core.events import MASK_WORDS, Event, EventType, Gap, event

WORD_OF = {int(mask): word for word, mask in MASK_WORDS.items() if word not in {"all", "none"}}
"""Event type number to the word that names it in settings, metrics and gaps."""


def is_expendable(item: Event) -> bool:
    """Whether a full queue may lose it before it loses a state change: the next statistics tell more."""
    return (item.type == EventType.MEDIA and item.subtype >= 3) or item.type == EventType.TRANSPORT


def size_of(item: Event) -> int:
    """A cheap estimate in bytes: only descriptions are large."""
    if item.type == EventType.JSEP:
        return 400 + len(item.event.jsep.sdp)
    return 600


Stamp = Callable[[Event], Event]
"""Gives an event its number, see :class:`appliance.core.stamp.Stamper`."""


def unstamped(item: Event) -> Event:
    """Where numbers are given later, as in a gateway."""
    return item


class EventQueue:
    """First in, first out, bounded."""

    def __init__(self, clock: Clock, *, depth: int, max_bytes: int, reason: str, stamp: Stamp = unstamped) -> None:
        """``reason`` is that of the :class:`~appliance.core.events.Gap` that marks a loss; ``stamp`` numbers it."""
        self.depth = depth
        self.max_bytes = max_bytes
        self.bytes = 0
        self.dropped: dict[str, int] = {}
        """Since the start, by event type word."""
        self._clock = clock
        self._reason = reason
        self._stamp = stamp
        self._queue: deque[tuple[float, int, Event]] = deque()
        """Since when, how large, and what."""
        self._gap: dict[str, int] = {}
        self._gap_since = 0
        self._gap_emitter = ""

    def __len__(self) -> int:
        return len(self._queue)

    def waiting(self) -> bool:
        """Whether :meth:`take` has something to give."""
        return bool(self._queue or self._gap)

    def oldest_age(self) -> float:
        """Seconds that the next event has waited; 0 when there is none."""
        return self._clock.monotonic() - self._queue[0][0] if self._queue else 0.0

    def oldest_number(self) -> int | None:
        """The number of the event that comes next; ``None`` when there is none."""
        return self._queue[0][2].id if self._queue else None

    def offer(self, item: Event) -> None:
        """Queue an event, or lose one and count it. Never blocks, never raises."""
        self.put(item, size_of(item), self._clock.monotonic())

    def put(self, item: Event, size: int, now: float) -> None:
        """The same, where its size and the time are known already."""
        while self._queue and (len(self._queue) >= self.depth or self.bytes + size > self.max_bytes):
            if is_expendable(item):
                self.lose(item)
                return
            self.lose(self._take_out_least_wanted())
        self._queue.append((now, size, item))
        self.bytes += size

    def take(self, limit: int) -> list[Event]:
        """The oldest ``limit`` events, after a gap marker if any were lost."""
        batch: list[Event] = []
        if self._gap:
            gap = Gap(reason=self._reason, dropped=dict(self._gap), first_timestamp=self._gap_since)
            batch.append(self._stamp(event(gap, emitter=self._gap_emitter, timestamp=self._clock.wall_us())))
            self._gap.clear()
        while self._queue and len(batch) < limit:
            _, size, item = self._queue.popleft()
            self.bytes -= size
            batch.append(item)
        return batch

    def _take_out_least_wanted(self) -> Event:
        # Only a full queue comes here, and it loses a tenth at once so that the scan is paid rarely.
        kept: deque[tuple[float, int, Event]] = deque()
        quota = max(1, self.depth // 10)
        victim: Event | None = None
        for entry in self._queue:
            if quota and is_expendable(entry[2]):
                if victim is not None:
                    self.lose(victim)
                self.bytes -= entry[1]
                victim = entry[2]
                quota -= 1
            else:
                kept.append(entry)
        self._queue = kept
        if victim is None:
            _, size, victim = self._queue.popleft()
            self.bytes -= size
        return victim

    def lose(self, item: Event) -> None:
        """Count an event that is not to be had any more; the next :meth:`take` marks the gap."""
        word = WORD_OF.get(item.type, "other")
        self.dropped[word] = self.dropped.get(word, 0) + 1
        if not self._gap:
            self._gap_since, self._gap_emitter = item.timestamp, item.emitter
        self._gap[word] = self._gap.get(word, 0) + 1
