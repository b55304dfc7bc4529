"""Janus API messages, as they went over HTTP or WebSocket, become the events that the server would have told."""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from appliance.core import events as e
from appliance.intake.pcap.association import Seen
from appliance.wire import sdp
from appliance.wire.description import SessionDescription

MAX_PENDING = 10_000
COPY_US = 1_000_000
"""Within which the same message once more is on its other side of a proxy, or of a mirror port."""
MAX_SEEN = 1_000
MAX_UFRAGS = 50_000
MAX_CANDIDATES = 200
_PATH = re.compile(r"/(\d{1,16})(?:/(\d{1,16}))?(?:[/?]|$)")

HandleKey = tuple[int, int]
"""Session and handle."""
Tell = Callable[[int, e.Body, int | None, int | None, str | None], None]
"""Timestamp in µs, body, session, handle, opaque id."""


class Described:
    """What the descriptions of a handle say about the packets on the wire."""

    __slots__ = ("candidates", "local", "mids", "remote")

    def __init__(self) -> None:
        self.candidates: dict[tuple[str, int], str] = {}
        """Types of those that were trickled, by address and port."""
        self.mids: dict[str, str] = {}
        """By medium, as the server names them elsewhere: for descriptions that were cut."""
        self.remote: list[SessionDescription] = []
        self.local: list[SessionDescription] = []


class _Request:
    __slots__ = ("handle", "kind", "message", "session", "timestamp_us")

    def __init__(self, timestamp_us: int, kind: str, session: int | None, handle: int | None, message: Any) -> None:
        self.timestamp_us = timestamp_us
        self.kind = kind
        self.session = session
        self.handle = handle
        self.message = message


class Signalling:
    """All connections of a capture share it: a session may be polled over many."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._pending: OrderedDict[str, _Request] = OrderedDict()
        self._opaque: dict[HandleKey, str] = {}
        self._plugins: dict[HandleKey, str] = {}
        self._gone: set[HandleKey] = set()
        self.handles: dict[HandleKey, Described] = {}
        self.up: set[HandleKey] = set()
        """Handles of which the server said webrtcup."""
        self.hung_up: dict[HandleKey, int] = {}
        self.heard: set[HandleKey] = set()
        """Handles of which anything was said."""
        self.told: set[HandleKey] = set()
        """Handles of whose media or candidates something was said, so that they have a PeerConnection."""
        self.offered: set[HandleKey] = set()
        """Handles with a description."""
        self.ufrags: OrderedDict[str, tuple[HandleKey, str]] = OrderedDict()
        """ICE user name fragment: whose, and remote or local."""
        self._asked, self._answered = Seen(MAX_SEEN), Seen(MAX_SEEN)
        self.messages = 0
        self.unreadable = 0
        """Messages that were no JSON, or cut by the capture."""

    # --- from the client -------------------------------------------------------------------------------------

    def request(self, timestamp_us: int, path: str, body: bytes, connection: tuple[str, str, int]) -> None:
        """What a client asked; ``connection`` is the transport's name, the connection's id, ... of its address."""
        if self._asked.again(timestamp_us, body, within_us=COPY_US):
            return
        message = self._read(body)
        if not isinstance(message, dict) or not isinstance(message.get("janus"), str):
            return
        self.messages += 1
        found = _PATH.search(path)
        session = _number(message.get("session_id")) or (int(found[1]) if found else None)
        handle = _number(message.get("handle_id")) or (int(found[2]) if found and found[2] else None)
        transaction = message.get("transaction")
        request = _Request(timestamp_us, message["janus"], session, handle, (message, connection))
        if not isinstance(transaction, str) or request.kind == "keepalive":
            return
        self._pending[f"{session}-{transaction}"] = request
        if len(self._pending) > MAX_PENDING:
            self._settle(self._pending.popitem(last=False)[1], None, timestamp_us)

    def flush(self) -> None:
        """No more will come: what was not answered in the capture was said all the same."""
        while self._pending:
            request = self._pending.popitem(last=False)[1]
            if request.kind in {"message", "trickle"}:
                self._settle(request, None, request.timestamp_us)

    # --- from the server -------------------------------------------------------------------------------------

    def answer(self, timestamp_us: int, body: bytes) -> None:
        """What the server answered or pushed: an object or, on the long poll, an array."""
        if b'"janus"' not in body or self._answered.again(timestamp_us, body, within_us=COPY_US):
            return
        message = self._read(body)
        for item in message if isinstance(message, list) else [message]:
            if isinstance(item, dict) and isinstance(item.get("janus"), str):
                self.messages += 1
                self._one(timestamp_us, item["janus"], item)

    def _read(self, body: bytes) -> Any:
        try:
            return msgspec.json.decode(body) if body.strip() else None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.unreadable += 1
            return None

    def _one(self, timestamp_us: int, kind: str, item: dict[str, Any]) -> None:
        session, handle = _number(item.get("session_id")), _number(item.get("sender"))
        transaction = item.get("transaction")
        if isinstance(transaction, str) and kind in {"success", "ack", "error", "event"}:
            request = self._pending.pop(f"{session}-{transaction}", None)
            request = request or self._pending.pop(f"None-{transaction}", None)
            if request is not None:
                self._settle(request, item, timestamp_us)
                handle = handle or request.handle
        if session is None or handle is None:
            if kind == "timeout" and session is not None:
                self._say(timestamp_us, e.Session(name="timeout"), session)
            return
        key = (session, handle)
        match kind:
            case "event" | "success":
                self._from_plugin(timestamp_us, key, item)
            case "webrtcup":
                self.up.add(key)
                self._say(timestamp_us, e.Connection(connection="webrtcup"), *key)
            case "hangup" if key not in self.hung_up:
                self.told.add(key)
                self.hung_up[key] = timestamp_us
                self._say(timestamp_us, e.Connection(connection="hangup", reason=_text(item.get("reason"))), *key)
            case "media" if isinstance(item.get("receiving"), bool) and isinstance(item.get("type"), str):
                self.told.add(key)
                body = e.MediaState(media=item["type"], mid=_text(item.get("mid")), receiving=item["receiving"])
                if body.mid is not None:
                    self.handles.setdefault(key, Described()).mids.setdefault(body.media[:16], body.mid)
                self._say(timestamp_us, body, *key)
            case "slowlink":
                self.told.add(key)
                # The API's "uplink" is the event's too.
                way = "uplink" if item.get("uplink") else "downlink"
                self._say(timestamp_us, e.SlowLink(media=_text(item.get("media")), slow_link=way), *key)
            case "trickle":
                candidate = item.get("candidate")
                line = candidate.get("candidate") if isinstance(candidate, dict) else None
                if isinstance(line, str) and line:
                    self._say(timestamp_us, e.LocalCandidate(candidate=line.removeprefix("candidate:")), *key)
            case "detached":
                self._detached(timestamp_us, key)
            case _:
                pass

    def _from_plugin(self, timestamp_us: int, key: HandleKey, item: dict[str, Any]) -> None:
        self._jsep(timestamp_us, key, "local", item.get("jsep"))
        said = item.get("plugindata")
        if isinstance(said, dict) and isinstance(said.get("data"), dict):
            self._say(timestamp_us, e.Plugin(plugin=str(said.get("plugin", "")), data=said["data"]), *key)

    def _jsep(self, timestamp_us: int, key: HandleKey, owner: str, jsep: object) -> None:
        if not isinstance(jsep, dict):
            return
        kind, text = jsep.get("type"), jsep.get("sdp")
        if not isinstance(kind, str) or not isinstance(text, str):
            return
        self.offered.add(key)
        self.hung_up.pop(key, None)
        self._say(timestamp_us, e.Jsep(owner=owner, jsep=e.SessionDescription(kind, text)), *key)
        described = self.handles.setdefault(key, Described())
        for ufrag in re.findall(r"^a=ice-ufrag:(\S{1,256})", text, re.MULTILINE):
            self.ufrags[ufrag] = (key, owner)
            if len(self.ufrags) > MAX_UFRAGS:
                self.ufrags.popitem(last=False)
        try:
            parsed = sdp.parse(text)
        except sdp.SdpDecodeError:
            return
        side = described.remote if owner == "remote" else described.local
        side.append(parsed)
        del side[:-8]

    # --- requests whose answer is known ----------------------------------------------------------------------

    def _settle(self, request: _Request, item: dict[str, Any] | None, timestamp_us: int) -> None:
        message, connection = request.message
        if item is not None and item.get("janus") == "error":
            error = item.get("error")
            if isinstance(error, dict) and isinstance(error.get("code"), int):
                body = e.ApiError(code=error["code"], reason=str(error.get("reason", "")), request=request.kind)
                self._say(timestamp_us, body, request.session, request.handle)
            return
        data = item.get("data") if item is not None else None
        made = _number(data.get("id")) if isinstance(data, dict) else None
        match request.kind:
            case "create" if made is not None:
                transport, client, port = connection
                name = f"{client}:{port}"
                found = e.Transport(
                    transport=transport, id=name, data={"event": "connected", "ip": client, "port": port}
                )
                self._say(request.timestamp_us, found)
                self._say(timestamp_us, e.Session(name="created", transport=e.TransportRef(transport, name)), made)
            case "attach" if made is not None and request.session is not None:
                key = (request.session, made)
                self._gone.discard(key)
                opaque = _text(message.get("opaque_id"))
                if opaque is not None:
                    self._opaque[key] = opaque
                plugin = self._plugins[key] = str(message.get("plugin", ""))[:128]
                self._say(timestamp_us, e.Handle(name="attached", plugin=plugin, opaque_id=opaque), *key)
            case "message" if request.session is not None and request.handle is not None:
                self._jsep(request.timestamp_us, (request.session, request.handle), "remote", message.get("jsep"))
            case "trickle" if request.session is not None and request.handle is not None:
                self._trickled(request, message)
            case "detach" if request.session is not None and request.handle is not None and item is not None:
                self._detached(timestamp_us, (request.session, request.handle))
            case "hangup" if request.session is not None and request.handle is not None and item is not None:
                # The push that names the reason may never be polled for.
                key = (request.session, request.handle)
                if key in self.offered and key not in self.hung_up:
                    self.hung_up[key] = timestamp_us
                    self._say(timestamp_us + 1, e.Connection(connection="hangup", reason="Janus API"), *key)
            case "destroy" if request.session is not None and item is not None:
                self._say(timestamp_us, e.Session(name="destroyed"), request.session)
            case _:
                pass

    def _trickled(self, request: _Request, message: dict[str, Any]) -> None:
        single, several = message.get("candidate"), message.get("candidates")
        for candidate in several if isinstance(several, list) else [single]:
            if not isinstance(candidate, dict):
                continue
            line = candidate.get("candidate")
            if candidate.get("completed") is True:
                self._say(request.timestamp_us, e.EndOfCandidates(), request.session, request.handle)
            elif isinstance(line, str) and line:
                self._candidate((request.session or 0, request.handle or 0), line)
                body = e.RemoteCandidate(candidate=line.removeprefix("candidate:"))
                self._say(request.timestamp_us, body, request.session, request.handle)

    def _candidate(self, key: HandleKey, line: str) -> None:
        words = line.split()
        known = self.handles.setdefault(key, Described()).candidates
        if len(words) >= 8 and words[5].isdigit() and len(known) < MAX_CANDIDATES:
            known[words[4], int(words[5])] = words[7]

    def _detached(self, timestamp_us: int, key: HandleKey) -> None:
        if key not in self._gone:
            self._gone.add(key)
            self._say(timestamp_us, e.Handle(name="detached", plugin=self._plugins.pop(key, "")), *key)

    def _say(self, timestamp_us: int, body: e.Body, session: int | None = None, handle: int | None = None) -> None:
        opaque = None
        if session is not None and handle is not None:
            opaque = self._opaque.get((session, handle))
            if len(self.heard) < MAX_UFRAGS:
                self.heard.add((session, handle))
        self._tell(timestamp_us, body, session, handle, opaque)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else None


def _text(value: object) -> str | None:
    return value[:512] if isinstance(value, str) else None
