"""What a participant publishes: one m-line, as others are told of it."""

from collections.abc import Callable
from typing import Any

from appliance.core.peer import Medium
from appliance.plugins.delays import Delay
from appliance.wire.description import Direction, MediaDescription, SessionDescription

EXTENSION_KEYS = {
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level": "audiolevel_ext_id",
    "urn:3gpp:video-orientation": "videoorient_ext_id",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay": "playoutdelay_ext_id",
}
"""What the publisher itself is told of its header extensions."""
PER_KIND = {"audio": {"audiolevel_ext_id"}, "video": {"videoorient_ext_id", "playoutdelay_ext_id"}}

PROFILES = {"vp9": "profile-id", "h264": "profile-level-id"}
"""The codec's parameter that says which of its profiles it is."""


class PublishedStream:
    """One m-line of a publisher."""

    def __init__(self, mid: str, mindex: int, kind: str, codec: str | None = None) -> None:
        self.mid = mid
        self.mindex = mindex
        self.kind = kind
        """audio, video or data."""
        self.codec = codec
        self.profile: str | None = None
        """Of VP9 and H.264, as the codec's parameters in the answer have it."""
        self.disabled = False
        """Negotiated away, while the m-line stays."""
        self.description: str | None = None
        self.send = True
        """The publisher wants it seen."""
        self.moderated = False
        """Muted by somebody who may."""
        self.talking = False
        """By its audio levels, where the room looks at them."""
        self.delay = Delay()
        """How long receivers are to hold it before they play it, where they don't want otherwise."""
        self.flags: dict[str, bool] = {}
        """``stereo``, ``fec``, ``dtx``, ``simulcast``, ``svc``: only those that hold."""
        self.extension_ids: dict[str, int] = {}
        self.listeners: set[Callable[[], None]] = set()
        """Called when :attr:`relayed` may have changed."""

    def refresh(self) -> None:
        """Tell whoever relays it."""
        for listener in list(self.listeners):
            listener()

    @property
    def relayed(self) -> bool:
        """Its packets go on to whoever subscribed."""
        return self.send and not self.moderated and not self.disabled

    def _head(self) -> dict[str, Any]:
        head: dict[str, Any] = {"type": self.kind, "mindex": self.mindex, "mid": self.mid}
        if self.disabled:
            return head | {"disabled": True}
        if self.description is not None:
            head["description"] = self.description
        if self.codec is not None:
            head["codec"] = self.codec
        if self.profile is not None:
            head[f"{self.codec}_profile"] = self.profile
        return head

    def _tail(self, flags: dict[str, bool]) -> dict[str, Any]:
        if self.disabled:
            return {}
        return flags | ({"moderated": True} if self.moderated else {})

    def as_published(self, *, talking: bool = False) -> dict[str, Any]:
        """As other participants are told."""
        told = self._head() | self._tail(self.flags)
        if talking and "audiolevel_ext_id" in self.extension_ids and not self.disabled:
            told["talking"] = self.talking
        return told

    def as_configured(self) -> dict[str, Any]:
        """As the publisher itself is told."""
        return self._head() | self._tail(self.flags) | self.extension_ids

    def as_event(self) -> dict[str, Any]:
        """As the event handlers are told."""
        layered = {name: True for name in self.flags if name in {"simulcast", "svc"}}
        return self._head() | self._tail(layered)


def published(
    media: tuple[Medium, ...], answer: SessionDescription, before: list[PublishedStream]
) -> list[PublishedStream]:
    """The streams as they are after an answer; what was set of one that stays (by mid) is kept."""
    kept = {stream.mid: stream for stream in before}
    streams = []
    for medium in media:
        kind = "data" if medium.kind == "application" else medium.kind
        if kind not in {"audio", "video", "data"}:
            continue
        stream = kept.get(medium.mid)
        if stream is None or stream.kind != kind:
            stream = PublishedStream(medium.mid, medium.mindex, kind)
        described = answer.media_of(medium.mid)
        stream.codec = medium.codec
        stream.disabled = medium.rejected or (kind != "data" and not _comes(medium))
        _describe(stream, described)
        if medium.simulcast:
            stream.flags["simulcast"] = True
        if medium.svc:
            stream.flags["svc"] = True
        streams.append(stream)
    return streams


def _comes(medium: Medium) -> bool:
    return Direction(medium.direction).receives


def _describe(stream: PublishedStream, described: MediaDescription | None) -> None:
    stream.flags, stream.extension_ids, stream.profile = {}, {}, None
    if described is None:
        return
    parameters = next((codec.parameters for codec in described.codecs.values()), {})
    if stream.codec in PROFILES:
        stream.profile = parameters.get(PROFILES[stream.codec])
    if stream.codec == "opus":
        named = (("stereo", "stereo"), ("fec", "useinbandfec"), ("dtx", "usedtx"))
        stream.flags = {flag: True for flag, name in named if parameters.get(name) == "1"}
    wanted = PER_KIND.get(stream.kind, set())
    for extension in described.extensions:
        key = EXTENSION_KEYS.get(extension.uri)
        if key in wanted:
            assert key is not None
            stream.extension_ids[key] = extension.id
