"""Which sessions and handles are alive, as far as their events tell. Everything is bounded.

Events get lost: a handle ends with its ``detached``, some time after its session's end, or with its server.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from appliance.core.clock import Clock
from appliance.core.events import Event
from appliance.metrics.lives import QUIET_S, HandleKey, Life, Recent

MAX_HANDLES = 100_000
MAX_SESSIONS = 100_000

SessionKey = tuple[str, int]


class HandleWatcher(Protocol):
    """Whoever shows single handles."""

    def seen(self, life: Life) -> None:
        """Something of this handle came: it is alive."""

    def ended(self, life: Life) -> None:
        """It is gone."""


def key_of(item: Event) -> HandleKey | None:
    """Which handle an event is about, if any."""
    if item.session_id is None or item.handle_id is None:
        return None
    return HandleKey(item.emitter, item.session_id, item.handle_id)


class Population:
    """Sessions and handles. ``lost`` is called for one whose end was never told, before it goes."""

    def __init__(
        self, clock: Clock, *, watcher: HandleWatcher | None, max_handles: int, lost: Callable[[Life], None]
    ) -> None:
        self._clock = clock
        self._watcher = watcher
        self._max_handles = max_handles
        self._lost = lost
        self.sessions: OrderedDict[SessionKey, str | None] = OrderedDict()
        """To the id of the transport that made it, where it is known."""
        self.handles: OrderedDict[HandleKey, Life] = OrderedDict()
        """The one that was quiet longest first."""
        self.forgotten = 0
        """Handles given up, because there were too many."""
        self._ended = Recent()
        self._orphans: deque[tuple[float, SessionKey]] = deque()
        """Sessions that ended, and when: their handles' last events are still to come."""

    def life(self, item: Event, server: str, *, known: bool = False) -> Life | None:
        """The handle of an event, made if need be, but for one that has ended. ``known``: this is its beginning."""
        key = key_of(item)
        if key is None:
            return None
        life = self.handles.get(key)
        if life is None:
            if known:
                self._ended.discard(key)
            elif key in self._ended:
                return None
            fresh = known and not item.replayed
            life = self.handles[key] = Life(key, server, known=fresh, now=self._clock.monotonic())
            self._session_alive((key.emitter, key.session_id), None)
            if len(self.handles) > self._max_handles:
                _, quietest = self.handles.popitem(last=False)
                self.forgotten += 1
                self._gone(quietest)
        else:
            self.handles.move_to_end(key)
            life.seen_at = self._clock.monotonic()
        if item.opaque_id is not None and item.opaque_id != life.opaque_id:
            life.opaque_id = item.opaque_id
            life.labels = None
        if self._watcher is not None:
            self._watcher.seen(life)
        return life

    def alive(self, item: Event) -> Life | None:
        """The handle of an event, if it is alive."""
        key = key_of(item)
        return self.handles.get(key) if key is not None else None

    def detach(self, life: Life) -> None:
        """A handle has ended."""
        del self.handles[life.key]
        self._gone(life)

    def _gone(self, life: Life) -> None:
        self._ended.add(life.key)
        if self._watcher is not None:
            self._watcher.ended(life)

    def session_began(self, key: SessionKey, transport: str | None) -> None:
        """A session is created, by the transport of that id."""
        self._ended.discard(key)
        self._session_alive(key, transport)

    def _session_alive(self, key: SessionKey, transport: str | None) -> None:
        if key not in self.sessions and key not in self._ended:
            self.sessions[key] = transport
            if len(self.sessions) > MAX_SESSIONS:
                self.sessions.popitem(last=False)

    def session_ended(self, key: SessionKey) -> bool:
        """A session has ended; false when that is known already."""
        if key in self._ended:
            return False
        self.sessions.pop(key, None)
        self._ended.add(key)
        self._orphans.append((self._clock.monotonic(), key))
        if len(self._orphans) > MAX_SESSIONS:
            self._orphans.popleft()
        return True

    def sweep(self) -> None:
        """End the handles whose session ended without their ``detached`` ever coming."""
        now = self._clock.monotonic()
        overdue: set[SessionKey] = set()
        while self._orphans and now - self._orphans[0][0] > QUIET_S:
            overdue.add(self._orphans.popleft()[1])
        if overdue:
            for life in list(self.handles.values()):
                if (life.key.emitter, life.key.session_id) in overdue and now - life.seen_at > QUIET_S:
                    self._lost(life)
                    self.detach(life)

    def clear(self, emitter: str) -> None:
        """Nothing of this server is alive."""
        for life in [life for life in self.handles.values() if life.key.emitter == emitter]:
            self._lost(life)
            self.detach(life)
        for key in [key for key in self.sessions if key[0] == emitter]:
            del self.sessions[key]
            self._ended.add(key)
