"""``rtp_forward``, ``stop_rtp_forward`` and ``listforwarders``: a publisher's media to somewhere else, in plain RTP."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from appliance.core.messages import Element, Kind
from appliance.core.plugin import HandleApi
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.ears import Forwarder, forwarder
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject, read
from appliance.plugins.videoroom.rooms import Participant, Rooms, check_secret

MAX_PORT = 65_535
FORWARD = (
    messages.SECRET,
    Element("host", Kind.STRING, required=True),
    Element("host_family", Kind.STRING),
    Element("simulcast", Kind.BOOLEAN),
    Element("streams", Kind.ARRAY),
    *(
        Element(f"{kind}_{what}", Kind.POSITIVE)
        for kind in ("audio", "video", "data")
        for what in ("port", "ssrc", "pt", "rtcp_port")
    ),
)
STREAM = (
    Element("mid", Kind.STRING, required=True),
    Element("port", Kind.POSITIVE, required=True),
    Element("host", Kind.STRING),
    Element("ssrc", Kind.POSITIVE),
    Element("pt", Kind.POSITIVE),
    Element("rtcp_port", Kind.POSITIVE),
    Element("simulcast", Kind.BOOLEAN),
)
STOP = (messages.SECRET, Element("stream_id", Kind.POSITIVE, required=True))
UNAVAILABLE = ("srtp_suite", "srtp_crypto", "rtcp_port", "port_2", "port_3")
"""Of a stream: what there is not here, and is refused rather than left out without a word."""


class Forwarding:
    """Serves the three verbs."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._allowed = [ip_network(text) for text in rooms.config.rtp_forward_to]

    def forward(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """:raises RefusedError: nothing is forwarded that was not."""
        room = self._rooms.find(body)
        read(FORWARD, body)
        room.authorize(body)
        if self._rooms.config.lock_rtp_forward:
            self._admin(body)
        publisher = room.participant(self._rooms.ids.read(body, "publisher_id"))
        wanted = self._wanted(body, publisher)
        if len(publisher.forwarders) + len(wanted) > self._rooms.config.max_forwarders:
            text = f"User {publisher.id} has {len(publisher.forwarders)} forwarders, and no room for {len(wanted)} more"
            raise RefusedError(Code.UNKNOWN, text)
        opened: list[Forwarder] = []
        try:
            for item, mid, kind in wanted:
                host = self._host(item["host"] if "host" in item else body["host"])
                opened.append(
                    forwarder(mid, kind, host, item["port"], ssrc=item.get("ssrc"), payload_type=item.get("pt"))
                )
        except OSError as problem:
            raise _closed(
                opened, RefusedError(Code.UNKNOWN, f"Can't forward to {body['host'][:64]}: {problem}")
            ) from None
        except RefusedError as refusal:
            raise _closed(opened, refusal) from None
        for one in opened:
            publisher.add_forwarder(one)
        data = {"room": room.id, "publisher_id": publisher.id, "forwarders": [described(one) for one in opened]}
        if api is not None and self._rooms.config.events:
            api.notify({"event": "rtp_forward", **data})
        return {"videoroom": "rtp_forward", **data} | (_legacy(body["host"], opened) if "streams" not in body else {})

    def stop(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """:raises RefusedError: there is no such forwarder, or the client may not."""
        room = self._rooms.find(body)
        read(STOP, body)
        room.authorize(body)
        if self._rooms.config.lock_rtp_forward:
            self._admin(body)
        publisher = room.participant(self._rooms.ids.read(body, "publisher_id"))
        if not publisher.drop_forwarder(body["stream_id"]):
            raise RefusedError(Code.NO_SUCH_FEED, f"No such stream ({body['stream_id']})")
        data = {"room": room.id, "publisher_id": publisher.id, "stream_id": body["stream_id"]}
        if api is not None and self._rooms.config.events:
            api.notify({"event": "stop_rtp_forward", **data})
        return {"videoroom": "stop_rtp_forward", **data}

    def listed(self, body: JsonObject, _: HandleApi | None) -> JsonObject:
        """Of every publisher that has some."""
        room = self._rooms.find(body)
        read((messages.SECRET,), body)
        room.authorize(body)
        publishers = [
            {
                "publisher_id": one.id,
                **({} if one.display is None else {"display": one.display}),
                "forwarders": [described(item) for item in one.forwarders.values()],
            }
            for one in room.participants.values()
            if one.forwarders
        ]
        return {"videoroom": "forwarders", "room": room.id, "publishers": publishers}

    def _admin(self, body: JsonObject) -> None:
        key = self._rooms.config.admin_key
        if not key:
            raise RefusedError(Code.UNAUTHORIZED, "Unauthorized (lock_rtp_forward is set, and there is no admin_key)")
        check_secret(body, "admin_key", key)

    def _host(self, text: str) -> str:
        host = "127.0.0.1" if text == "localhost" else text
        try:
            address = ip_address(host)
        except ValueError:
            raise RefusedError(
                Code.INVALID_ELEMENT,
                f"Invalid element (host is '{text[:64]}', wanted an address: names are not looked up)",
            ) from None
        if not any(address in network for network in self._allowed):
            raise RefusedError(
                Code.UNAUTHORIZED,
                f"Unauthorized ({host} is in none of the networks of plugins.videoroom.rtp_forward_to)",
            )
        return host

    def _wanted(self, body: JsonObject, publisher: Participant) -> list[tuple[JsonObject, str, str]]:
        """What to forward: its numbers, mid and kind."""
        items = messages.read_list(body, "streams", STREAM) if "streams" in body else _old_style(body, publisher)
        if not items:
            raise RefusedError(Code.MISSING_ELEMENT, "Missing mandatory element (streams)")
        wanted = []
        for item in items:
            if not 1 <= item["port"] <= MAX_PORT or item.get("pt", 0) > 127 or item.get("ssrc", 0) > 0xFFFFFFFF:
                raise RefusedError(Code.INVALID_ELEMENT, "Invalid element (port, pt or ssrc is out of its range)")
            for name in UNAVAILABLE:
                if item.get(name) or body.get(name):
                    raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element ({name} is not available here)")
            stream = publisher.stream(item["mid"])
            if stream is None:
                text = f"No such stream with mid '{item['mid'][:64]}' for user {publisher.id}"
                raise RefusedError(Code.NO_SUCH_FEED, text)
            wanted.append((item, stream.mid, stream.kind))
        return wanted


def _old_style(body: JsonObject, publisher: Participant) -> list[JsonObject]:
    """``audio_port``, ``video_port`` and ``data_port``: the first stream of each kind."""
    items: list[JsonObject] = []
    for kind in ("audio", "video", "data"):
        if not body.get(f"{kind}_port"):
            continue
        stream = next((one for one in publisher.streams if one.kind == kind and not one.disabled), None)
        if stream is None:
            raise RefusedError(Code.NO_SUCH_FEED, f"User {publisher.id} publishes no {kind}")
        names = ("port", "ssrc", "pt", "rtcp_port")
        items.append({"mid": stream.mid} | {name: body[f"{kind}_{name}"] for name in names if f"{kind}_{name}" in body})
    return items


def _legacy(host: str, opened: Sequence[Forwarder]) -> JsonObject:
    told: JsonObject = {"host": host, "warning": "deprecated_api"}
    for one in opened:
        told |= {one.kind: one.port, f"{one.kind}_stream_id": one.stream_id}
    return {"rtp_stream": told}


def _closed(opened: Sequence[Forwarder], refusal: RefusedError) -> RefusedError:
    for one in opened:
        one.socket.close()
    return refusal


def described(one: Forwarder) -> JsonObject:
    """As clients are told."""
    told: JsonObject = {"stream_id": one.stream_id, "type": one.kind, "host": one.host, "port": one.port, "srtp": False}
    if one.ssrc is not None:
        told["ssrc"] = one.ssrc
    if one.payload_type is not None:
        told["pt"] = one.payload_type
    return told
