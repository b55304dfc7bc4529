"""The contract of an event handler: what the collector calls, and what a handler may call.

A handler is a class with a ``Config`` (a ``msgspec.Struct`` with defaults for every field, which is its section
``[handlers.<name>]``), named in :mod:`appliance.components` or by an entry point ``appliance.handlers``. Its own
failures are its own: an exception from :meth:`EventHandler.handle` is logged and counted, and the next batch comes.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from msgspec import Struct, field

from appliance.core.archive import Archive, HepJournal
from appliance.core.bus import BusView
from appliance.core.clock import Clock
from appliance.core.deliveries import Deliveries
from appliance.core.events import Body, Event, EventType
from appliance.core.measure import Measured
from appliance.core.recordings import Recordings


class EventHandler(Protocol):
    """A consumer of events."""

    Config: ClassVar[type[Struct]]
    """The handler's own settings. ``enabled: bool`` and ``events: str`` (mask words) are asked of every handler."""
    name: str
    """Unique: the name of its section, a label in metrics and logs."""
    mask: EventType
    """Which types it is given."""

    async def start(self) -> None:
        """Open what it needs. :raises Exception: it can't work; the collector says so and goes on without it."""

    async def handle(self, batch: Sequence[Event]) -> None:
        """Take one or more events, oldest first; the next batch comes when this returns.

        :raises Exception: each of them comes once more, alone. Who raises after it has taken some takes those twice.
        """

    async def stop(self) -> None:
        """Close. No ``handle`` runs or follows; all events that were queued have been handed over."""


class Gateways(Protocol):
    """The gateways that are connected to this collector."""

    async def request(self, server: str, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        """Ask one, see :mod:`appliance.core.commands`.

        :raises LookupError: none of that name is connected.
        :raises Exception: it refused, or did not answer.
        """


class HandlerContext(Struct, kw_only=True):
    """What the collector lends a handler."""

    clock: Clock
    data_dir: Path
    """The only place where files may be written."""
    server_name: str
    publish: Callable[[Body, Event], None]
    """Put an event of its own onto the bus, about the same session and handle as the event it follows from."""
    bus: BusView
    """Queues, drops and deliveries of every handler, for those who show them."""
    measured: list[Measured]
    """Everyone who counts in this process; a handler that counts adds itself."""
    deliveries: Deliveries = field(default_factory=Deliveries)
    """Which message of a broker brought an event, for handlers that keep events once though it brings them twice."""
    gateways: Gateways | None = None
    """For handlers that ask something of a gateway of ours; ``None`` where there is no link."""


@runtime_checkable
class Tweakable(Protocol):
    """A handler whose settings can change while it runs, beside ``events`` where its mask is just that."""

    def tweak(self, changes: dict[str, Any]) -> None:
        """Change some of its settings, by the names of its ``Config``.

        :raises ValueError: one is none of those that can change, or its value is no good; nothing has changed.
        """


@runtime_checkable
class ServesWeb(Protocol):
    """A handler that shows something on the collector's web server."""

    def routes(self) -> Iterable[Any]:
        """``aiohttp.web.RouteDef``s; the core does not know the library."""


@runtime_checkable
class KeepsCalls(Protocol):
    """A handler that keeps events and calls, for the console."""

    @property
    def archive(self) -> Archive:
        """What it kept."""

    @property
    def last_id(self) -> int:
        """The highest event number that it holds; 0 when it is empty. Known once it has started."""


@runtime_checkable
class KeepsRecordings(Protocol):
    """A handler that records calls."""

    @property
    def recordings(self) -> Recordings:
        """What is recorded, and was."""


@runtime_checkable
class KeepsJournal(Protocol):
    """A handler that remembers the HEP messages of each call, for the console."""

    @property
    def journal(self) -> HepJournal:
        """What was sent."""
