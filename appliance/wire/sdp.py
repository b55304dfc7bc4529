"""Reads session descriptions (RFC 8866) with what WebRTC adds: RFC 8829 (JSEP), 8839 (ICE), 8843 (BUNDLE), 8122
(fingerprints), 8285 (extmap), 8841 (SCTP), 8851 and 8853 (simulcast), 5576 (SSRCs).

Tolerant where agents in the field differ (line ends, absent ``s=`` and ``t=``, unknown attributes, malformed
candidates), strict where a mistake would surface later as a call that fails without a reason.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from appliance.wire.candidate import Candidate, CandidateDecodeError
from appliance.wire.description import (
    Attribute,
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

MAX_TEXT = 256 * 1024
"""Characters."""
MAX_MEDIA = 64
MAX_LINES = 1024
"""Of the session level or of one m-line; Chromium writes some 160 for video."""
MAX_CANDIDATES = 256
"""Of the whole description."""
MAX_FORMATS = 128
"""Of one m-line; there are no more payload types."""

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

_T = TypeVar("_T")
_LETTERS = frozenset("vosiuepcbtrzkamy")
_ICE_CHARS = r"[A-Za-z0-9+/{}]"
_WORD = r"[!#$%&'*+.^_`{|}~A-Za-z0-9-]+"
_STREAMS = r"~?[A-Za-z0-9_-]+(?:[,;]~?[A-Za-z0-9_-]+)*"
_DIRECTIONS = frozenset(way.value for way in Direction)
_SETUPS = frozenset({"active", "passive", "actpass", "holdconn"})


class SdpDecodeError(ValueError):
    """Malformed SDP; says which line, what it holds, and what was wanted."""


class _Line(NamedTuple):
    number: int
    letter: str
    value: str

    def error(self, wanted: str) -> SdpDecodeError:
        text = f"{self.letter}={self.value}"
        if self.value.startswith("ice-pwd:"):  # messages reach logs, and a password must not
            text = f"a=ice-pwd:<{len(self.value) - len('ice-pwd:')} characters>"
        return SdpDecodeError(f"line {self.number} is {_short(text)!r}, wanted {wanted}")


def parse(text: str) -> SessionDescription:
    """Read a description. :raises SdpDecodeError: it is malformed or larger than the bounds of this module."""
    session, *sections = _sections(text)
    if not session or session[0].letter != "v" or session[0].value != "0":
        raise SdpDecodeError(f"line 1 is {_short(text.split(chr(10), 1)[0].strip())!r}, wanted 'v=0'")
    level = _Level(session)
    origin = _origin(level.one("o"))
    common = _Common(level)
    candidates_left = MAX_CANDIDATES
    media: list[MediaDescription] = []
    mids: set[str] = set()
    for lines in sections:
        section = _Level(lines)
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


def _sections(text: str) -> list[list[_Line]]:
    """The session's lines, then those of each m-line."""
    if len(text) > MAX_TEXT:
        raise SdpDecodeError(f"description has {len(text)} characters, wanted at most {MAX_TEXT}")
    sections: list[list[_Line]] = [[]]
    for number, raw in enumerate(text.split("\n"), 1):
        content = raw.removesuffix("\r")
        if not content.strip():
            continue
        if "\r" in content or "\0" in content:
            raise SdpDecodeError(f"line {number} is {_short(content)!r}, wanted no CR or NUL within")
        if len(content) < 2 or content[1] != "=" or content[0] not in _LETTERS:
            raise SdpDecodeError(f"line {number} is {_short(content)!r}, wanted <letter>=<value>")
        line = _Line(number, content[0], content[2:])
        if line.letter == "m":
            if len(sections) > MAX_MEDIA:
                raise line.error(f"at most {MAX_MEDIA} m-lines")
            sections.append([])
        if len(sections[-1]) == MAX_LINES:
            raise line.error(f"at most {MAX_LINES} lines before the next m-line")
        sections[-1].append(line)
    return sections


class _Level:
    """The lines of the session or of one m-line, by letter and by attribute name."""

    def __init__(self, lines: list[_Line]) -> None:
        self.lines = lines
        self.attributes: list[Attribute] = []
        self._by_name: dict[str, list[_Line]] = {}
        for line in lines:
            if line.letter == "a":
                name, colon, value = line.value.partition(":")
                self.attributes.append((name, value if colon else None))
                # The line keeps its whole text for errors; what is asked of it is the part after the colon.
                self._by_name.setdefault(name, []).append(line)

    def one(self, letter: str) -> _Line | None:
        for line in self.lines:
            if line.letter == letter:
                return line
        return None

    def all(self, name: str) -> list[_Line]:
        return self._by_name.get(name, [])

    def has(self, name: str) -> bool:
        return name in self._by_name

    def first(self, name: str, read: Callable[[_Line], _T]) -> _T | None:
        lines = self._by_name.get(name)
        return read(lines[0]) if lines else None

    def connection(self) -> str | None:
        line = self.one("c")
        if line is None:
            return None
        if len(line.value.split(" ")) != 3:
            raise line.error("c=<network> <address type> <address>")
        return line.value

    def bandwidths(self) -> tuple[tuple[str, int], ...]:
        found: list[tuple[str, int]] = []
        for line in self.lines:
            if line.letter == "b":
                match = re.fullmatch(rf"({_WORD}):([0-9]{{1,15}})", line.value)
                if match is None:
                    raise line.error("b=<type>:<number>")
                found.append((match[1], int(match[2])))
        return tuple(found)

    def direction(self) -> Direction | None:
        for name, _ in self.attributes:
            if name in _DIRECTIONS:
                return Direction(name)
        return None


class _Common:
    """What may stand at either level, and counts for every m-line that has none of its own."""

    def __init__(self, level: _Level, fallback: "_Common | None" = None) -> None:
        self.ufrag = level.first("ice-ufrag", lambda line: _ice(line, 4))
        self.pwd = level.first("ice-pwd", lambda line: _ice(line, 22))
        self.options = tuple(word for line in level.all("ice-options") for word in _value(line).split())
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


def _media(level: _Level, session: _Common) -> MediaDescription:
    line = level.lines[0]
    words = line.value.split(" ")
    if len(words) < 4 or not all(words):
        raise line.error("m=<kind> <port> <protocol> <format> ...")
    kind, port, protocol, *formats = words
    if len(formats) > MAX_FORMATS:
        raise line.error(f"at most {MAX_FORMATS} formats")
    if not re.fullmatch(_WORD, kind):
        raise line.error("a token as kind")
    is_rtp = "RTP/" in protocol
    if is_rtp:
        for text in formats:
            _number(line, text, "a payload type", 0, 127)
        if len(set(formats)) != len(formats):
            raise line.error("each payload type once")
    common = _Common(level, session)
    candidates, refused = _candidates(level)
    return MediaDescription(
        kind=kind,
        port=_number(line, port.partition("/")[0], "a port", 0, 65535),
        protocol=protocol,
        formats=tuple(formats),
        connection=level.connection(),
        bandwidths=level.bandwidths(),
        mid=level.first("mid", lambda line: _matched(line, _WORD, "a=mid:<token>")[0]),
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
        codecs=_codecs(level, [int(text) for text in formats]) if is_rtp else {},
        extensions=tuple(_extension(line) for line in level.all("extmap")),
        ssrcs=_ssrcs(level),
        ssrc_groups=tuple(_ssrc_group(line) for line in level.all("ssrc-group")),
        rids=tuple(_rid(line) for line in level.all("rid")),
        simulcast=level.first("simulcast", _simulcast),
        sctp_port=_sctp_port(level),
        max_message_size=level.first(
            "max-message-size", lambda line: _number(line, _value(line), "bytes", 0, 2**63 - 1)
        ),
        msid=level.first("msid", _value),
        attributes=tuple(level.attributes),
    )


def _origin(line: _Line | None) -> Origin:
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


def _group(line: _Line) -> Group:
    semantics, *mids = _value(line).split()
    return Group(semantics, tuple(mids))


def _ice(line: _Line, shortest: int) -> str:
    # RFC 8839 says letters, digits, + and /; Firefox once wrote braces, and nothing breaks by them.
    wanted = f"{shortest}..256 letters, digits, + or /"
    return _matched(line, f"{_ICE_CHARS}{{{shortest},256}}", wanted)[0]


def _fingerprint(line: _Line) -> Fingerprint:
    match = _matched(
        line,
        rf"({_WORD}) ([0-9A-Fa-f]{{2}}(?::[0-9A-Fa-f]{{2}}){{0,127}})",
        "a=fingerprint:<hash> <hex pairs with colons>",
    )
    algorithm, value = match[1].lower(), match[2].upper()
    size = (len(value) + 1) // 3
    if HASH_SIZES.get(algorithm, size) != size:
        raise line.error(f"{HASH_SIZES[algorithm]} bytes of {algorithm}, not {size}")
    return Fingerprint(algorithm, value)


def _setup(line: _Line) -> str:
    value = _value(line)
    if value not in _SETUPS:
        raise line.error("active, passive, actpass or holdconn")
    return value


def _candidates(level: _Level) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    good: list[Candidate] = []
    refused: list[str] = []
    for line in level.all("candidate"):
        try:
            good.append(Candidate.parse(line.value))
        except CandidateDecodeError as problem:
            refused.append(f"line {line.number}: {problem}")
    return tuple(good), tuple(refused)


def _codecs(level: _Level, payload_types: list[int]) -> dict[int, Codec]:
    maps = {number: (name, rate, channels) for number, name, rate, channels in map(_rtpmap, level.all("rtpmap"))}
    formats: dict[int, list[str]] = {}
    for line in level.all("fmtp"):
        match = _matched(line, r"([0-9]{1,3}) +(.*)", "a=fmtp:<payload type> <parameters>")
        formats.setdefault(int(match[1]), []).append(match[2])
    feedback: dict[int | None, list[str]] = {}
    for line in level.all("rtcp-fb"):
        match = _matched(line, r"([0-9]{1,3}|\*) +(\S.*)", "a=rtcp-fb:<payload type or *> <feedback>")
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


def _rtpmap(line: _Line) -> tuple[int, str, int, int]:
    wanted = "a=rtpmap:<payload type> <name>/<clock rate>[/<channels>]"
    match = _matched(line, rf"([0-9]{{1,3}}) +({_WORD})/([0-9]{{1,9}})(?:/([0-9]{{1,3}}))? *", wanted)
    number, rate, channels = int(match[1]), int(match[3]), int(match[4] or 1)
    if number > 127 or rate == 0 or channels == 0:
        raise line.error("payload type 0..127, a clock rate and channels above 0")
    return number, match[2], rate, channels


def _extension(line: _Line) -> HeaderExtension:
    wanted = "a=extmap:<id>[/<direction>] <URI>"
    match = _matched(line, r"([0-9]{1,4})(?:/(sendrecv|sendonly|recvonly|inactive))? +(\S+)(?: +(.*))?", wanted)
    number = int(match[1])
    # RFC 8285 section 7: 4096 to 4351 are placeholders of an offer with too many to number.
    if not (1 <= number <= 255 or 4096 <= number <= 4351):
        raise line.error("an id within 1..255 or 4096..4351")
    return HeaderExtension(number, match[3], Direction(match[2]) if match[2] else None, (match[4] or "").strip())


def _ssrcs(level: _Level) -> tuple[Ssrc, ...]:
    found: dict[int, dict[str, str]] = {}
    for line in level.all("ssrc"):
        match = _matched(line, rf"([0-9]{{1,10}})(?: +({_WORD})(?::(.*))?)?", "a=ssrc:<number> <attribute>:<value>")
        number = _number(line, match[1], "an SSRC", 0, 2**32 - 1)
        values = found.setdefault(number, {})
        if match[2] is not None:
            values.setdefault(match[2], match[3] or "")
    return tuple(Ssrc(number, values.get("cname"), values.get("msid")) for number, values in found.items())


def _ssrc_group(line: _Line) -> SsrcGroup:
    semantics, *numbers = _value(line).split()
    return SsrcGroup(semantics, tuple(_number(line, text, "SSRCs", 0, 2**32 - 1) for text in numbers))


def _rid(line: _Line) -> Rid:
    match = _matched(line, r"([A-Za-z0-9_-]{1,255}) +(send|recv)(?: +(.*))?", "a=rid:<id> send|recv [restrictions]")
    return Rid(match[1], match[2], (match[3] or "").strip())


def _simulcast(line: _Line) -> Simulcast:
    wanted = "a=simulcast:send|recv <rid>[,<rid>][;<rid>] ..."
    words = _value(line).split()
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


def _sctp_port(level: _Level) -> int | None:
    port = level.first("sctp-port", lambda line: _number(line, _value(line), "an SCTP port", 0, 65535))
    if port is not None:
        return port
    # draft-ietf-mmusic-sctp-sdp-05, which older agents still write: a=sctpmap:5000 webrtc-datachannel 1024
    return level.first("sctpmap", lambda line: _number(line, _value(line).split()[0], "an SCTP port", 0, 65535))


def _value(line: _Line) -> str:
    value = line.value.partition(":")[2].strip()
    if not value:
        raise line.error("a value after the colon")
    return value


def _matched(line: _Line, pattern: str, wanted: str) -> "re.Match[str]":
    match = re.fullmatch(pattern, _value(line))
    if match is None:
        raise line.error(wanted)
    return match


def _number(line: _Line, text: str, what: str, lowest: int, highest: int) -> int:
    if re.fullmatch("[0-9]{1,19}", text) and lowest <= int(text) <= highest:
        return int(text)
    raise line.error(f"{what} within {lowest}..{highest}, not {_short(text)!r}")


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."
