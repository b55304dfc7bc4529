"""Makes messages of events: JSON as Janus's event handlers send it, alone or in groups. Pure."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from appliance.core.events import Event, encode_json
from appliance.core.queue import WORD_OF

GROUP = 100
"""Events in one message at most, as in Janus."""
GROUP_BYTES = 512 * 1024
"""Of a group; a single event may be longer."""
MAX_EVENT_BYTES = 1_000_000
"""What is longer is no event that a backend wants."""
NAMES = {
    1: "Sessions", 2: "Handles", 4: "External", 8: "Jsep", 16: "WebRTC", 32: "Media", 64: "Plugins", 128: "Transports",
    256: "Core",
}  # fmt: skip
"""What Janus calls the types of events where it writes names (mqttevh's ``eventtype``)."""


class OversizeError(ValueError):
    """An event is too long to be sent."""


class Message(msgspec.Struct, frozen=True):
    """What is sent in one piece."""

    data: bytes
    type: int
    """Of its event; 0 for a group."""
    count: int = 1
    """Events in it; 1 where that is not known any more."""

    @property
    def label(self) -> str:
        """Of its type, as mqttevh's topics have it."""
        return WORD_OF.get(self.type, "other")


def encode(item: Event, *, extensions: bool) -> bytes | None:
    """One event; ``None`` where it is not to be sent: Janus has no such kind, or it was sent before a restart.

    :param extensions: with what Janus does not tell, and our ``id``, ``correlation_id`` and ``inferred``.
    :raises OversizeError: it is too long.
    :raises TypeError, OverflowError, RecursionError: it holds what JSON does not.
    """
    if item.replayed or (item.body.extension and not extensions):
        return None
    if not extensions:
        item = replace(item, id=0, correlation_id=None, inferred=False)
    data = encode_json(item)
    if len(data) > MAX_EVENT_BYTES:
        raise OversizeError(f"an event of {len(data)} bytes")
    return data


def single(items: Iterable[tuple[int, bytes]]) -> list[Message]:
    """A message an event, of (type, JSON)."""
    return [Message(data, kind) for kind, data in items]


def grouped(items: Sequence[tuple[int, bytes]]) -> list[Message]:
    """Arrays of at most :data:`GROUP` events and about :data:`GROUP_BYTES`; one event alone is an array too."""
    messages: list[Message] = []
    group: list[bytes] = []
    size = 0

    def close() -> None:
        if group:
            messages.append(Message(b"[" + b",".join(group) + b"]", 0, len(group)))

    for _, data in items:
        if group and (len(group) >= GROUP or size + len(data) > GROUP_BYTES):
            close()
            group, size = [], 0
        group.append(data)
        size += len(data) + 1
    close()
    return messages


def with_type_name(kind: int, data: bytes) -> bytes:
    """The event with ``eventtype`` at its root, as mqttevh adds it."""
    name = NAMES.get(kind, "Unknown").encode()
    return data[:-1] + b',"eventtype":"' + name + b'"}'
