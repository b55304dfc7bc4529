"""The events of every call that is on, so that one which is recorded late is recorded whole. Bounded."""

from collections import OrderedDict
from collections.abc import Iterator

from msgspec.structs import replace

from appliance.core.clock import Timer
from appliance.core.events import Event, Plugin, Session, Transport
from appliance.diagnosis.calls import Calls
from appliance.recording.rules import Facts, Rule

MAX_CONTEXTS = 10_000


class LiveCall:
    """One PeerConnection, and whether it is recorded."""

    __slots__ = ("asked", "closing", "correlation_id", "events", "facts", "limit", "problem", "server")

    def __init__(self, correlation_id: str, about: Event) -> None:
        self.correlation_id = correlation_id
        self.server = about.emitter
        self.facts = Facts(correlation_id=correlation_id, session_id=about.session_id, handle_id=about.handle_id)
        self.events: list[Event] = []
        self.asked: Rule | None = None
        """The rule that has it recorded."""
        self.problem = ""
        """Why its gateway keeps no packets."""
        self.closing: Timer | None = None
        self.limit: Timer | None = None

    def cancel(self) -> None:
        """No timer is left."""
        for timer in (self.closing, self.limit):
            if timer is not None:
                timer.cancel()


class LiveCalls:
    """Sorts events into calls as :func:`appliance.diagnosis.calls.split` does, one by one."""

    def __init__(self, *, max_events: int) -> None:
        self.forgotten = 0
        """Calls whose events had to make room."""
        self._max_events = max_events
        self._calls = Calls()
        self._live: OrderedDict[str, LiveCall] = OrderedDict()
        self._count = 0
        self._context: OrderedDict[tuple[str, int], list[Event]] = OrderedDict()
        self._transports: OrderedDict[tuple[str, str], Event] = OrderedDict()

    def __iter__(self) -> Iterator[LiveCall]:
        return iter(list(self._live.values()))

    def get(self, correlation_id: str) -> LiveCall | None:
        """If it is on."""
        return self._live.get(correlation_id)

    def over(self, correlation_id: str) -> bool:
        """Whether its events say that it has ended."""
        return correlation_id in self._calls and bool(self._calls[correlation_id].ends)

    def take(self, correlation_id: str) -> LiveCall | None:
        """It is over."""
        self._calls.close(correlation_id)
        call = self._live.pop(correlation_id, None)
        if call is not None:
            self._count -= len(call.events)
        return call

    def add(self, item: Event) -> list[LiveCall]:
        """Take an event; the calls that it is about."""
        self._remember(item)
        found: list[LiveCall] = []
        for name in self._calls.add(item):
            call = self._live.get(name)
            if call is None:
                call = self._live[name] = LiveCall(name, item)
                self._keep(call, self._context.get((item.emitter, item.session_id or 0), []))
            self._keep(call, [item if item.handle_id is None else replace(item, correlation_id=name)])
            if isinstance(item.event, Plugin):
                room = item.event.data.get("room")
                call.facts.room = str(room) if isinstance(room, str | int) else call.facts.room
            found.append(call)
        while self._count > self._max_events and len(self._live) > 1:
            self._forget_one()
        return found

    def _keep(self, call: LiveCall, events: list[Event]) -> None:
        if len(call.events) + len(events) > self._max_events:
            return
        call.events += events
        self._count += len(events)

    def _forget_one(self) -> None:
        name = next((call.correlation_id for call in self._live.values() if call.asked is None), next(iter(self._live)))
        call = self.take(name)
        if call is not None:
            call.cancel()
            self.forgotten += 1

    def _remember(self, item: Event) -> None:
        body = item.event
        if isinstance(body, Transport):
            self._transports[item.emitter, body.id] = item
            if len(self._transports) > MAX_CONTEXTS:
                self._transports.popitem(last=False)
        elif isinstance(body, Session) and item.session_id is not None and body.name == "created":
            first = self._transports.get((item.emitter, body.transport.id)) if body.transport is not None else None
            self._context[item.emitter, item.session_id] = [first, item] if first is not None else [item]
            if len(self._context) > MAX_CONTEXTS:
                self._context.popitem(last=False)
