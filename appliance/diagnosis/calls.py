"""Sorts a stream of events into calls: each PeerConnection gets its own, and what its session and server tell."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from appliance.core.correlation import Correlator
from appliance.core.events import Core, Event, Gap, Handle, Session, Shutdown, Transport
from appliance.diagnosis.timeline import Timeline

MAX_CALLS = 10_000
"""Live ones; the one that was quiet longest goes first."""
MAX_CONTEXTS = 20_000
"""Sessions, handles and API connections that are remembered for the calls still to come."""
SessionKey = tuple[str, int]
K = TypeVar("K")
V = TypeVar("V")


class Calls:
    """Timelines by correlation id, and the routing of events that carry none.

    ``points`` and ``texts`` are those of :class:`~appliance.diagnosis.timeline.Timeline`. Events without a
    correlation id get one here, so that a raw file can be read as well as the collector's stream.
    """

    def __init__(self, *, max_calls: int = MAX_CALLS, points: int = 0, texts: bool = False) -> None:
        self._max = max_calls
        self._points = points
        self._texts = texts
        self._live: OrderedDict[str, Timeline] = OrderedDict()
        self._of_session: dict[SessionKey, set[str]] = {}
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._sessions: OrderedDict[SessionKey, Event] = OrderedDict()
        self._handles: OrderedDict[tuple[str, int, int], Event] = OrderedDict()
        self._transports: OrderedDict[tuple[str, str], Event] = OrderedDict()
        self._by_transport: OrderedDict[tuple[str, str], SessionKey] = OrderedDict()
        self._correlator = Correlator()
        self.forgotten = 0
        """Live calls that had to make room."""

    def __len__(self) -> int:
        return len(self._live)

    def __getitem__(self, correlation_id: str) -> Timeline:
        return self._live[correlation_id]

    def __contains__(self, correlation_id: object) -> bool:
        return correlation_id in self._live

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._live))

    def add(self, item: Event) -> list[str]:
        """Take the next event; the calls that it was about."""
        if item.handle_id is not None and item.session_id is not None:
            return self._about_handle(item)
        if item.session_id is not None:
            return self._about_session(item)
        return self._about_server(item)

    def close(self, correlation_id: str) -> Timeline | None:
        """Take a call out that is over; whatever still comes of it is ignored."""
        timeline = self._live.pop(correlation_id, None)
        _remember(self._closed, correlation_id, None)
        if timeline is not None and timeline.session_id is not None:
            key = (timeline.emitter, timeline.session_id)
            siblings = self._of_session.get(key, set())
            siblings.discard(correlation_id)
            if not siblings:
                self._of_session.pop(key, None)
        return timeline

    def _about_handle(self, item: Event) -> list[str]:
        name = item.correlation_id
        if name is None:
            name = self._correlator.of(item)
            item = replace(item, correlation_id=name)
        assert name is not None, "an event with session and handle has a correlation id"
        timeline = self._live.get(name)
        if timeline is not None and type(item.event) is not Handle:
            timeline.add(item)
            self._live.move_to_end(name)
            return [name]
        handle = (item.emitter, item.session_id or 0, item.handle_id or 0)
        if isinstance(item.event, Handle):
            if item.event.name == "attached":
                _remember(self._handles, handle, item)
                # A number that is used again is another handle.
                self._closed.pop(name, None)
            else:
                self._handles.pop(handle, None)
        if name in self._closed:
            return []
        if timeline is None:
            timeline = self._open(name, item, handle)
        timeline.add(item)
        self._live.move_to_end(name)
        return [name]

    def _open(self, name: str, item: Event, handle: tuple[str, int, int]) -> Timeline:
        if len(self._live) >= self._max:
            self.forgotten += 1
            self.close(next(iter(self._live)))
        timeline = self._live[name] = Timeline(points=self._points, texts=self._texts)
        session = handle[:2]
        self._of_session.setdefault(session, set()).add(name)
        created = self._sessions.get(session)
        if created is not None:
            body = created.event
            if isinstance(body, Session) and body.transport is not None:
                transport = self._transports.get((item.emitter, body.transport.id))
                if transport is not None:
                    timeline.add(transport)
            timeline.add(created)
        attached = self._handles.get(handle)
        if attached is not None and attached is not item:
            timeline.add(replace(attached, correlation_id=name))
        return timeline

    def _about_session(self, item: Event) -> list[str]:
        key = (item.emitter, item.session_id or 0)
        if isinstance(item.event, Session):
            if item.event.name == "created":
                _remember(self._sessions, key, item)
                if item.event.transport is not None:
                    _remember(self._by_transport, (item.emitter, item.event.transport.id), key)
            else:
                self._sessions.pop(key, None)
        return self._tell(self._of_session.get(key, ()), item)

    def _about_server(self, item: Event) -> list[str]:
        body = item.event
        if isinstance(body, Transport):
            place = (item.emitter, body.id)
            if place in self._by_transport:
                return self._tell(self._of_session.get(self._by_transport[place], ()), item)
            _remember(self._transports, place, item)
        elif isinstance(body, Gap):
            # The bus loses whatever is in its queue, so such a hole is everybody's.
            everybody = body.reason == "queue_full" or not item.emitter
            return self._tell([n for n, t in self._live.items() if everybody or t.emitter == item.emitter], item)
        elif isinstance(body, Shutdown) or (isinstance(body, Core) and body.status == "started"):
            return self._tell([n for n, t in self._live.items() if t.emitter == item.emitter], item)
        return []

    def _tell(self, names: Iterable[str], item: Event) -> list[str]:
        told = list(names)
        for name in told:
            self._live[name].add(item)
        return told


def split(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each PeerConnection in a file, in order, numbered from 1 where they have no ids.

    Session, transport and server events are in every call that they are about.
    """
    calls = Calls(max_calls=100_000)
    found: dict[str, list[Event]] = {}
    context: dict[SessionKey, list[Event]] = {}
    transports: dict[tuple[str, str], Event] = {}
    for number, raw in enumerate(events, 1):
        item = raw if raw.id else replace(raw, id=number)
        body = item.event
        if isinstance(body, Transport):
            transports[item.emitter, body.id] = item
        elif isinstance(body, Session) and item.session_id is not None and body.name == "created":
            first = transports.get((item.emitter, body.transport.id)) if body.transport is not None else None
            context[item.emitter, item.session_id] = [first, item] if first is not None else [item]
        for name in calls.add(item):
            if name not in found:
                found[name] = list(context.get((item.emitter, item.session_id or 0), ()))
            found[name].append(item if item.handle_id is None else replace(item, correlation_id=name))
    return found


def _remember(table: OrderedDict[K, V], key: K, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > MAX_CONTEXTS:
        table.popitem(last=False)
