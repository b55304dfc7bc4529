"""A session description as values, and how it is written (RFC 8866 and the WebRTC attributes of RFC 8829).

:func:`appliance.wire.sdp.parse` makes these from text. To write one, fill the typed fields; a line that no typed
field covers goes into ``attributes``.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from appliance.wire.candidate import Candidate

Attribute = tuple[str, str | None]
"""Name, and value or ``None`` for a flag."""


class Direction(StrEnum):
    """Which way media flows, seen from whoever wrote the description."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """The writer sends."""
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        """The writer receives."""
        return self in {Direction.SENDRECV, Direction.RECVONLY}

    @property
    def reversed(self) -> "Direction":
        """The same flow seen from the other side."""
        return direction(sends=self.receives, receives=self.sends)


def direction(*, sends: bool, receives: bool) -> Direction:
    """The direction of whoever does these."""
    if sends:
        return Direction.SENDRECV if receives else Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


class Fingerprint(Struct, frozen=True):
    """Hash of a certificate (RFC 8122 section 5)."""

    algorithm: str
    """Lower case, such as sha-256."""
    value: str
    """Upper-case hexadecimal with colons."""


class Origin(Struct, frozen=True, kw_only=True):
    """The ``o=`` line."""

    username: str = "-"
    session_id: str
    session_version: str
    network: str = "IN"
    address_type: str = "IP4"
    address: str = "127.0.0.1"


class Group(Struct, frozen=True):
    """``a=group`` (RFC 5888): semantics such as BUNDLE, and mids."""

    semantics: str
    mids: tuple[str, ...]


class Codec(Struct, frozen=True, kw_only=True):
    """One payload type of an m-line: rtpmap, fmtp and rtcp-fb."""

    payload_type: int
    name: str
    """As written; compare without case."""
    clock_rate: int
    channels: int = 1
    fmtp: str | None = None
    rtcp_feedback: tuple[str, ...] = ()
    """Such as ``nack pli``; those for ``*`` are in every codec."""

    @property
    def parameters(self) -> dict[str, str]:
        """``fmtp`` as names (lower case) and values; a value without ``=`` has the empty name."""
        found: dict[str, str] = {}
        for part in (self.fmtp or "").split(";"):
            name, equals, value = part.strip().partition("=")
            if name:
                found.setdefault(*((name.strip().lower(), value.strip()) if equals else ("", name)))
        return found


class HeaderExtension(Struct, frozen=True):
    """``a=extmap`` (RFC 8285)."""

    id: int
    uri: str
    direction: Direction | None = None
    parameters: str = ""


class Ssrc(Struct, frozen=True):
    """``a=ssrc`` lines of one source (RFC 5576)."""

    ssrc: int
    cname: str | None = None
    msid: str | None = None


class SsrcGroup(Struct, frozen=True):
    """``a=ssrc-group``: FID is media and its retransmission, SIM simulcast."""

    semantics: str
    ssrcs: tuple[int, ...]


class Rid(Struct, frozen=True):
    """``a=rid`` (RFC 8851)."""

    id: str
    direction: str
    """send or recv, from the writer."""
    restrictions: str = ""


class Simulcast(Struct, frozen=True):
    """``a=simulcast`` (RFC 8853): streams, each with its alternatives; ``~`` before a paused one."""

    send: tuple[tuple[str, ...], ...] = ()
    receive: tuple[tuple[str, ...], ...] = ()


class MediaDescription(Struct, frozen=True, kw_only=True):
    """One m-line and what follows it.

    What is absent here and stands at session level (ICE credentials, options, fingerprints, setup, direction) is
    filled in when parsed.
    """

    kind: str
    """audio, video, application, ..."""
    port: int
    """0 rejects, except in a bundle-only m-line of an offer."""
    protocol: str
    """Such as UDP/TLS/RTP/SAVPF."""
    formats: tuple[str, ...]
    """As on the m-line: payload types, or webrtc-datachannel."""
    connection: str | None = None
    """The ``c=`` line's value."""
    bandwidths: tuple[tuple[str, int], ...] = ()
    """``b=``: AS in kbit/s, TIAS in bit/s."""
    mid: str | None = None
    direction: Direction = Direction.SENDRECV
    ice_ufrag: str | None = None
    ice_pwd: str | None = None
    ice_options: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str | None = None
    """active, passive, actpass or holdconn."""
    candidates: tuple[Candidate, ...] = ()
    refused_candidates: tuple[str, ...] = ()
    """Why each malformed candidate was left out: one of them must not cost the call."""
    end_of_candidates: bool = False
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    bundle_only: bool = False
    codecs: Mapping[int, Codec] = {}
    """By payload type, in the order of the m-line; a format without rtpmap and without a static meaning is absent."""
    extensions: tuple[HeaderExtension, ...] = ()
    ssrcs: tuple[Ssrc, ...] = ()
    ssrc_groups: tuple[SsrcGroup, ...] = ()
    rids: tuple[Rid, ...] = ()
    simulcast: Simulcast | None = None
    sctp_port: int | None = None
    max_message_size: int | None = None
    """Bytes; 0 is no limit; ``None`` means 65536 (RFC 8841 section 6.1)."""
    msid: str | None = None
    """Stream and track id, one space between."""
    attributes: tuple[Attribute, ...] = ()
    """Every ``a=`` line as it came."""

    @property
    def is_rtp(self) -> bool:
        """The formats are payload types."""
        return "RTP/" in self.protocol

    def lines(self) -> Iterator[str]:
        """The lines without their ends."""
        yield f"m={self.kind} {self.port} {self.protocol} {' '.join(self.formats)}"
        if self.connection is not None:
            yield f"c={self.connection}"
        for kind, limit in self.bandwidths:
            yield f"b={kind}:{limit}"
        yield from _optional("mid", self.mid)
        if self.is_rtp or self.direction is not Direction.SENDRECV:
            yield f"a={self.direction.value}"
        yield from _optional("msid", self.msid)
        yield from _transport(self.ice_ufrag, self.ice_pwd, self.ice_options, self.fingerprints, self.setup)
        yield from _flag("bundle-only", self.bundle_only)
        yield from _flag("rtcp-mux", self.rtcp_mux)
        yield from _flag("rtcp-rsize", self.rtcp_rsize)
        for extension in self.extensions:
            way = f"/{extension.direction.value}" if extension.direction else ""
            yield f"a=extmap:{extension.id}{way} {extension.uri} {extension.parameters}".rstrip(" ")
        for codec in self.codecs.values():
            yield from _codec(codec)
        for rid in self.rids:
            yield f"a=rid:{rid.id} {rid.direction} {rid.restrictions}".rstrip(" ")
        if self.simulcast is not None:
            yield from _simulcast(self.simulcast)
        for group in self.ssrc_groups:
            yield f"a=ssrc-group:{group.semantics} {' '.join(map(str, group.ssrcs))}"
        for source in self.ssrcs:
            if source.cname is not None:
                yield f"a=ssrc:{source.ssrc} cname:{source.cname}"
            if source.msid is not None:
                yield f"a=ssrc:{source.ssrc} msid:{source.msid}"
        yield from _optional("sctp-port", self.sctp_port)
        yield from _optional("max-message-size", self.max_message_size)
        yield from _other(self.attributes, MEDIA_ATTRIBUTES)
        for candidate in self.candidates:
            yield f"a={candidate.to_sdp()}"
        yield from _flag("end-of-candidates", self.end_of_candidates)


class SessionDescription(Struct, frozen=True, kw_only=True):
    """A whole description."""

    origin: Origin
    name: str = "-"
    connection: str | None = None
    bandwidths: tuple[tuple[str, int], ...] = ()
    groups: tuple[Group, ...] = ()
    ice_lite: bool = False
    ice_ufrag: str | None = None
    ice_pwd: str | None = None
    ice_options: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str | None = None
    direction: Direction | None = None
    attributes: tuple[Attribute, ...] = ()
    """Every session-level ``a=`` line as it came."""
    media: tuple[MediaDescription, ...] = ()

    @property
    def bundle(self) -> tuple[str, ...]:
        """Mids of the first BUNDLE group, the tagged one first; empty without one."""
        for group in self.groups:
            if group.semantics.upper() == "BUNDLE":
                return group.mids
        return ()

    def media_of(self, mid: str) -> MediaDescription | None:
        """The m-line of that mid."""
        for media in self.media:
            if media.mid == mid:
                return media
        return None

    def serialise(self) -> str:
        """The text, with CRLF line ends.

        :raises ValueError: a value holds a line end or NUL, and so would become a line of its own.
        """
        lines = list(self.lines())
        for line in lines:
            if "\r" in line or "\n" in line or "\0" in line:
                raise ValueError(f"line {line!r} holds a line end or NUL, wanted neither")
        return "\r\n".join(lines) + "\r\n"

    def lines(self) -> Iterator[str]:
        """The lines without their ends."""
        origin = self.origin
        yield "v=0"
        yield (
            f"o={origin.username} {origin.session_id} {origin.session_version}"
            f" {origin.network} {origin.address_type} {origin.address}"
        )
        yield f"s={self.name}"
        if self.connection is not None:
            yield f"c={self.connection}"
        for kind, limit in self.bandwidths:
            yield f"b={kind}:{limit}"
        yield "t=0 0"
        for group in self.groups:
            yield " ".join((f"a=group:{group.semantics}", *group.mids))
        yield from _flag("ice-lite", self.ice_lite)
        yield from _transport(self.ice_ufrag, self.ice_pwd, self.ice_options, self.fingerprints, self.setup)
        if self.direction is not None:
            yield f"a={self.direction.value}"
        yield from _other(self.attributes, SESSION_ATTRIBUTES)
        for media in self.media:
            yield from media.lines()


_TRANSPORT_ATTRIBUTES = frozenset({"ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup"})
_DIRECTIONS = frozenset(way.value for way in Direction)

SESSION_ATTRIBUTES = _TRANSPORT_ATTRIBUTES | _DIRECTIONS | {"group", "ice-lite"}
"""Those with a typed field in :class:`SessionDescription`."""

MEDIA_ATTRIBUTES = (
    _TRANSPORT_ATTRIBUTES
    | _DIRECTIONS
    | {"mid", "msid", "candidate", "end-of-candidates", "bundle-only", "rtcp-mux", "rtcp-rsize", "extmap"}
    | {"rtpmap", "fmtp", "rtcp-fb", "rid", "simulcast", "ssrc", "ssrc-group"}
    | {"sctp-port", "sctpmap", "max-message-size"}
)
"""Those with a typed field in :class:`MediaDescription`."""


def _flag(name: str, present: bool) -> Iterator[str]:
    if present:
        yield f"a={name}"


def _optional(name: str, value: str | int | None) -> Iterator[str]:
    if value is not None:
        yield f"a={name}:{value}"


def _transport(
    ufrag: str | None,
    pwd: str | None,
    options: tuple[str, ...],
    fingerprints: tuple[Fingerprint, ...],
    setup: str | None,
) -> Iterator[str]:
    yield from _optional("ice-ufrag", ufrag)
    yield from _optional("ice-pwd", pwd)
    yield from _optional("ice-options", " ".join(options) or None)
    for fingerprint in fingerprints:
        yield f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}"
    yield from _optional("setup", setup)


def _codec(codec: Codec) -> Iterator[str]:
    channels = f"/{codec.channels}" if codec.channels != 1 else ""
    yield f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}"
    for feedback in codec.rtcp_feedback:
        yield f"a=rtcp-fb:{codec.payload_type} {feedback}"
    if codec.fmtp is not None:
        yield f"a=fmtp:{codec.payload_type} {codec.fmtp}"


def _simulcast(simulcast: Simulcast) -> Iterator[str]:
    parts = [
        f"{way} {';'.join(','.join(stream) for stream in streams)}"
        for way, streams in (("send", simulcast.send), ("recv", simulcast.receive))
        if streams
    ]
    if parts:
        yield f"a=simulcast:{' '.join(parts)}"


def _other(attributes: tuple[Attribute, ...], covered: frozenset[str]) -> Iterator[str]:
    for name, value in attributes:
        if name not in covered:
            yield f"a={name}" if value is None else f"a={name}:{value}"
