"""The contract of an intake: a way in for events.

An intake is a class with a ``Config`` (its section ``[intake.<name>]``), made as ``Intake(config, clock)`` and named in
:mod:`appliance.components` or by an entry point ``appliance.intakes``. It turns bytes into
:class:`~appliance.core.events.Event`; their numbers and their correlation are given after it. Whatever a peer sends
is its own trouble: counted, refused in words, and the next is read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from msgspec import Struct

from appliance.core.alive import Alive
from appliance.core.deliveries import Deliveries
from appliance.core.events import Counter, Event

Deliver = Callable[[Event], None]
"""Takes one event on its way to the bus. Never blocks and never raises."""


class Intake(Protocol):
    """A source of events."""

    Config: ClassVar[type[Struct]]
    """The intake's own settings; ``enabled: bool`` is asked of every intake."""
    name: str
    """Unique: the name of its section and a label in metrics."""

    async def start(self, deliver: Deliver) -> None:
        """Listen or connect. :raises OSError: the address can't be had; the message names it."""

    async def stop(self) -> None:
        """Close; nothing is delivered afterwards."""

    def measure(self) -> Iterable[Counter]:
        """``intake_events_total`` by outcome, and what else it counts."""


class Progress(Protocol):
    """How far the handlers are, for a source that keeps what is not taken yet, as a broker does: the bus."""

    @property
    def last_number(self) -> int:
        """Of the event that was delivered last."""

    def has_room(self) -> bool:
        """Whether the handlers want more now; one that stands still does not hold up the others."""

    def can_keep(self) -> bool:
        """The same, but those that must not lose anything hold up the others."""

    def kept_until(self) -> int:
        """Those that must not lose anything have every event up to this number, where a crash does not lose it."""

    def hurry(self) -> None:
        """Somebody waits for that."""


class ProgressOfEach(Progress, Protocol):
    """The same, and of each handler by its name, for a source that brings again itself what a crash lost."""

    @property
    def missing(self) -> Sequence[str]:
        """Handlers that must not lose anything and did not start."""

    def had_until(self) -> Mapping[str, int]:
        """Up to which number each handler has taken the events, but those that recognise what comes again."""

    def again(self, had: frozenset[str]) -> AbstractContextManager[None]:
        """What is delivered meanwhile these handlers had before a crash: they are told it as ``replayed``."""


@runtime_checkable
class CanWait(Protocol):
    """An intake whose source keeps what is not taken yet."""

    progress: Progress
    """Set before the start."""
    deliveries: Deliveries
    """Set before the start: where it notes what it may bring again."""


@runtime_checkable
class KeepsJournal(Protocol):
    """An intake whose source brings nothing again, so that it writes down itself what is on its way."""

    def keep_in(self, folder: Path, progress: ProgressOfEach, deliveries: Deliveries) -> None:
        """Before the start: where it may keep that, and how it learns what the handlers have."""


class AdminApi(Protocol):
    """The Admin API of one server."""

    name: str
    """As the server's events have it."""

    async def ask(self, verb: str, *ids: int, **arguments: Any) -> dict[str, Any]:
        """The reply to a request about the server, or the session, or the session and handle in ``ids``.

        :raises Exception: it refuses, or can't be asked.
        """

    async def close(self) -> None:
        """Ask no more."""


@runtime_checkable
class AsksServers(Protocol):
    """An intake that asks servers what they have, and compares."""

    def lend(self, servers: Sequence[AdminApi], alive: Alive) -> None:
        """Before the start: those that can be asked, which it closes, and what will be known of them by their events.

        :raises ValueError: one that it wants is not there; the message names the setting.
        """
