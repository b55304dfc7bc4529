"""EchoTest: sends a client's own media and messages back to it (Janus's ``janus.plugin.echotest``).

Requests have no name: every one may switch audio and video, cap the bitrate, record, and carry an offer. All are
answered later, by an event.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

from appliance.core.clock import Clock
from appliance.core.events import Counter, SessionDescription
from appliance.core.messages import Element, Kind, find_problem
from appliance.core.peer import AnswerPolicy, Medium, PeerConnection
from appliance.core.plugin import Ack, HandleApi, Plugin, PluginError, PluginHandle
from appliance.plugins import delays, layers
from appliance.plugins.recordings import Limits, Recording, Recordings, is_name
from appliance.wire import mjr, sdp

INVALID_ELEMENT = 413
INVALID_SDP = 414
MAX_BITRATE_BPS = 2**32 - 1
HINT = "I'm taking my time!"
PREFIX = "Janus EchoTest here! You wrote: "
"""Before every text that is sent back; clients look for it."""

REQUEST = (
    Element("audio", Kind.BOOLEAN),
    Element("audiocodec", Kind.STRING),
    Element("video", Kind.BOOLEAN),
    Element("videocodec", Kind.STRING),
    Element("videoprofile", Kind.STRING),
    Element("opusred", Kind.BOOLEAN),
    Element("bitrate", Kind.POSITIVE),
    Element("record", Kind.BOOLEAN),
    Element("filename", Kind.STRING),
    *layers.ELEMENTS,
    Element("svc", Kind.BOOLEAN),
    *delays.ELEMENTS,
)
SHOWN = {"substream", "temporal-layer"}
"""Of simulcast, in events."""
SHOWN_OF_SVC = {"spatial-layer", "temporal-layer"}
SUPPORTED = frozenset(element.name for element in REQUEST) - {"audiocodec", "svc", "filename"}
"""One of these, or an offer, makes it a request."""


def read_request(body: dict[str, Any], *, has_offer: bool, records: bool = False) -> None:
    """Refuse what can't be served, in Janus's words; ``records``: recording can. :raises PluginError: 413."""
    problem = find_problem(REQUEST, body)
    if problem is not None:
        raise PluginError(INVALID_ELEMENT, problem.text)
    wrong = layers.wrong_layer(body)
    if wrong is not None:
        raise PluginError(INVALID_ELEMENT, f"Invalid value ({wrong} should be 0, 1 or 2)")
    if body.get("bitrate", 0) > MAX_BITRATE_BPS:
        raise PluginError(INVALID_ELEMENT, f"Invalid value (bitrate should be at most {MAX_BITRATE_BPS})")
    if not has_offer and not SUPPORTED & body.keys():
        raise PluginError(INVALID_ELEMENT, "Message error: no supported attributes found")
    if body.get("filename") and not is_name(body["filename"]):
        raise PluginError(INVALID_ELEMENT, "Invalid value (filename should be letters, digits and _.+@=,- alone)")
    if body.get("record") and not records:
        raise PluginError(INVALID_ELEMENT, "Invalid value (record should be false: recording is not available here)")


class EchoHandle(PluginHandle):
    """One client, hearing itself."""

    def __init__(self, api: HandleApi, recordings: Recordings, *, events: bool) -> None:
        super().__init__(api)
        self._events = events
        self._recordings = recordings
        self._reset()

    def _reset(self) -> None:
        self._active = {"audio": True, "video": True}
        self._bitrate = 0
        self._slow_links = 0
        self._wishes = layers.Wishes()
        self._layered = False
        """The client said by ``svc`` that it sends layers."""
        self._delay = delays.Delay()
        self._routed: dict[str, str] = {}
        """mid to kind of what is echoed."""
        self._answered = ""
        """Our last answer."""
        self._records: str | None = None
        """How files are named, while the client wants to be recorded."""
        self._taken: dict[str, Recording] = {}
        """By mid: what is being recorded."""

    def message(self, body: dict[str, Any], jsep: SessionDescription | None, transaction: str) -> Ack:
        """Always asynchronous: a refusal is an event as well."""
        self.api.later(lambda: self._serve(body, jsep, transaction))
        return Ack(HINT)

    def _serve(self, body: dict[str, Any], jsep: SessionDescription | None, transaction: str) -> None:
        try:
            read_request(body, has_offer=jsep is not None, records=self._recordings.available)
            answer = self._answer(body) if jsep is not None else None
        except PluginError as refusal:
            data = {"echotest": "event", "error_code": refusal.code, "error": refusal.reason}
            self.api.push_event(data, transaction=transaction)
            return
        self._apply(body, has_offer=jsep is not None)
        self.api.push_event({"echotest": "event", "result": "ok"}, transaction=transaction, jsep=answer)
        if self._events:
            active = {"audio_active": self._active["audio"], "video_active": self._active["video"]}
            told: dict[str, Any] = {**active, "bitrate": self._bitrate}
            for name, state, shown in (("simulcast", self._simulcast(), SHOWN), ("svc", self._svc(), SHOWN_OF_SVC)):
                told |= {name: {key: value for key, value in state.items() if key in shown}} if state else {}
            self.api.notify(told | self._recording())

    def _answer(self, body: dict[str, Any]) -> SessionDescription:
        profile = body.get("videoprofile", "")
        policy = AnswerPolicy(
            audio_codecs=(body["audiocodec"],) if "audiocodec" in body else (),
            video_codecs=(body["videocodec"],) if "videocodec" in body else (),
            vp9_profile=profile,
            h264_profile=profile,
        )
        try:
            answer = self.api.answer(policy)
        except PluginError as error:
            # It hung up before we came to it, or a later offer was answered first.
            raise PluginError(INVALID_SDP, f"Error parsing offer: {error.reason}") from None
        peer = self.api.peer
        assert peer is not None
        self._answered = answer.sdp
        self._routed = {
            medium.mid: medium.kind
            for medium in peer.media
            if medium.kind in self._active and not medium.rejected and medium.direction == "sendrecv"
        }
        for mid in self._routed:
            peer.forward(mid, peer, mid)
        return answer

    def _apply(self, body: dict[str, Any], *, has_offer: bool) -> None:
        woken = set()
        for kind, active in self._active.items():
            wanted = body.get(kind, active)
            if wanted and not active:
                woken.add(kind)
            self._active[kind] = wanted
        self._bitrate = body.get("bitrate", self._bitrate)
        wishes = self._wishes.take(body)
        self._layered = body.get("svc", self._layered)
        delays_wanted = self._delay.take(body)
        if "record" in body:
            self._record(body["record"], body.get("filename"))
        peer = self.api.peer
        if peer is None:
            return
        self._switch(peer, woken)
        if delays_wanted or (has_offer and self._delay.ms):
            for mid in self._routed:
                peer.set_playout_delay(mid, self._delay.ms)
        if wishes or has_offer or "svc" in body:
            svc = self._svc_mids(peer)
            for mid in (*self._simulcast_mids(peer), *svc):
                self._wishes.apply(peer, mid, self._layer_changed, svc=mid in svc)
                self._wishes.confirm(body, peer.layers(mid), self._layer_changed, svc=mid in svc)
        if "bitrate" in body or (has_offer and self._bitrate):
            peer.set_bitrate(self._bitrate)
        self._record_media(peer)

    def _switch(self, peer: PeerConnection, woken: set[str]) -> None:
        for mid, kind in self._routed.items():
            peer.set_sending(mid, active=self._active[kind])
            if kind == "video" and kind in woken:
                peer.request_keyframe(mid)

    def _simulcast_mids(self, peer: PeerConnection) -> list[str]:
        return [medium.mid for medium in peer.media if medium.simulcast and medium.mid in self._routed]

    def _svc_mids(self, peer: PeerConnection) -> list[str]:
        """Sent in layers, as the client says; where it asks for layers, it has to know."""
        known = self._layered or self._wishes.of_layers
        return [
            medium.mid
            for medium in peer.media
            if medium.mid in self._routed and (medium.svc or (known and medium.codec == "vp9" and not medium.simulcast))
        ]

    def _layer_changed(self, what: str, layer: int) -> None:
        media: tuple[Medium, ...] = () if self.api.peer is None else self.api.peer.media
        routed = (medium for medium in media if medium.kind == "video" and medium.mid in self._routed)
        codec = next((medium.codec for medium in routed), None)
        self.api.push_event({"echotest": "event", "videocodec": codec, what: layer})

    def _simulcast(self) -> dict[str, int]:
        peer = self.api.peer
        mids = [] if peer is None else self._simulcast_mids(peer)
        return {} if peer is None or not mids else self._wishes.as_told(peer.layers(mids[0]))

    def _svc(self) -> dict[str, int]:
        peer = self.api.peer
        mids = [] if peer is None else self._svc_mids(peer)
        return {} if peer is None or not mids else self._wishes.as_svc_told(peer.layers(mids[0]))

    def _record(self, wanted: bool, filename: str | None) -> None:
        if not wanted:
            self._stop_recording()
        elif self._records is None:
            now_us = self._recordings.clock.wall_us()
            self._records = filename or f"echotest-{self.api.handle_id}-{now_us}"

    def _record_media(self, peer: PeerConnection) -> None:
        """Begin files for what is to be recorded and is not yet: audio, video and texts."""
        if self._records is None:
            return
        for medium in peer.media:
            kind = "data" if medium.kind == "application" else medium.kind
            codec = "text" if kind == "data" else medium.codec
            if medium.rejected or codec is None or medium.mid in self._taken or kind not in mjr.KINDS:
                continue
            first = all(one.kind != medium.kind for one in peer.media[: medium.mindex])
            name = f"{self._records}-{kind}" + ("" if first else f"-{medium.mindex}")
            recording = self._recordings.start(name, kind, codec, extensions=self._extensions(medium.mid))
            if recording is None:
                continue
            self._taken[medium.mid] = recording
            if kind != "data":
                peer.listen(medium.mid, recording.rtp)
            if kind == "video":
                peer.request_keyframe(medium.mid)

    def _extensions(self, mid: str) -> dict[int, str]:
        """Of RTP headers, id to URI: whoever plays a recording has no other way to know them."""
        described = sdp.parse(self._answered).media_of(mid) if self._answered else None
        return {} if described is None else {item.id: item.uri for item in described.extensions}

    def _stop_recording(self) -> None:
        for mid, recording in self._taken.items():
            if self.api.peer is not None and recording.kind != "data":
                self.api.peer.listen(mid, None)
            recording.close()
        self._taken, self._records = {}, None

    def _recording(self) -> dict[str, Any]:
        """The files by kind, where there are any."""
        kinds = {} if self.api.peer is None else {medium.mid: medium.kind for medium in self.api.peer.media}
        files = {kinds.get(mid, "data").replace("application", "data"): one.name for mid, one in self._taken.items()}
        return {"recording": files} if files else {}

    def hangup_media(self, reason: str) -> None:
        """Tell the client, and forget what was set."""
        self._stop_recording()
        self.api.push_event({"echotest": "event", "result": "done"})
        self._reset()

    def detached(self) -> None:
        """Nobody is there to be recorded."""
        self._stop_recording()

    def incoming_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """Send it back: text with its prefix, binary as it is."""
        peer = self.api.peer
        if isinstance(message, str):
            for one in self._taken.values():
                if one.kind == "data":
                    one.text(message)
        if peer is not None:
            peer.send_data(label, protocol, PREFIX + message if isinstance(message, str) else message)

    def slow_link(self, mid: str, media: str, *, uplink: bool, lost: int) -> None:
        """Tell the client of trouble on its way to us, unless that medium is muted."""
        self._slow_links += 1
        if uplink or not self._active.get(media, True):
            return
        data: dict[str, Any] = {"echotest": "event", "event": "slow_link", "media": media}
        if media == "video":
            data["current-bitrate"] = self._bitrate
        self.api.push_event(data)

    def query(self) -> dict[str, Any]:
        """The switches, and what was negotiated."""
        found: dict[str, Any] = {"audio_active": self._active["audio"], "video_active": self._active["video"]}
        for medium in () if self.api.peer is None else self.api.peer.media:
            if medium.kind in self._active and medium.codec is not None and not medium.rejected:
                found.setdefault(f"{medium.kind}_codec", medium.codec)
        ended = {"hangingup": 0, "destroyed": 0}
        simulcast = self._simulcast()
        found |= {"simulcast": True, **simulcast} if simulcast else {}
        svc = self._svc()
        found |= {"svc": True, **svc} if svc else {}
        found |= self._recording() | ({"e2ee": True} if self.api.e2ee else {})
        return found | {"bitrate": self._bitrate, "slowlink_count": self._slow_links} | ended


class EchoTest(Plugin):
    """Made with its configuration, ``EchoTest(EchoTest.Config())``."""

    class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``[plugins.echotest]``."""

        enabled: bool = True
        events: bool = True
        """Publish a plugin event (type 64) after every request that was served."""
        recording_file_bytes: int = 1 << 30
        """A client that asks to be recorded gets a file for each stream, which ends at so many bytes."""
        recording_total_bytes: int = 10 << 30
        """All files together; one that would go beyond ends. 0: nobody is recorded."""
        recording_files: int = 100
        """At once; one more is not made."""

    package = "janus.plugin.echotest"
    name = "EchoTest plugin"
    description = "Sends a client's own audio, video and messages back to it."
    version = 7
    version_string = "0.0.7"

    def __init__(self, config: Config | None = None, *, clock: Clock | None = None) -> None:
        self._config = config = config or self.Config()
        limits = Limits(
            file_bytes=config.recording_file_bytes,
            total_bytes=config.recording_total_bytes,
            files=config.recording_files,
        )
        self._recordings = Recordings("echotest", limits, clock=clock)

    def open(self, folder: Path) -> None:
        """Recordings go there."""
        self._recordings.keep_in(folder / "recordings")

    def close(self) -> None:
        """Every recording is on the disk after this."""
        self._recordings.close()

    def measure(self) -> Iterable[Counter]:
        """What is recorded."""
        return self._recordings.measure()

    def attach(self, api: HandleApi) -> EchoHandle:
        """Begin with everything switched on."""
        return EchoHandle(api, self._recordings, events=self._config.events)

    def handle_admin_message(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send it back, as this plugin does with everything."""
        return request
