"""Which events a handler is given, beyond their type: of which servers, plugins and rooms, and how many statistics.

One thing for every handler, between the bus and its queue. What belongs to no handle (sessions, transports, the core)
is told of the servers that are wanted, because it says whose a call is. What belongs to a handle is told once its
plugin and room are known to be wanted ones; that a handle was attached is told before it can have a room.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from appliance.core.events import Connection, Event, EventType, Handle, MediaStats, Plugin, RtcpReport

MAX_HANDLES = 50_000
"""Whose plugin, room or statistics are remembered at once; the one that was quiet longest goes."""
PREFIX = "janus.plugin."

HandleKey = tuple[str, int | None, int | None]
"""Emitter, session, handle."""


class SelectConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every handler can be told of the events that it is to have."""

    servers: list[str] = []
    """Only events of these servers (``emitter``); empty: of all."""
    plugins: list[str] = []
    """Only handles of these plugins, ``videoroom`` or ``janus.plugin.videoroom``; empty: of all."""
    rooms: list[str] = []
    """Only handles that are in one of these rooms; empty: in any or none."""
    statistics_every: int = 1
    """Of the statistics of each track, and of its RTCP reports, every how many-th is told: 10 means one in ten. The
    last before the hangup always is."""


class Place(NamedTuple):
    """What is known of where an event belongs; empty where nothing is."""

    plugin: str = ""
    """Without ``janus.plugin.``."""
    room: str = ""


NOWHERE = Place()


class Whereabouts:
    """The plugin and room of each handle, learnt from the events themselves. Bounded."""

    def __init__(self) -> None:
        self._known: OrderedDict[HandleKey, Place] = OrderedDict()

    def of(self, item: Event) -> Place:
        """Where an event belongs, by what was told before and by itself."""
        body = item.event
        if item.handle_id is None:
            return self._told(body, NOWHERE)
        key = (item.emitter, item.session_id, item.handle_id)
        before = self._known.get(key, NOWHERE)
        now = self._told(body, before)
        if isinstance(body, Handle) and body.name == "detached":
            self._known.pop(key, None)
        elif now != before:
            self._known[key] = now
            self._known.move_to_end(key)
            if len(self._known) > MAX_HANDLES:
                self._known.popitem(last=False)
        return now

    @staticmethod
    def _told(body: object, before: Place) -> Place:
        if isinstance(body, Handle):
            return Place(body.plugin.removeprefix(PREFIX), before.room)
        if isinstance(body, Plugin):
            room = body.data.get("room")
            named = str(room) if isinstance(room, int | str) else before.room
            return Place(body.plugin.removeprefix(PREFIX), named)
        return before


class _Track:
    __slots__ = ("count", "held")

    def __init__(self) -> None:
        self.count = 0
        self.held: Event | None = None
        """The last that was left out since one was told."""


class Selector:
    """Chooses for one handler."""

    def __init__(self, config: SelectConfig) -> None:
        """:raises ValueError: ``statistics_every`` is less than 1."""
        if config.statistics_every < 1:
            raise ValueError(f"statistics_every: {config.statistics_every} came, wanted 1 or more")
        self.left_out = 0
        self._servers = frozenset(config.servers)
        self._plugins = frozenset(name.removeprefix(PREFIX) for name in config.plugins)
        self._rooms = frozenset(config.rooms)
        self._every = config.statistics_every
        self._tracks: OrderedDict[HandleKey, dict[tuple[object, ...], _Track]] = OrderedDict()

    def choose(self, item: Event, place: Place) -> Sequence[Event]:
        """What to hand over now, oldest first: nothing, the event, or statistics held back and the event."""
        if not self._wants(item, place):
            self.left_out += 1
            return ()
        if self._every == 1 or item.handle_id is None:
            return (item,)
        body = item.event
        if isinstance(body, MediaStats | RtcpReport):
            return self._sample(item, body)
        if (isinstance(body, Connection) and body.connection == "hangup") or (
            isinstance(body, Handle) and body.name == "detached"
        ):
            return (*self._last(item), item)
        return (item,)

    def _wants(self, item: Event, place: Place) -> bool:
        if self._servers and item.emitter not in self._servers:
            return False
        if item.handle_id is None and item.type != EventType.PLUGIN:
            return True
        if self._plugins and place.plugin not in self._plugins:
            return False
        if not self._rooms or place.room in self._rooms:
            return True
        return item.type == EventType.HANDLE and not place.room

    def _sample(self, item: Event, body: MediaStats | RtcpReport) -> Sequence[Event]:
        key = (item.emitter, item.session_id, item.handle_id)
        tracks = self._tracks.setdefault(key, {})
        kind = body.media if isinstance(body, MediaStats) else (body.direction, body.ssrc)
        track = tracks.setdefault((item.subtype, body.mid, kind), _Track())
        if len(self._tracks) > MAX_HANDLES:
            self._tracks.popitem(last=False)
        track.count += 1
        if (track.count - 1) % self._every == 0:
            track.held = None
            return (item,)
        if track.held is not None:
            self.left_out += 1
        track.held = item
        return ()

    def _last(self, item: Event) -> Sequence[Event]:
        tracks = self._tracks.pop((item.emitter, item.session_id, item.handle_id), {})
        held = [track.held for track in tracks.values() if track.held is not None]
        return sorted(held, key=lambda one: (one.timestamp, one.id))


def selector_of(config: Struct) -> Selector | None:
    """That of a handler's settings; ``None`` where they want everything. :raises ValueError: see :class:`Selector`."""
    if not isinstance(config, SelectConfig):
        return None
    chosen = SelectConfig(**{name: getattr(config, name) for name in SelectConfig.__struct_fields__})
    return None if chosen == SelectConfig() else Selector(chosen)
