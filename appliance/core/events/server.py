"""Types 64 to 256: plugins, API connections, and the server itself."""

from typing import Any, ClassVar

from msgspec import Struct, field

from appliance.core.events.body import Body, EventType


class Plugin(Body, frozen=True, kw_only=True):
    """What a plugin tells; ``data`` is its own."""

    type: ClassVar[EventType] = EventType.PLUGIN
    plugin: str
    data: dict[str, Any]


class Transport(Body, frozen=True, kw_only=True):
    """An API connection or request.

    ``data``: event, admin_api, ip, port; our gateway adds local_ip, local_port and user_agent.
    """

    type: ClassVar[EventType] = EventType.TRANSPORT
    transport: str
    id: str
    data: dict[str, Any]


class Core(Body, frozen=True, kw_only=True):
    """``status``: started (``info`` is the server_info), or update each 15 s (``info`` is four counts)."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 1
    status: str
    info: dict[str, Any] | None = None


class Shutdown(Body, frozen=True, kw_only=True, omit_defaults=False):
    """The server stops."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 2
    status: str = "shutdown"
    signum: int = 0


class Gap(Body, frozen=True, kw_only=True):
    """Events are missing before this one. ``reason``: queue_full, link_down, sequence, restart."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 3
    extension: ClassVar[bool] = True
    reason: str
    dropped: dict[str, int] = field(default_factory=dict)
    """By event type word (``media``, ``webrtc``, ...); empty when the number is not known."""
    first_timestamp: int | None = None
    """Microseconds; when the hole began, where known."""


class Counter(Struct, frozen=True, omit_defaults=True):
    """One cumulative count with its labels, see :mod:`appliance.core.measure`."""

    name: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


class Counters(Body, frozen=True, kw_only=True):
    """The gateway's own cumulative counts (API requests, queues, datagrams, ...), every few seconds."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 4
    extension: ClassVar[bool] = True
    counters: tuple[Counter, ...]


class ApiError(Body, frozen=True, kw_only=True):
    """A request that was refused: code and reason as the client saw them."""

    type: ClassVar[EventType] = EventType.CORE
    subtype: ClassVar[int] = 5
    extension: ClassVar[bool] = True
    code: int
    reason: str
    request: str = ""
    transaction: str = ""
