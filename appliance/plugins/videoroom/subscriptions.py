"""The m-lines of one subscriber: which there are, what each carries, and what of it flows."""

from collections.abc import Iterable, Iterator

from appliance.core.peer import LayerListener, OfferLine
from appliance.core.plugin import HandleApi
from appliance.plugins.videoroom.config import RoomId
from appliance.plugins.videoroom.messages import MAX_STREAMS, JsonObject
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.subscription import Subscription
from appliance.plugins.videoroom.wanted import Wanted


class Subscriptions:
    """In the order of their m-lines."""

    def __init__(self, api: HandleApi, room_id: RoomId) -> None:
        self.paused = False
        """Nothing flows until the client starts again."""
        self.use_msid = False
        """Offers name tracks after the feeds that they show."""
        self._lines: list[Subscription] = []
        self._api = api
        self._room_id = room_id

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._lines)

    @property
    def free(self) -> int:
        """How many streams more one PeerConnection has room for."""
        return MAX_STREAMS - sum(line.active for line in self._lines)

    def has(self, wanted: Wanted) -> bool:
        """That stream is carried already; data of a participant are one stream, whoever else's they come with."""
        if wanted.source.kind == "data":
            return any(wanted.feed in line.sources for line in self._lines)
        return any(line.source is wanted.source for line in self._lines)

    def add(self, wanted: Iterable[Wanted]) -> bool:
        """Carry what is not carried yet, on m-lines that are free or new; true when that is to be offered."""
        changed = False
        for one in wanted:
            if self.has(one):
                continue
            kind = one.source.kind
            line = next((line for line in self._lines if line.kind == kind and _is_free(line)), None)
            changed = changed or line is None or kind != "data"
            if line is None:
                line = Subscription(len(self._lines), kind)
                self._lines.append(line)
            if kind == "data":
                line.sources.append(one.feed)
                line.send = one.item.get("send", line.send)
            else:
                line.begin(*one, self.refresh)
        return changed

    def switch(self, line: Subscription, wanted: Wanted) -> bool:
        """Carry that instead; true when it is to be offered, as its codec is another."""
        if line.kind == "data":
            line.sources = [wanted.feed]
            return False
        same = line.source is not None and line.source.codec == wanted.source.codec
        was_ready = line.ready
        line.begin(*wanted, self.refresh)
        if same and was_ready:
            self._route(line)
        return not same

    def end(self, line: Subscription, feed: Participant | None = None) -> None:
        """Carry nothing on an m-line; of a data line's, nothing of ``feed``."""
        if feed is not None:
            if feed in line.sources:
                line.sources.remove(feed)
            return
        if line.ready and self._api.peer is not None:
            self._api.peer.unforward(line.mid)
        line.end(self.refresh)

    def publisher_gone(self, feed: Participant) -> bool:
        """End all of that one; true when that is to be offered."""
        shown = [line for line in self._lines if line.feed is feed]
        heard = [line for line in self._lines if feed in line.sources]
        for line in shown:
            self.end(line)
        for line in heard:
            self.end(line, feed)
        return bool(shown)

    def clear(self) -> None:
        """End them all, and forget their m-lines."""
        for line in self._lines:
            self.end(line)
            line.sources.clear()
        self._lines = []

    # --- what flows -------------------------------------------------------------------------------------------

    def route(self) -> None:
        """The client has agreed: let everything through that is wanted."""
        for line in self._lines:
            self._route(line)

    def _route(self, line: Subscription) -> None:
        peer = self._api.peer
        if peer is not None:
            line.route(peer, self._layer_listener(line), paused=self.paused)

    def refresh(self) -> None:
        """Hold back what is not wanted just now, let out what is again."""
        peer = self._api.peer
        if peer is not None:
            for line in self._lines:
                line.switch(peer, paused=self.paused)

    def choose_layers(self, line: Subscription, item: JsonObject) -> None:
        """Take what a request wishes of the layers of a picture, if it wishes anything; confirm what flows already."""
        peer = self._api.peer
        if line.kind == "video" and line.wishes.take(item) and line.ready and peer is not None:
            told = self._layer_listener(line)
            line.wishes.apply(peer, line.mid, told, svc=line.svc)
            line.wishes.confirm(item, peer.layers(line.mid), told, svc=line.svc)

    def _layer_listener(self, line: Subscription) -> LayerListener:
        def told(what: str, layer: int) -> None:
            if line in self._lines:
                self._api.push_event({"videoroom": "event", "room": self._room_id, "mid": line.mid, what: layer})

        return told

    def hears(self, feed: Participant) -> bool:
        """Messages of that one go to the client now."""
        return not self.paused and any(feed in line.sources and line.send for line in self._lines)

    # --- what is told of them ---------------------------------------------------------------------------------

    def as_offer_lines(self) -> list[OfferLine]:
        """For the next offer."""
        return [line.as_offer_line(use_msid=self.use_msid) for line in self._lines]

    def as_told(self) -> list[JsonObject]:
        """``streams`` of an event."""
        return [line.as_told(self._api.peer) for line in self._lines]

    def count(self, feed: Participant, mid: str) -> int:
        """How many m-lines show that stream."""
        return sum(line.feed is feed and line.source is not None and line.source.mid == mid for line in self._lines)


def _is_free(line: Subscription) -> bool:
    return line.kind == "data" or not line.active
