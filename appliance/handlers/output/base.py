"""What every handler that passes events on has: messages, attempts until one succeeds, a spool on disk, settings that
change while it runs.

The queue is the bus's. A handler that is not done with a batch is given no further one, so what waits, how old it is
and what a full queue loses is counted where every handler's is. With a spool a backend that is away is given a moment;
then messages go to disk, in order, and from there to the backend once it is back, whatever became of us meanwhile.
"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Struct

from appliance.core.events import Counter, Event, parse_mask
from appliance.core.handler import HandlerContext
from appliance.core.selection import SelectConfig
from appliance.handlers.output.packing import Message, OversizeError, encode, grouped, single
from appliance.net.cancellation import heed_cancellation
from appliance.net.segments import Record
from appliance.net.spool import Spool, clean_name

logger = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that a backend has for a batch before it goes to disk."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts, however many have failed."""
TAKE_BYTES = 256 * 1024
"""From the spool at once."""


class OutputConfig(SelectConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all of them are told."""

    enabled: bool = False
    events: str = "all"
    """Which events are sent."""
    extensions: bool = False
    """Send what Janus does not tell as well (subtypes of ours, ``id``, ``correlation_id``); a backend that was made
    for Janus need not know them."""
    max_retransmissions: int = 0
    """Attempts after the first; then a message is dropped and counted. 0: until it is taken, while what follows waits
    in the queue, which is bounded."""
    retransmissions_backoff: int = 100
    """Milliseconds before the second attempt, doubled before each further one, at most 30 s."""
    spool: bool = False
    """Keep on disk (in ``data_dir``) what a backend does not take at once, over a restart of ours too."""
    spool_max_mb: float = 256
    """On disk; beyond it the oldest goes."""
    spool_max_age_s: float = 86_400
    """What is older is not sent any more."""


class RemoteConfig(OutputConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What those are told whose backend is reached over a network."""

    tls: bool = False
    """Use TLS, 1.2 or later; an address with ``https://`` or ``wss://`` does by itself."""
    tls_ca_file: str = ""
    """Certificates that the backend's must be signed by; empty: the system's."""
    tls_cert_file: str = ""
    """Our own certificate, for backends that ask for one."""
    tls_key_file: str = ""
    """Its private key; empty: it is in the same file."""
    tls_verify: bool = True
    """Whether the backend's certificate and its name are checked."""


S = TypeVar("S", bound=Struct)


def part(config: Struct, kind: type[S]) -> S:
    """The settings of a connection out of those of a handler, which have them all (a Struct has one base only)."""
    return kind(**{name: getattr(config, name) for name in kind.__struct_fields__})


class OutputHandler(ABC):
    """Contract: :class:`appliance.core.handler.EventHandler` and ``Tweakable``."""

    Config: ClassVar[type[Struct]]
    name: str
    tweakable: ClassVar[frozenset[str]] = frozenset()
    """Settings that may change while it runs, beside those of all."""

    def __init__(self, config: OutputConfig, context: HandlerContext) -> None:
        """:raises ValueError: a setting is no good; the message names it."""
        self._settings = config
        self._clock = context.clock
        self.mask = parse_mask(config.events)
        self._check(config)
        self.dropped: dict[str, int] = {}
        """Events that were not sent and never will be, by reason."""
        self.attempts = {"ok": 0, "failed": 0}
        """Messages by how it went."""
        self.problem = ""
        """Why the last attempt failed; empty when it did not."""
        self._spool: Spool | None = None
        if config.spool:
            self._spool = Spool(
                context.data_dir / "spool" / clean_name(["output", self.name]),
                max_bytes=int(config.spool_max_mb * 2**20),
                max_age_s=config.spool_max_age_s,
                wall=lambda: context.clock.wall_us() / 1e6,
            )
        self._in_flight = 0
        """Messages taken from the spool and not yet the backend's."""
        self._filled = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None
        context.measured.append(self)

    @property
    def config(self) -> OutputConfig:
        """The settings in force."""
        return self._settings

    # --- what each of them is ---------------------------------------------------------------------------------

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Return once the backend has it. :raises OSError: it does not."""

    async def send_all(self, messages: Sequence[Message]) -> int:
        """Send some, in order; how many the backend has before the first that it has not. Never raises ``OSError``."""
        for number, message in enumerate(messages):
            try:
                await self.send(message)
            except OSError as problem:
                self._failed(problem)
                return number
            self._succeeded(1)
        return len(messages)

    def _check(self, config: OutputConfig) -> None:
        """:raises ValueError: a setting is no good."""
        for name in ("max_retransmissions", "retransmissions_backoff"):
            if getattr(config, name) < 0:
                raise ValueError(f"{name}: {getattr(config, name)} came, wanted 0 or more")
        for name in ("spool_max_mb", "spool_max_age_s"):
            if not getattr(config, name) > 0:
                raise ValueError(f"{name}: {getattr(config, name)} came, wanted more than 0")

    def _pack(self, items: Sequence[tuple[int, bytes]]) -> list[Message]:
        """Messages of (type, JSON)."""
        return grouped(items) if getattr(self._settings, "grouping", False) else single(items)

    async def _open(self) -> None:
        """Begin to reach the backend, which need not be there."""

    async def _close(self) -> None:
        """Let it go."""

    def _changed(self, before: OutputConfig) -> None:
        """Settings have changed from ``before``."""

    # --- the contract -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """:raises OSError: the spool's folder can't be used."""
        if self._spool is not None:
            await asyncio.to_thread(self._spool.open)
        await self._open()
        if self._spool is not None:
            self._drain = asyncio.create_task(self._drain_spool(self._spool), name=f"{self.name} spool")
            self._filled.set()

    async def stop(self) -> None:
        """Close; what is in the spool stays there."""
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)
        await self._close()
        if self._spool is not None:
            self._spool.close()

    @property
    def oldest_held(self) -> int | None:
        """Contract: :class:`appliance.core.bus.Durable`; what ``handle`` took is the backend's, or on disk."""
        return None

    def hurry(self) -> None:
        """Nothing waits here."""

    async def handle(self, batch: Sequence[Event]) -> None:
        """Return once the backend has them, or the disk."""
        messages = self._pack(self._encoded(batch))
        if self._spool is None:
            await self._until_taken(messages)
            return
        if not (self._in_flight or self._spool.unread):
            taken = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while taken < len(messages):
                        done = await self.send_all(messages[taken : taken + 1])
                        if not done:
                            break
                        taken += done
            messages = messages[taken:]
        await self._keep(self._spool, messages)

    def tweak(self, changes: dict[str, Any]) -> None:
        """Change settings; what waits is sent by the new ones. :raises ValueError: nothing has changed."""
        known = self.tweakable | {"events", "extensions", "max_retransmissions", "retransmissions_backoff"}
        if "grouping" in self._settings.__struct_fields__:
            known |= {"grouping"}
        for name in changes:
            if name not in known:
                raise ValueError(
                    f"{name[:100]}: can't be changed while the handler runs; {', '.join(sorted(known))} can"
                )
        before = self._settings
        values = {name: getattr(before, name) for name in before.__struct_fields__} | changes
        try:
            after = msgspec.convert(values, type(before))
        except msgspec.ValidationError as problem:
            raise ValueError(str(problem)) from None
        mask = parse_mask(after.events)
        self._check(after)
        self._settings, self.mask = after, mask
        self._changed(before)

    def measure(self) -> Iterable[Counter]:
        """Attempts, what is on disk, and what was dropped."""
        labels = {"handler": self.name}
        for outcome, number in self.attempts.items():
            yield Counter("output_messages_total", number, labels | {"outcome": outcome})
        for reason, number in self.dropped.items():
            yield Counter("events_dropped_total", number, labels | {"reason": reason})
        if self._spool is not None:
            yield Counter("output_spool_messages", self._spool.unread + self._in_flight, labels)
            yield Counter("output_spool_bytes", self._spool.bytes, labels)
            for reason, number in self._spool.lost.items():
                yield Counter("output_spool_lost_total", number, labels | {"reason": reason})

    # --- how --------------------------------------------------------------------------------------------------

    def _encoded(self, batch: Sequence[Event]) -> list[tuple[int, bytes]]:
        items: list[tuple[int, bytes]] = []
        for item in batch:
            try:
                data = encode(item, extensions=self._settings.extensions)
            except OversizeError:
                self._drop("oversize")
                continue
            except (TypeError, ValueError, OverflowError, RecursionError):
                self._drop("serialise")
                continue
            if data is not None:
                items.append((item.type, data))
        return items

    def _drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def _succeeded(self, count: int) -> None:
        self.attempts["ok"] += count
        if self.problem:
            logger.info("handler %s: the backend takes events again", self.name)
        self.problem = ""

    def _failed(self, problem: BaseException) -> None:
        self.attempts["failed"] += 1
        text = str(problem) or type(problem).__name__
        if not self.problem:
            logger.warning("handler %s: %s; trying on", self.name, text)
        self.problem = text

    async def _until_taken(self, messages: Sequence[Message]) -> None:
        """Send some, in order, each as often as it takes or the settings allow."""
        failures = 0
        while messages:
            taken = await self.send_all(messages)
            messages = messages[taken:]
            failures = 1 if taken else failures + 1
            if not messages:
                return
            if 0 < self._settings.max_retransmissions < failures:
                self._drop("retries_exhausted", messages[0].count)
                messages, failures = messages[1:], 0
                continue
            heed_cancellation()
            pause = self._settings.retransmissions_backoff / 1000 * 2 ** min(failures - 1, 20)
            await asyncio.sleep(min(LONGEST_PAUSE, pause))

    async def _keep(self, spool: Spool, messages: Sequence[Message]) -> None:
        """Put them on disk; a disk that is full is waited for, as a backend is."""
        records = [Record(message.type.bit_length(), message.data) for message in messages]
        pause = 0.1
        while records:
            try:
                spool.append(records)
            except OSError as problem:
                self._failed(problem)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            records = []
            self._filled.set()

    async def _drain_spool(self, spool: Spool) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while spool.unread:
                records = spool.take(TAKE_BYTES)
                self._in_flight = len(records)
                for record in records:
                    # The tag is the place of the type's bit, counted from 1; 0 is a group.
                    await self._until_taken([Message(record.data, 1 << record.tag >> 1)])
                    spool.commit(1)
                    self._in_flight -= 1
                    heed_cancellation()
