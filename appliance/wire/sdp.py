"""Reads session descriptions (RFC 8866) with what WebRTC adds: RFC 8829 (JSEP), 8839 (ICE), 8843 (BUNDLE), 8122
(fingerprints), 8285 (extmap), 8841 (SCTP), 8851 and 8853 (simulcast), 5576 (SSRCs).

Tolerant where agents in the field differ (line ends, absent ``s=`` and ``t=``, unknown attributes, malformed
candidates), strict where a mistake would surface later as a call that fails without a reason.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from appliance.wire.candidate import Candidate, CandidateDecodeError
from appliance.wire.description import (
    Codec,
    Direction,
    Fingerprint,
    Group,
    HeaderExtension,
    MediaDescription,
    Origin,
    Rid,
    SessionDescription,
    Simulcast,
    Ssrc,
    SsrcGroup,
)
from appliance.wire.sdp_lines import MAX_SHARED, WORD, Level, Line, SdpDecodeError, sections, short
from appliance.wire.shared import Shared

__all__ = [
    "Candidate",
    "CandidateDecodeError",
    "Codec",
    "Direction",
    "Fingerprint",
    "Group",
    "HeaderExtension",
    "MediaDescription",
    "Origin",
    "Rid",
    "SdpDecodeError",
    "SessionDescription",
    "Simulcast",
    "Ssrc",
    "SsrcGroup",
    "parse",
]

MAX_CANDIDATES = 256
"""Of the whole description."""
MAX_FORMATS = 128
"""Of one m-line; there are no more payload types."""

MAX_SHARED_TEXT = 16_384
"""Characters of a set of codecs that is kept once for all descriptions."""

STATIC_PAYLOAD_TYPES = {
    0: ("PCMU", 8000, 1),
    3: ("GSM", 8000, 1),
    8: ("PCMA", 8000, 1),
    9: ("G722", 8000, 1),
    13: ("CN", 8000, 1),
    18: ("G729", 8000, 1),
}
"""What RFC 3551 table 4 says of a payload type without an rtpmap."""

HASH_SIZES = {"md5": 16, "sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}

_ICE_CHARS = r"[A-Za-z0-9+/{}]"
_STREAMS = r"~?[A-Za-z0-9_-]+(?:[,;]~?[A-Za-z0-9_-]+)*"
_SETUPS = frozenset({"active", "passive", "actpass", "holdconn"})

_CODECS: Shared[tuple[tuple[str, ...], ...], Mapping[int, Codec]] = Shared(128)
_EXTENSIONS: Shared[str, HeaderExtension] = Shared(256)


def parse(text: str) -> SessionDescription:
    """Read a description. :raises SdpDecodeError: it is malformed or larger than the bounds of this module."""
    session, *rest = sections(text)
    if not session or session[0].letter != "v" or session[0].value != "0":
        raise SdpDecodeError(f"line 1 is {short(text.split(chr(10), 1)[0].strip())!r}, wanted 'v=0'")
    level = Level(session)
    origin = _origin(level.one("o"))
    common = _Common(level)
    candidates_left = MAX_CANDIDATES
    media: list[MediaDescription] = []
    mids: set[str] = set()
    for lines in rest:
        section = Level(lines)
        candidates_left -= len(section.all("candidate"))
        if candidates_left < 0:
            raise SdpDecodeError(f"more than {MAX_CANDIDATES} candidates up to line {lines[-1].number}")
        description = _media(section, common)
        if description.mid is not None:
            if description.mid in mids:
                raise section.all("mid")[0].error("a mid of its own")
            mids.add(description.mid)
        media.append(description)
    name = level.one("s")
    return SessionDescription(
        origin=origin,
        name="-" if name is None else name.value,
        connection=level.connection(),
        bandwidths=level.bandwidths(),
        groups=tuple(_group(line) for line in level.all("group")),
        ice_lite=level.has("ice-lite"),
        ice_ufrag=common.ufrag,
        ice_pwd=common.pwd,
        ice_options=common.options,
        fingerprints=common.fingerprints,
        setup=common.setup,
        direction=common.direction,
        attributes=tuple(level.attributes),
        media=tuple(media),
    )


class _Common:
    """What may stand at either level, and counts for every m-line that has none of its own."""

    def __init__(self, level: Level, fallback: "_Common | None" = None) -> None:
        self.ufrag = level.first("ice-ufrag", lambda line: _ice(line, 4))
        self.pwd = level.first("ice-pwd", lambda line: _ice(line, 22))
        self.options = tuple(word for line in level.all("ice-options") for word in line.content().split())
        self.fingerprints = tuple(_fingerprint(line) for line in level.all("fingerprint"))
        self.setup = level.first("setup", _setup)
        self.direction = level.direction()
        if fallback is not None:
            if self.ufrag is None and self.pwd is None:
                self.ufrag, self.pwd = fallback.ufrag, fallback.pwd
            self.options = self.options or fallback.options
            self.fingerprints = self.fingerprints or fallback.fingerprints
            self.setup = self.setup or fallback.setup
            self.direction = self.direction or fallback.direction


@lru_cache(256)
def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


@lru_cache(256)
def _are_payload_types(formats: tuple[str, ...]) -> bool:
    """Each is one, and there once."""
    is_each = all(text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 128 for text in formats)
    return is_each and len(set(formats)) == len(formats)


def _media(level: Level, session: _Common) -> MediaDescription:
    line = level.lines[0]
    words = _words(line.value) if len(line.value) <= MAX_SHARED else tuple(line.value.split(" "))
    if len(words) < 4 or not all(words):
        raise line.error("m=<kind> <port> <protocol> <format> ...")
    kind, port, protocol = words[:3]
    formats = words[3:]
    if len(formats) > MAX_FORMATS:
        raise line.error(f"at most {MAX_FORMATS} formats")
    if not re.fullmatch(WORD, kind):
        raise line.error("a token as kind")
    is_rtp = "RTP/" in protocol
    if is_rtp and not (len(line.value) <= MAX_SHARED and _are_payload_types(formats)):
        for text in formats:
            line.integer(text, "a payload type", 0, 127)
        if len(set(formats)) != len(formats):
            raise line.error("each payload type once")
    common = _Common(level, session)
    candidates, refused = _candidates(level)
    return MediaDescription(
        kind=kind,
        port=line.integer(port.partition("/")[0], "a port", 0, 65535),
        protocol=protocol,
        formats=formats,
        connection=level.connection(),
        bandwidths=level.bandwidths(),
        mid=level.first("mid", lambda line: line.matched(WORD, "a=mid:<token>")[0]),
        direction=common.direction or Direction.SENDRECV,
        ice_ufrag=common.ufrag,
        ice_pwd=common.pwd,
        ice_options=common.options,
        fingerprints=common.fingerprints,
        setup=common.setup,
        candidates=candidates,
        refused_candidates=refused,
        end_of_candidates=level.has("end-of-candidates"),
        rtcp_mux=level.has("rtcp-mux"),
        rtcp_rsize=level.has("rtcp-rsize"),
        bundle_only=level.has("bundle-only"),
        codecs=_known_codecs(level, formats) if is_rtp else {},
        extensions=tuple(_known_extension(line) for line in level.all("extmap")),
        ssrcs=_ssrcs(level),
        ssrc_groups=tuple(_ssrc_group(line) for line in level.all("ssrc-group")),
        rids=tuple(_rid(line) for line in level.all("rid")),
        simulcast=level.first("simulcast", _simulcast),
        sctp_port=_sctp_port(level),
        max_message_size=level.first(
            "max-message-size", lambda line: line.integer(line.content(), "bytes", 0, 2**63 - 1)
        ),
        msid=level.first("msid", Line.content),
        attributes=tuple(level.attributes),
    )


def _origin(line: Line | None) -> Origin:
    if line is None:
        raise SdpDecodeError("there is no o= line, wanted one before the first m-line")
    words = line.value.split(" ")
    if len(words) != 6 or not all(words):
        raise line.error("o=<user> <session id> <version> <network> <address type> <address>")
    username, session_id, version, network, address_type, address = words
    if not re.fullmatch("[0-9]{1,32}", session_id) or not re.fullmatch("[0-9]{1,32}", version):
        raise line.error("numbers as session id and version")
    return Origin(
        username=username,
        session_id=session_id,
        session_version=version,
        network=network,
        address_type=address_type,
        address=address,
    )


def _group(line: Line) -> Group:
    semantics, *mids = line.content().split()
    return Group(semantics, tuple(mids))


def _ice(line: Line, shortest: int) -> str:
    # RFC 8839 says letters, digits, + and /; Firefox once wrote braces, and nothing breaks by them.
    wanted = f"{shortest}..256 letters, digits, + or /"
    return line.matched(f"{_ICE_CHARS}{{{shortest},256}}", wanted)[0]


def _fingerprint(line: Line) -> Fingerprint:
    match = line.matched(
        rf"({WORD}) ([0-9A-Fa-f]{{2}}(?::[0-9A-Fa-f]{{2}}){{0,127}})",
        "a=fingerprint:<hash> <hex pairs with colons>",
    )
    algorithm, value = match[1].lower(), match[2].upper()
    size = (len(value) + 1) // 3
    if HASH_SIZES.get(algorithm, size) != size:
        raise line.error(f"{HASH_SIZES[algorithm]} bytes of {algorithm}, not {size}")
    return Fingerprint(algorithm, value)


def _setup(line: Line) -> str:
    value = line.content()
    if value not in _SETUPS:
        raise line.error("active, passive, actpass or holdconn")
    return value


def _candidates(level: Level) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    good: list[Candidate] = []
    refused: list[str] = []
    for line in level.all("candidate"):
        try:
            good.append(Candidate.parse(line.value))
        except CandidateDecodeError as problem:
            refused.append(f"line {line.number}: {problem}")
    return tuple(good), tuple(refused)


def _known_codecs(level: Level, formats: tuple[str, ...]) -> Mapping[int, Codec]:
    """Those of one browser are the same in all of its calls."""
    key = (formats, *(tuple(line.value for line in level.all(name)) for name in ("rtpmap", "fmtp", "rtcp-fb")))
    payload_types = [int(text) for text in formats]
    if sum(len(text) for texts in key for text in texts) > MAX_SHARED_TEXT:
        return _codecs(level, payload_types)
    return _CODECS.of(key, lambda: _codecs(level, payload_types))


def _codecs(level: Level, payload_types: list[int]) -> dict[int, Codec]:
    maps = {number: (name, rate, channels) for number, name, rate, channels in map(_rtpmap, level.all("rtpmap"))}
    formats: dict[int, list[str]] = {}
    for line in level.all("fmtp"):
        match = line.matched(r"([0-9]{1,3}) +(.*)", "a=fmtp:<payload type> <parameters>")
        formats.setdefault(int(match[1]), []).append(match[2])
    feedback: dict[int | None, list[str]] = {}
    for line in level.all("rtcp-fb"):
        match = line.matched(r"([0-9]{1,3}|\*) +(\S.*)", "a=rtcp-fb:<payload type or *> <feedback>")
        feedback.setdefault(None if match[1] == "*" else int(match[1]), []).append(match[2].rstrip())
    codecs: dict[int, Codec] = {}
    for number in payload_types:
        known = maps.get(number) or STATIC_PAYLOAD_TYPES.get(number)
        if known is None:
            continue
        name, rate, channels = known
        codecs[number] = Codec(
            payload_type=number,
            name=name,
            clock_rate=rate,
            channels=channels,
            fmtp=";".join(formats[number]) if number in formats else None,
            rtcp_feedback=tuple(feedback.get(number, []) + feedback.get(None, [])),
        )
    return codecs


def _rtpmap(line: Line) -> tuple[int, str, int, int]:
    wanted = "a=rtpmap:<payload type> <name>/<clock rate>[/<channels>]"
    match = line.matched(rf"([0-9]{{1,3}}) +({WORD})/([0-9]{{1,9}})(?:/([0-9]{{1,3}}))? *", wanted)
    number, rate, channels = int(match[1]), int(match[3]), int(match[4] or 1)
    if number > 127 or rate == 0 or channels == 0:
        raise line.error("payload type 0..127, a clock rate and channels above 0")
    return number, match[2], rate, channels


def _known_extension(line: Line) -> HeaderExtension:
    return _extension(line) if len(line.value) > MAX_SHARED else _EXTENSIONS.of(line.value, lambda: _extension(line))


def _extension(line: Line) -> HeaderExtension:
    wanted = "a=extmap:<id>[/<direction>] <URI>"
    match = line.matched(r"([0-9]{1,4})(?:/(sendrecv|sendonly|recvonly|inactive))? +(\S+)(?: +(.*))?", wanted)
    number = int(match[1])
    # RFC 8285 section 7: 4096 to 4351 are placeholders of an offer with too many to number.
    if not (1 <= number <= 255 or 4096 <= number <= 4351):
        raise line.error("an id within 1..255 or 4096..4351")
    return HeaderExtension(number, match[3], Direction(match[2]) if match[2] else None, (match[4] or "").strip())


def _ssrcs(level: Level) -> tuple[Ssrc, ...]:
    found: dict[int, dict[str, str]] = {}
    for line in level.all("ssrc"):
        match = line.matched(rf"([0-9]{{1,10}})(?: +({WORD})(?::(.*))?)?", "a=ssrc:<number> <attribute>:<value>")
        number = line.integer(match[1], "an SSRC", 0, 2**32 - 1)
        values = found.setdefault(number, {})
        if match[2] is not None:
            values.setdefault(match[2], match[3] or "")
    return tuple(Ssrc(number, values.get("cname"), values.get("msid")) for number, values in found.items())


def _ssrc_group(line: Line) -> SsrcGroup:
    semantics, *numbers = line.content().split()
    return SsrcGroup(semantics, tuple(line.integer(text, "SSRCs", 0, 2**32 - 1) for text in numbers))


def _rid(line: Line) -> Rid:
    match = line.matched(r"([A-Za-z0-9_-]{1,255}) +(send|recv)(?: +(.*))?", "a=rid:<id> send|recv [restrictions]")
    return Rid(match[1], match[2], (match[3] or "").strip())


def _simulcast(line: Line) -> Simulcast:
    wanted = "a=simulcast:send|recv <rid>[,<rid>][;<rid>] ..."
    words = line.content().split()
    if len(words) not in {2, 4}:
        raise line.error(wanted)
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    for way, text in zip(words[::2], words[1::2], strict=True):
        if (
            way not in {"send", "recv"}
            or way in found
            or not re.fullmatch(r"~?[\w-]+(?:[,;]~?[\w-]+)*", text, re.ASCII)
        ):
            raise line.error(wanted)
        found[way] = tuple(tuple(stream.split(",")) for stream in text.split(";"))
    return Simulcast(found.get("send", ()), found.get("recv", ()))


def _sctp_port(level: Level) -> int | None:
    port = level.first("sctp-port", lambda line: line.integer(line.content(), "an SCTP port", 0, 65535))
    if port is not None:
        return port
    # draft-ietf-mmusic-sctp-sdp-05, which older agents still write: a=sctpmap:5000 webrtc-datachannel 1024
    return level.first("sctpmap", lambda line: line.integer(line.content().split()[0], "an SCTP port", 0, 65535))
