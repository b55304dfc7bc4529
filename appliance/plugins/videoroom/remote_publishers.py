"""``add_remote_publisher``, ``update_remote_publisher``, ``remove_remote_publisher``: whom another server sends us."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from appliance.core import events
from appliance.core.messages import Element, Kind
from appliance.core.plugin import HandleApi
from appliance.media.plain import Address, PlainSocket
from appliance.media.shared_key import SharedKey
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.forwarding import SRTP, check_srtp, read_port
from appliance.plugins.videoroom.messages import JsonObject, read
from appliance.plugins.videoroom.multiplex import TEXT
from appliance.plugins.videoroom.participant import NoHandle, Participant
from appliance.plugins.videoroom.remote_port import OUTCOMES, RemotePort
from appliance.plugins.videoroom.rooms import Room, Rooms
from appliance.plugins.videoroom.sourced import merged, read_streams, source_lines
from appliance.plugins.videoroom.talking import Talking
from appliance.wire.rtp import RtpDecodeError, parse_header

LABEL = "JanusDataChannel"
"""Of the data channel that a remote publisher's messages seem to come from: their own is not told."""
ADD = (
    messages.SECRET,
    *messages.PUBLISHER,
    Element("mcast", Kind.STRING),
    Element("iface", Kind.STRING),
    Element("port", Kind.POSITIVE),
    *SRTP,
    Element("streams", Kind.ARRAY, required=True),
)
UPDATE = (messages.SECRET, *messages.PUBLISHER, *SRTP, Element("streams", Kind.ARRAY))


@dataclass
class Remote:
    """One remote publisher."""

    room: Room
    participant: Participant
    port: RemotePort
    talking: Talking


class RemotePublishers:
    """Serves the three verbs, and keeps the ports. :raises ValueError: the configuration has no such address."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._remotes: dict[Participant, Remote] = {}
        self._counts: Counter[str] = Counter()
        config = rooms.config
        self._addresses = [str(ip_address(text)) for text in config.remote_publisher_addresses]
        self._groups = [ip_network(text) for text in config.remote_publisher_multicast]
        ports = config.remote_publisher_ports
        if ports and not (len(ports) == 2 and 1 <= ports[0] <= ports[1] <= 65_535):
            raise ValueError(f"remote_publisher_ports: {ports}: wanted the first and the last port, or none")
        self._ports = range(ports[0], ports[1] + 1) if ports else range(1)
        self._next = 0

    # --- requests ---------------------------------------------------------------------------------------------

    def add(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """:raises RefusedError: there is no port for it, or it may not be; nothing has changed."""
        room = self._rooms.find(body)
        read(ADD, body)
        room.authorize(body)
        messages.check_lengths(body, "display")
        user_id = self._rooms.ids.read(body, "id", required=False)
        if user_id in room.participants:
            raise RefusedError(Code.ID_EXISTS, f"User ID {user_id} already exists")
        if len(room.participants) >= self._rooms.config.max_participants:
            text = f"There are {len(room.participants)} participants already, and no room for more"
            raise RefusedError(Code.UNAUTHORIZED, text)
        if self._rooms.make_source is None or len(self._remotes) >= self._rooms.config.max_remote_publishers:
            text = f"There are {len(self._remotes)} remote publishers already, and no more are allowed"
            raise RefusedError(Code.UNKNOWN, text)
        streams = read_streams(body, [])
        if not streams:
            raise RefusedError(Code.INVALID_ELEMENT, "Invalid element (streams is empty, wanted at least one)")
        key = _key(body)
        me = Participant(
            NoHandle(lambda: self._end(me)),
            user_id or self._rooms.fresh_user(room),
            self._rooms.private_id(),
            self._rooms.recordings,
            kind="remote",
        )
        me.display, me.metadata, me.streams = body.get("display"), body.get("metadata"), streams
        port = self._open(body, me, room, key)
        try:
            me.source = self._rooms.make_source(source_lines(streams), lambda mid: _ask(me, port, mid))
        except ValueError as problem:
            port.close()
            raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element (streams: {problem})") from None
        talking = Talking(room, me, lambda data: self._publish(api, data))
        self._remotes[me] = Remote(room, me, port, talking)
        room.participants[me.id] = me
        me.published = True
        me.ears.on(me.source)
        talking.listen()
        if room.config.record:
            room.record(me, wanted=True)
        self._tell(room, me, "published", api)
        host, number = port.address
        return {
            "videoroom": "success",
            "room": room.id,
            "id": me.id,
            "ip": host,
            "port": number,
            "rtcp_port": port.rtcp_port,
        }

    def update(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """:raises RefusedError: there is none such, or it can't be so; nothing has changed."""
        remote = self._find(body, UPDATE)
        room, me = remote.room, remote.participant
        messages.check_lengths(body, "display")
        streams = read_streams(body, me.streams)
        key = _key(body)
        assert me.source is not None
        try:
            me.source.change(source_lines(streams))
        except ValueError as problem:
            raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element (streams: {problem})") from None
        me.streams = merged(me.streams, streams)
        me.display, me.metadata = body.get("display", me.display), body.get("metadata", me.metadata)
        remote.port.key = key or remote.port.key
        remote.talking.listen()
        me.record()
        me.follow()
        for stream in me.streams:
            stream.refresh()
        self._tell(room, me, "updated", api)
        return {"videoroom": "success", "room": room.id, "id": me.id}

    def remove(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """:raises RefusedError: there is none such, or the client may not."""
        remote = self._find(body, (messages.SECRET,))
        room, me = remote.room, remote.participant
        self._end(me)
        room.forget(me)
        del room.participants[me.id]
        room.tell({"videoroom": "event", "room": room.id, **me.names, "leaving": me.id})
        self._publish(api, {"event": "leaving", "room": room.id, "id": me.id, **me.names})
        return {"videoroom": "success", "room": room.id, "id": me.id}

    def _find(self, body: JsonObject, elements: Iterable[Element]) -> Remote:
        room = self._rooms.find(body)
        read(tuple(elements), body)
        room.authorize(body)
        remote = self._remotes.get(room.participant(self._rooms.ids.read(body, "id")))
        if remote is None:
            raise RefusedError(Code.NO_SUCH_FEED, f"User {body['id']} in room {room.id} is no remote publisher")
        return remote

    def _tell(self, room: Room, me: Participant, event: str, api: HandleApi | None) -> None:
        room.tell({"videoroom": "event", "room": room.id, "publishers": [me.as_publisher()]})
        streams = [stream.as_event() for stream in me.streams]
        about = {"event": event, "room": room.id, "id": me.id, "remote": True, **me.names, "streams": streams}
        self._publish(api, about)

    def _publish(self, api: HandleApi | None, data: JsonObject) -> None:
        if api is not None and self._rooms.config.events:
            api.notify(data, with_handle=False)

    # --- ports ------------------------------------------------------------------------------------------------

    def _open(self, body: JsonObject, me: Participant, room: Room, key: SharedKey | None) -> RemotePort:
        host = self._address(body.get("iface", ""))
        group = self._group(body.get("mcast", ""))
        wanted = read_port(body, "port") or 0
        if wanted and self._rooms.config.remote_publisher_ports and wanted not in self._ports:
            text = f"Invalid element (port is {wanted}, wanted {self._ports[0]} to {self._ports[-1]}, or 0)"
            raise RefusedError(Code.INVALID_ELEMENT, text)

        def bind(received: Callable[[bytes, Address], None], feedback: bool) -> PlainSocket:
            return self._bind(received, host, 0 if feedback else wanted, None if feedback else group)

        try:
            return RemotePort(
                bind,
                key=key,
                clock=self._rooms.recordings.clock,
                known=lambda mindex, substream: _known(me, mindex, substream),
                received=lambda mindex, substream, packet: self._received(me, room, mindex, substream, packet),
                counts=self._counts,
            )
        except OSError as problem:
            raise RefusedError(Code.UNKNOWN, f"Can't listen on {host}: {problem}") from None

    def _bind(self, received: Callable[[bytes, Address], None], host: str, port: int, group: str | None) -> PlainSocket:
        if port or not self._rooms.config.remote_publisher_ports:
            return PlainSocket(received, local=(host, port), group=group)
        problem = OSError("there is no port")
        for _ in self._ports:
            number = self._ports[self._next % len(self._ports)]
            self._next += 1
            try:
                return PlainSocket(received, local=(host, number), group=group)
            except OSError as found:
                problem = found
        raise problem

    def _address(self, iface: str) -> str:
        if not iface and self._addresses:
            return self._addresses[0]
        if iface not in self._addresses:
            text = f"Unauthorized ({iface[:64]} is none of plugins.videoroom.remote_publisher_addresses)"
            raise RefusedError(Code.UNAUTHORIZED, text)
        return iface

    def _group(self, mcast: str) -> str | None:
        if not mcast:
            return None
        try:
            group = ip_address(mcast)
        except ValueError:
            text = f"Invalid element (mcast is '{mcast[:64]}', wanted an address)"
            raise RefusedError(Code.INVALID_ELEMENT, text) from None
        if not group.is_multicast or not any(group in network for network in self._groups):
            text = f"Unauthorized ({group} is in none of the networks of plugins.videoroom.remote_publisher_multicast)"
            raise RefusedError(Code.UNAUTHORIZED, text)
        return str(group)

    # --- media ------------------------------------------------------------------------------------------------

    def _received(self, me: Participant, room: Room, mindex: int, substream: int, packet: bytes) -> None:
        stream = next(one for one in me.streams if one.mindex == mindex)
        if stream.kind != "data":
            assert me.source is not None
            me.source.send_packet(stream.mid, packet, substream=substream)
            return
        try:
            header = parse_header(packet)
            payload = packet[header.size : len(packet) - header.padding_size]
            message = payload.decode() if header.payload_type == TEXT else payload
        except (RtpDecodeError, UnicodeDecodeError):
            self._counts["malformed"] += 1
            return
        room.pass_on(me, LABEL, "", message)

    def _end(self, me: Participant) -> None:
        remote = self._remotes.pop(me, None)
        if remote is None:
            return
        remote.port.close()
        me.deaf()
        me.published = False
        if me.source is not None:
            me.source.close()

    def close(self) -> None:
        """No port is open after this."""
        for me in list(self._remotes):
            self._end(me)

    def measure(self) -> Iterable[events.Counter]:
        """How many there are, and what came for them."""
        yield events.Counter("remote_publishers", len(self._remotes))
        for outcome in OUTCOMES:
            yield events.Counter("remote_publisher_datagrams_total", self._counts[outcome], {"outcome": outcome})


def _key(body: JsonObject) -> SharedKey | None:
    suite, crypto = check_srtp(body)
    return None if suite is None else SharedKey(suite, crypto)


def _known(me: Participant, mindex: int, substream: int) -> bool:
    stream = next((one for one in me.streams if one.mindex == mindex), None)
    if stream is None or stream.disabled:
        return False
    return substream < (3 if stream.flags.get("simulcast") else 1)


def _ask(me: Participant, port: RemotePort, mid: str) -> None:
    stream = me.stream(mid)
    if stream is not None:
        port.request_keyframe(stream.mindex)
