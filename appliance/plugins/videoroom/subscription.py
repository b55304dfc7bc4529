"""One m-line of a subscriber: whose stream it carries, and how the client is told of it."""

import re
from collections.abc import Callable

from appliance.core.peer import LayerListener, OfferLine, PeerConnection
from appliance.plugins.delays import Delay
from appliance.plugins.layers import Wishes
from appliance.plugins.videoroom.messages import JsonObject
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.streams import PublishedStream

_MSID = re.compile(r"[!#$%&'*+.^`{|}~\w-]{1,64}", re.ASCII)
"""Of a stream or track (RFC 8830 section 2): not every id that is a string can be one."""


class Subscription:
    """An m-line stays where it is once it was offered; without a source it is inactive and may be used again."""

    def __init__(self, mindex: int, kind: str) -> None:
        self.mindex = mindex
        self.mid = str(mindex)
        self.kind = kind
        """audio, video or data."""
        self.feed: Participant | None = None
        self.source: PublishedStream | None = None
        self.sources: list[Participant] = []
        """Of a data line: everybody whose messages it carries."""
        self.crossrefid: str | None = None
        self.send = True
        self.ready = False
        self.wishes = Wishes()
        self.delay = Delay()
        self._delay_ms: tuple[int, int] | None = None
        """What the engine was told."""

    def begin(self, feed: Participant, source: PublishedStream, item: JsonObject, changed: Callable[[], None]) -> None:
        """Carry that stream; ``item`` is what the client asked, ``changed`` is called when it is muted or unmuted."""
        self.end(changed)
        self.feed, self.source = feed, source
        self.crossrefid = item.get("crossrefid")
        self.send = item.get("send", True)
        self.wishes = Wishes(item)
        self.delay = Delay(item)
        source.listeners.add(changed)

    def end(self, changed: Callable[[], None]) -> None:
        """Carry nothing."""
        if self.source is not None:
            self.source.listeners.discard(changed)
        self.feed, self.source, self.crossrefid, self.ready = None, None, None, False

    @property
    def active(self) -> bool:
        """It carries something; a data line always may."""
        return self.kind == "data" or self.source is not None

    def carries(self, feed: Participant, source: PublishedStream) -> bool:
        """That stream, and no other."""
        return self.sources == [feed] if self.kind == "data" else self.source is source

    @property
    def svc(self) -> bool:
        """Its layers are chosen from; without a word of the publisher where the client asks for layers."""
        flags = {} if self.source is None else self.source.flags
        return bool(flags.get("svc")) or (self.wishes.of_layers and not flags.get("simulcast"))

    def as_offer_line(self, *, use_msid: bool = False) -> OfferLine:
        """For the next offer; ``use_msid``: its track is named after whom and what it shows."""
        if self.kind == "data":
            return OfferLine(mid=self.mid, kind="application")
        if self.feed is None or self.source is None:
            return OfferLine(mid=self.mid, kind=self.kind)
        names = (str(self.feed.id), self.source.mid)
        msid = " ".join(names) if use_msid and all(_MSID.fullmatch(name) for name in names) else None
        return OfferLine(mid=self.mid, kind=self.kind, source=self.feed.origin, source_mid=self.source.mid, msid=msid)

    def route(self, peer: PeerConnection, told: LayerListener, *, paused: bool) -> None:
        """Let the stream through to the client, as far as everybody wants that."""
        if self.feed is None or self.source is None or self.feed.origin is None:
            return
        if self.kind == "video":
            self.wishes.apply(peer, self.mid, told, svc=self.svc)
        self.feed.origin.forward(self.source.mid, peer, self.mid)
        self.ready = True
        self.switch(peer, paused=paused)

    def switch(self, peer: PeerConnection, *, paused: bool) -> None:
        """Hold packets back, or let them out; what comes back needs a key frame."""
        if self.feed is None or self.source is None or not self.ready:
            return
        self._set_delay(peer, self.delay.ms or self.source.delay.ms)
        active = self.send and not paused and self.source.relayed
        peer.set_sending(self.mid, active=active)
        if active and self.kind == "video":
            self.feed.request_keyframe(self.source.mid)

    def _set_delay(self, peer: PeerConnection, delay_ms: tuple[int, int] | None) -> None:
        if delay_ms != self._delay_ms:
            self._delay_ms = delay_ms
            peer.set_playout_delay(self.mid, delay_ms)

    def as_told(self, peer: PeerConnection | None = None) -> JsonObject:
        """An item of ``streams``."""
        told: JsonObject = {"type": self.kind, "active": self.active, "mindex": self.mindex, "mid": self.mid}
        if self.crossrefid is not None:
            told["crossrefid"] = self.crossrefid
        told |= {"ready": self.ready, "send": self.send}
        if self.kind == "data":
            ids = [feed.id for feed in self.sources]
            return told | ({"sources": len(ids), "source_ids": ids} if ids else {})
        if self.feed is None or self.source is None:
            return told
        told |= {"feed_id": self.feed.id, **{f"feed_{name}": value for name, value in self.feed.names.items()}}
        told["feed_mid"] = self.source.mid
        if self.source.description is not None:
            told["feed_description"] = self.source.description
        if self.source.codec is not None:
            told["codec"] = self.source.codec
        if self.source.profile is not None:
            told[f"{self.source.codec}-profile"] = self.source.profile
        told |= self.delay.as_told() or self.source.delay.as_told()
        layers = None if peer is None else peer.layers(self.mid)
        if self.source.flags.get("simulcast"):
            told["simulcast"] = self.wishes.as_told(layers)
        elif self.source.flags.get("svc"):
            told["svc"] = self.wishes.as_svc_told(layers, "target-{}")
        return told
