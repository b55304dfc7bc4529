"""From an offer to an answer: which m-lines, codec, feedback and extensions both sides will use (RFC 8829).

Codec-agnostic: nothing is decoded, so anything audio or video is taken, one codec for each m-line. What would need an
engine that reacts (FEC) is left out of answers.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from appliance.core.peer import AnswerPolicy, Medium, MLines, SdpRefusedError
from appliance.media.config import MAX_CANDIDATES, MAX_MEDIA_LINES
from appliance.media.identity import HASHES
from appliance.media.sctp import MAX_MESSAGE_BYTES
from appliance.media.simulcast import REPAIRED_RID, RID, Encodings, offered
from appliance.media.spatial import layers_are_told
from appliance.wire import dependency, sdp, twcc
from appliance.wire.candidate import Candidate
from appliance.wire.description import (
    Codec,
    Direction,
    Fingerprint,
    Group,
    HeaderExtension,
    MediaDescription,
    Origin,
    SessionDescription,
    Ssrc,
    SsrcGroup,
)

_HELPERS = frozenset({"rtx", "red", "ulpfec", "flexfec-03", "flexfec", "cn", "telephone-event"})
"""Codecs that carry no medium of their own."""
FEEDBACK = ("ccm fir", "nack", "nack pli", "goog-remb", "transport-cc")
_MAX_EXTENSION_ID = 14
"""Of the short form (RFC 8285 section 4.2)."""
_DEFAULT_MESSAGE_BYTES = 65_536


class Offer(Struct, frozen=True, kw_only=True):
    """What is needed of an offer, checked."""

    description: SessionDescription
    text: str
    ufrag: str
    pwd: str
    fingerprints: tuple[Fingerprint, ...]
    setup: str
    """actpass, active or passive: the client's."""
    bundled: frozenset[str]
    """Mids that share the one transport."""
    candidates: tuple[str, ...]
    """As they stand in the description, each once."""
    end_of_candidates: bool
    is_ice_lite: bool
    lowest_rid_first: bool = False
    """Simulcast is listed from the lowest to the highest."""
    svc: MLines = frozenset()
    """What the client says it sends in layers."""

    def settled(self) -> "Offer":
        """What is kept of it once it is answered: without its m-lines, of a browser's the larger part of a call."""
        return replace(self, description=replace(self.description, media=()))


class NegotiatedLine(Struct, frozen=True, kw_only=True):
    """One m-line of the answer."""

    medium: Medium
    offered: MediaDescription
    """The other side's, as far as :func:`remembered` keeps it."""
    codec: Codec | None = None
    feedback: tuple[str, ...] = ()
    extensions: tuple[HeaderExtension, ...] = ()
    remote_ssrcs: tuple[int, ...] = ()
    rtx: Codec | None = None
    """The payload type of retransmissions, where both sides want them apart (RFC 4588)."""
    remote_repairs: dict[int, int] = {}
    """SSRCs of the client's retransmissions to those of its media."""
    encodings: Encodings | None = None
    """Simulcast, which the client sends."""
    msid: str | None = None
    """Ours, where it isn't made from the mid."""


def read_offer(text: str, *, lowest_rid_first: bool = False, svc: MLines = frozenset()) -> Offer:
    """Read and check an offer; how long it may be, the API has decided (``api.max_sdp_bytes``).

    :raises SdpRefusedError: it can't be answered; the message says why.
    """
    try:
        description = sdp.parse(text)
    except sdp.SdpDecodeError as error:
        raise SdpRefusedError(str(error)) from None
    if not description.media:
        raise SdpRefusedError("the description has no m-line, wanted at least one")
    if len(description.media) > MAX_MEDIA_LINES:
        raise SdpRefusedError(f"the description has {len(description.media)} m-lines, wanted at most {MAX_MEDIA_LINES}")
    transport = _transport_line(description)
    if transport.ice_ufrag is None or transport.ice_pwd is None:
        raise SdpRefusedError("the description has no ice-ufrag and ice-pwd, wanted both")
    fingerprints = tuple(item for item in transport.fingerprints if item.algorithm in HASHES)
    if not fingerprints:
        raise SdpRefusedError(f"the description has no fingerprint of {', '.join(HASHES)}, wanted one")
    bundle = description.bundle
    mid = transport.mid or "0"
    return Offer(
        description=_without_raw_lines(description),
        text=text,
        ufrag=transport.ice_ufrag,
        pwd=transport.ice_pwd,
        fingerprints=fingerprints,
        setup=transport.setup or "actpass",
        bundled=frozenset(bundle) if mid in bundle else frozenset({mid}),
        candidates=tuple(_candidate_texts(transport)),
        end_of_candidates=transport.end_of_candidates,
        is_ice_lite=description.ice_lite,
        lowest_rid_first=lowest_rid_first,
        svc=svc,
    )


def _without_raw_lines(description: SessionDescription) -> SessionDescription:
    """What is kept as long as the PeerConnection: of a browser's offer the lines as they came are the larger half."""
    media = tuple(replace(item, attributes=()) for item in description.media)
    return replace(description, attributes=(), media=media)


def _transport_line(description: SessionDescription) -> MediaDescription:
    """The m-line whose transport all share: the BUNDLE group's first, else the first that is used."""
    used = [media for media in description.media if media.port or media.bundle_only]
    if not used:
        raise SdpRefusedError("every m-line of the description has port 0, wanted one that is used")
    for mid in description.bundle:
        media = description.media_of(mid)
        if media is not None and (media.port or media.bundle_only):
            return media
    return used[0]


def _candidate_texts(media: MediaDescription) -> Iterator[str]:
    """Of the m-line that carries the bundle: addresses of the others are given up with their transports."""
    seen: set[str] = set()
    for name, value in media.attributes:
        # Malformed ones too: they are counted where candidates are taken.
        if name == "candidate" and value is not None and value not in seen:
            seen.add(value)
            if len(seen) > MAX_CANDIDATES + 1:
                return
            yield value


def negotiate(offer: Offer, policy: AnswerPolicy) -> tuple[NegotiatedLine, ...]:
    """Decide on every m-line of the offer."""
    return tuple(_line(offer, media, index, policy) for index, media in enumerate(offer.description.media))


def _line(offer: Offer, media: MediaDescription, index: int, policy: AnswerPolicy) -> NegotiatedLine:
    mid = str(index) if media.mid is None else media.mid
    is_used = bool(media.port or media.bundle_only) and mid in offer.bundled
    if media.kind == "application" and is_used and policy.data and _is_data_channel(media):
        medium = Medium(mid=mid, mindex=index, kind="application", direction="sendrecv")
        return NegotiatedLine(medium=medium, offered=remembered(media))
    wanted = {"audio": policy.audio, "video": policy.video}.get(media.kind, False)
    codec = _choose(media, policy) if is_used and wanted and media.is_rtp else None
    if codec is None or not _is_usable(media):
        medium = Medium(mid=mid, mindex=index, kind=media.kind, direction="inactive", rejected=True)
        return NegotiatedLine(medium=medium, offered=remembered(media))
    direction = _direction(media, policy)
    encodings = offered(media, lowest_first=offer.lowest_rid_first) if direction.receives else None
    by_rid = encodings is not None and bool(encodings.rids)
    taken = (*policy.extensions, RID, REPAIRED_RID) if by_rid else policy.extensions
    told = {item.uri for item in media.extensions if item.id <= _MAX_EXTENSION_ID}
    svc = (
        direction.receives
        and encodings is None
        and not offer.svc.isdisjoint({mid, index})
        and layers_are_told(codec.name.lower(), told)
    )
    if svc and codec.name.lower() == "av1":
        taken = (*taken, dependency.EXTENSION)
    return NegotiatedLine(
        medium=Medium(
            mid=mid,
            mindex=index,
            kind=media.kind,
            direction=direction.value,
            codec=codec.name.lower(),
            simulcast=encodings is not None,
            svc=svc,
        ),
        offered=remembered(media),
        codec=codec,
        feedback=tuple(item for item in FEEDBACK if item in codec.rtcp_feedback),
        extensions=tuple(
            item
            for item in media.extensions
            if item.uri in taken
            and item.id <= _MAX_EXTENSION_ID
            # Without feedback the client would take every packet for lost.
            and (item.uri != twcc.EXTENSION or "transport-cc" in codec.rtcp_feedback)
        ),
        remote_ssrcs=_sources(media),
        rtx=_retransmission(media, codec),
        remote_repairs=_repairs(media),
        encodings=encodings,
    )


def remembered(media: MediaDescription) -> MediaDescription:
    """Of an m-line what later descriptions repeat, and what data channels ask."""
    return MediaDescription(
        kind=media.kind,
        port=media.port,
        protocol=media.protocol,
        formats=media.formats,
        mid=media.mid,
        rtcp_rsize=media.rtcp_rsize,
        sctp_port=media.sctp_port,
        max_message_size=media.max_message_size,
        msid=media.msid,
    )


def _direction(media: MediaDescription, policy: AnswerPolicy) -> Direction:
    # As Janus's EchoTest: a client that sends nothing has nothing to hear.
    ours = media.direction.reversed
    if policy.receive_only and ours.receives:
        return Direction.RECVONLY
    return Direction.INACTIVE if ours is Direction.SENDONLY else ours


def _choose(media: MediaDescription, policy: AnswerPolicy) -> Codec | None:
    real = [codec for codec in media.codecs.values() if codec.name.lower() not in _HELPERS]
    preferred = policy.audio_codecs if media.kind == "audio" else policy.video_codecs
    for name in map(str.lower, preferred):
        found = [codec for codec in real if codec.name.lower() == name]
        if found:
            return next((codec for codec in found if _has_profile(codec, policy)), found[0])
    return real[0] if real and (policy.other_codecs or not preferred) else None


def _has_profile(codec: Codec, policy: AnswerPolicy) -> bool:
    wanted = {"vp9": ("profile-id", policy.vp9_profile), "h264": ("profile-level-id", policy.h264_profile)}
    parameter, profile = wanted.get(codec.name.lower(), ("", ""))
    return bool(profile) and codec.parameters.get(parameter, "").lower() == profile.lower()


def _is_usable(media: MediaDescription) -> bool:
    # There is one port: RTCP without rtcp-mux would have nowhere to go (RFC 5761 section 5.1.1).
    return "SAVP" in media.protocol and media.rtcp_mux


def _is_data_channel(media: MediaDescription) -> bool:
    return "DTLS/SCTP" in media.protocol and "webrtc-datachannel" in media.formats


def _retransmission(media: MediaDescription, codec: Codec) -> Codec | None:
    """What a client offers for retransmissions of this codec (RFC 4588 section 8.1)."""
    if "nack" not in codec.rtcp_feedback:
        return None
    for other in media.codecs.values():
        if other.name.lower() == "rtx" and other.parameters.get("apt") == str(codec.payload_type):
            return replace(other, rtcp_feedback=())
    return None


def _repairs(media: MediaDescription) -> dict[int, int]:
    """SSRCs of retransmissions to those of what they repeat."""
    pairs = [group.ssrcs for group in media.ssrc_groups if group.semantics == "FID" and len(group.ssrcs) == 2]
    return {repair: source for source, repair in pairs}


def _sources(media: MediaDescription) -> tuple[int, ...]:
    """SSRCs of the medium itself; those of its retransmissions are left out."""
    repairs = _repairs(media)
    return tuple(source.ssrc for source in media.ssrcs if source.ssrc not in repairs)


def remote_data(media: MediaDescription) -> tuple[int, int]:
    """SCTP port, and largest message in bytes (0: any) of a data m-line."""
    port = 5000 if media.sctp_port is None else media.sctp_port
    size = _DEFAULT_MESSAGE_BYTES if media.max_message_size is None else media.max_message_size
    return port, size


class LocalTransport(Struct, frozen=True, kw_only=True):
    """Our side, for the answer."""

    session_id: int
    version: int
    ufrag: str
    pwd: str
    fingerprint: Fingerprint
    is_client: bool
    candidates: tuple[str, ...]
    ssrcs: dict[str, int]
    """By mid."""
    rtx_ssrcs: dict[str, int] = {}
    """Of our retransmissions, by mid."""
    offers: bool = False
    """The description is an offer: who begins DTLS is the client's choice."""
    ice_lite: bool = True


def write_answer(offer: Offer, lines: Sequence[NegotiatedLine], local: LocalTransport) -> str:
    """The answer as text."""
    return write_description(lines, local, bundles=bool(offer.description.bundle))


def write_description(lines: Sequence[NegotiatedLine], local: LocalTransport, *, bundles: bool) -> str:
    """An offer or an answer as text."""
    candidates = tuple(Candidate.parse(text) for text in local.candidates)
    host = candidates[0].address if candidates else "127.0.0.1"
    family = "IP6" if ":" in host else "IP4"
    bundled = tuple(line.medium.mid for line in lines if not line.medium.rejected)
    groups = (Group("BUNDLE", bundled),) if bundles and bundled else ()
    description = SessionDescription(
        origin=Origin(
            session_id=str(local.session_id),
            session_version=str(local.version),
            address_type=family,
            address=host,
        ),
        name="-",
        groups=groups,
        ice_lite=local.ice_lite,
        attributes=(("extmap-allow-mixed", None), ("msid-semantic", " WMS *")),
        media=tuple(_answer_line(line, local, candidates, f"IN {family} {host}") for line in lines),
    )
    return description.serialise()


def _answer_line(
    line: NegotiatedLine, local: LocalTransport, candidates: tuple[Candidate, ...], connection: str
) -> MediaDescription:
    medium, offered = line.medium, line.offered
    has_mid = offered.mid is not None
    if medium.rejected:
        return MediaDescription(
            kind=offered.kind,
            port=0,
            protocol=offered.protocol,
            formats=offered.formats,
            connection="IN IP4 0.0.0.0",
            mid=medium.mid if has_mid else None,
            direction=Direction.INACTIVE,
        )
    transport = MediaDescription(
        kind=offered.kind,
        port=9,
        protocol=offered.protocol,
        formats=offered.formats,
        connection=connection,
        mid=medium.mid if has_mid else None,
        direction=Direction(medium.direction),
        ice_ufrag=local.ufrag,
        ice_pwd=local.pwd,
        fingerprints=(local.fingerprint,),
        setup="actpass" if local.offers else "active" if local.is_client else "passive",
        candidates=candidates,
        end_of_candidates=True,
    )
    if line.codec is None:
        return replace(transport, sctp_port=5000, max_message_size=MAX_MESSAGE_BYTES)
    codec = line.codec
    sends = Direction(medium.direction).sends
    codecs = {codec.payload_type: replace(codec, rtcp_feedback=line.feedback)}
    sources: tuple[Ssrc, ...] = (Ssrc(local.ssrcs[medium.mid], "janus"),) if sends else ()
    groups: tuple[SsrcGroup, ...] = ()
    if line.rtx is not None:
        codecs[line.rtx.payload_type] = line.rtx
        if sends:
            sources += (Ssrc(local.rtx_ssrcs[medium.mid], "janus"),)
            groups = (SsrcGroup("FID", tuple(source.ssrc for source in sources)),)
    rids, simulcast = ((), None) if line.encodings is None else line.encodings.describe()
    return replace(
        transport,
        formats=tuple(map(str, codecs)),
        rtcp_mux=True,
        rtcp_rsize=offered.rtcp_rsize,
        codecs=codecs,
        extensions=tuple(HeaderExtension(item.id, item.uri) for item in line.extensions),
        msid=(line.msid or f"janus janus{medium.mid}") if sends else None,
        ssrcs=sources,
        ssrc_groups=groups,
        rids=rids,
        simulcast=simulcast,
    )
