"""What a gateway tells again to a collector that has just started: the state of every call that is up.

Statistics are left out: the next ones come within a second. A PeerConnection that has ended is remembered for a few
seconds more, because its verdict may have died with the old collector.
"""

from collections import OrderedDict, deque
from typing import NamedTuple

from appliance.core.clock import Clock
from appliance.core.events import Connection as ConnectionState
from appliance.core.events import Core, Event, Handle, Jsep, Session, Transport
from appliance.core.queue import is_expendable

MAX_BYTES = 32 * 2**20
"""Then the handle that was quiet longest is forgotten."""
MAX_EVENTS = 256
"""Of one PeerConnection; beyond, its oldest go."""
MAX_SESSIONS = 50_000
MAX_ADDRESSES = 512
"""API connections whose session is not known yet."""
LINGER_SECONDS = 10.0


class _Kept(NamedTuple):
    seq: int
    data: bytes


class _Life:
    """One handle: how it was attached, and its newest PeerConnection."""

    __slots__ = ("attached", "ended", "events", "size")

    def __init__(self) -> None:
        self.attached: list[_Kept] = []
        self.events: deque[_Kept] = deque()
        self.ended = False
        self.size = 0


class LinkMemory:
    """Bounded in sessions, handles and bytes."""

    def __init__(self, clock: Clock, *, max_bytes: int = MAX_BYTES) -> None:
        self.forgotten = 0
        """Handles given up because there was no room; :attr:`bytes` has the limit ``max_bytes``."""
        self.bytes = 0
        self._max_bytes = max_bytes
        self._clock = clock
        self._started: _Kept | None = None
        self._addresses: OrderedDict[str, _Kept] = OrderedDict()
        self._sessions: OrderedDict[int, list[_Kept]] = OrderedDict()
        self._handles: OrderedDict[tuple[int, int], _Life] = OrderedDict()
        self._leaving: deque[tuple[float, int, int | None]] = deque()
        """(when, session, handle) of those that have ended, oldest first."""

    def keep(self, seq: int, item: Event, data: bytes) -> None:
        """Remember an event that is being sent, if it is one to tell again."""
        body = item.event
        kept = _Kept(seq, data)
        if isinstance(body, Transport):
            self._addresses[body.id] = kept
            self._addresses.move_to_end(body.id)
            if len(self._addresses) > MAX_ADDRESSES:
                self._addresses.popitem(last=False)
        elif isinstance(body, Core) and body.status == "started":
            self._started = kept
        elif isinstance(body, Session) and item.session_id is not None:
            self._keep_session(item.session_id, body, kept)
        elif item.session_id is not None and item.handle_id is not None and not is_expendable(item):
            self._keep_handle((item.session_id, item.handle_id), item, kept)
        self._let_go()

    def _keep_session(self, session_id: int, body: Session, kept: _Kept) -> None:
        told = self._sessions.setdefault(session_id, [])
        if body.transport is not None and (address := self._addresses.get(body.transport.id)) is not None:
            told.append(address)
        told.append(kept)
        if body.name != "created":
            self._leaving.append((self._clock.monotonic(), session_id, None))
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def _keep_handle(self, key: tuple[int, int], item: Event, kept: _Kept) -> None:
        body = item.event
        life = self._handles.get(key)
        if life is None:
            life = self._handles[key] = _Life()
        self._handles.move_to_end(key)
        self.bytes += len(kept.data)
        life.size += len(kept.data)
        if isinstance(body, Handle):
            life.attached.append(kept)
            if body.name == "detached":
                self._leaving.append((self._clock.monotonic(), *key))
            return
        if isinstance(body, Jsep) and life.ended:
            life.ended = False
            while life.events:
                self._drop_oldest(life)
        elif isinstance(body, ConnectionState) and body.connection == "hangup":
            life.ended = True
        life.events.append(kept)
        if len(life.events) > MAX_EVENTS:
            self._drop_oldest(life)

    def _drop_oldest(self, life: _Life) -> None:
        size = len(life.events.popleft().data)
        life.size -= size
        self.bytes -= size

    def _let_go(self) -> None:
        past = self._clock.monotonic() - LINGER_SECONDS
        while self._leaving and self._leaving[0][0] < past:
            _, session_id, handle_id = self._leaving.popleft()
            if handle_id is None:
                self._sessions.pop(session_id, None)
            elif (life := self._handles.pop((session_id, handle_id), None)) is not None:
                self.bytes -= life.size
        while self.bytes > self._max_bytes:
            _, life = self._handles.popitem(last=False)
            self.bytes -= life.size
            self.forgotten += 1

    def recall(self, before: int) -> list[bytes]:
        """Everything to tell that has a sequence number below ``before``, in the order in which it was sent."""
        told: dict[int, bytes] = dict([self._started]) if self._started else {}
        for session in self._sessions.values():
            told.update(session)
        for life in self._handles.values():
            told.update(life.attached)
            told.update(life.events)
        return [told[seq] for seq in sorted(told) if seq < before]
