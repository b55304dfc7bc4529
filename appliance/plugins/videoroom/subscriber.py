"""A client that sees what others publish: many streams in one PeerConnection, which we offer."""

from collections.abc import Iterable

from appliance.core.events import SessionDescription
from appliance.core.messages import Element, Kind
from appliance.core.peer import LayerListener
from appliance.core.plugin import HandleApi, PluginError
from appliance.plugins import layers
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject, read
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.rooms import Room, Rooms
from appliance.plugins.videoroom.streams import PublishedStream
from appliance.plugins.videoroom.subscription import Subscription
from appliance.plugins.videoroom.wanted import (
    OPTIONS,
    Wanted,
    check_layers,
    find_feed,
    no_such_mid,
    read_switches,
    read_wanted,
)

JOIN = (
    Element("private_id", Kind.POSITIVE),
    Element("streams", Kind.ARRAY),
    Element("autoupdate", Kind.BOOLEAN),
    *layers.ELEMENTS,
    Element("use_msid", Kind.BOOLEAN),
    *(Element(name, Kind.BOOLEAN) for name in ("audio", "video", "data", "offer_audio", "offer_video", "offer_data")),
)
CONFIGURE = (
    Element("streams", Kind.ARRAY),
    Element("restart", Kind.BOOLEAN),
    *(Element(name, Kind.BOOLEAN) for name in ("audio", "video", "data", "update")),
    *layers.ELEMENTS,
)


class Subscriber:
    """One subscriber's side of a handle; made by :func:`join`."""

    def __init__(self, rooms: Rooms, room: Room, api: HandleApi) -> None:
        self._rooms = rooms
        self.room: Room | None = room
        """``None`` once it left."""
        self.api = api
        self._lines: list[Subscription] = []
        self._private_id: int | None = None
        self._autoupdate = True
        self._paused = False
        self._pending = False
        """The client owes an answer."""
        self._dirty = False
        """There is more to offer once it has come."""

    # --- requests ---------------------------------------------------------------------------------------------

    def serve(self, verb: str, body: JsonObject, jsep: SessionDescription | None, transaction: str) -> None:
        """Serve a request of a subscriber, and answer it. :raises PluginError: it is refused."""
        room = self.room
        if room is None or room.destroyed:
            raise RefusedError(Code.JOIN_FIRST, "Not in a room (create a new handle)")
        if jsep is not None and jsep.type == "offer":
            self.api.close_peer()
            raise RefusedError(Code.INVALID_SDP_TYPE, "Only publishers send offers")
        if jsep is not None:
            self._answered()
        head: JsonObject = {"videoroom": "event", "room": room.id}
        match verb:
            case "start" | "pause":
                self._paused = verb == "pause"
                self._refresh()
                done = "paused" if self._paused else "started"
                self.api.push_event({**head, done: "ok"}, transaction=transaction)
                self._offer_again(room)
            case "configure":
                self._configure(room, body, transaction)
            case "subscribe" | "unsubscribe" | "update":
                self._update(room, verb, body, transaction)
            case "switch":
                self._switch(room, body, transaction)
            case "leave":
                self.leave()
                self.api.push_event({**head, "left": "ok"}, transaction=transaction)
                self.api.close_peer()
            case _:
                raise RefusedError(Code.INVALID_REQUEST, f"Unknown request '{verb[:64]}'")

    def begin(self, room: Room, body: JsonObject, transaction: str) -> None:
        """The first streams and the first offer. :raises PluginError: it is refused, and nothing has changed."""
        self._autoupdate = body.get("autoupdate", True)
        self._private_id = body.get("private_id")
        legacy = "streams" not in body
        if legacy:
            feed = find_feed(self._rooms, room, body)
            kinds = {kind for kind in ("audio", "video", "data") if body.get(kind, body.get(f"offer_{kind}", True))}
            check_layers(body)
            item = {element.name: body[element.name] for element in layers.ELEMENTS if element.name in body}
            wanted = [Wanted(feed, one, item) for one in feed.streams if one.kind in kinds and not one.disabled]
        else:
            wanted = self._wanted(room, body, "streams")
        if not wanted:
            raise RefusedError(Code.INVALID_SDP, "Can't offer an SDP with no stream")
        self._add(wanted)
        try:
            offer = self._offer()
        except PluginError:
            self._clear()
            raise
        data: JsonObject = {"videoroom": "attached", "room": room.id}
        if legacy:
            data |= {"warning": "deprecated_api", **wanted[0].feed.as_attendee()}
        data["streams"] = self._told()
        room.audience[self.api.handle_id] = self
        self._publish_streams(room, "subscribing")
        self.api.push_event(data, transaction=transaction, jsep=offer)

    def _wanted(self, room: Room, body: JsonObject, name: str) -> list[Wanted]:
        wanted = [one for one in read_wanted(self._rooms, room, body, name) if not self._has(one.feed, one.source)]
        if len(self._lines) + len(wanted) - sum(not line.active for line in self._lines) > messages.MAX_STREAMS:
            text = f"Invalid element ({name}: one PeerConnection has at most {messages.MAX_STREAMS} streams)"
            raise RefusedError(Code.INVALID_ELEMENT, text)
        return wanted

    def _has(self, feed: Participant, source: PublishedStream) -> bool:
        if source.kind == "data":
            return any(feed in line.sources for line in self._lines)
        return any(line.source is source for line in self._lines)

    def _add(self, wanted: Iterable[Wanted]) -> bool:
        changed = False
        for feed, source, item in wanted:
            if self._has(feed, source):
                continue
            line = next((one for one in self._lines if one.kind == source.kind and self._is_free(one)), None)
            changed = changed or line is None or source.kind != "data"
            if line is None:
                line = Subscription(len(self._lines), source.kind)
                self._lines.append(line)
            if source.kind == "data":
                line.sources.append(feed)
            else:
                line.begin(feed, source, item, self._refresh)
        return changed

    @staticmethod
    def _is_free(line: Subscription) -> bool:
        return line.kind == "data" or not line.active

    def _configure(self, room: Room, body: JsonObject, transaction: str) -> None:
        read(CONFIGURE, body)
        items = messages.read_list(body, "streams", (*OPTIONS, Element("mid", Kind.STRING, required=True)))
        for item in (*items, body):
            check_layers(item)
        mids = {line.mid for line in self._lines}
        if unknown := [item["mid"] for item in items if item["mid"] not in mids]:
            raise RefusedError(Code.NO_SUCH_FEED, f"No such mid '{unknown[0][:64]}' in subscription")
        offer = self._offer(restart=True) if body.get("restart") else None
        for line in self._lines:
            line.send = body.get(line.kind, line.send)
            self._choose(line, body)
            for item in items:
                if item["mid"] == line.mid:
                    line.send = item.get("send", line.send)
                    line.delay.take(item)
                    self._choose(line, item)
        self._refresh()
        data = {"videoroom": "event", "room": room.id, "configured": "ok"}
        self.api.push_event(data, transaction=transaction, jsep=offer)

    def _choose(self, line: Subscription, item: JsonObject) -> None:
        peer = self.api.peer
        if line.kind == "video" and line.wishes.take(item) and line.ready and peer is not None:
            told = self._layer_listener(line)
            line.wishes.apply(peer, line.mid, told, svc=line.svc)
            line.wishes.confirm(item, peer.layers(line.mid), told, svc=line.svc)

    def _layer_listener(self, line: Subscription) -> LayerListener:
        def told(what: str, layer: int) -> None:
            room = self.room
            if room is not None:
                self.api.push_event({"videoroom": "event", "room": room.id, "mid": line.mid, what: layer})

        return told

    def _update(self, room: Room, verb: str, body: JsonObject, transaction: str) -> None:
        adding = {"subscribe": "streams", "update": "subscribe"}.get(verb)
        removing = {"unsubscribe": "streams", "update": "unsubscribe"}.get(verb)
        names = [name for name in (adding, removing) if name is not None]
        read([Element(name, Kind.ARRAY, required=verb != "update") for name in names], body)
        if not any(name in body for name in names):
            text = "At least one of either 'subscribe' or 'unsubscribe' must be present"
            raise RefusedError(Code.MISSING_ELEMENT, text)
        wanted = self._wanted(room, body, adding) if adding is not None and adding in body else []
        removed = self._to_remove(body, removing) if removing is not None and removing in body else []
        changed = bool(removed)
        for line, feed in removed:
            self._end(line, feed)
        changed = self._add(wanted) or changed
        if not changed:
            self.api.push_event({"videoroom": "updated", "room": room.id}, transaction=transaction)
        elif self._pending:
            self._dirty = True
            self.api.push_event({"videoroom": "updating", "room": room.id}, transaction=transaction)
        else:
            self._tell_updated(room, transaction)

    def _to_remove(self, body: JsonObject, name: str) -> list[tuple[Subscription, Participant | None]]:
        texts = (Element("mid", Kind.STRING), Element("sub_mid", Kind.STRING))
        items = messages.read_list(body, name, texts)
        if not items:
            raise RefusedError(Code.INVALID_ELEMENT, "Empty unsubscription list")
        found: list[tuple[Subscription, Participant | None]] = []
        for item in items:
            feed_id = self._rooms.ids.read(item, "feed", required=False)
            for line in self._lines:
                if item.get("sub_mid", line.mid) != line.mid:
                    continue
                if line.kind == "data":
                    found += [(line, one) for one in line.sources if feed_id in {None, one.id} and "mid" not in item]
                    continue
                feed, source = line.feed, line.source
                if feed is None or source is None or item.get("mid", source.mid) != source.mid:
                    continue
                if feed_id in {None, feed.id}:
                    found.append((line, None))
        return found

    def _end(self, line: Subscription, feed: Participant | None) -> None:
        if feed is not None:
            if feed in line.sources:
                line.sources.remove(feed)
            return
        if line.ready and self.api.peer is not None:
            self.api.peer.unforward(line.mid)
        line.end(self._refresh)

    def _switch(self, room: Room, body: JsonObject, transaction: str) -> None:
        changes: list[tuple[Subscription, Wanted]] = []
        if "streams" in body:
            for sub_mid, wanted in read_switches(self._rooms, room, body):
                line = next((one for one in self._lines if one.mid == sub_mid), None)
                if line is None or wanted.source.kind != line.kind:
                    raise no_such_mid(wanted.feed, wanted.source.mid, sub_mid)
                changes.append((line, wanted))
        else:
            feed = find_feed(self._rooms, room, body)
            for line in self._lines:
                source = next((one for one in feed.streams if one.kind == line.kind and not one.disabled), None)
                if source is not None:
                    changes.append((line, Wanted(feed, source, {"send": line.send})))
        renegotiate, changed = False, 0
        for line, (feed, source, item) in changes:
            if line.kind == "data":
                changed += line.sources != [feed]
                line.sources = [feed]
            elif line.source is not source:
                changed += 1
                same = line.source is not None and line.source.codec == source.codec
                was_ready = line.ready
                line.begin(feed, source, item, self._refresh)
                renegotiate = renegotiate or not same
                if same and was_ready and self.api.peer is not None:
                    line.route(self.api.peer, self._layer_listener(line), paused=self._paused)
        data = {"videoroom": "event", "room": room.id, "switched": "ok", "changes": changed, "streams": self._told()}
        self.api.push_event(data, transaction=transaction)
        self._publish({"event": "switched", "room": room.id})
        if renegotiate:
            self._dirty = True
            self._offer_again(room)

    # --- offers and what flows --------------------------------------------------------------------------------

    def _offer(self, *, restart: bool = False) -> SessionDescription:
        if self._pending:
            raise RefusedError(Code.INVALID_SDP, "Can't offer, an answer is due")
        try:
            offer = self.api.offer([line.as_offer_line() for line in self._lines], ice_restart=restart)
        except PluginError as error:
            raise RefusedError(Code.INVALID_SDP, f"Can't offer: {error.reason}") from None
        self._pending, self._dirty = True, False
        return offer

    def _answered(self) -> None:
        self._pending = False
        peer = self.api.peer
        if peer is not None:
            for line in self._lines:
                line.route(peer, self._layer_listener(line), paused=self._paused)

    def _offer_again(self, room: Room) -> None:
        if self._dirty and not self._pending and self.api.peer is not None:
            self._tell_updated(room, None)

    def _tell_updated(self, room: Room, transaction: str | None) -> None:
        offer = self._offer()
        self._publish_streams(room, "updated")
        data = {"videoroom": "updated", "room": room.id, "streams": self._told()}
        self.api.push_event(data, transaction=transaction, jsep=offer)

    def _refresh(self) -> None:
        peer = self.api.peer
        if peer is not None:
            for line in self._lines:
                line.switch(peer, paused=self._paused)

    def _told(self) -> list[JsonObject]:
        return [line.as_told(self.api.peer) for line in self._lines]

    # --- what happens to it -----------------------------------------------------------------------------------

    def publisher_gone(self, feed: Participant) -> None:
        """That one publishes no more."""
        room = self.room
        ended = [(line, None) for line in self._lines if line.feed is feed]
        data = [(line, feed) for line in self._lines if feed in line.sources]
        for line, who in (*ended, *data):
            self._end(line, who)
        if not ended or room is None or not self._autoupdate:
            return
        self._dirty = True
        try:
            self._offer_again(room)
        except PluginError:
            # The next change makes up for it.
            return

    def data_from(self, feed: Participant, label: str, protocol: str, message: str | bytes) -> None:
        """Somebody sent a message: pass it on where it is wanted."""
        peer = self.api.peer
        if peer is not None and not self._paused and any(feed in one.sources and one.send for one in self._lines):
            peer.send_data(label, protocol, message)

    def up(self) -> None:
        """Its PeerConnection is up: pictures begin with a key frame."""
        self._refresh()
        if self.room is not None:
            self._publish({"event": "subscribed", "room": self.room.id})

    def down(self) -> None:
        """Its PeerConnection has ended, and all its subscriptions with it."""
        self.leave()

    def leave(self) -> None:
        """See nothing more; a second time nothing happens."""
        room, self.room = self.room, None
        if room is None:
            return
        room.audience.pop(self.api.handle_id, None)
        for line in self._lines:
            if line.feed is not None and line.source is not None:
                about = {"event": "unsubscribed", "room": room.id, "feed": line.feed.id, "mid": line.source.mid}
                self._publish(about)
        self._clear()

    def _clear(self) -> None:
        for line in self._lines:
            self._end(line, None)
            line.sources.clear()
        self._lines = []

    def slow_link(self) -> None:
        """The core has told the client; there is nothing to add."""

    def incoming_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """A subscriber is not listened to."""

    def _publish_streams(self, room: Room, event: str) -> None:
        private = {} if self._private_id is None else {"private_id": self._private_id}
        self._publish({"event": event, "room": room.id, "streams": self._told(), **private})

    def _publish(self, data: JsonObject) -> None:
        if self._rooms.config.events:
            self.api.notify(data)

    def query(self) -> JsonObject:
        """For the Admin API."""
        told: JsonObject = {"type": "subscriber"} | ({} if self.room is None else {"room": self.room.id})
        told |= {"private_id": self._private_id or 0, "answered": not self._pending, "pending_offer": self._dirty}
        told["pending_restart"] = False
        return told | {"paused": self._paused, "streams": self._told(), "hangingup": 0, "destroyed": 0}

    def count(self, feed: Participant, mid: str) -> int:
        """How many of its m-lines show that stream."""
        return sum(line.feed is feed and line.source is not None and line.source.mid == mid for line in self._lines)


def join(rooms: Rooms, api: HandleApi, body: JsonObject, transaction: str) -> Subscriber:
    """Let a client see: its side; the answer is sent. :raises PluginError: it may not, and nothing has changed."""
    room = rooms.find(body)
    read(messages.JOIN, body)
    room.authorize(body, "pin")
    read(JOIN, body)
    messages.check_lengths(body, "token")
    room.check_token(body)
    if "streams" not in body and "feed" not in body:
        raise RefusedError(Code.MISSING_ELEMENT, "At least one between 'streams' and 'feed' must be specified")
    known = {one.private_id for one in room.participants.values()}
    if room.config.require_pvtid and body.get("private_id") not in known:
        raise RefusedError(Code.UNAUTHORIZED, "Unauthorized (this room requires a valid private_id)")
    if len(room.audience) >= rooms.config.max_participants * 4:
        raise RefusedError(Code.UNAUTHORIZED, f"There are {len(room.audience)} subscribers already")
    subscriber = Subscriber(rooms, room, api)
    subscriber.begin(room, body, transaction)
    return subscriber
