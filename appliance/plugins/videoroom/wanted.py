"""What a subscriber's requests ask for, or no longer: streams of others, found in the room."""

from collections.abc import Iterable
from typing import NamedTuple

from appliance.core.messages import Element, Kind
from appliance.plugins import delays, layers
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject, read, read_list
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.rooms import Room, Rooms
from appliance.plugins.videoroom.streams import PublishedStream
from appliance.plugins.videoroom.subscription import Subscription

OPTIONS = (
    Element("crossrefid", Kind.STRING),
    Element("send", Kind.BOOLEAN),
    *layers.ELEMENTS,
    *delays.ELEMENTS,
)
"""Of an item in ``streams``."""


class Wanted(NamedTuple):
    """A stream that is there, and what the request says of it."""

    feed: Participant
    source: PublishedStream
    item: JsonObject


class Unwanted(NamedTuple):
    """What an m-line is not to carry any more."""

    line: Subscription
    feed: Participant | None
    """Of a data line: whose messages. ``None`` where the m-line carries one stream."""


def check_layers(item: JsonObject) -> None:
    """:raises RefusedError: 430, there is no such layer."""
    wrong = layers.wrong_layer(item)
    if wrong is not None:
        raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element (value for {wrong} should be 0, 1 or 2)")


def find_feed(rooms: Rooms, room: Room, item: JsonObject) -> Participant:
    """Whose streams an item names. :raises RefusedError: 428, nobody publishes under that id."""
    feed_id = rooms.ids.read(item, "feed")
    feed = room.participants.get(feed_id) if feed_id is not None else None
    if feed is None or not feed.published:
        raise RefusedError(Code.NO_SUCH_FEED, f"No such feed ({0 if feed_id is None else feed_id})")
    return feed


def read_wanted(rooms: Rooms, room: Room, body: JsonObject, name: str) -> list[Wanted]:
    """The streams to subscribe to, all of a feed where an item has no mid. :raises RefusedError: 428, 430."""
    items = read_list(body, name, (*OPTIONS, Element("mid", Kind.STRING)))
    if not items:
        raise RefusedError(Code.INVALID_ELEMENT, "Empty subscription list")
    wanted = []
    for item in items:
        check_layers(item)
        feed = find_feed(rooms, room, item)
        mid = item.get("mid")
        if mid is not None and feed.stream(mid) is None:
            raise RefusedError(Code.NO_SUCH_FEED, f"No such mid '{mid[:64]}' in feed ({feed.id})")
        streams = (one for one in feed.streams if mid in {None, one.mid} and not one.disabled)
        wanted += [Wanted(feed, one, item) for one in streams]
    return wanted


def read_legacy(rooms: Rooms, room: Room, body: JsonObject) -> list[Wanted]:
    """The same of a request that names a feed and kinds of media. :raises RefusedError: 428, 430."""
    feed = find_feed(rooms, room, body)
    check_layers(body)
    item = {element.name: body[element.name] for element in layers.ELEMENTS if element.name in body}
    return [
        # What is offered may still be held back: until ``configure`` asks for it.
        Wanted(feed, one, item | {"send": body.get(one.kind, True)})
        for one in feed.streams
        if body.get(f"offer_{one.kind}", True) and not one.disabled
    ]


def read_unwanted(rooms: Rooms, body: JsonObject, name: str, lines: Iterable[Subscription]) -> list[Unwanted]:
    """What of ``lines`` is to end. :raises RefusedError: 430."""
    items = read_list(body, name, (Element("mid", Kind.STRING), Element("sub_mid", Kind.STRING)))
    if not items:
        raise RefusedError(Code.INVALID_ELEMENT, "Empty unsubscription list")
    found: list[Unwanted] = []
    for item in items:
        feed_id = rooms.ids.read(item, "feed", required=False)
        if feed_id is None and "sub_mid" not in item:
            # A mid alone is that of nobody's stream.
            continue
        for line in lines:
            if item.get("sub_mid", line.mid) != line.mid:
                continue
            if line.kind == "data":
                if "mid" not in item:
                    found += [Unwanted(line, one) for one in line.sources if feed_id in {None, one.id}]
                continue
            feed, source = line.feed, line.source
            if feed is None or source is None or item.get("mid", source.mid) != source.mid:
                continue
            if feed_id in {None, feed.id}:
                found.append(Unwanted(line, None))
    return found


def read_switches(
    rooms: Rooms, room: Room, body: JsonObject, lines: Iterable[Subscription]
) -> list[tuple[Subscription, Wanted]]:
    """What each of ``lines`` is to carry from now on, where that changes. :raises RefusedError: 428, 430."""
    if "streams" in body:
        return _read_named_switches(rooms, room, body, {line.mid: line for line in lines})
    feed = find_feed(rooms, room, body)
    switches = []
    for line in lines:
        source = next((one for one in feed.streams if one.kind == line.kind and not one.disabled), None)
        if source is not None:
            switches.append((line, Wanted(feed, source, {"send": line.send})))
    return switches


def _read_named_switches(
    rooms: Rooms, room: Room, body: JsonObject, lines: dict[str, Subscription]
) -> list[tuple[Subscription, Wanted]]:
    read((Element("streams", Kind.ARRAY),), body)
    texts = tuple(Element(name, Kind.STRING, required=True) for name in ("mid", "sub_mid"))
    items = read_list(body, "streams", (*OPTIONS, *texts))
    if not items:
        raise RefusedError(Code.INVALID_ELEMENT, "Empty switch list")
    switches = []
    for item in items:
        check_layers(item)
        feed = find_feed(rooms, room, item)
        source, line = feed.stream(item["mid"]), lines.get(item["sub_mid"])
        if source is None or source.disabled or line is None or source.kind != line.kind:
            mid, sub_mid = item["mid"][:64], item["sub_mid"][:64]
            raise RefusedError(Code.NO_SUCH_FEED, f"No such mid '{mid}' in feed ({feed.id}) for '{sub_mid}'")
        switches.append((line, Wanted(feed, source, item)))
    return switches
