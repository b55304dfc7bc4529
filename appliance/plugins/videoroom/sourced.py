"""What participants publish who are no client: streams as a request or the configuration describes them."""

from typing import NamedTuple

from appliance.core.peer import SourceLine
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.config import AUDIO_CODECS, VIDEO_CODECS, DummyStream, RoomConfig, codecs
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject
from appliance.plugins.videoroom.streams import EXTENSION_KEYS, PROFILES, PublishedStream

MAX_SUBSTREAMS = 3


class Encoding(NamedTuple):
    """How a codec is offered where nobody's offer says it (RFC 3551, RFC 7587, RFC 7741, ...)."""

    name: str
    clock_rate: int
    payload_type: int
    channels: int = 1
    fmtp: str = ""


ENCODINGS = {
    "opus": Encoding("opus", 48_000, 111, 2),
    "g722": Encoding("G722", 8_000, 9),
    "pcmu": Encoding("PCMU", 8_000, 0),
    "pcma": Encoding("PCMA", 8_000, 8),
    "isac32": Encoding("ISAC", 32_000, 104),
    "isac16": Encoding("ISAC", 16_000, 103),
    "vp8": Encoding("VP8", 90_000, 96),
    "vp9": Encoding("VP9", 90_000, 98, fmtp="profile-id=0"),
    "h264": Encoding(
        "H264", 90_000, 107, fmtp="profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1"
    ),
    "av1": Encoding("AV1", 90_000, 45),
    "h265": Encoding("H265", 90_000, 49),
}
OPUS_FLAGS = (("stereo", "stereo=1;sprop-stereo=1"), ("fec", "useinbandfec=1"), ("dtx", "usedtx=1"))
URIS = {key: uri for uri, key in EXTENSION_KEYS.items()}


def source_line(stream: PublishedStream, fmtp: str = "") -> SourceLine:
    """The stream as the engine is to make it; of a codec in :data:`ENCODINGS`."""
    assert stream.codec is not None
    encoding = ENCODINGS[stream.codec]
    return SourceLine(
        mid=stream.mid,
        kind=stream.kind,
        codec=encoding.name,
        clock_rate=encoding.clock_rate,
        channels=encoding.channels,
        fmtp=fmtp or _parameters(stream, encoding) or None,
        payload_type=encoding.payload_type,
        extensions={URIS[key]: number for key, number in stream.extension_ids.items()},
        substreams=MAX_SUBSTREAMS if stream.flags.get("simulcast") else 1,
    )


def _parameters(stream: PublishedStream, encoding: Encoding) -> str:
    if stream.codec == "opus":
        return ";".join(text for flag, text in OPUS_FLAGS if stream.flags.get(flag))
    if stream.profile is not None and stream.codec in PROFILES:
        name = PROFILES[stream.codec]
        rest = [part for part in encoding.fmtp.split(";") if not part.startswith(f"{name}=")]
        return ";".join((f"{name}={stream.profile}", *rest))
    return encoding.fmtp


def dummy_lines(config: RoomConfig) -> tuple[list[PublishedStream], list[SourceLine]]:
    """What a room's dummy publisher has: of each codec one stream, as far as ``dummy_streams`` names them."""
    chosen = {one.codec.lower(): one.fmtp for one in config.dummy_streams}
    streams: list[PublishedStream] = []
    lines: list[SourceLine] = []
    for kind, names in (("audio", codecs(config.audiocodec)), ("video", codecs(config.videocodec))):
        for name in names:
            if name in ENCODINGS and (not chosen or name in chosen):
                stream = PublishedStream(str(len(streams)), len(streams), kind, name)
                streams.append(stream)
                lines.append(source_line(stream, chosen.get(name, "")))
    return streams, lines


def read_dummies(body: JsonObject) -> list[DummyStream]:
    """``dummy_streams`` of ``create``. :raises RefusedError: 429 or 430."""
    found = []
    for item in messages.read_list(body, "dummy_streams", messages.DUMMY_STREAM):
        messages.check_lengths(item, "fmtp")
        known = (*AUDIO_CODECS, *VIDEO_CODECS)
        if item["codec"].lower() not in known or not item.get("fmtp", "").isprintable():
            text = f"Invalid element (dummy_streams: wanted a codec of {', '.join(known)}, and a line of parameters)"
            raise RefusedError(Code.INVALID_ELEMENT, text)
        found.append(DummyStream(codec=item["codec"].lower(), fmtp=item.get("fmtp", "")))
    return found
