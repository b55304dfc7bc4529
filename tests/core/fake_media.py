"""A media engine that carries nothing: says what the real one says, when the test tells it to."""

from collections.abc import Callable, Sequence
from typing import Any

from appliance.core import events
from appliance.core.events import Body
from appliance.core.peer import (
    AnswerPolicy,
    LayerListener,
    Layers,
    Listener,
    Medium,
    MLines,
    OfferLine,
    PeerConnection,
    PeerObserver,
    SdpRefusedError,
    SourceLine,
    Tap,
    WireTap,
)

OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
ANSWER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
MEDIA = (
    Medium(mid="0", mindex=0, kind="audio", direction="sendrecv", codec="opus"),
    Medium(mid="1", mindex=1, kind="video", direction="sendrecv", codec="vp8"),
    Medium(mid="2", mindex=2, kind="application", direction="sendrecv"),
)


class FakePeer:
    """Implements :class:`appliance.core.peer.PeerConnection` and remembers what was asked of it."""

    def __init__(self, observer: PeerObserver) -> None:
        self.observer = observer
        self.media: tuple[Medium, ...] = ()
        self.up = False
        self.send_estimate_bps: int | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.slow_to_close = False
        self.tap: Tap | None = None
        self.listeners: dict[str, Listener | None] = {}
        self.layer_listener: LayerListener | None = None
        self.flowing: dict[str, Layers] = {}
        self.wire_tap: WireTap | None = None

    def tell(self, *bodies: Body) -> None:
        for body in bodies:
            self.observer.fact(body)

    def set_remote_offer(self, sdp: str, *, lowest_rid_first: bool = False, svc: MLines = frozenset()) -> None:
        if "refuse" in sdp:
            raise SdpRefusedError("line 7: refuse: wanted something else")
        self.calls.append(("set_remote_offer", sdp))

    def gather(self, *, trickle: bool) -> None:
        self.calls.append(("gather", trickle))
        if any(call[0] == "create_offer" for call in self.calls):
            return
        self.tell(
            events.IceState(ice="gathering"), events.LocalCandidate(candidate="1 1 udp 2015363327 127.0.0.1 9 typ host")
        )

    def create_answer(self, policy: AnswerPolicy) -> str:
        self.calls.append(("create_answer", policy))
        self.media = MEDIA
        self.tell(events.IceState(ice="connecting"))
        return ANSWER

    def create_offer(self, lines: Sequence[OfferLine], *, ice_restart: bool = False) -> str:
        if any(line.mid == "refuse" for line in lines):
            raise SdpRefusedError("m-line refuse: wanted something else")
        self.calls.append(("create_offer", tuple(lines), ice_restart))
        self.media = MEDIA
        self.tell(
            events.IceState(ice="gathering"), events.LocalCandidate(candidate="1 1 udp 2015363327 127.0.0.1 9 typ host")
        )
        return OFFER

    def set_remote_answer(self, sdp: str) -> None:
        if "refuse" in sdp:
            raise SdpRefusedError("line 7: refuse: wanted something else")
        self.calls.append(("set_remote_answer", sdp))

    def add_remote_candidate(self, candidate: str) -> None:
        self.calls.append(("add_remote_candidate", candidate))

    def end_of_candidates(self) -> None:
        self.calls.append(("end_of_candidates",))

    def forward(self, mid: str, to: PeerConnection, to_mid: str) -> None:
        self.calls.append(("forward", mid, to_mid))

    def unforward(self, mid: str) -> None:
        self.calls.append(("unforward", mid))

    def set_sending(self, mid: str, *, active: bool) -> None:
        self.calls.append(("set_sending", mid, active))

    def set_layers(
        self,
        mid: str,
        *,
        substream: int | None = None,
        temporal: int | None = None,
        spatial: int | None = None,
        fallback_us: int | None = None,
        told: LayerListener | None = None,
    ) -> None:
        layers = (substream, temporal, fallback_us) if spatial is None else (substream, temporal, spatial, fallback_us)
        self.calls.append(("set_layers", mid, *layers))
        self.layer_listener = told or self.layer_listener

    def set_playout_delay(self, mid: str, delay_ms: tuple[int, int] | None) -> None:
        self.calls.append(("set_playout_delay", mid, delay_ms))

    def layers(self, mid: str) -> Layers | None:
        return self.flowing.get(mid)

    def set_bitrate(self, bps: int) -> None:
        self.calls.append(("set_bitrate", bps))

    def request_keyframe(self, mid: str) -> None:
        self.calls.append(("request_keyframe", mid))

    def set_wire_tap(
        self, tap: WireTap | None, secrets: Callable[[str], None] | None = None, *, media: bool = True
    ) -> None:
        self.wire_tap = tap

    def listen(self, mid: str, listener: Listener | None, *, substream: int | None = None) -> None:
        self.listeners[mid if substream is None else f"{mid}/{substream}"] = listener

    def set_tap(self, tap: Tap | None) -> None:
        self.tap = tap

    def send_data(self, label: str, protocol: str, message: str | bytes) -> None:
        self.calls.append(("send_data", label, protocol, message))

    def connect(self) -> None:
        """What a call that works says, in its order."""
        self.up = True
        self.tell(
            events.SelectedPair(pair="127.0.0.1:10000 [host,udp] <-> 127.0.0.1:50000 [host,udp]"),
            events.IceState(ice="connected"),
            events.IceState(ice="ready"),
            events.DtlsState(dtls="trying"),
            events.DtlsState(dtls="connected"),
            events.Connection(connection="webrtcup"),
            events.MediaState(media="audio", mid="0", receiving=True),
            events.MediaState(media="video", mid="1", receiving=True),
        )

    def close(self, reason: str | None) -> None:
        self.calls.append(("close", reason))
        self.up = False
        if self.media:
            self.tell(events.MediaStats(media="audio", mid="0"))
        if reason is not None and not self.slow_to_close:
            self.tell(events.Connection(connection="hangup", reason=reason))

    def describe(self) -> dict[str, Any]:
        return {"ice": {}}


class FakeSource:
    """Implements :class:`appliance.core.peer.MediaSource` and remembers what was asked of it."""

    def __init__(self, lines: Sequence[SourceLine], keyframe: Callable[[str], None] | None) -> None:
        self.lines = tuple(lines)
        self.keyframe = keyframe
        self.dropped = 0
        self.calls: list[tuple[Any, ...]] = []

    def send(self, mid: str, payload: bytes, *, timestamp: int, marker: bool = False) -> None:
        self.calls.append(("send", mid, payload, timestamp, marker))

    def send_packet(self, mid: str, packet: bytes, *, substream: int = 0) -> None:
        self.calls.append(("send_packet", mid, packet, substream))

    def change(self, lines: Sequence[SourceLine]) -> None:
        self.lines = tuple(lines)

    def listen(self, mid: str, listener: Listener | None, *, substream: int | None = None) -> None:
        self.calls.append(("listen", mid, listener, substream))

    def request_keyframe(self, mid: str) -> None:
        self.calls.append(("request_keyframe", mid))

    def forward(self, mid: str, to: PeerConnection, to_mid: str) -> None:
        self.calls.append(("forward", mid, to_mid))

    def close(self) -> None:
        self.calls.append(("close",))


class FakeMedia:
    """Implements :class:`appliance.core.peer.MediaEngine`."""

    def __init__(self) -> None:
        self.peers: list[FakePeer] = []
        self.sources: list[FakeSource] = []
        self.config: dict[str, Any] = {"no_media_timer": 1.0, "slowlink_threshold": 0}

    def open(self, observer: PeerObserver) -> FakePeer:
        self.peers.append(FakePeer(observer))
        return self.peers[-1]

    def source(self, lines: Sequence[SourceLine], keyframe: Callable[[str], None] | None = None) -> FakeSource:
        self.sources.append(FakeSource(lines, keyframe))
        return self.sources[-1]

    def settings(self) -> dict[str, Any]:
        return self.config

    def configure(self, **changes: float) -> None:
        self.config |= changes

    @property
    def peer(self) -> FakePeer:
        return self.peers[-1]
