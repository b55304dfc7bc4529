"""Which sessions and handles of a server are alive, as far as its events tell: what its own list is compared with.

Only servers that somebody asks are followed, so that nobody else's events cost anything. Everything is bounded.
"""

from collections import OrderedDict
from collections.abc import Iterable

from appliance.core.clock import Clock
from appliance.core.events import Connection, Core, Event, EventType, Handle, Session, Shutdown

MAX_SESSIONS = 100_000
MAX_HANDLES = 100_000
"""Of one server."""
REMEMBERED = 10_000
"""Sessions and handles that have ended: a late event does not bring them back."""
_OF_A_CALL = EventType.JSEP | EventType.WEBRTC | EventType.MEDIA


class LiveHandle:
    """One handle."""

    __slots__ = ("heard", "heard_us", "hung_up", "peer_since", "plugin", "seen_us", "told")

    def __init__(self, now: float) -> None:
        self.heard = now
        """Monotonic seconds at which its last event came."""
        self.heard_us = 0
        """That event's timestamp."""
        self.seen_us = 0
        """Wall clock at which its server's own list had it last; 0: nobody looked."""
        self.told = False
        """Its ``attached`` came; else it is known by other events."""
        self.plugin = ""
        self.peer_since: float | None = None
        """Since when it has a PeerConnection; ``None``: it has none."""
        self.hung_up = False
        """It has had one."""


class LiveSession:
    """One session and its handles."""

    __slots__ = ("handles", "heard", "heard_us", "over", "seen_us", "told")

    def __init__(self, now: float) -> None:
        self.heard = now
        self.heard_us = 0
        self.seen_us = 0
        """These three as in :class:`LiveHandle`."""
        self.told = False
        """Its ``created`` came."""
        self.handles: dict[int, LiveHandle] = {}
        self.over = False
        """It has ended, and its handles, of which each is told too, have not yet."""


class LiveServer:
    """What one server has."""

    def __init__(self) -> None:
        self.sessions: dict[int, LiveSession] = {}
        self.handles = 0
        self.refused = 0
        """Sessions and handles that are not followed, because there are too many."""
        self._ended: OrderedDict[tuple[int, int | None], None] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Whether it has more than is followed, so that what is unknown here may only have found no room."""
        return self.handles >= MAX_HANDLES or len(self.sessions) >= MAX_SESSIONS

    def has_ended(self, session_id: int, handle_id: int | None = None) -> bool:
        """Whether an event said lately that a session, or one of its handles, is over."""
        return (session_id, None) in self._ended or (session_id, handle_id) in self._ended

    def take(self, item: Event, now: float) -> None:
        """Learn from one event of it."""
        session_id, handle_id, body = item.session_id, item.handle_id, item.event
        if session_id is None:
            if isinstance(body, Shutdown) or (isinstance(body, Core) and body.status == "started"):
                for each in list(self.sessions):
                    self._forget_session(each)
        elif handle_id is None:
            self._session(session_id, item, now)
        else:
            self._handle(session_id, handle_id, item, now)

    def _session(self, session_id: int, item: Event, now: float) -> None:
        body = item.event
        if isinstance(body, Session) and body.name != "created":
            self._end_session(session_id)
            return
        begins = isinstance(body, Session)
        session = self._find(session_id, now, begins=begins)
        if session is not None:
            session.told = session.told or begins
            session.heard, session.heard_us = now, item.timestamp

    def _find(self, session_id: int, now: float, *, begins: bool = False) -> LiveSession | None:
        session = self.sessions.get(session_id)
        if session is not None and session.over and begins:
            self._forget_session(session_id)
            session = None
        if session is None:
            if begins:
                self._ended.pop((session_id, None), None)
            elif (session_id, None) in self._ended:
                return None
            if len(self.sessions) >= MAX_SESSIONS:
                self.refused += 1
                return None
            session = self.sessions[session_id] = LiveSession(now)
        return session

    def _handle(self, session_id: int, handle_id: int, item: Event, now: float) -> None:
        body = item.event
        session = self._find(session_id, now)
        if session is None:
            return
        handle = session.handles.get(handle_id)
        if session.over and (handle is None or not isinstance(body, Handle)):
            return
        if isinstance(body, Handle):
            if body.name == "detached":
                if session.handles.pop(handle_id, None) is not None:
                    self.handles -= 1
                self._remember(session_id, handle_id)
                if session.over and not session.handles:
                    del self.sessions[session_id]
                return
            self._ended.pop((session_id, handle_id), None)
        elif handle is None and (session_id, handle_id) in self._ended:
            return
        if handle is None:
            if self.handles >= MAX_HANDLES:
                self.refused += 1
                return
            self.handles += 1
            handle = session.handles[handle_id] = LiveHandle(now)
        session.heard = handle.heard = now
        session.heard_us = handle.heard_us = item.timestamp
        if isinstance(body, Handle):
            handle.told, handle.plugin = True, body.plugin
        elif isinstance(body, Connection) and body.connection == "hangup":
            handle.peer_since = None
            handle.hung_up = True
        elif handle.peer_since is None and int.__and__(item.type, EventType.JSEP if handle.hung_up else _OF_A_CALL):
            # Statistics come after a hangup too; a next PeerConnection begins with a description.
            handle.peer_since = now

    def _end_session(self, session_id: int) -> None:
        session = self.sessions.get(session_id)
        if session is not None and session.handles:
            session.over = True
            self._remember(session_id, None)
        else:
            self._forget_session(session_id)

    def _forget_session(self, session_id: int) -> None:
        session = self.sessions.pop(session_id, None)
        if session is not None:
            self.handles -= len(session.handles)
        self._remember(session_id, None)

    def _remember(self, session_id: int, handle_id: int | None) -> None:
        self._ended[session_id, handle_id] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)


class Alive:
    """The servers that are followed, by the name in their events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._servers: dict[str, LiveServer] = {}

    def follow(self, names: Iterable[str]) -> None:
        """Begin to."""
        for name in names:
            self._servers.setdefault(name, LiveServer())

    def __getitem__(self, name: str) -> LiveServer:
        return self._servers[name]

    def take(self, item: Event) -> None:
        """An event has come in."""
        server = self._servers.get(item.emitter)
        if server is not None:
            server.take(item, self._clock.monotonic())
