"""Compares what a server's Admin API lists with what its events told, and makes the ends that no event did. Pure.

Events and lists come by different ways, so that one may be ahead of the other: what an event has told since a poll
began is newer than its lists, and a difference counts only once two polls in a row have seen it.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from appliance.core.alive import LiveHandle, LiveServer, LiveSession
from appliance.core.events import UNTOLD, Body, Connection, Event, Handle, Session, event

HandleId = tuple[int, int]
"""Of its session, and its own."""
T = TypeVar("T", int, HandleId)


class Lists(Struct, frozen=True, kw_only=True):
    """What one poll was told. Complete in its sessions; handles are those of the sessions that were asked for them."""

    began: float
    """Monotonic seconds."""
    wall_us: int
    sessions: frozenset[int]
    handles: dict[int, frozenset[int]]


class Difference(Struct, frozen=True, kw_only=True):
    """What two polls in a row have seen."""

    gone_sessions: frozenset[int] = frozenset()
    """No event told their end."""
    gone_handles: frozenset[HandleId] = frozenset()
    """Likewise, where the session is still there."""
    new_sessions: frozenset[int] = frozenset()
    """No event told their beginning."""
    new_handles: frozenset[HandleId] = frozenset()
    off: dict[str, int] = field(default_factory=dict)
    """By ``sessions`` and ``handles``: in how many this poll alone differed."""


class Reconciler:
    """Remembers of one server what the last poll saw differ."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._missing_sessions: set[int] = set()
        self._unknown_sessions: set[int] = set()
        self._missing_handles: set[HandleId] = set()
        self._unknown_handles: set[HandleId] = set()
        self._without_peer: set[HandleId] = set()

    def compare(self, lists: Lists) -> Difference:
        """Take the next poll that was told everything it asked for; one that was not is never given here."""
        live = self._server.sessions
        missing, unknown = set(), set()
        for number, session in live.items():
            if session.over:
                continue
            if number in lists.sessions:
                session.seen_us = lists.wall_us
            elif session.heard < lists.began:
                missing.add(number)
        for number in lists.sessions:
            known = live.get(number)
            if (known is None or not known.told) and not self._server.has_ended(number):
                unknown.add(number)
        # A session that ended took its handles along, though the end of each is told by itself.
        over = (number for number, each in live.items() if each.over and number not in lists.sessions)
        asked: dict[int, frozenset[int]] = {number: frozenset() for number in over} | lists.handles
        # Those of sessions that were not asked this time stay as they were.
        missing_handles = {each for each in self._missing_handles if each[0] not in asked and each[0] in live}
        unknown_handles = {each for each in self._unknown_handles if each[0] not in asked and each[0] in lists.sessions}
        gone_handles, new_handles = set(), set()
        for number, listed in asked.items():
            found = live.get(number)
            absent = set(self._absent(number, found, listed, lists))
            strange = set(self._strange(number, found, listed))
            gone_handles |= absent & self._missing_handles
            new_handles |= strange & self._unknown_handles
            missing_handles |= absent
            unknown_handles |= strange
        difference = Difference(
            gone_sessions=frozenset(missing & self._missing_sessions),
            gone_handles=frozenset(gone_handles),
            new_sessions=frozenset(unknown & self._unknown_sessions),
            new_handles=frozenset(new_handles),
            off={
                "sessions": len(missing) + len(unknown),
                "handles": len(missing_handles)
                + len(unknown_handles)
                + sum(len(live[number].handles) for number in missing),
            },
        )
        self._missing_sessions, self._unknown_sessions = missing, unknown
        self._missing_handles, self._unknown_handles = missing_handles, unknown_handles
        self._without_peer = {each for each in self._without_peer if each[0] in live}
        return difference

    def _absent(
        self, number: int, session: LiveSession | None, listed: frozenset[int], lists: Lists
    ) -> Iterator[HandleId]:
        for handle_id, handle in session.handles.items() if session is not None else ():
            if handle_id in listed:
                handle.seen_us = lists.wall_us
            elif handle.heard < lists.began:
                yield number, handle_id

    def _strange(self, number: int, session: LiveSession | None, listed: frozenset[int]) -> Iterator[HandleId]:
        for handle_id in listed:
            handle = session.handles.get(handle_id) if session is not None else None
            if (handle is None or not handle.told) and not self._server.has_ended(number, handle_id):
                yield number, handle_id

    def has_hung_up(self, place: HandleId, *, has_peer: bool, began: float) -> bool:
        """Whether a handle's PeerConnection is gone: two polls in a row have found it without."""
        session = self._server.sessions.get(place[0])
        handle = session.handles.get(place[1]) if session is not None else None
        if has_peer or handle is None or handle.peer_since is None or handle.peer_since >= began:
            self._without_peer.discard(place)
            return False
        if place in self._without_peer:
            self._without_peer.discard(place)
            return True
        self._without_peer.add(place)
        return False


class Ends:
    """The events that end what is gone, in the order in which a server would have told them."""

    def __init__(self, name: str, server: LiveServer) -> None:
        """``name``: the server's, in its events."""
        self._name = name
        self._server = server

    def of(self, difference: Difference) -> Iterator[Event]:
        """Hangups, then handles, then their session."""
        for number in sorted(difference.gone_sessions):
            session = self._server.sessions.get(number)
            if session is not None:
                for handle_id in list(session.handles):
                    yield from self.of_handle((number, handle_id))
                yield self._event(Session(name="destroyed"), session, number)
        for place in sorted(difference.gone_handles):
            yield from self.of_handle(place)

    def of_handle(self, place: HandleId) -> Iterator[Event]:
        """Of one handle; none where it has ended meanwhile."""
        handle = self._find(place)
        if handle is not None:
            yield from self.of_peer(place)
            yield self._event(Handle(name="detached", plugin=handle.plugin), handle, *place)

    def of_peer(self, place: HandleId) -> Iterator[Event]:
        """Of its PeerConnection alone."""
        handle = self._find(place)
        if handle is not None and handle.peer_since is not None and not self._server.sessions[place[0]].over:
            yield self._event(Connection(connection="hangup", reason=UNTOLD), handle, *place)

    def _find(self, place: HandleId) -> LiveHandle | None:
        session = self._server.sessions.get(place[0])
        return session.handles.get(place[1]) if session is not None else None

    def _event(self, body: Body, what: LiveSession | LiveHandle, *ids: int) -> Event:
        """It was there when it was last heard of, or last listed; how much longer, nobody can tell."""
        ids_of: dict[str, Any] = dict(zip(("session_id", "handle_id"), ids, strict=False))
        made = event(body, emitter=self._name, timestamp=max(what.heard_us, what.seen_us), **ids_of)
        return replace(made, inferred=True)
