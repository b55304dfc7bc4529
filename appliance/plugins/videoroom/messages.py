"""Requests of the VideoRoom as they are read and checked. No state, no I/O."""

import secrets
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from appliance.core.messages import MAX_ID, Element, Kind, find_problem
from appliance.plugins import delays
from appliance.plugins.videoroom.config import AUDIO_CODECS, MAX_CODECS, VIDEO_CODECS, RoomId, codecs
from appliance.plugins.videoroom.errors import Code, RefusedError

JsonObject = dict[str, Any]

MAX_TEXT = 1024
"""Characters of a display name or description: they are repeated to everybody."""
MAX_STREAMS = 64
"""Of one request or PeerConnection."""

SECRET = Element("secret", Kind.STRING)
CREATE = (
    Element("description", Kind.STRING),
    Element("is_private", Kind.BOOLEAN),
    Element("allowed", Kind.ARRAY),
    SECRET,
    Element("pin", Kind.STRING),
    Element("require_pvtid", Kind.BOOLEAN),
    Element("signed_tokens", Kind.BOOLEAN),
    Element("bitrate", Kind.POSITIVE),
    Element("bitrate_cap", Kind.BOOLEAN),
    Element("fir_freq", Kind.POSITIVE),
    Element("publishers", Kind.POSITIVE),
    Element("audiocodec", Kind.STRING),
    Element("videocodec", Kind.STRING),
    Element("vp9_profile", Kind.STRING),
    Element("h264_profile", Kind.STRING),
    Element("opus_fec", Kind.BOOLEAN),
    Element("opus_dtx", Kind.BOOLEAN),
    Element("audiolevel_ext", Kind.BOOLEAN),
    Element("videoorient_ext", Kind.BOOLEAN),
    Element("playoutdelay_ext", Kind.BOOLEAN),
    Element("transport_wide_cc_ext", Kind.BOOLEAN),
    Element("record", Kind.BOOLEAN),
    Element("rec_dir", Kind.STRING),
    Element("lock_record", Kind.BOOLEAN),
    Element("permanent", Kind.BOOLEAN),
    Element("notify_joining", Kind.BOOLEAN),
    Element("audiolevel_event", Kind.BOOLEAN),
    Element("audio_active_packets", Kind.POSITIVE),
    Element("audio_level_average", Kind.POSITIVE),
    Element("require_e2ee", Kind.BOOLEAN),
    Element("dummy_publisher", Kind.BOOLEAN),
    Element("dummy_streams", Kind.ARRAY),
    Element("dummy_e2ee", Kind.BOOLEAN),
)
EDIT = (
    SECRET,
    Element("new_description", Kind.STRING),
    Element("new_is_private", Kind.BOOLEAN),
    Element("new_secret", Kind.STRING),
    Element("new_pin", Kind.STRING),
    Element("new_require_pvtid", Kind.BOOLEAN),
    Element("new_bitrate", Kind.POSITIVE),
    Element("new_fir_freq", Kind.POSITIVE),
    Element("new_publishers", Kind.POSITIVE),
    Element("new_lock_record", Kind.BOOLEAN),
    Element("new_rec_dir", Kind.STRING),
    Element("permanent", Kind.BOOLEAN),
)
DUMMY_STREAM = (Element("codec", Kind.STRING, required=True), Element("fmtp", Kind.STRING))
DESTROY = (SECRET, Element("permanent", Kind.BOOLEAN))
ALLOWED = (SECRET, Element("action", Kind.STRING, required=True), Element("allowed", Kind.ARRAY))
MODERATE = (SECRET, Element("mid", Kind.STRING, required=True), Element("mute", Kind.BOOLEAN, required=True))
RECORDING = (SECRET, Element("record", Kind.BOOLEAN, required=True))
JOIN = (Element("ptype", Kind.STRING, required=True), Element("token", Kind.STRING))
PUBLISHER = (Element("display", Kind.STRING), Element("metadata", Kind.OBJECT))
CONFIGURE = (
    *PUBLISHER,
    SECRET,
    Element("audio", Kind.BOOLEAN),
    Element("video", Kind.BOOLEAN),
    Element("data", Kind.BOOLEAN),
    Element("audiocodec", Kind.STRING),
    Element("videocodec", Kind.STRING),
    Element("bitrate", Kind.POSITIVE),
    Element("keyframe", Kind.BOOLEAN),
    Element("audio_active_packets", Kind.POSITIVE),
    Element("audio_level_average", Kind.POSITIVE),
    Element("record", Kind.BOOLEAN),
    Element("filename", Kind.STRING),
    Element("descriptions", Kind.ARRAY),
    Element("streams", Kind.ARRAY),
    Element("update", Kind.BOOLEAN),
    Element("restart", Kind.BOOLEAN),
)
PUBLISHED_STREAM = (
    Element("mid", Kind.STRING, required=True),
    Element("keyframe", Kind.BOOLEAN),
    Element("send", Kind.BOOLEAN),
    *delays.ELEMENTS,
)
DESCRIPTION = (Element("mid", Kind.STRING, required=True), Element("description", Kind.STRING, required=True))


def read(elements: Sequence[Element], message: JsonObject) -> None:
    """Refuse what is missing or of the wrong kind. :raises RefusedError: 429 or 430."""
    problem = find_problem(elements, message)
    if problem is not None:
        raise RefusedError(Code.MISSING_ELEMENT if problem.wanted is None else Code.INVALID_ELEMENT, problem.text)


def read_list(message: JsonObject, name: str, elements: Sequence[Element]) -> list[JsonObject]:
    """The objects of an array, each checked; empty when it is absent. :raises RefusedError: 429 or 430."""
    items: list[Any] = message.get(name, [])
    if len(items) > MAX_STREAMS:
        raise RefusedError(
            Code.INVALID_ELEMENT, f"Invalid element ({name} has {len(items)} items, at most {MAX_STREAMS})"
        )
    for item in items:
        if not isinstance(item, dict):
            raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element type ({name} should hold objects)")
        read(elements, item)
    return items


def read_texts(message: JsonObject, name: str) -> list[str]:
    """The strings of an array. :raises RefusedError: 430."""
    items: list[Any] = message.get(name, [])
    if not all(isinstance(item, str) for item in items):
        raise RefusedError(Code.INVALID_ELEMENT, "Invalid element in the allowed array (not a string)")
    return items


def check_lengths(message: JsonObject, *names: str) -> None:
    """:raises RefusedError: 430, a text is too long to repeat to everybody."""
    for name in names:
        if len(message.get(name, "")) > MAX_TEXT:
            raise RefusedError(
                Code.INVALID_ELEMENT, f"Invalid element ({name} should have at most {MAX_TEXT} characters)"
            )


def check_codecs(message: JsonObject) -> None:
    """:raises RefusedError: 430, a room's list names a codec that there isn't."""
    for name, known in (("audiocodec", AUDIO_CODECS), ("videocodec", VIDEO_CODECS)):
        wanted = codecs(message[name]) if name in message else [known[0]]
        if not wanted or len(wanted) > MAX_CODECS or not set(wanted) <= set(known):
            raise RefusedError(
                Code.INVALID_ELEMENT, f"Invalid element ({name} can only be or contain {', '.join(known)})"
            )


class Ids:
    """Ids of rooms and participants: integers, or strings throughout."""

    def __init__(self, *, strings: bool) -> None:
        self._strings = strings

    def element(self, name: str, *, required: bool = True) -> Element:
        """What a request must hold."""
        return Element(name, Kind.STRING if self._strings else Kind.POSITIVE, required)

    def read(self, message: JsonObject, name: str, *, required: bool = True) -> RoomId | None:
        """The id in a request; 0 and an empty string count as none. :raises RefusedError: 429 or 430."""
        read((self.element(name, required=required),), message)
        value: RoomId | None = message.get(name) or None
        if isinstance(value, str):
            check_lengths(message, name)
        elif value is not None and value > MAX_ID:
            raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element ({name} should be at most {MAX_ID})")
        return value

    def fresh(self) -> RoomId:
        """One that nobody can guess."""
        return str(uuid4()) if self._strings else secrets.randbelow(MAX_ID) + 1
