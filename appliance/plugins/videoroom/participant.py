"""Who publishes in a room: a client that joined to, or media from elsewhere that stand for one."""

from collections.abc import Callable, Sequence
from typing import NoReturn

from appliance.core.events import SessionDescription
from appliance.core.peer import AnswerPolicy, MediaSource, OfferLine, PeerConnection, SourceLine
from appliance.core.plugin import HandleApi
from appliance.plugins.recordings import Recordings
from appliance.plugins.videoroom.config import RoomId
from appliance.plugins.videoroom.ears import Ears
from appliance.plugins.videoroom.forwarder import Forwarder
from appliance.plugins.videoroom.messages import JsonObject
from appliance.plugins.videoroom.recording import Tape
from appliance.plugins.videoroom.remotization import Remotization
from appliance.plugins.videoroom.streams import PublishedStream


class Participant:
    """Who joined to publish: its names, and what it publishes."""

    def __init__(
        self, api: HandleApi, user_id: RoomId, private_id: int, recordings: Recordings, *, kind: str = ""
    ) -> None:
        self.api = api
        self.kind = kind
        """``remote`` or ``dummy`` of one that no client here is: its media are :attr:`source`."""
        self.source: MediaSource | None = None
        self.id = user_id
        self.private_id = private_id
        self.display: str | None = None
        self.metadata: JsonObject | None = None
        self.streams: list[PublishedStream] = []
        self.published = False
        """Its PeerConnection is up."""
        self.kicked = False
        self.ears = Ears()
        self.forwarders: dict[int, Forwarder] = {}
        self.remotizations: dict[str, Remotization] = {}
        """Other servers that it is published at, by the ids that clients gave them."""
        self.tape = Tape(recordings, self.ears)

    @property
    def origin(self) -> PeerConnection | MediaSource | None:
        """What its media come from."""
        return self.source or self.api.peer

    def record(self) -> None:
        """Begin files for what is published, where that is wanted."""
        if self.published and self.origin is not None and self.kind != "dummy":
            for mid in self.tape.record(self.streams):
                self.request_keyframe(mid)

    def request_keyframe(self, mid: str) -> None:
        """Somebody needs one."""
        if self.origin is not None:
            self.origin.request_keyframe(mid)

    def add_forwarder(self, one: Forwarder) -> None:
        """Send a stream on to somewhere else, for as long as it is published."""
        self.forwarders[one.stream_id] = one
        if one.kind != "data":
            self.ears.add(one.mid, one, one.substream)
        if one.kind == "video":
            self.request_keyframe(one.mid)

    def drop_forwarder(self, stream_id: int) -> bool:
        """Whether there was one."""
        one = self.forwarders.pop(stream_id, None)
        if one is not None:
            if one.kind != "data":
                self.ears.remove(one.mid, one, one.substream)
            one.close()
        return one is not None

    def drop_remotization(self, remote_id: str) -> bool:
        """Whether there was one."""
        one = self.remotizations.pop(remote_id, None)
        if one is not None:
            one.close()
        return one is not None

    def follow(self) -> None:
        """What it publishes may have changed: whoever sends all of it on takes note."""
        for one in self.remotizations.values():
            one.follow(self.streams)

    def send_message(self, message: str | bytes) -> None:
        """A data message goes to wherever data are sent on to."""
        for forwarder in self.forwarders.values():
            if forwarder.kind == "data":
                forwarder.message(message)
        for one in self.remotizations.values():
            one.message(message)

    def deaf(self) -> None:
        """Nobody listens any more: what was published is so no longer."""
        self.tape.stop()
        for remote_id in list(self.remotizations):
            self.drop_remotization(remote_id)
        for stream_id in list(self.forwarders):
            self.drop_forwarder(stream_id)
        self.ears.clear()
        self.ears.on(None)

    @property
    def names(self) -> JsonObject:
        """``display`` and ``metadata``, where it has them."""
        names: JsonObject = {} if self.display is None else {"display": self.display}
        return names if self.metadata is None else names | {"metadata": self.metadata}

    def stream(self, mid: str) -> PublishedStream | None:
        """What it publishes in that m-line."""
        return next((stream for stream in self.streams if stream.mid == mid), None)

    def as_attendee(self) -> JsonObject:
        """How others are told that it is there."""
        return {"id": self.id, **self.names, **({self.kind: True} if self.kind else {})}

    def as_publisher(self, *, talking: bool = False) -> JsonObject:
        """How others are told what it publishes; ``talking``: with that state, where audio levels are negotiated."""
        told: JsonObject = self.as_attendee()
        for kind, key in (("audio", "audio_codec"), ("video", "video_codec")):
            first = next((one for one in self.streams if one.kind == kind and one.codec and not one.disabled), None)
            if first is not None:
                told[key] = first.codec
        told["streams"] = [stream.as_published(talking=talking) for stream in self.streams]
        if talking and self.has_levels:
            told["talking"] = self.talks
        return told

    @property
    def talks(self) -> bool:
        """As the last change said."""
        return any(stream.talking for stream in self.streams)

    @property
    def has_levels(self) -> bool:
        """It negotiated audio levels."""
        return any("audiolevel_ext_id" in stream.extension_ids for stream in self.streams)


class NoHandle:
    """Implements :class:`~appliance.core.plugin.HandleApi` where there is no client: nobody hears what is told.

    ``ended`` is called when it is hung up on: kicked, or the room is destroyed.
    """

    def __init__(self, ended: Callable[[], None], *, e2ee: bool = False) -> None:
        self.session_id = self.handle_id = 0
        self.opaque_id: str | None = None
        self.e2ee = e2ee
        self._ended = ended

    @property
    def peer(self) -> PeerConnection | None:
        """None, ever."""
        return None

    def answer(self, policy: AnswerPolicy) -> SessionDescription:
        """Never asked."""
        _nobody()

    def offer(self, lines: Sequence[OfferLine], *, ice_restart: bool = False) -> SessionDescription:
        """Never asked."""
        _nobody()

    def source(self, lines: Sequence[SourceLine], keyframe: Callable[[str], None] | None = None) -> MediaSource:
        """Never asked."""
        _nobody()

    def push_event(
        self, data: JsonObject, *, transaction: str | None = None, jsep: SessionDescription | None = None
    ) -> None:
        """Nobody hears it."""

    def notify(self, data: JsonObject, *, with_handle: bool = True) -> None:
        """There is no session that it could name."""

    def close_peer(self) -> None:
        """The media end."""
        self._ended()

    def later(self, action: Callable[[], object]) -> None:
        """Now."""
        action()


def _nobody() -> NoReturn:
    raise AssertionError("there is no client")
