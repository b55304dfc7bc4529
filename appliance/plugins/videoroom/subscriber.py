"""A client that sees what others publish: many streams in one PeerConnection, which we offer."""

from collections.abc import Iterable

from appliance.core.events import SessionDescription
from appliance.core.messages import Element, Kind
from appliance.core.plugin import HandleApi, PluginError
from appliance.plugins import layers
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject, read
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.rooms import Room, Rooms
from appliance.plugins.videoroom.subscriptions import Subscriptions
from appliance.plugins.videoroom.wanted import (
    OPTIONS,
    Wanted,
    check_layers,
    read_legacy,
    read_switches,
    read_unwanted,
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
        self._lines = Subscriptions(api, room.id)
        self._private_id: int | None = None
        self._autoupdate = True
        self._pending = False
        """The client owes an answer."""
        self._dirty = False
        """There is more to offer once it has come."""
        self._restart = False
        """The next offer restarts ICE."""

    @property
    def is_out(self) -> bool:
        """It left, or its room is no more: its handle is of no further use."""
        return self.room is None or self.room.destroyed

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
                self._lines.paused = verb == "pause"
                self._lines.refresh()
                done = "paused" if self._lines.paused else "started"
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
        self._lines.use_msid = body.get("use_msid", False)
        legacy = "streams" not in body
        wanted = read_legacy(self._rooms, room, body) if legacy else self._wanted(room, body, "streams")
        if not wanted:
            raise RefusedError(Code.INVALID_SDP, "Can't offer an SDP with no stream")
        self.api.e2ee = wanted[0].feed.api.e2ee
        self._check_e2ee(wanted)
        self._lines.add(wanted)
        try:
            offer = self._offer()
        except PluginError:
            self._lines.clear()
            raise
        data: JsonObject = {"videoroom": "attached", "room": room.id}
        if legacy:
            data |= {"warning": "deprecated_api", **wanted[0].feed.as_attendee()}
        data["streams"] = self._lines.as_told()
        room.audience[self.api.handle_id] = self
        self._publish_streams(room, "subscribing")
        self.api.push_event(data, transaction=transaction, jsep=offer)

    def _wanted(self, room: Room, body: JsonObject, name: str) -> list[Wanted]:
        wanted = [one for one in read_wanted(self._rooms, room, body, name) if not self._lines.has(one)]
        if len(wanted) > self._lines.free:
            text = f"Invalid element ({name}: one PeerConnection has at most {messages.MAX_STREAMS} streams)"
            raise RefusedError(Code.INVALID_ELEMENT, text)
        return wanted

    def _check_e2ee(self, wanted: Iterable[Wanted]) -> None:
        """A PeerConnection is encrypted from client to client as a whole, or not at all."""
        for one in wanted:
            if one.feed.api.e2ee != self.api.e2ee:
                text = f"Feed {one.feed.id} is{'' if one.feed.api.e2ee else ' not'} end-to-end encrypted, others "
                raise RefusedError(Code.INVALID_FEED, text + ("are" if self.api.e2ee else "are not"))

    def _configure(self, room: Room, body: JsonObject, transaction: str) -> None:
        read(CONFIGURE, body)
        items = messages.read_list(body, "streams", (*OPTIONS, Element("mid", Kind.STRING, required=True)))
        for item in (*items, body):
            check_layers(item)
        mids = {line.mid for line in self._lines}
        if unknown := [item["mid"] for item in items if item["mid"] not in mids]:
            raise RefusedError(Code.NO_SUCH_FEED, f"No such mid '{unknown[0][:64]}' in subscription")
        offer = self._offer_asked(body) if body.get("restart") or body.get("update") else None
        for line in self._lines:
            line.send = body.get(line.kind, line.send)
            self._lines.choose_layers(line, body)
            for item in items:
                if item["mid"] == line.mid:
                    line.send = item.get("send", line.send)
                    line.delay.take(item)
                    self._lines.choose_layers(line, item)
        self._lines.refresh()
        data = {"videoroom": "event", "room": room.id, "configured": "ok"}
        self.api.push_event(data, transaction=transaction, jsep=offer)

    def _update(self, room: Room, verb: str, body: JsonObject, transaction: str) -> None:
        adding = {"subscribe": "streams", "update": "subscribe"}.get(verb)
        removing = {"unsubscribe": "streams", "update": "unsubscribe"}.get(verb)
        names = [name for name in (adding, removing) if name is not None]
        read([Element(name, Kind.ARRAY, required=verb != "update") for name in names], body)
        if not any(name in body for name in names):
            text = "At least one of either 'subscribe' or 'unsubscribe' must be present"
            raise RefusedError(Code.MISSING_ELEMENT, text)
        wanted = self._wanted(room, body, adding) if adding is not None and adding in body else []
        self._check_e2ee(wanted)
        unwanted = read_unwanted(self._rooms, body, removing, self._lines) if removing and removing in body else []
        for line, feed in unwanted:
            self._lines.end(line, feed)
        changed = self._lines.add(wanted) or bool(unwanted)
        if not changed:
            self.api.push_event({"videoroom": "updated", "room": room.id}, transaction=transaction)
        elif self._pending:
            self._dirty = True
            self.api.push_event({"videoroom": "updating", "room": room.id}, transaction=transaction)
        else:
            self._tell_updated(room, transaction)

    def _switch(self, room: Room, body: JsonObject, transaction: str) -> None:
        renegotiate, changed = False, 0
        switches = read_switches(self._rooms, room, body, self._lines)
        self._check_e2ee(wanted for _, wanted in switches)
        for line, wanted in switches:
            if not line.carries(wanted.feed, wanted.source):
                changed += 1
                renegotiate = self._lines.switch(line, wanted) or renegotiate
        data: JsonObject = {"videoroom": "event", "room": room.id, "switched": "ok", "changes": changed}
        data["streams"] = self._lines.as_told()
        self.api.push_event(data, transaction=transaction)
        self._publish({"event": "switched", "room": room.id})
        if renegotiate:
            self._dirty = True
            self._offer_again(room)

    # --- offers and what flows --------------------------------------------------------------------------------

    def _offer(self) -> SessionDescription:
        if self._pending:
            raise RefusedError(Code.INVALID_SDP, "Can't offer, an answer is due")
        try:
            offer = self.api.offer(self._lines.as_offer_lines(), ice_restart=self._restart)
        except PluginError as error:
            raise RefusedError(Code.INVALID_SDP, f"Can't offer: {error.reason}") from None
        self._pending, self._dirty, self._restart = True, False, False
        return offer

    def _offer_asked(self, body: JsonObject) -> SessionDescription | None:
        """An offer because the client wants one; ``None`` while it owes an answer: the offer follows that."""
        self._restart = self._restart or body.get("restart", False)
        if not self._pending:
            return self._offer()
        self._dirty = True
        return None

    def _answered(self) -> None:
        self._pending = False
        self._lines.route()

    def _offer_again(self, room: Room) -> None:
        if self._dirty and not self._pending and self.api.peer is not None:
            self._tell_updated(room, None)

    def _tell_updated(self, room: Room, transaction: str | None) -> None:
        offer = self._offer()
        self._publish_streams(room, "updated")
        data = {"videoroom": "updated", "room": room.id, "streams": self._lines.as_told()}
        self.api.push_event(data, transaction=transaction, jsep=offer)

    # --- what happens to it -----------------------------------------------------------------------------------

    def publisher_gone(self, feed: Participant) -> None:
        """That one publishes no more."""
        room, ended = self.room, self._lines.publisher_gone(feed)
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
        if peer is not None and self._lines.hears(feed):
            peer.send_data(label, protocol, message)

    def up(self) -> None:
        """Its PeerConnection is up: pictures begin with a key frame."""
        self._lines.refresh()
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
        self._lines.clear()

    def slow_link(self) -> None:
        """The core has told the client; there is nothing to add."""

    def incoming_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """A subscriber is not listened to."""

    def _publish_streams(self, room: Room, event: str) -> None:
        private = {} if self._private_id is None else {"private_id": self._private_id}
        self._publish({"event": event, "room": room.id, "streams": self._lines.as_told(), **private})

    def _publish(self, data: JsonObject) -> None:
        if self._rooms.config.events:
            self.api.notify(data)

    def query(self) -> JsonObject:
        """For the Admin API."""
        told: JsonObject = {"type": "subscriber"} | ({} if self.room is None else {"room": self.room.id})
        told |= {"e2ee": True} if self.api.e2ee else {}
        told |= {"private_id": self._private_id or 0, "answered": not self._pending, "pending_offer": self._dirty}
        told["pending_restart"] = self._restart
        return told | {"paused": self._lines.paused, "streams": self._lines.as_told(), "hangingup": 0, "destroyed": 0}

    def count(self, feed: Participant, mid: str) -> int:
        """How many of its m-lines show that stream."""
        return self._lines.count(feed, mid)


def join(rooms: Rooms, api: HandleApi, body: JsonObject, transaction: str) -> Subscriber:
    """Let a client see: its side; the answer is sent. :raises PluginError: it may not, and nothing has changed."""
    room = rooms.find(body)
    read(messages.JOIN, body)
    room.authorize(body, "pin")
    read(JOIN, body)
    messages.check_lengths(body, "token")
    if "streams" not in body and "feed" not in body:
        raise RefusedError(Code.MISSING_ELEMENT, "At least one between 'streams' and 'feed' must be specified")
    is_known = body.get("private_id") in {one.private_id for one in room.participants.values()}
    if not is_known:
        # Who is in has shown a token, and its clients' subscribers show that they are its own.
        room.check_token(body, rooms.granted)
    if room.config.require_pvtid and not is_known:
        raise RefusedError(Code.UNAUTHORIZED, "Unauthorized (this room requires a valid private_id)")
    if len(room.audience) >= rooms.config.max_participants * 4:
        raise RefusedError(Code.UNAUTHORIZED, f"There are {len(room.audience)} subscribers already")
    subscriber = Subscriber(rooms, room, api)
    subscriber.begin(room, body, transaction)
    return subscriber
