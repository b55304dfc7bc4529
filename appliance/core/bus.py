"""Carries events to their consumers without ever holding the producer back.

One bounded queue for each consumer, see :mod:`appliance.core.queue` for what a full one loses first.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Protocol, runtime_checkable

from msgspec.structs import replace

from appliance.core.clock import Clock
from appliance.core.events import Counter, Event, EventType
from appliance.core.measure import Durations
from appliance.core.queue import EventQueue, Stamp, size_of, unstamped
from appliance.core.selection import NOWHERE, Selector, Whereabouts

logger = logging.getLogger(__name__)

BATCH = 100
"""Events handed over at once; Janus groups as many."""
DEPTH = 10_000
MAX_BYTES = 32 * 2**20
START_TIMEOUT = 20.0
DRAIN_TIMEOUT = 5.0
MAX_TOLD = 50
"""Kinds of events lost to an error of a handler's that are logged."""
STANDSTILL = 1.0
"""Seconds without a batch done after which a handler stands still: it is not waited for."""


class Consumer(Protocol):
    """What the bus needs of a handler, see :class:`appliance.core.handler.EventHandler`."""

    name: str
    mask: EventType

    async def start(self) -> None:
        """Open."""

    async def handle(self, batch: Sequence[Event]) -> None:
        """Take events, oldest first."""

    async def stop(self) -> None:
        """Close."""


@runtime_checkable
class Durable(Protocol):
    """A consumer that must not lose what it was given: a source that can repeat events keeps them until it has them."""

    @property
    def oldest_held(self) -> int | None:
        """The lowest number of the events that ``handle`` has taken and a crash would lose; ``None``: of none."""

    def hurry(self) -> None:
        """A source waits for what is held."""


@runtime_checkable
class KnowsAgain(Protocol):
    """A consumer that recognises by :mod:`appliance.core.deliveries` what it was given before, event by event."""

    knows_again: bool


class BusView(Protocol):
    """The bus as those who watch it see it."""

    @property
    def subscriptions(self) -> Sequence["Subscription"]:
        """One a handler."""


class Subscription(EventQueue):
    """One consumer, its bounded queue and its counts."""

    def __init__(
        self,
        consumer: Consumer,
        clock: Clock,
        *,
        depth: int = DEPTH,
        max_bytes: int = MAX_BYTES,
        stamp: Stamp = unstamped,
        selector: Selector | None = None,
    ) -> None:
        super().__init__(clock, depth=depth, max_bytes=max_bytes, reason="queue_full", stamp=stamp)
        self.consumer = consumer
        self.selector = selector
        """What it is given of the events of its mask; ``None``: all."""
        self.delivered = 0
        self.failed = 0
        """Events that the consumer raised at, in their batch and then by themselves."""
        self.deliveries = Durations()
        """How long each batch took."""
        self._told: set[tuple[type[Exception], int, int]] = set()
        """What was raised, at which type and subtype: logged once each."""
        self._wake: asyncio.Future[None] | None = None
        self._closing = False
        self._in_hand: int | None = None
        """The lowest number of the batch that is being handed over."""
        self._moved_at = clock.monotonic()

    @property
    def name(self) -> str:
        """The consumer's."""
        return self.consumer.name

    def put(self, item: Event, size: int, now: float) -> None:
        """Queue an event of the consumer's mask, or lose one and count it. Never blocks, never raises."""
        # Not the flag's own operator, which makes a flag of the result and costs more than all the rest here.
        if not int.__and__(item.type, self.consumer.mask):
            return
        super().put(item, size, now)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self) -> None:
        """Hand over until :meth:`close`, then what is left."""
        while True:
            if not self.waiting():
                if self._closing:
                    return
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
                self._wake = None
                continue
            self._in_hand = self.oldest_number()
            batch = self.take(BATCH)
            began = self._clock.monotonic()
            try:
                await self.consumer.handle(batch)
                self.delivered += len(batch)
            except Exception:
                await self._one_by_one(batch)
            self._in_hand = None
            self._moved_at = self._clock.monotonic()
            self.deliveries.add(self._moved_at - began)

    async def _one_by_one(self, batch: Sequence[Event]) -> None:
        """A batch that was raised at, each event once more by itself: one that is bad loses nothing but itself."""
        for item in batch:
            try:
                await self.consumer.handle([item])
                self.delivered += 1
            except Exception as problem:
                self.failed += 1
                self._tell(item, problem)
                # A handler that raises at everything does not keep the others from their work.
                await asyncio.sleep(0)

    def _tell(self, item: Event, problem: Exception) -> None:
        kind = (type(problem), int(item.type), item.subtype or 0)
        if kind not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(kind)
            logger.error(
                "handler %s lost event %d (type %d, subtype %d); further ones like it are counted in silence",
                self.name, item.id, *kind[1:], exc_info=problem,
            )  # fmt: skip

    @property
    def oldest_held(self) -> int | None:
        """The lowest number of the events that its consumer still has to take, or would lose in a crash."""
        held = self.consumer.oldest_held if isinstance(self.consumer, Durable) else None
        known = [number for number in (held, self._in_hand, self.oldest_number()) if number is not None]
        return min(known) if known else None

    @property
    def is_filled(self) -> bool:
        """The queue is more than half full."""
        return 2 * len(self) > self.depth or 2 * self.bytes > self.max_bytes

    @property
    def is_pressed(self) -> bool:
        """It is filled, of a consumer that moves on: it will have room if it is let."""
        return self.is_filled and self._clock.monotonic() - self._moved_at < STANDSTILL

    def close(self) -> None:
        """Let :meth:`run` end once the queue is empty."""
        self._closing = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def measure(self) -> Iterable[Counter]:
        """What :mod:`appliance.metrics.names` calls the event pipeline."""
        labels = {"handler": self.name}
        yield Counter("event_queue_length", len(self), labels)
        yield Counter("event_queue_capacity", self.depth, labels)
        yield Counter("event_queue_oldest_age_seconds", self.oldest_age(), labels)
        yield Counter("events_delivered_total", self.delivered, labels | {"outcome": "ok"})
        yield Counter("events_delivered_total", self.failed, labels | {"outcome": "failed"})
        yield from self.deliveries.measure("event_delivery_duration_seconds", labels)
        yield Counter("events_dropped_total", sum(self.dropped.values()), labels | {"reason": "queue_full"})
        if self.selector is not None:
            yield Counter("events_left_out_total", self.selector.left_out, labels)


class EventBus:
    """Synchronous to publish, asynchronous to consume. An async context manager: consumers run inside it."""

    def __init__(self, clock: Clock, stamp: Stamp = unstamped) -> None:
        """``stamp`` numbers the events that the bus makes itself, the gaps."""
        self._clock = clock
        self._stamp = stamp
        self._subscriptions: list[Subscription] = []
        self._stack = AsyncExitStack()
        self._running = False
        self._whereabouts: Whereabouts | None = None
        """Only where somebody chooses by it."""
        self.last_number = 0
        """Of the event that was published last."""
        self._durable: list[Subscription] = []
        self._missing: list[str] = []
        """Durable consumers that did not start."""
        self._had: frozenset[str] = frozenset()
        """Consumers to which what is published now is no news."""

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """One a consumer."""
        return self._subscriptions

    def add(
        self,
        consumer: Consumer,
        *,
        depth: int = DEPTH,
        max_bytes: int = MAX_BYTES,
        selector: Selector | None = None,
    ) -> Subscription:
        """Subscribe before the bus runs."""
        assert not self._running, "add() after the bus has started"
        subscription = Subscription(
            consumer, self._clock, depth=depth, max_bytes=max_bytes, stamp=self._stamp, selector=selector
        )
        if selector is not None and self._whereabouts is None:
            self._whereabouts = Whereabouts()
        self._subscriptions.append(subscription)
        if isinstance(consumer, Durable):
            self._durable.append(subscription)
        return subscription

    def publish(self, item: Event) -> None:
        """Hand an event to everyone whose mask has its type. Never blocks and never raises."""
        self.last_number = item.id
        place = NOWHERE if self._whereabouts is None else self._whereabouts.of(item)
        # Once for all of them.
        size, now = size_of(item), self._clock.monotonic()
        had = self._had
        for subscription in self._subscriptions:
            # Hardly ever, and asked for every event.
            one = replace(item, replayed=True) if had and subscription.name in had else item
            if subscription.selector is None:
                subscription.put(one, size, now)
            else:
                for chosen in subscription.selector.choose(one, place):
                    subscription.offer(chosen)

    def has_room(self) -> bool:
        """Whether a source that can wait should go on: a consumer that stands still does not hold up the others."""
        return not any(subscription.is_pressed for subscription in self._subscriptions)

    def can_keep(self) -> bool:
        """Whether a source that repeats what is not kept should go on: it waits for a durable consumer in any case."""
        return not self._missing and self.has_room() and not any(one.is_filled for one in self._durable)

    def kept_until(self) -> int:
        """Every durable consumer has the events up to this number, where a crash does not lose them."""
        held = [number for one in self._durable if (number := one.oldest_held) is not None]
        return min(held) - 1 if held else self.last_number

    @property
    def missing(self) -> Sequence[str]:
        """Durable consumers that did not start."""
        return self._missing

    def had_until(self) -> dict[str, int]:
        """Up to which number each consumer has taken the events, but those that recognise what comes again."""
        return {
            one.name: self.last_number if (held := one.oldest_held) is None else held - 1
            for one in self._subscriptions
            if not isinstance(one.consumer, KnowsAgain)
        }

    @contextmanager
    def again(self, had: frozenset[str]) -> Iterator[None]:
        """What is published meanwhile these consumers had before a crash: they are told it as ``replayed``."""
        self._had = had
        try:
            yield
        finally:
            self._had = frozenset()

    def hurry(self) -> None:
        """A source waits for :meth:`kept_until` to rise."""
        for subscription in self._durable:
            if isinstance(subscription.consumer, Durable):
                subscription.consumer.hurry()

    def measure(self) -> Iterable[Counter]:
        """Counts of every queue."""
        for subscription in self._subscriptions:
            yield from subscription.measure()

    async def __aenter__(self) -> "EventBus":
        self._running = True
        async with AsyncExitStack() as stack:
            tasks: list[tuple[Subscription, asyncio.Task[None]]] = []
            for subscription in list(self._subscriptions):
                try:
                    async with asyncio.timeout(START_TIMEOUT):
                        await subscription.consumer.start()
                except Exception as problem:
                    # One handler that can't start is that handler's trouble.
                    durable = subscription in self._durable
                    until = "; what a broker brings waits there until it does" if durable else ""
                    logger.error("handler %s does not start and is left out: %s%s", subscription.name, problem, until)
                    self._subscriptions.remove(subscription)
                    if durable:
                        self._missing.append(subscription.name)
                    continue
                stack.push_async_callback(self._stop, subscription)
            for subscription in self._subscriptions:
                task = asyncio.create_task(subscription.run(), name=f"handler {subscription.name}")
                tasks.append((subscription, task))
            # Entered last, left first: every queue drains before any handler stops.
            stack.push_async_callback(self._drain, tasks)
            self._stack = stack.pop_all()
        return self

    async def _drain(self, tasks: list[tuple[Subscription, "asyncio.Task[None]"]]) -> None:
        for subscription, _ in tasks:
            subscription.close()
        if not tasks:
            return
        _, late = await asyncio.wait([task for _, task in tasks], timeout=DRAIN_TIMEOUT)
        for subscription, task in tasks:
            if task in late:
                logger.warning(
                    "handler %s did not take its last %d events in time", subscription.name, len(subscription)
                )
                task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _stop(self, subscription: Subscription) -> None:
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await subscription.consumer.stop()
        except Exception:
            logger.exception("handler %s did not stop cleanly", subscription.name)

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
