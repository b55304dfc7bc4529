"""The rooms: who is in, who may do what, and what everybody is told."""

import hmac
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from appliance.core.clock import Clock
from appliance.core.plugin import HandleApi, SourceMaker, TokenReader
from appliance.plugins.recordings import Limits, Recordings, is_name
from appliance.plugins.videoroom.config import RoomConfig, RoomId, VideoRoomConfig
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import Ids, JsonObject
from appliance.plugins.videoroom.participant import NoHandle, Participant
from appliance.plugins.videoroom.permanent import PermanentRooms
from appliance.plugins.videoroom.recording import owner_of
from appliance.plugins.videoroom.sourced import dummy_lines


class Listener(Protocol):
    """Who subscribed."""

    api: HandleApi

    def publisher_gone(self, feed: Participant) -> None:
        """That one publishes no more."""

    def data_from(self, feed: Participant, label: str, protocol: str, message: str | bytes) -> None:
        """A message of that one."""

    def count(self, feed: Participant, mid: str) -> int:
        """How many of its m-lines show that stream."""


class Room:
    """One room while it is there."""

    def __init__(self, config: RoomConfig, allowed: set[str] | None = None) -> None:
        self.config = config
        self.asks_token = allowed is not None
        """Only who shows a token of the list may join."""
        self.allowed = allowed or set()
        """The list, whether it is in force or not."""
        self.participants: dict[RoomId, Participant] = {}
        self.audience: dict[int, Listener] = {}
        """Subscribers by their handle."""
        self.destroyed = False

    @property
    def id(self) -> RoomId:
        """As clients name it."""
        return self.config.room

    def authorize(self, body: JsonObject, name: str = "secret") -> None:
        """Ask for the room's secret or pin, in constant time. :raises RefusedError: 429, 430 or 433."""
        check_secret(body, name, self.config.secret if name == "secret" else self.config.pin)

    def check_token(self, body: JsonObject, granted: TokenReader | None) -> None:
        """:raises RefusedError: 433, the token is not signed for this room, or not on its list."""
        if self.config.signed_tokens:
            grants = None if granted is None else granted(body.get("token", ""))
            if f"room={self.id}" not in (grants or ()):
                raise RefusedError(Code.UNAUTHORIZED, "Unauthorized (wrong token)")
        if not self.asks_token:
            return
        shown = body.get("token", "").encode()
        # Every one is compared, so that time doesn't tell which came near.
        matches = [hmac.compare_digest(shown, token.encode()) for token in self.allowed]
        if not any(matches):
            raise RefusedError(Code.UNAUTHORIZED, "Unauthorized (not in the allowed list)")

    def others(self, participant: Participant) -> Iterator[Participant]:
        """Everybody else who joined to publish."""
        return (one for one in list(self.participants.values()) if one is not participant)

    def tell(self, data: JsonObject, *, but: Participant | None = None) -> None:
        """Notify the participants."""
        for one in list(self.participants.values()):
            if one is not but:
                one.api.push_event(data)

    def pass_on(self, feed: Participant, label: str, protocol: str, message: str | bytes) -> None:
        """Somebody's data message goes to whoever subscribed."""
        if isinstance(message, str):
            feed.tape.text(message)
        if any(one.kind == "data" and one.relayed for one in feed.streams):
            feed.send_message(message)
            for listener in list(self.audience.values()):
                listener.data_from(feed, label, protocol, message)

    def forget(self, feed: Participant) -> None:
        """End every subscription to one who publishes no more."""
        for one in list(self.audience.values()):
            one.publisher_gone(feed)

    def record(self, one: Participant, *, wanted: bool, name: str | None = None) -> None:
        """Record what somebody publishes, or no longer; ``name`` is what its files are to be called."""
        one.tape.want(wanted=wanted, owner=owner_of(self.id, one.id), name=name, folder=self.config.rec_dir)
        one.record()

    def participant(self, user_id: RoomId | None) -> Participant:
        """:raises RefusedError: 428, nobody has that id."""
        found = self.participants.get(user_id) if user_id is not None else None
        if found is None:
            raise RefusedError(Code.NO_SUCH_FEED, f"No such user {user_id or 0} in room {self.id}")
        return found

    def feed(self, user_id: RoomId | None) -> Participant:
        """The same, of whom media are wanted. :raises RefusedError: 428, nobody has that id."""
        if user_id is None or user_id not in self.participants:
            raise RefusedError(Code.NO_SUCH_FEED, f"No such feed ({user_id or 0})")
        return self.participants[user_id]

    def as_listed(self) -> JsonObject:
        """An item of ``list``."""
        config = self.config
        told: JsonObject = {
            "room": config.room,
            "description": config.title,
            "pin_required": bool(config.pin),
            "is_private": config.is_private,
            "max_publishers": config.publishers,
            "bitrate": config.bitrate_bps,
        }
        if config.bitrate_cap:
            told["bitrate_cap"] = True
        told |= {
            "fir_freq": config.fir_freq,
            "require_pvtid": config.require_pvtid,
            "require_e2ee": config.require_e2ee,
            "dummy_publisher": config.dummy_publisher,
            "notify_joining": config.notify_joining,
            "audiocodec": config.audiocodec,
            "videocodec": config.videocodec,
        }
        told |= {name: True for name in ("opus_fec", "opus_dtx") if getattr(config, name)}
        levels: JsonObject = {}
        if config.audiolevel_event:
            levels = {
                "audio_active_packets": config.audio_active_packets,
                "audio_level_average": config.audio_level_average,
            }
        return told | {
            "record": config.record,
            **({"rec_dir": config.rec_dir} if config.rec_dir else {}),
            "lock_record": config.lock_record,
            "num_participants": len(self.participants),
            "audiolevel_ext": config.audiolevel_ext,
            "audiolevel_event": config.audiolevel_event,
            **levels,
            "videoorient_ext": config.videoorient_ext,
            "playoutdelay_ext": config.playoutdelay_ext,
            "transport_wide_cc_ext": config.transport_wide_cc_ext,
        }


def check_secret(body: JsonObject, name: str, wanted: str) -> None:
    """Compare in constant time; nothing is asked where nothing is ``wanted``. :raises RefusedError: 429, 430 or 433."""
    if not wanted:
        return
    shown: Any = body.get(name)
    if name not in body:
        raise RefusedError(Code.MISSING_ELEMENT, f"Missing mandatory element ({name})")
    if not isinstance(shown, str):
        raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element type ({name} should be a string)")
    if not hmac.compare_digest(shown.encode("utf-8", "replace"), wanted.encode()):
        raise RefusedError(Code.UNAUTHORIZED, f"Unauthorized (wrong {name})")


class Rooms:
    """The table of rooms. :raises ValueError: the configuration has two of one id, or one of the wrong kind."""

    def __init__(self, config: VideoRoomConfig, clock: Clock | None = None) -> None:
        self.config = config
        limits = Limits(
            file_bytes=config.recording_file_bytes,
            total_bytes=config.recording_total_bytes,
            files=config.recording_files,
        )
        self.recordings = Recordings("videoroom", limits, clock=clock)
        self.ids = Ids(strings=config.string_ids)
        self.make_source: SourceMaker | None = None
        """How to make media that no client sends; ``None`` outside a gateway."""
        self.granted: TokenReader | None = None
        """What signed tokens grant; ``None`` where none can be signed."""
        self.permanent: PermanentRooms | None = None
        """Where rooms can be kept; ``None`` where there is no such place."""
        self._rooms: dict[RoomId, Room] = {}
        self._begin(config.rooms)

    def keep_in(self, folder: Path) -> None:
        """Begin with what was kept there, and keep there what is to be permanent; record there as well.

        Raises as :class:`PermanentRooms`.
        """
        self.recordings.keep_in(folder / "recordings")
        self.permanent = PermanentRooms(folder)
        self._rooms.clear()
        self._begin(self.permanent.over(self.config.rooms))

    def _begin(self, rooms: Sequence[RoomConfig]) -> None:
        config = self.config
        for one in rooms:
            room_id = str(one.room) if config.string_ids else one.room
            if not isinstance(room_id, str if config.string_ids else int):
                raise ValueError(f"rooms: {room_id!r}: wanted an integer, because string_ids is not set")
            if room_id in self._rooms:
                raise ValueError(f"rooms: {room_id!r}: there are two of this id")
            if one.rec_dir and not is_name(one.rec_dir):
                raise ValueError(f"rooms: {room_id!r}: rec_dir: {one.rec_dir!r}: wanted a folder below the recordings")
            self._rooms[room_id] = Room(one)

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    def __contains__(self, room_id: object) -> bool:
        return room_id in self._rooms

    def find(self, body: JsonObject) -> Room:
        """The room that a request names. :raises RefusedError: 426, 429 or 430."""
        room_id = self.ids.read(body, "room")
        room = self._rooms.get(room_id) if room_id is not None else None
        if room is None:
            raise RefusedError(Code.NO_SUCH_ROOM, f"No such room ({0 if room_id is None else room_id})")
        return room

    def fresh_id(self) -> RoomId:
        """Of a room that is to be."""
        while (room_id := self.ids.fresh()) in self._rooms:
            continue
        return room_id

    def add(self, room: Room) -> None:
        """:raises RefusedError: 427 there is one of this id, 499 there are too many."""
        if room.id in self._rooms:
            raise RefusedError(Code.ROOM_EXISTS, f"Room {room.id} already exists")
        if len(self._rooms) >= self.config.max_rooms:
            raise RefusedError(Code.UNKNOWN, f"There are {len(self._rooms)} rooms already, and no more are allowed")
        self._rooms[room.id] = room
        self._add_dummy(room)

    def lend(self, make_source: SourceMaker) -> None:
        """Media can be made from now on that no client sends."""
        self.make_source = make_source
        for room in self:
            self._add_dummy(room)

    def _add_dummy(self, room: Room) -> None:
        """Whoever has nothing to see yet can subscribe to what nobody sends, and switch later."""
        if not room.config.dummy_publisher or self.make_source is None:
            return
        streams, lines = dummy_lines(room.config)
        source = self.make_source(lines, None)
        me = Participant(
            NoHandle(source.close, e2ee=room.config.dummy_e2ee),
            self.fresh_user(room),
            self.private_id(),
            self.recordings,
            kind="dummy",
        )
        me.source, me.streams, me.published = source, streams, True
        room.participants[me.id] = me

    def fresh_user(self, room: Room) -> RoomId:
        """Of a participant that is to be."""
        while (user_id := self.ids.fresh()) in room.participants:
            continue
        return user_id

    def remove(self, room: Room) -> None:
        """Close it: everybody is told, and hung up on."""
        room.destroyed = True
        self._rooms.pop(room.id, None)
        apis = [one.api for one in room.participants.values()]
        apis += [one.api for one in room.audience.values()]
        room.participants.clear()
        room.audience.clear()
        for api in apis:
            api.push_event({"videoroom": "destroyed", "room": room.id})
            api.close_peer()

    @staticmethod
    def private_id() -> int:
        """Of a participant: what ties its subscriptions to it."""
        return secrets.randbelow(2**32 - 1) + 1
