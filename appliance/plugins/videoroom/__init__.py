"""VideoRoom: rooms in which everybody may publish, and everybody may see (Janus's ``janus.plugin.videoroom``).

Verbs about rooms (:mod:`.management`) are answered at once; those of a participant, later, by an event.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from appliance.core.clock import Clock
from appliance.core.events import Counter, SessionDescription
from appliance.core.plugin import Ack, HandleApi, Plugin, PluginError, PluginHandle, SourceMaker, Success, TokenReader
from appliance.plugins.videoroom import publisher, subscriber
from appliance.plugins.videoroom.config import VideoRoomConfig
from appliance.plugins.videoroom.errors import Code, RefusedError, as_event
from appliance.plugins.videoroom.management import Management, request_of
from appliance.plugins.videoroom.messages import JOIN, JsonObject, read
from appliance.plugins.videoroom.publisher import Publisher
from appliance.plugins.videoroom.rooms import Rooms
from appliance.plugins.videoroom.subscriber import Subscriber

logger = logging.getLogger(__name__)

ASYNCHRONOUS = frozenset({"join", "joinandconfigure", "publish", "configure", "unpublish", "leave"}) | {
    "start",
    "pause",
    "subscribe",
    "unsubscribe",
    "update",
    "switch",
}


class VideoRoomHandle(PluginHandle):
    """One client; what it is in its room is decided by its first ``join``."""

    def __init__(self, api: HandleApi, rooms: Rooms, management: Management) -> None:
        super().__init__(api)
        self._rooms = rooms
        self._management = management
        self._role: Publisher | Subscriber | None = None

    def message(self, body: dict[str, Any], jsep: SessionDescription | None, transaction: str) -> Success | Ack:
        """Serve it now, or acknowledge it and answer by an event."""
        verb = request_of(body)
        if self._management.knows(verb):
            return Success(self._management.serve(verb, body, self.api))
        if verb not in ASYNCHRONOUS:
            raise RefusedError(Code.INVALID_REQUEST, f"Unknown request '{body['request'][:64]}'")
        self.api.later(lambda: self._serve(verb, body, jsep, transaction))
        return Ack()

    def _serve(self, verb: str, body: JsonObject, jsep: SessionDescription | None, transaction: str) -> None:
        try:
            if verb in {"join", "joinandconfigure"}:
                self._join(verb, body, jsep, transaction)
            elif self._role is None:
                raise RefusedError(Code.JOIN_FIRST, "Invalid request on unconfigured participant")
            else:
                self._role.serve(verb, body, jsep, transaction)
        except PluginError as refusal:
            self.api.push_event(as_event(refusal), transaction=transaction)
        except Exception:
            logger.exception("videoroom failed on %s", verb)
            # Who asked waits for an answer, whatever went wrong here.
            self.api.push_event(as_event(RefusedError(Code.UNKNOWN, "Unknown error")), transaction=transaction)

    def _join(self, verb: str, body: JsonObject, jsep: SessionDescription | None, transaction: str) -> None:
        if self._role is not None:
            if self._role.is_out:
                raise RefusedError(Code.ALREADY_JOINED, "Not in a room (create a new handle)")
            what = "publisher" if isinstance(self._role, Publisher) else "subscriber"
            raise RefusedError(Code.ALREADY_JOINED, f"Already in as a {what} on this handle")
        self._rooms.find(body)
        read(JOIN, body)
        if body["ptype"] == "subscriber":
            if jsep is not None or verb != "join":
                raise RefusedError(Code.INVALID_REQUEST, "Can't send an offer to create subscribers")
            self._role = subscriber.join(self._rooms, self.api, body, transaction)
            return
        if body["ptype"] != "publisher":
            raise RefusedError(Code.INVALID_ELEMENT, "Invalid element (ptype)")
        joined, data = publisher.join(self._rooms, self.api, body)
        self._role = joined
        answer = None
        if verb == "joinandconfigure":
            room = joined.room
            assert room is not None
            configured, answer = joined.configure(room, body, jsep)
            data |= {key: configured[key] for key in ("audio_codec", "video_codec", "streams") if key in configured}
        self.api.push_event(data, transaction=transaction, jsep=answer)

    def setup_media(self) -> None:
        """The PeerConnection is up."""
        if self._role is not None:
            self._role.up()

    def hangup_media(self, reason: str) -> None:
        """The PeerConnection has ended; the client may publish anew."""
        if self._role is not None:
            self._role.down()

    def incoming_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """A publisher's message goes to its subscribers."""
        if self._role is not None:
            self._role.incoming_data(label, protocol, message)

    def slow_link(self, mid: str, media: str, *, uplink: bool, lost: int) -> None:
        """Tell a publisher of trouble on its way to us."""
        if self._role is not None and not uplink:
            self._role.slow_link()

    def detached(self) -> None:
        """The client is gone, and out of its room."""
        if self._role is not None:
            self._role.leave()

    def query(self) -> dict[str, Any]:
        """What it is in which room."""
        return {"type": "none"} if self._role is None else self._role.query()


class VideoRoom(Plugin):
    """Made with its configuration, ``VideoRoom(VideoRoom.Config())``."""

    Config = VideoRoomConfig
    package = "janus.plugin.videoroom"
    name = "VideoRoom plugin"
    description = "Rooms in which everybody may publish audio, video and data, and subscribe to what others publish."
    version = 10
    version_string = "0.0.10"

    def __init__(self, config: VideoRoomConfig | None = None, *, clock: Clock | None = None) -> None:
        self._rooms = Rooms(config or VideoRoomConfig(), clock)
        self._management = Management(self._rooms)

    def lend(self, source: SourceMaker) -> None:
        """Rooms with a dummy publisher get it; others' can come."""
        self._rooms.lend(source)

    def lend_tokens(self, granted: TokenReader) -> None:
        """Rooms may ask for signed tokens."""
        self._rooms.granted = granted

    def open(self, folder: Path) -> None:
        """Begin with the rooms that clients made for good."""
        self._rooms.keep_in(folder)

    def close(self) -> None:
        """Every recording is on the disk after this, and no port open."""
        self._management.remotes.close()
        self._rooms.recordings.close()

    def measure(self) -> Iterable[Counter]:
        """What is recorded, and what comes from other servers."""
        yield from self._rooms.recordings.measure()
        yield from self._management.remotes.measure()

    def attach(self, api: HandleApi) -> VideoRoomHandle:
        """Not in a room yet."""
        return VideoRoomHandle(api, self._rooms, self._management)

    def handle_admin_message(self, request: dict[str, Any]) -> dict[str, Any]:
        """Every synchronous verb; secrets are asked for as of anybody."""
        try:
            verb = request_of(request)
            if not self._management.knows(verb):
                raise RefusedError(Code.INVALID_REQUEST, f"Unknown request '{request['request'][:64]}'")
            return self._management.serve(verb, request, None)
        except PluginError as refusal:
            return as_event(refusal)
