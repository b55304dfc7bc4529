"""A client that joined to publish: its requests, its PeerConnection, and what the room hears of both."""

from appliance.core.events import SessionDescription
from appliance.core.peer import AnswerPolicy, PeerConnection
from appliance.core.plugin import HandleApi, PluginError
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.config import RoomConfig, at_least_usable, codecs
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject, read
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.recording import check_name
from appliance.plugins.videoroom.rooms import Room, Rooms
from appliance.plugins.videoroom.streams import published
from appliance.plugins.videoroom.talking import Talking
from appliance.wire import sdp


class Publisher:
    """One participant's side of a handle; made by :func:`join`."""

    def __init__(self, rooms: Rooms, room: Room, participant: Participant, token: str | None) -> None:
        self._rooms = rooms
        self.room: Room | None = room
        """``None`` once it left."""
        self.participant = participant
        self._token = token
        self._bitrate = room.config.bitrate_bps
        self._talking = Talking(room, participant, self._publish)
        self._wanted = {"audio": True, "video": True, "data": True}

    @property
    def is_out(self) -> bool:
        """It left, was kicked, or its room is no more: its handle is of no further use."""
        return self.room is None or self.room.destroyed or self.participant.kicked

    # --- requests ---------------------------------------------------------------------------------------------

    def serve(self, verb: str, body: JsonObject, offer: SessionDescription | None, transaction: str) -> None:
        """Serve a request of a participant, and answer it. :raises PluginError: it is refused."""
        if self.participant.kicked:
            raise RefusedError(Code.UNAUTHORIZED, "Unauthorized, you have been kicked")
        room = self.room
        if room is None or room.destroyed:
            raise RefusedError(Code.NO_SUCH_ROOM, "No such room")
        match verb:
            case "publish" | "configure":
                if verb == "publish" and self.participant.published:
                    raise RefusedError(Code.ALREADY_PUBLISHED, "Can't publish, already published")
                data, answer = self.configure(room, body, offer)
                self.participant.api.push_event(data, transaction=transaction, jsep=answer)
            case "unpublish":
                if not self.participant.streams:
                    raise RefusedError(Code.NOT_PUBLISHED, "Can't unpublish, not published")
                self._tell_unpublished(room)
                data = {"videoroom": "event", "room": room.id, "unpublished": "ok"}
                self.participant.api.push_event(data, transaction=transaction)
                self.participant.api.close_peer()
            case "leave":
                self.leave()
                data = {"videoroom": "event", "room": room.id, "leaving": "ok"}
                self.participant.api.push_event(data, transaction=transaction)
                self.participant.api.close_peer()
            case _:
                raise RefusedError(Code.INVALID_REQUEST, f"Unknown request '{verb[:64]}'")

    def configure(
        self, room: Room, body: JsonObject, offer: SessionDescription | None
    ) -> tuple[JsonObject, SessionDescription | None]:
        """Apply settings, and answer an offer: the reply and the answer. :raises PluginError: it is refused."""
        read(messages.CONFIGURE, body)
        messages.check_lengths(body, "display")
        switches = messages.read_list(body, "streams", messages.PUBLISHED_STREAM)
        descriptions = messages.read_list(body, "descriptions", messages.DESCRIPTION)
        for one in descriptions:
            messages.check_lengths(one, "description")
        self._check_record(room, body)
        if offer is not None:
            self._check_codecs(room, body)
        elif unknown := [one["mid"] for one in switches if self.participant.stream(one["mid"]) is None]:
            raise RefusedError(Code.NO_SUCH_FEED, f"No such mid '{unknown[0][:64]}' published")
        answer = None if offer is None else self._answer(room, body)
        renamed = self._rename(body)
        for one in descriptions:
            described = self.participant.stream(one["mid"])
            if described is not None:
                described.description = one["description"]
        self._talking.configure(body)
        wanted = self.participant.tape.wanted or (offer is not None and room.config.record)
        room.record(self.participant, wanted=body.get("record", wanted), name=body.get("filename"))
        self.participant.follow()
        self._switch(body, switches)
        self._cap(room, body, has_offer=offer is not None)
        data: JsonObject = {"videoroom": "event", "room": room.id, "configured": "ok"}
        if offer is not None:
            own = self.participant.as_publisher()
            data |= {key: own[key] for key in ("audio_codec", "video_codec") if key in own}
            data["streams"] = [stream.as_configured() for stream in self.participant.streams]
        me = self.participant
        about: JsonObject = {"event": "configured", "room": room.id, "id": me.id, "bitrate": self._bitrate}
        self._publish(about | ({"recording": me.tape.files} if me.tape.files else {}))
        if me.published and (offer is not None or descriptions):
            self._tell_published(room, "updated")
        elif me.published and renamed:
            room.tell({"videoroom": "event", "room": room.id, "id": me.id, **me.names}, but=me)
        return data, answer

    def _check_record(self, room: Room, body: JsonObject) -> None:
        if body.get("record") and not self._rooms.recordings.available:
            text = "Invalid element (record should be false: recording is not available here)"
            raise RefusedError(Code.INVALID_ELEMENT, text)
        check_name(body, "filename")
        if room.config.lock_record and ("record" in body or "filename" in body):
            room.authorize(body)

    def _check_codecs(self, room: Room, body: JsonObject) -> None:
        for kind in ("audio", "video"):
            name = f"{kind}codec"
            if name in body and body[name].lower() not in codecs(getattr(room.config, name)):
                raise RefusedError(Code.INVALID_ELEMENT, f"{kind.capitalize()} codec unavailable in this room")

    def _answer(self, room: Room, body: JsonObject) -> SessionDescription:
        me = self.participant
        publishing = sum(1 for other in room.others(me) if other.streams and not other.kind)
        if publishing >= room.config.publishers:
            # The offer stays unanswered: its PeerConnection has no use.
            me.api.later(me.api.close_peer)
            text = f"Maximum number of publishers ({room.config.publishers}) already reached"
            raise RefusedError(Code.PUBLISHERS_FULL, text)
        if room.config.require_e2ee and not me.api.e2ee:
            me.api.later(me.api.close_peer)
            raise RefusedError(Code.UNAUTHORIZED, "Room requires end-to-end encrypted media")
        policy = AnswerPolicy(
            audio_codecs=tuple(codecs(body.get("audiocodec", room.config.audiocodec))),
            video_codecs=tuple(codecs(body.get("videocodec", room.config.videocodec))),
            other_codecs=False,
            vp9_profile=room.config.vp9_profile,
            h264_profile=room.config.h264_profile,
            extensions=extensions(room.config),
            receive_only=True,
        )
        try:
            answer = me.api.answer(policy)
        except PluginError as error:
            raise RefusedError(Code.INVALID_SDP, f"Error parsing offer: {error.reason}") from None
        peer = me.api.peer
        assert peer is not None
        me.streams = published(peer.media, sdp.parse(answer.sdp), me.streams)
        return answer

    def _rename(self, body: JsonObject) -> bool:
        me = self.participant
        before = (me.display, me.metadata)
        me.display = body.get("display", me.display)
        me.metadata = body.get("metadata", me.metadata)
        return before != (me.display, me.metadata)

    def _switch(self, body: JsonObject, switches: list[JsonObject]) -> None:
        peer = self.participant.api.peer
        woken: set[str] = set()
        for kind in self._wanted:
            if kind in body:
                self._wanted[kind] = body[kind]
        for stream in self.participant.streams:
            wanted = self._wanted[stream.kind] if stream.kind in body else stream.send
            mine = [one for one in switches if one["mid"] == stream.mid]
            wanted = next((one["send"] for one in mine if "send" in one), wanted)
            if wanted and not stream.send:
                woken.add(stream.mid)
            if wanted != stream.send:
                stream.send = wanted
                stream.refresh()
            if [one for one in mine if stream.delay.take(one)]:
                stream.refresh()
            if any(one.get("keyframe") for one in mine) or body.get("keyframe"):
                woken.add(stream.mid)
            if stream.kind == "video" and stream.mid in woken and peer is not None:
                peer.request_keyframe(stream.mid)

    def _cap(self, room: Room, body: JsonObject, *, has_offer: bool) -> None:
        if "bitrate" in body:
            self._bitrate = at_least_usable(body["bitrate"])
            most = room.config.bitrate_bps
            if room.config.bitrate_cap and most and (self._bitrate == 0 or self._bitrate > most):
                self._bitrate = most
        peer: PeerConnection | None = self.participant.api.peer
        if peer is not None and ("bitrate" in body or (has_offer and self._bitrate)):
            peer.set_bitrate(self._bitrate)

    # --- what the room hears ----------------------------------------------------------------------------------

    def joined(self, room: Room) -> JsonObject:
        """The reply to ``join``; whoever wants to know is told."""
        me = self.participant
        if room.config.notify_joining:
            room.tell({"videoroom": "event", "room": room.id, "joining": me.as_attendee()}, but=me)
        others = list(room.others(me))
        data: JsonObject = {
            "videoroom": "joined",
            "room": room.id,
            "description": room.config.title,
            "id": me.id,
            "private_id": me.private_id,
            "publishers": [one.as_publisher(talking=True) for one in others if one.published],
        }
        if room.config.notify_joining:
            data["attendees"] = [one.as_attendee() for one in others if not one.published]
        token = {} if self._token is None else {"token": self._token}
        about = {"event": "joined", "room": room.id, "id": me.id, "private_id": me.private_id}
        self._publish({**about, **token, **me.names})
        return data

    def up(self) -> None:
        """Its PeerConnection is up: from now on others may subscribe."""
        if self.room is not None and self.participant.streams:
            self.participant.published = True
            self.participant.ears.on(self.participant.api.peer)
            self._talking.listen()
            self.participant.record()
            self.participant.follow()
            self._tell_published(self.room, "published")

    def down(self) -> None:
        """Its PeerConnection has ended."""
        if self.room is not None and self.participant.streams and not self.participant.kicked:
            self._tell_unpublished(self.room)
        self.participant.published = False
        self.participant.deaf()
        self._talking.end()
        self.participant.streams = []

    def leave(self) -> None:
        """Out of the room, for whatever reason; a second time nothing happens."""
        room, me = self.room, self.participant
        self.room = None
        if room is None or me.kicked or room.participants.get(me.id) is not me:
            return
        me.deaf()
        # Who leaves has unpublished too: nobody is told twice.
        me.published = False
        room.forget(me)
        del room.participants[me.id]
        told = {"videoroom": "event", "room": room.id, **me.names, "leaving": me.id}
        room.tell(told)
        self._publish({"event": "leaving", "room": room.id, "id": me.id, **me.names}, with_handle=False)

    def _tell_published(self, room: Room, event: str) -> None:
        me = self.participant
        room.tell({"videoroom": "event", "room": room.id, "publishers": [me.as_publisher()]}, but=me)
        streams = [stream.as_event() for stream in me.streams]
        self._publish({"event": event, "room": room.id, "id": me.id, **me.names, "streams": streams})

    def _tell_unpublished(self, room: Room) -> None:
        me = self.participant
        me.published = False
        room.forget(me)
        about = {"event": "unpublished", "room": room.id, "id": me.id, **me.names}
        self._publish(about, with_handle=False)
        room.tell({"videoroom": "event", "room": room.id, **me.names, "unpublished": me.id}, but=me)

    def _publish(self, data: JsonObject, *, with_handle: bool = True) -> None:
        if self._rooms.config.events:
            self.participant.api.notify(data, with_handle=with_handle)

    def incoming_data(self, label: str, protocol: str, message: str | bytes) -> None:
        """Pass a message on to whoever subscribed."""
        if self.room is not None:
            self.room.pass_on(self.participant, label, protocol, message)

    def slow_link(self) -> None:
        """Packets are lost on the way from it."""
        self.participant.api.push_event({"videoroom": "slow_link", "current-bitrate": self._bitrate})

    def query(self) -> JsonObject:
        """For the Admin API."""
        me = self.participant
        told: JsonObject = {"type": "publisher", "id": me.id, "private_id": me.private_id, **me.names}
        if self.room is not None:
            told |= {"room": self.room.id, "bitrate": self._bitrate} | ({"e2ee": True} if me.api.e2ee else {})
        if me.tape.files:
            told["recording"] = me.tape.files
        listeners = [] if self.room is None else list(self.room.audience.values())
        streams = [
            stream.as_published(talking=True) | {"subscribers": sum(one.count(me, stream.mid) for one in listeners)}
            for stream in me.streams
        ]
        return told | {"streams": streams, "hangingup": 0, "destroyed": 0}


def extensions(config: RoomConfig) -> tuple[str, ...]:
    """The header extensions that a room answers where they are offered."""
    switched = {
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level": config.audiolevel_ext,
        "urn:3gpp:video-orientation": config.videoorient_ext,
        "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay": config.playoutdelay_ext,
    }
    return tuple(uri for uri in AnswerPolicy().extensions if switched.get(uri, True))


def join(rooms: Rooms, api: HandleApi, body: JsonObject) -> tuple[Publisher, JsonObject]:
    """Let a client in: its side, and the reply. :raises RefusedError: it may not, and nothing has changed."""
    room = rooms.find(body)
    read(messages.JOIN, body)
    room.authorize(body, "pin")
    read(messages.CONFIGURE, body)
    messages.check_lengths(body, "display", "token")
    room.check_token(body, rooms.granted)
    user_id = rooms.ids.read(body, "id", required=False)
    if user_id in room.participants:
        raise RefusedError(Code.ID_EXISTS, f"User ID {user_id} already exists")
    if len(room.participants) >= rooms.config.max_participants:
        raise RefusedError(
            Code.UNAUTHORIZED, f"There are {len(room.participants)} participants already, and no room for more"
        )
    while user_id is None:
        fresh = rooms.ids.fresh()
        user_id = None if fresh in room.participants else fresh
    me = Participant(api, user_id, rooms.private_id(), rooms.recordings)
    me.display, me.metadata = body.get("display"), body.get("metadata")
    publisher = Publisher(rooms, room, me, body.get("token") if room.asks_token else None)
    room.participants[user_id] = me
    return publisher, publisher.joined(room)
