"""``publish_remotely``, ``unpublish_remotely``, ``list_remotes``: a publisher of ours made known at other servers."""

from appliance.core.messages import Element, Kind
from appliance.core.plugin import HandleApi
from appliance.media.shared_key import SharedKey
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.forwarding import SRTP, Forwarding, check_numbers, check_srtp, read_port
from appliance.plugins.videoroom.messages import JsonObject, read
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.remotization import Remotization
from appliance.plugins.videoroom.rooms import Room, Rooms

REMOTE_ID = Element("remote_id", Kind.STRING, required=True)
PUBLISH = (
    messages.SECRET,
    REMOTE_ID,
    Element("host", Kind.STRING, required=True),
    Element("host_family", Kind.STRING),
    Element("port", Kind.POSITIVE, required=True),
    Element("rtcp_port", Kind.POSITIVE),
    *SRTP,
)


class Remotizing:
    """Serves the three verbs."""

    def __init__(self, rooms: Rooms, forwarding: Forwarding) -> None:
        self._rooms = rooms
        self._forwarding = forwarding

    def publish(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """:raises RefusedError: nothing is sent that was not."""
        room, publisher = self._publisher(body, PUBLISH)
        remote_id = body["remote_id"]
        messages.check_lengths(body, "remote_id")
        if remote_id in publisher.remotizations:
            raise RefusedError(Code.ID_EXISTS, f"User {publisher.id} is published as '{remote_id[:64]}' already")
        there = len(publisher.forwarders) + len(publisher.remotizations)
        if there >= self._rooms.config.max_forwarders:
            raise RefusedError(Code.UNKNOWN, f"User {publisher.id} has {there} forwarders, and no room for one more")
        host = self._forwarding.host(body["host"])
        check_numbers(body)
        suite, crypto = check_srtp(body)
        try:
            made = Remotization(
                publisher.ears,
                publisher.request_keyframe,
                host,
                body["port"],
                rtcp_port=read_port(body, "rtcp_port"),
                key=None if suite is None else SharedKey(suite, crypto),
            )
        except OSError as problem:
            raise RefusedError(Code.UNKNOWN, f"Can't send to {host}: {problem}") from None
        publisher.remotizations[remote_id] = made
        made.follow(publisher.streams)
        data = {"room": room.id, "id": publisher.id, "remote_id": remote_id}
        self._publish(api, {"event": "publish_remotely", **data, **made.as_told()})
        return {"videoroom": "success", **data}

    def unpublish(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """:raises RefusedError: it is not published there, or the client may not."""
        room, publisher = self._publisher(body, (messages.SECRET, REMOTE_ID))
        if not publisher.drop_remotization(body["remote_id"]):
            text = f"User {publisher.id} is not published as '{body['remote_id'][:64]}'"
            raise RefusedError(Code.NO_SUCH_FEED, text)
        data = {"room": room.id, "id": publisher.id}
        self._publish(api, {"event": "unpublish_remotely", **data, "remote_id": body["remote_id"]})
        return {"videoroom": "success", **data}

    def listed(self, body: JsonObject, _: HandleApi | None) -> JsonObject:
        """Where a publisher is sent to."""
        room, publisher = self._publisher(body, (messages.SECRET,))
        told = [{"remote_id": name, **one.as_told()} for name, one in publisher.remotizations.items()]
        return {"videoroom": "success", "room": room.id, "id": publisher.id, "list": told}

    def _publisher(self, body: JsonObject, elements: tuple[Element, ...]) -> tuple[Room, Participant]:
        room = self._rooms.find(body)
        read(elements, body)
        room.authorize(body)
        self._forwarding.check_admin(body)
        return room, room.feed(self._rooms.ids.read(body, "publisher_id"))

    def _publish(self, api: HandleApi | None, data: JsonObject) -> None:
        if api is not None and self._rooms.config.events:
            api.notify(data)
