"""Who is in a call, and which other calls belong to it: user, display name and room, as plugins tell them.

A PeerConnection is one leg: a participant of a room has one for what it sends and one for each subscription. What all
of them carry is the Call-ID of the first of them (``X-CID``, Homer's correlation header): that of the SIP call where a
SIP plugin's handle has one, else of the room's first leg that is still there, else of the session's.
"""

from collections import OrderedDict

from appliance.core.events import Event, Handle, Plugin

MAX_GROUPS = 20_000
"""Rooms and sessions remembered."""
MAX_TEXT = 200
"""Characters of a name that are kept."""
RAW_SIP = {"sip-in", "sip-out"}
"""What a SIP plugin calls the messages that it took in and sent out."""

_USER_KEYS = ("identity", "username")
_DISPLAY_KEYS = ("display", "displayname")


class Leg:
    """What is known of one handle so far."""

    __slots__ = ("display", "plugin", "room", "sip_call_id", "user")

    def __init__(self) -> None:
        self.plugin = ""
        """Package name."""
        self.room = ""
        """Number or name."""
        self.user = ""
        """Opaque id, else what the plugin knows the user as."""
        self.display = ""
        """Display name."""
        self.sip_call_id = ""
        """Of the SIP call behind this handle."""

    @property
    def service(self) -> str:
        """The plugin's short name."""
        return self.plugin.rpartition(".")[2] or "webrtc"


class _Group:
    """Legs that belong together."""

    __slots__ = ("first", "members")

    def __init__(self, first: str) -> None:
        self.first = first
        self.members: set[tuple[str, int]] = set()


_GroupKey = tuple[str, str, str]


class LegBook:
    """Remembers handles and their groups, within bounds."""

    def __init__(self, max_legs: int, max_groups: int = MAX_GROUPS) -> None:
        self._max_legs = max_legs
        self._max_groups = max_groups
        self._legs: OrderedDict[tuple[str, int], Leg] = OrderedDict()
        self._groups: OrderedDict[_GroupKey, _Group] = OrderedDict()

    def of(self, item: Event) -> Leg:
        """The leg of an event's handle; an empty one where nothing is known."""
        return self._legs.get((item.emitter, item.handle_id or 0)) or Leg()

    def note(self, item: Event) -> None:
        """Learn from a handle's or a plugin's event."""
        body = item.event
        if item.handle_id is None:
            return
        if isinstance(body, Handle):
            if body.name == "attached":
                leg = self._leg(item)
                leg.plugin = body.plugin[:MAX_TEXT]
                leg.user = (item.opaque_id or body.opaque_id or "")[:MAX_TEXT]
        elif isinstance(body, Plugin):
            self._learn(self._leg(item), item, body)

    def _leg(self, item: Event) -> Leg:
        key = item.emitter, item.handle_id or 0
        leg = self._legs.get(key)
        if leg is None:
            leg = self._legs[key] = Leg()
            if len(self._legs) > self._max_legs:
                self._legs.popitem(last=False)
        return leg

    def _learn(self, leg: Leg, item: Event, body: Plugin) -> None:
        data = body.data
        leg.plugin = leg.plugin or body.plugin[:MAX_TEXT]
        leg.user = leg.user or (item.opaque_id or "")[:MAX_TEXT]
        leg.room = _word(data, ("room",)) or leg.room
        leg.display = _word(data, _DISPLAY_KEYS) or leg.display
        leg.user = leg.user or _word(data, _USER_KEYS)
        leg.sip_call_id = _word(data, ("call-id",)) or leg.sip_call_id

    def link(self, item: Event, leg: Leg, call_id: str) -> str:
        """What this leg and those that belong to it carry alike, a Call-ID."""
        if leg.sip_call_id:
            return leg.sip_call_id
        if leg.room:
            return self._first((item.emitter, "room", leg.room), item, call_id)
        return self._first((item.emitter, "session", str(item.session_id)), item, call_id)

    def _first(self, key: _GroupKey, item: Event, call_id: str) -> str:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(call_id)
            if len(self._groups) > self._max_groups:
                self._groups.popitem(last=False)
        if len(group.members) < self._max_legs:
            group.members.add((item.emitter, item.handle_id or 0))
        return group.first

    def leave(self, item: Event) -> None:
        """The handle is gone; a group without any is begun anew by its next leg."""
        key = item.emitter, item.handle_id or 0
        leg = self._legs.pop(key, None)
        groups = [(item.emitter, "session", str(item.session_id))]
        if leg is not None and leg.room:
            groups.append((item.emitter, "room", leg.room))
        for name in groups:
            group = self._groups.get(name)
            if group is not None:
                group.members.discard(key)
                if not group.members:
                    del self._groups[name]


def _word(data: dict[str, object], keys: tuple[str, ...]) -> str:
    """The first of these that is text or a number."""
    for key in keys:
        value = data.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)[:MAX_TEXT]
    return ""
