"""Folds events into one row a PeerConnection: who, where, from when to when, and the newest verdict. Pure."""

from collections import OrderedDict
from typing import Any, TypeVar

import msgspec

from appliance.core.events import (
    VERDICT_SCHEMA,
    Connection,
    Core,
    Event,
    EventType,
    External,
    Handle,
    Plugin,
    SelectedPair,
    Session,
    Shutdown,
    Transport,
)
from appliance.handlers.store.values import big, text

MAX_LIVE = 100_000
MAX_ENDED = 10_000
"""Remembered, so that statistics that come after a hangup do not begin the call anew."""
MAX_SESSIONS = 100_000
MAX_ADDRESSES = 20_000
"""API connections; a session names the one that created it."""

SessionKey = tuple[str, int | None]
HandleKey = tuple[str, int | None, int | None]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_OF_A_CALL = EventType.JSEP | EventType.WEBRTC | EventType.MEDIA
_json = msgspec.json.Encoder()


class Call:
    """A row of ``calls``, being written."""

    __slots__ = (
        "client_address", "correlation_id", "ended_us", "handle", "key", "opaque_id", "plugin", "room",
        "selected_pair", "server", "session", "started_us", "stored", "verdict", "verdict_code",
    )  # fmt: skip

    def __init__(self, item: Event) -> None:
        self.correlation_id = text(item.correlation_id, 128)
        self.key = (item.emitter, item.session_id, item.handle_id)
        self.server = text(item.emitter, 64)
        self.session, self.handle = item.session_id, item.handle_id
        self.opaque_id = text(item.opaque_id, 255)
        self.plugin: str | None = None
        self.room: str | None = None
        self.client_address: str | None = None
        self.selected_pair: str | None = None
        self.started_us = item.timestamp
        self.ended_us: int | None = None
        self.verdict_code: str | None = None
        self.verdict: str | None = None
        self.stored = False
        """A row of it is in the database."""

    def values(self) -> dict[str, Any]:
        """By column."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in {"stored", "key"}}


class _Session:
    __slots__ = ("address", "handles", "over", "transport_id")

    def __init__(self) -> None:
        self.over = False
        self.transport_id = ""
        self.address: str | None = None
        self.handles: set[HandleKey] = set()


class _Handle:
    __slots__ = ("call", "opaque_id", "plugin", "room")

    def __init__(self) -> None:
        self.call: Call | None = None
        """The one that is up."""
        self.plugin: str | None = None
        self.opaque_id: str | None = None
        self.room: str | None = None


class CallBook:
    """Every call that is up, and those that have changed since they were last asked for."""

    def __init__(self) -> None:
        self._live: OrderedDict[str, Call] = OrderedDict()
        self._ended: OrderedDict[str, Call] = OrderedDict()
        self._handles: OrderedDict[HandleKey, _Handle] = OrderedDict()
        self._sessions: OrderedDict[SessionKey, _Session] = OrderedDict()
        self._addresses: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._changed: dict[str, Call] = {}
        self._late_verdicts: dict[str, tuple[str | None, str]] = {}
        self._restarts: list[tuple[str, int]] = []

    def __len__(self) -> int:
        """Calls that are up."""
        return len(self._live)

    def take(self, item: Event) -> None:
        """Learn from one event."""
        match item.event:
            case Transport() as body:
                self._learn_address(item.emitter, body)
                return
            case Session() as body:
                self._session(item, body)
                return
            case Core(status="started") | Shutdown():
                for call in [c for c in self._live.values() if c.server == text(item.emitter, 64)]:
                    if call.started_us < item.timestamp:
                        self._end(call, item.timestamp)
                self._restarts.append((text(item.emitter, 64) or "", item.timestamp))
                return
            case External(schema=schema, data=data) if schema == VERDICT_SCHEMA:
                self._verdict(item.correlation_id, data)
                return
        if big(item.session_id) is not None and big(item.handle_id) is not None:
            self._of_handle(item)

    def _of_handle(self, item: Event) -> None:
        key = (item.emitter, item.session_id, item.handle_id)
        handle = self._handles.get(key)
        if handle is None:
            handle = _bounded(self._handles, key, _Handle(), MAX_LIVE)
            self._session_of(item).handles.add(key)
        match item.event:
            case Handle() as body:
                handle.plugin, handle.opaque_id = text(body.plugin, 64), text(body.opaque_id or item.opaque_id, 255)
                if body.name == "detached":
                    if handle.call is not None:
                        self._end(handle.call, item.timestamp)
                    del self._handles[key]
                    session = self._session_of(item)
                    session.handles.discard(key)
                    self._let_go(key[:2], session)
                return
            case Plugin() as body:
                handle.plugin = handle.plugin or text(body.plugin, 64)
                if isinstance(room := body.data.get("room"), str | int):
                    handle.room = text(str(room), 255)
                    if handle.call is not None:
                        handle.call.room = handle.room
                        self._changed[str(handle.call.correlation_id)] = handle.call
                return
        if item.type & _OF_A_CALL and item.correlation_id is not None:
            self._call(item, handle)

    def _call(self, item: Event, handle: _Handle) -> None:
        correlation = str(text(item.correlation_id, 128))
        call = self._live.get(correlation)
        if call is None:
            if correlation in self._ended:
                return
            call = _bounded(self._live, correlation, Call(item), MAX_LIVE)
            call.plugin, call.room = handle.plugin, handle.room
            call.opaque_id = call.opaque_id or handle.opaque_id
            session = self._session_of(item)
            call.client_address = session.address or self._addresses.get((item.emitter, session.transport_id))
            handle.call = call
            self._changed[correlation] = call
        body = item.event
        if isinstance(body, SelectedPair):
            call.selected_pair = text(body.pair, 255)
            self._changed[correlation] = call
        elif isinstance(body, Connection) and body.connection == "hangup":
            self._end(call, item.timestamp)

    def _end(self, call: Call, when_us: int) -> None:
        correlation = str(call.correlation_id)
        # The clock of a server may be set back.
        call.ended_us = max(when_us, call.started_us)
        handle = self._handles.get(call.key)
        if handle is not None and handle.call is call:
            handle.call = None
        self._live.pop(correlation, None)
        _bounded(self._ended, correlation, call, MAX_ENDED)
        self._changed[correlation] = call

    def _session_of(self, item: Event) -> _Session:
        key = (item.emitter, item.session_id)
        session = self._sessions.get(key)
        if session is None:
            session = _bounded(self._sessions, key, _Session(), MAX_SESSIONS)
        return session

    def _session(self, item: Event, body: Session) -> None:
        session = self._session_of(item)
        if body.name == "created":
            if body.transport is not None:
                session.transport_id = body.transport.id
                # Now, because the id may soon be that of another client's request.
                session.address = self._addresses.get((item.emitter, body.transport.id))
            return
        for key in session.handles:
            handle = self._handles.get(key)
            if handle is not None and handle.call is not None:
                self._end(handle.call, item.timestamp)
        session.over = True
        self._let_go((item.emitter, item.session_id), session)

    def _let_go(self, key: SessionKey, session: _Session) -> None:
        # A destroyed session's handles may be detached after it.
        if session.over and not session.handles:
            self._sessions.pop(key, None)

    def _learn_address(self, server: str, body: Transport) -> None:
        ip, port = body.data.get("ip"), body.data.get("port")
        if not isinstance(ip, str):
            return
        address = ip
        if isinstance(port, int):
            address = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
        _bounded(self._addresses, (server, body.id), str(text(address, 64)), MAX_ADDRESSES)

    def _verdict(self, correlation: str | None, data: dict[str, Any]) -> None:
        if correlation is None:
            return
        code = data.get("code")
        found = text(code, 64) if isinstance(code, str) else None, _json.encode(data).decode()
        call = self._live.get(correlation) or self._ended.get(correlation)
        if call is None:
            self._late_verdicts[correlation] = found
            return
        call.verdict_code, call.verdict = found
        self._changed[correlation] = call

    def changed(self) -> list[Call]:
        """Calls whose row is to be written, once."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    def late_verdicts(self) -> dict[str, tuple[str | None, str]]:
        """Code and JSON for calls that this process does not know, once."""
        late, self._late_verdicts = self._late_verdicts, {}
        return late

    def restarts(self) -> list[tuple[str, int]]:
        """(server, when): its earlier calls are over, also those that only the database knows; once."""
        restarts, self._restarts = self._restarts, []
        return restarts


def _bounded(table: OrderedDict[_Key, _Value], key: _Key, value: _Value, limit: int) -> _Value:
    table[key] = value
    table.move_to_end(key)
    if len(table) > limit:
        table.popitem(last=False)
    return value
