"""What is answered at once: making, changing and ending rooms, and asking who is in them.

The same verbs serve clients and the Admin API (``message_plugin``).
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from appliance.core.messages import Element, Kind
from appliance.core.plugin import HandleApi
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.config import RoomConfig, codecs
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.forwarding import Forwarding
from appliance.plugins.videoroom.messages import JsonObject, read
from appliance.plugins.videoroom.permanent import PermanentRooms
from appliance.plugins.videoroom.recording import check_name
from appliance.plugins.videoroom.remote_publishers import RemotePublishers
from appliance.plugins.videoroom.remotizing import Remotizing
from appliance.plugins.videoroom.rooms import Room, Rooms, check_secret
from appliance.plugins.videoroom.sourced import read_dummies

logger = logging.getLogger(__name__)

T = TypeVar("T")

COPIED = tuple(
    element.name
    for element in messages.CREATE
    if element.name not in {"allowed", "permanent", "bitrate", "dummy_streams"}
)
"""Properties that ``create`` takes as they are."""
EDITED = tuple(element.name for element in messages.EDIT if element.name.startswith("new_"))


class Management:
    """Serves the synchronous requests. ``api``, where a client asks, publishes the event."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        forwarding = Forwarding(rooms)
        remotizing = Remotizing(rooms, forwarding)
        self.remotes = RemotePublishers(rooms)
        self._verbs: dict[str, Callable[[JsonObject, HandleApi | None], JsonObject]] = {
            "create": self._create,
            "edit": self._edit,
            "destroy": self._destroy,
            "exists": self._exists,
            "list": self._list,
            "listparticipants": self._list_participants,
            "allowed": self._allow,
            "kick": self._kick,
            "moderate": self._moderate,
            "enable_recording": self._enable_recording,
            "rtp_forward": forwarding.forward,
            "stop_rtp_forward": forwarding.stop,
            "listforwarders": forwarding.listed,
            "publish_remotely": remotizing.publish,
            "unpublish_remotely": remotizing.unpublish,
            "list_remotes": remotizing.listed,
            "add_remote_publisher": self.remotes.add,
            "update_remote_publisher": self.remotes.update,
            "remove_remote_publisher": self.remotes.remove,
        }

    def knows(self, verb: str) -> bool:
        """It is answered here."""
        return verb in self._verbs

    def serve(self, verb: str, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """The reply. :raises RefusedError: nothing has changed."""
        return self._verbs[verb](body, api)

    def _publish(self, api: HandleApi | None, data: JsonObject, *, with_handle: bool = True) -> None:
        if api is not None and self._rooms.config.events:
            api.notify(data, with_handle=with_handle)

    def _permanent(self, body: JsonObject, what: str) -> PermanentRooms | None:
        """Where a request wants its change kept; ``None``: nowhere."""
        if not body.get("permanent"):
            return None
        if self._rooms.permanent is None:
            raise RefusedError(Code.UNKNOWN, f"No configuration file, can't {what}")
        return self._rooms.permanent

    def _create(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        read(messages.CREATE, body)
        check_secret(body, "admin_key", self._rooms.config.admin_key)
        allowed = set(messages.read_texts(body, "allowed")) if "allowed" in body else None
        messages.check_codecs(body)
        messages.check_lengths(body, "description", "secret", "pin", "vp9_profile", "h264_profile")
        room_id = self._rooms.ids.read(body, "room", required=False)
        if room_id is not None and room_id in self._rooms:
            raise RefusedError(Code.ROOM_EXISTS, f"Room {room_id} already exists")
        if body.get("signed_tokens") and self._rooms.granted is None:
            text = "Invalid element (signed_tokens should be false: no secret is set that tokens are signed with)"
            raise RefusedError(Code.INVALID_ELEMENT, text)
        if body.get("record") and not self._rooms.recordings.available:
            text = "Invalid element (record should be false: recording is not available here)"
            raise RefusedError(Code.INVALID_ELEMENT, text)
        check_name(body, "rec_dir")
        permanent = self._permanent(body, "create permanent room")
        chosen = {name: body[name] for name in COPIED if name in body}
        for name in ("audiocodec", "videocodec"):
            if name in chosen:
                chosen[name] = ",".join(codecs(chosen[name]))
        chosen["publishers"] = max(1, chosen.get("publishers", 3))
        chosen["dummy_streams"] = read_dummies(body)
        config = RoomConfig(room=room_id or self._rooms.fresh_id(), bitrate=body.get("bitrate", 0), **chosen)
        self._rooms.add(Room(config, allowed))
        kept = permanent is not None and _kept(permanent.save, config)
        self._publish(api, {"event": "created", "room": config.room})
        return {"videoroom": "created", "room": config.room, "permanent": kept}

    def _edit(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        room = self._rooms.find(body)
        read(messages.EDIT, body)
        room.authorize(body)
        messages.check_lengths(body, "new_description", "new_secret", "new_pin")
        check_name(body, "new_rec_dir")
        permanent = self._permanent(body, "edit room permanently")
        changes = {name.removeprefix("new_"): body[name] for name in EDITED if name in body}
        if "publishers" in changes:
            changes["publishers"] = max(1, changes["publishers"])
        room.config = replace(room.config, **changes)
        kept = permanent is not None and _kept(permanent.save, room.config)
        self._publish(api, {"event": "edited", "room": room.id})
        return {"videoroom": "edited", "room": room.id, "permanent": kept}

    def _destroy(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        room = self._rooms.find(body)
        read(messages.DESTROY, body)
        room.authorize(body)
        permanent = self._permanent(body, "destroy room permanently")
        self._publish(api, {"event": "destroyed", "room": room.id})
        self._rooms.remove(room)
        kept = permanent is not None and _kept(permanent.remove, room.id)
        return {"videoroom": "destroyed", "room": room.id, "permanent": kept}

    def _exists(self, body: JsonObject, _: HandleApi | None) -> JsonObject:
        room_id = self._rooms.ids.read(body, "room")
        return {"videoroom": "success", "room": room_id or 0, "exists": room_id in self._rooms}

    def _list(self, body: JsonObject, _: HandleApi | None) -> JsonObject:
        everything = False
        if "admin_key" in body:
            check_secret(body, "admin_key", self._rooms.config.admin_key)
            everything = bool(self._rooms.config.admin_key)
        listed = [room.as_listed() for room in self._rooms if everything or not room.config.is_private]
        return {"videoroom": "success", "list": listed}

    def _list_participants(self, body: JsonObject, _: HandleApi | None) -> JsonObject:
        room = self._rooms.find(body)
        listed: list[JsonObject] = []
        for one in room.participants.values():
            item = one.as_attendee() | {"publisher": one.published}
            listed.append(item | {"talking": one.talks} if one.published and one.has_levels else item)
        return {"videoroom": "participants", "room": room.id, "participants": listed}

    def _allow(self, body: JsonObject, _: HandleApi | None) -> JsonObject:
        room = self._rooms.find(body)
        read(messages.ALLOWED, body)
        room.authorize(body)
        action = body["action"].lower()
        if action not in {"enable", "disable", "add", "remove"}:
            raise RefusedError(Code.INVALID_ELEMENT, f"Unsupported action '{body['action'][:64]}' (allowed)")
        tokens = set(messages.read_texts(body, "allowed")) if action in {"add", "remove"} else set()
        now = room.allowed - tokens if action == "remove" else room.allowed | tokens
        if len(now) > self._rooms.config.max_participants:
            raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element (allowed has {len(now)} tokens, too many)")
        room.allowed = now
        if action in {"enable", "disable"}:
            room.asks_token = action == "enable"
        shown = {} if action == "disable" else {"allowed": sorted(now)}
        return {"videoroom": "success", "room": room.id, **shown}

    def _kick(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        room = self._rooms.find(body)
        read((messages.SECRET,), body)
        room.authorize(body)
        kicked = room.participant(self._rooms.ids.read(body, "id"))
        kicked.kicked = True
        del room.participants[kicked.id]
        room.forget(kicked)
        kicked.api.push_event({"videoroom": "event", "room": room.id, "leaving": "ok", "reason": "kicked"})
        room.tell({"videoroom": "event", "room": room.id, "kicked": kicked.id, **kicked.names})
        about = {"event": "kicked", "room": room.id, "id": kicked.id, **kicked.names}
        self._publish(api or kicked.api, about, with_handle=False)
        kicked.api.close_peer()
        return {"videoroom": "success"}

    def _moderate(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        room = self._rooms.find(body)
        read(messages.MODERATE, body)
        room.authorize(body)
        participant = room.participant(self._rooms.ids.read(body, "id"))
        stream = participant.stream(body["mid"])
        if stream is None:
            text = f"No such mid '{body['mid'][:64]}' for user {participant.id} in room {room.id}"
            raise RefusedError(Code.NO_SUCH_FEED, text)
        if stream.moderated != body["mute"]:
            stream.moderated = body["mute"]
            stream.refresh()
            word = "muted" if stream.moderated else "unmuted"
            about = {"room": room.id, "id": participant.id, "mid": stream.mid, "moderation": word}
            room.tell({"videoroom": "event", **about})
            self._publish(api or participant.api, {"videoroom": "moderated", **about}, with_handle=False)
        return {"videoroom": "success"}

    def _enable_recording(self, body: JsonObject, _: HandleApi | None) -> JsonObject:
        room = self._rooms.find(body)
        read(messages.RECORDING, body)
        room.authorize(body)
        wanted: bool = body["record"]
        if wanted and not self._rooms.recordings.available:
            raise RefusedError(Code.UNKNOWN, "Recording is not available here")
        room.config = replace(room.config, record=wanted)
        for one in list(room.participants.values()):
            room.record(one, wanted=wanted)
        return {"videoroom": "success", "record": wanted}


def _kept(keep: Callable[[T], None], what: T) -> bool:
    """As Janus: what could not be written holds until the end of the process, and the reply says so."""
    try:
        keep(what)
    except OSError as problem:
        logger.error("videoroom: a room could not be kept: %s", problem)
        return False
    return True


def request_of(body: dict[str, Any]) -> str:
    """The verb. :raises RefusedError: 429 or 430."""
    read((Element("request", Kind.STRING, required=True),), body)
    verb: str = body["request"]
    return verb.lower()
