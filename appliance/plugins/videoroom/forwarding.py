"""``rtp_forward``, ``stop_rtp_forward`` and ``listforwarders``: a publisher's media to somewhere else, over RTP."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from appliance.core.messages import Element, Kind
from appliance.core.plugin import HandleApi
from appliance.media.shared_key import SharedKey
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.forwarder import Forwarder, Target
from appliance.plugins.videoroom.messages import JsonObject, read
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.rooms import Rooms, check_secret
from appliance.plugins.videoroom.streams import PublishedStream

MAX_PORT = 65_535
SRTP = (Element("srtp_suite", Kind.POSITIVE), Element("srtp_crypto", Kind.STRING))
LAYERS = tuple(Element(f"{what}_{number}", Kind.POSITIVE) for number in (2, 3) for what in ("port", "ssrc", "pt"))
"""Of simulcast: where its second and third encodings go."""
FORWARD = (
    messages.SECRET,
    Element("host", Kind.STRING, required=True),
    Element("host_family", Kind.STRING),
    Element("simulcast", Kind.BOOLEAN),
    *SRTP,
    Element("streams", Kind.ARRAY),
    *(
        Element(f"{kind}_{what}", Kind.POSITIVE)
        for kind in ("audio", "video", "data")
        for what in ("port", "ssrc", "pt", "rtcp_port")
    ),
    *(Element(f"video_{element.name}", element.kind) for element in LAYERS),
)
STREAM = (
    Element("mid", Kind.STRING, required=True),
    Element("port", Kind.POSITIVE, required=True),
    Element("host", Kind.STRING),
    Element("host_family", Kind.STRING),
    Element("ssrc", Kind.POSITIVE),
    Element("pt", Kind.POSITIVE),
    Element("rtcp_port", Kind.POSITIVE),
    Element("simulcast", Kind.BOOLEAN),
    *SRTP,
    *LAYERS,
)
STOP = (messages.SECRET, Element("stream_id", Kind.POSITIVE, required=True))


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
        self.check_admin(body)
        publisher = room.feed(self._rooms.ids.read(body, "publisher_id"))
        targets = self._targets(body, publisher)
        there = len(publisher.forwarders) + len(publisher.remotizations)
        if there + len(targets) > self._rooms.config.max_forwarders:
            text = f"User {publisher.id} has {there} forwarders, and no room for {len(targets)} more"
            raise RefusedError(Code.UNKNOWN, text)
        opened: list[Forwarder] = []
        try:
            for target in targets:
                opened.append(Forwarder(target, publisher.request_keyframe))
        except OSError as problem:
            for one in opened:
                one.close()
            raise RefusedError(Code.UNKNOWN, f"Can't forward to {target.host}: {problem}") from None
        for one in opened:
            publisher.add_forwarder(one)
        data = {"room": room.id, "publisher_id": publisher.id, "forwarders": [one.as_told() for one in opened]}
        if api is not None and self._rooms.config.events:
            api.notify({"event": "rtp_forward", **data})
        return {"videoroom": "rtp_forward", **data} | (_legacy(body["host"], opened) if "streams" not in body else {})

    def stop(self, body: JsonObject, api: HandleApi | None) -> JsonObject:
        """:raises RefusedError: there is no such forwarder, or the client may not."""
        room = self._rooms.find(body)
        read(STOP, body)
        room.authorize(body)
        self.check_admin(body)
        publisher = room.feed(self._rooms.ids.read(body, "publisher_id"))
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
                "forwarders": [item.as_told() for item in one.forwarders.values()],
            }
            for one in room.participants.values()
            if one.forwarders
        ]
        return {"videoroom": "forwarders", "room": room.id, "publishers": publishers}

    def check_admin(self, body: JsonObject) -> None:
        """:raises RefusedError: 429, 430 or 433, ``lock_rtp_forward`` asks for the ``admin_key``."""
        if not self._rooms.config.lock_rtp_forward:
            return
        key = self._rooms.config.admin_key
        if not key:
            raise RefusedError(Code.UNAUTHORIZED, "Unauthorized (lock_rtp_forward is set, and there is no admin_key)")
        check_secret(body, "admin_key", key)

    def host(self, text: str) -> str:
        """Where media may be sent. :raises RefusedError: 430 it is no address, 433 they may not."""
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

    def _targets(self, body: JsonObject, publisher: Participant) -> list[Target]:
        items = messages.read_list(body, "streams", STREAM) if "streams" in body else _old_style(body, publisher)
        if not items:
            raise RefusedError(Code.MISSING_ELEMENT, "Missing mandatory element (streams)")
        targets: list[Target] = []
        for item in items:
            stream = publisher.stream(item["mid"])
            if stream is None:
                text = f"No such stream with mid '{item['mid'][:64]}' for user {publisher.id}"
                raise RefusedError(Code.NO_SUCH_FEED, text)
            targets += self._targets_of(stream, item, body)
        return targets

    def _targets_of(self, stream: PublishedStream, item: JsonObject, body: JsonObject) -> list[Target]:
        host = self.host(item["host"] if "host" in item else body["host"])
        suite, crypto = check_srtp({**{name: body[name] for name in SRTP_NAMES if name in body}, **item})
        if stream.kind == "data" and (suite is not None or "rtcp_port" in item):
            text = f"Invalid element (srtp_suite and rtcp_port are of audio and video, and {stream.mid} is data)"
            raise RefusedError(Code.INVALID_ELEMENT, text)
        # Of simulcast, as Janus: each encoding to a port of its own, unless the best is wanted as one stream.
        layered = stream.flags.get("simulcast", False) and not item.get("simulcast", body.get("simulcast", False))
        targets = []
        for substream, suffix in enumerate(("", "_2", "_3")):
            if suffix and (not layered or not item.get(f"port{suffix}")):
                continue
            numbers = {name: item.get(f"{name}{suffix}") for name in ("port", "ssrc", "pt")}
            check_numbers(numbers)
            targets.append(
                Target(
                    mid=stream.mid,
                    kind=stream.kind,
                    host=host,
                    port=item[f"port{suffix}"],
                    ssrc=numbers["ssrc"],
                    payload_type=numbers["pt"],
                    substream=substream if layered else None,
                    rtcp_port=None if suffix else read_port(item, "rtcp_port"),
                    srtp_suite=suite,
                    srtp_crypto=crypto,
                )
            )
        return targets


SRTP_NAMES = tuple(element.name for element in SRTP)


def check_srtp(item: JsonObject) -> tuple[int | None, str]:
    """Suite and key that a request asks for; ``None``: none. :raises RefusedError: 429 or 430."""
    suite: int = item.get("srtp_suite", 0)
    crypto: str = item.get("srtp_crypto", "")
    if not suite and not crypto:
        return None, ""
    for name in SRTP_NAMES:
        if not item.get(name):
            raise RefusedError(Code.MISSING_ELEMENT, f"Missing mandatory element ({name}: SRTP needs suite and key)")
    try:
        SharedKey(suite, crypto)
    except ValueError as problem:
        raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element ({problem})") from None
    return suite, crypto


def check_numbers(numbers: JsonObject) -> None:
    """:raises RefusedError: 430, a port, payload type or SSRC is out of its range."""
    port, ssrc, payload_type = (numbers.get(name) for name in ("port", "ssrc", "pt"))
    if not 1 <= (port or 0) <= MAX_PORT or (payload_type or 0) > 127 or (ssrc or 0) > 0xFFFFFFFF:
        raise RefusedError(Code.INVALID_ELEMENT, "Invalid element (port, pt or ssrc is out of its range)")


def read_port(item: JsonObject, name: str) -> int | None:
    """A port, ``None`` where it is 0 or absent. :raises RefusedError: 430."""
    port: int | None = item.get(name) or None
    if port is not None and port > MAX_PORT:
        raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element ({name} is {port}, wanted at most {MAX_PORT})")
    return port


def _old_style(body: JsonObject, publisher: Participant) -> list[JsonObject]:
    """``audio_port``, ``video_port`` and ``data_port``: the first stream of each kind."""
    items: list[JsonObject] = []
    for kind in ("audio", "video", "data"):
        if not body.get(f"{kind}_port"):
            continue
        stream = next((one for one in publisher.streams if one.kind == kind and not one.disabled), None)
        if stream is None:
            raise RefusedError(Code.NO_SUCH_FEED, f"User {publisher.id} publishes no {kind}")
        names = ["port", "ssrc", "pt", "rtcp_port", *(element.name for element in LAYERS)]
        items.append({"mid": stream.mid} | {name: body[f"{kind}_{name}"] for name in names if f"{kind}_{name}" in body})
    return items


def _legacy(host: str, opened: Sequence[Forwarder]) -> JsonObject:
    told: JsonObject = {"host": host, "warning": "deprecated_api"}
    for one in opened:
        suffix = f"_{one.substream + 1}" if one.substream else ""
        told |= {f"{one.kind}{suffix}": one.target.port, f"{one.kind}_stream_id{suffix}": one.stream_id}
        if one.target.rtcp_port is not None:
            told[f"{one.kind}_rtcp"] = one.target.rtcp_port
    return {"rtp_stream": told}
