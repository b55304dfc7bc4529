"""What a subscriber's requests ask for: streams of others, found in the room."""

from typing import NamedTuple

from appliance.core.messages import Element, Kind
from appliance.plugins import delays, layers
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject, read, read_list
from appliance.plugins.videoroom.participant import Participant
from appliance.plugins.videoroom.rooms import Room, Rooms
from appliance.plugins.videoroom.streams import PublishedStream

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


def read_switches(rooms: Rooms, room: Room, body: JsonObject) -> list[tuple[str, Wanted]]:
    """What is to be carried from now on, by the mid that carries it. :raises RefusedError: 428, 430."""
    read((Element("streams", Kind.ARRAY),), body)
    texts = tuple(Element(name, Kind.STRING, required=True) for name in ("mid", "sub_mid"))
    items = read_list(body, "streams", (*OPTIONS, *texts))
    if not items:
        raise RefusedError(Code.INVALID_ELEMENT, "Empty switch list")
    switches = []
    for item in items:
        check_layers(item)
        feed = find_feed(rooms, room, item)
        source = feed.stream(item["mid"])
        if source is None or source.disabled:
            raise no_such_mid(feed, item["mid"], item["sub_mid"])
        switches.append((item["sub_mid"], Wanted(feed, source, item)))
    return switches


def no_such_mid(feed: Participant, mid: str, sub_mid: str) -> RefusedError:
    """428: that stream can't be carried there."""
    return RefusedError(Code.NO_SUCH_FEED, f"No such mid '{mid[:64]}' in feed ({feed.id}) for '{sub_mid[:64]}'")
