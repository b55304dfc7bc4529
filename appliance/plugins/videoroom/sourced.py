"""What participants publish who are no client: streams as a request or the configuration describes them."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from appliance.core.messages import Element, Kind
from appliance.core.peer import SourceLine
from appliance.plugins.videoroom import messages
from appliance.plugins.videoroom.config import AUDIO_CODECS, VIDEO_CODECS, DummyStream, RoomConfig, codecs
from appliance.plugins.videoroom.errors import Code, RefusedError
from appliance.plugins.videoroom.messages import JsonObject
from appliance.plugins.videoroom.streams import EXTENSION_KEYS, PER_KIND, PROFILES, PublishedStream

MAX_SUBSTREAMS = 3
MAX_EXTENSION_ID = 255
FLAGS = {"audio": ("stereo", "fec", "dtx"), "video": ("simulcast", "svc"), "data": ()}
"""What may be said of a stream of each kind."""
STREAM = (
    Element("mid", Kind.STRING, required=True),
    Element("mindex", Kind.POSITIVE, required=True),
    Element("type", Kind.STRING, required=True),
    Element("codec", Kind.STRING),
    Element("description", Kind.STRING),
    Element("disabled", Kind.BOOLEAN),
    *(Element(flag, Kind.BOOLEAN) for flags in FLAGS.values() for flag in flags),
    *(Element(f"{codec}{separator}profile", Kind.STRING) for codec in PROFILES for separator in "_-"),
    *(Element(key, Kind.POSITIVE) for keys in PER_KIND.values() for key in keys),
)
"""Of a remote publisher."""
_MID = re.compile(r"[!-~]{1,64}")
_PROFILE = re.compile(r"[0-9A-Za-z]{1,16}")


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


def source_lines(streams: Sequence[PublishedStream]) -> list[SourceLine]:
    """As the engine is to make them; one that was never sent has no codec, and none is made."""
    return [source_line(one) for one in streams if one.kind != "data" and one.codec is not None]


def read_streams(body: JsonObject, before: Sequence[PublishedStream]) -> list[PublishedStream]:
    """``streams`` of a remote publisher: new ones and changed ones, among those there are.

    What there is stays as it is until :func:`merged`. :raises RefusedError: 429 or 430.
    """
    streams = {one.mid: one for one in before}
    for item in messages.read_list(body, "streams", STREAM):
        stream = _described(item, streams.get(item["mid"]))
        streams[stream.mid] = stream
    by_mindex = {one.mindex: one for one in streams.values()}
    if len(by_mindex) < len(streams) or len(streams) > messages.MAX_STREAMS:
        text = f"Invalid element (streams: wanted at most {messages.MAX_STREAMS}, each with a mindex of its own)"
        raise RefusedError(Code.INVALID_ELEMENT, text)
    return [by_mindex[mindex] for mindex in sorted(by_mindex)]


def merged(before: Sequence[PublishedStream], after: Sequence[PublishedStream]) -> list[PublishedStream]:
    """``after``, in which those that were there before stay the objects that subscribers hold."""
    known = {one.mid: one for one in before}
    for stream in after:
        old = known.setdefault(stream.mid, stream)
        for name in ("codec", "profile", "disabled", "description", "flags", "extension_ids"):
            setattr(old, name, getattr(stream, name))
    return [known[stream.mid] for stream in after]


def _described(item: JsonObject, before: PublishedStream | None) -> PublishedStream:
    mid, kind = item["mid"], item["type"].lower()
    codec = item["codec"].lower() if "codec" in item else None
    known = {"audio": AUDIO_CODECS, "video": VIDEO_CODECS, "data": ()}.get(kind)
    messages.check_lengths(item, "description")
    for right, problem in (
        (_MID.fullmatch(mid), f"mid is '{mid[:64]}', wanted 1 to 64 printable characters"),
        (known is not None, f"type is '{kind[:64]}', wanted audio, video or data"),
        (
            item["mindex"] < messages.MAX_STREAMS,
            f"mindex is {item['mindex']}, wanted at most {messages.MAX_STREAMS - 1}",
        ),
        (
            kind == "data" or (codec is None and item.get("disabled")) or codec in (known or ()),
            f"codec is '{(codec or '')[:64]}', wanted one of {', '.join(known or ())}",
        ),
        (
            before is None or (before.kind, before.mindex) == (kind, item["mindex"]),
            f"mid '{mid[:64]}' is of another m-line",
        ),
    ):
        if not right:
            raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element (streams: {problem})")
    kept = None if before is None else before.codec
    stream = PublishedStream(mid, item["mindex"], kind, None if kind == "data" else codec or kept)
    stream.disabled = item.get("disabled", False)
    stream.description = item.get("description")
    stream.flags = {flag: True for flag in FLAGS[kind] if item.get(flag)}
    stream.profile = next((item[key] for sep in "_-" if (key := f"{codec}{sep}profile") in item), None)
    stream.extension_ids = {key: item[key] for key in PER_KIND.get(kind, ()) if item.get(key)}
    if stream.profile is not None and not _PROFILE.fullmatch(stream.profile):
        text = f"Invalid element (streams: profile is '{stream.profile[:64]}', wanted letters and digits)"
        raise RefusedError(Code.INVALID_ELEMENT, text)
    if any(number > MAX_EXTENSION_ID for number in stream.extension_ids.values()):
        raise RefusedError(Code.INVALID_ELEMENT, f"Invalid element (streams: an id is over {MAX_EXTENSION_ID})")
    return stream
