"""Offers of ours, through which a client hears others, and what its answer makes of them (RFC 8829, RFC 9143).

One PeerConnection carries the media of many: payload types and header extension ids have one meaning in all its
m-lines and for as long as it lives, so they are given out by a :class:`Numbering`, as the source has them where that
is free, which spares every packet a rewrite.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from appliance.core.peer import Medium, OfferLine, SdpRefusedError
from appliance.media.config import MAX_MEDIA_LINES
from appliance.media.line import Line
from appliance.media.negotiation import FEEDBACK, NegotiatedLine, Offer, read_offer, remembered
from appliance.media.simulcast import REPAIRED_RID, RID
from appliance.wire import twcc
from appliance.wire.description import Codec, Direction, HeaderExtension, MediaDescription

UNSENT = frozenset(
    {
        # A mid names a line of the source's own description; streams are told apart by their SSRCs.
        "urn:ietf:params:rtp-hdrext:sdes:mid",
        # One encoding goes on, whichever it is.
        RID,
        REPAIRED_RID,
        # Times of several senders' clocks in one PeerConnection would spoil the receiver's estimate.
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    }
)
"""Header extensions that are not passed on from one client to another."""
_RTX = 97
"""Retransmissions, where that is free."""
_DYNAMIC: tuple[int, ...] = (*range(96, 128), *range(35, 64))
"""Payload types that mean what a description says (RFC 5761 section 4 leaves these beside RTCP)."""


class Numbering:
    """Payload types and extension ids of one PeerConnection."""

    def __init__(self) -> None:
        self._payload_types: dict[int, tuple[str, int, int, str | None]] = {}
        self._extensions: dict[str, int] = {}

    def payload_type(self, codec: Codec) -> int:
        """The same for the same codec and parameters. :raises SdpRefusedError: there is none left."""
        wanted = (codec.name.lower(), codec.clock_rate, codec.channels, codec.fmtp)
        for number, meaning in self._payload_types.items():
            if meaning == wanted:
                return number
        for number in (codec.payload_type, *_DYNAMIC):
            if number not in self._payload_types:
                self._payload_types[number] = wanted
                return number
        raise SdpRefusedError("every payload type is in use already")

    def extension(self, uri: str, wanted: int) -> int | None:
        """The same for the same URI; ``None`` when all 14 are in use."""
        found = self._extensions.get(uri)
        if found is not None:
            return found
        used = set(self._extensions.values())
        free = next((number for number in (wanted, *range(1, 15)) if number not in used), None)
        if free is not None:
            self._extensions[uri] = free
        return free


class Wanted(Struct, frozen=True):
    """An m-line to offer, with the source's line when it has one."""

    line: OfferLine
    source: Line | None


def plan(wanted: Sequence[Wanted], before: Sequence[NegotiatedLine], numbering: Numbering) -> list[NegotiatedLine]:
    """The m-lines of an offer. :raises SdpRefusedError: they can't be offered, and why."""
    if not 0 < len(wanted) <= MAX_MEDIA_LINES:
        raise SdpRefusedError(f"the offer has {len(wanted)} m-lines, wanted 1..{MAX_MEDIA_LINES}")
    if len({item.line.mid for item in wanted}) < len(wanted):
        raise SdpRefusedError("two m-lines have the same mid")
    if len(wanted) < len(before):
        raise SdpRefusedError(f"the offer has {len(wanted)} m-lines, wanted the {len(before)} there are")
    for item, known in zip(wanted, before, strict=False):
        if (item.line.mid, item.line.kind) != (known.medium.mid, known.medium.kind):
            text = f"{item.line.kind} {item.line.mid}, wanted {known.medium.kind} {known.medium.mid}"
            raise SdpRefusedError(f"m-line {known.medium.mindex} is {text}")
    planned: list[NegotiatedLine] = []
    for index, item in enumerate(wanted):
        planned.append(_line(index, item, before[index] if index < len(before) else None, numbering))
    return planned


def _line(index: int, item: Wanted, before: NegotiatedLine | None, numbering: Numbering) -> NegotiatedLine:
    line, source = item.line, item.source
    if line.kind == "application":
        medium = Medium(mid=line.mid, mindex=index, kind=line.kind, direction="sendrecv")
        skeleton = MediaDescription(
            kind=line.kind, port=9, protocol="UDP/DTLS/SCTP", formats=("webrtc-datachannel",), mid=line.mid
        )
        return NegotiatedLine(medium=medium, offered=skeleton)
    if source is None or source.codec is None:
        if line.source is not None:
            raise SdpRefusedError(f"m-line {index}: there is no {line.kind} {line.source_mid} at its source")
        if before is None or before.codec is None:
            raise SdpRefusedError(f"m-line {index} has no source, wanted one the first time")
        return replace(before, medium=replace(before.medium, direction="inactive", rejected=False))
    if source.medium.kind != line.kind:
        raise SdpRefusedError(f"m-line {index} is {line.kind}, its source is {source.medium.kind}")
    feedback: tuple[str, ...] = FEEDBACK if line.kind == "video" else ("transport-cc",)
    if twcc.EXTENSION not in source.extensions:
        feedback = tuple(item for item in feedback if item != "transport-cc")
    codec = replace(source.codec, payload_type=numbering.payload_type(source.codec), rtcp_feedback=feedback)
    rtx: Codec | None = None
    if line.kind == "video":
        rtx = Codec(payload_type=_RTX, name="rtx", clock_rate=codec.clock_rate, fmtp=f"apt={codec.payload_type}")
        rtx = replace(rtx, payload_type=numbering.payload_type(rtx))
    extensions: list[HeaderExtension] = []
    for uri, number in source.extensions.items():
        own = None if uri in UNSENT else numbering.extension(uri, number)
        if own is not None:
            extensions.append(HeaderExtension(own, uri))
    return NegotiatedLine(
        medium=Medium(mid=line.mid, mindex=index, kind=line.kind, direction="sendonly", codec=codec.name.lower()),
        offered=MediaDescription(
            kind=line.kind,
            port=9,
            protocol="UDP/TLS/RTP/SAVPF",
            formats=(str(codec.payload_type),),
            mid=line.mid,
            rtcp_rsize=True,
        ),
        codec=codec,
        rtx=rtx,
        feedback=feedback,
        extensions=tuple(extensions),
        msid=line.msid,
    )


def read_answer(text: str, offered: Sequence[NegotiatedLine]) -> tuple[Offer, tuple[NegotiatedLine, ...]]:
    """What the client agrees to. :raises SdpRefusedError: it doesn't answer our offer."""
    answer = read_offer(text)
    media = answer.description.media
    if len(media) != len(offered):
        raise SdpRefusedError(f"the answer has {len(media)} m-lines, wanted {len(offered)} as in the offer")
    if answer.setup not in {"active", "passive"}:
        raise SdpRefusedError(f"the answer's setup is {answer.setup}, wanted active or passive")
    return answer, tuple(_agreed(theirs, ours, answer) for theirs, ours in zip(media, offered, strict=True))


def _agreed(theirs: MediaDescription, ours: NegotiatedLine, answer: Offer) -> NegotiatedLine:
    medium = ours.medium
    if theirs.kind != medium.kind or theirs.mid not in {None, medium.mid}:
        found = f"{theirs.kind} {theirs.mid}"
        raise SdpRefusedError(f"m-line {medium.mindex} is {found}, wanted {medium.kind} {medium.mid}")
    accepts = bool(theirs.port) and (medium.mid in answer.bundled or theirs.mid is None)
    if ours.codec is None:
        return replace(ours, offered=remembered(theirs), medium=replace(medium, rejected=not accepts))
    if not accepts or str(ours.codec.payload_type) not in theirs.formats:
        return replace(ours, medium=replace(medium, direction="inactive", rejected=not accepts))
    sends = medium.direction == "sendonly" and theirs.direction.receives
    known = theirs.codecs.get(ours.codec.payload_type)
    spoken = () if known is None else known.rtcp_feedback
    uris = {extension.uri for extension in theirs.extensions}
    return replace(
        ours,
        medium=replace(medium, direction=(Direction.SENDONLY if sends else Direction.INACTIVE).value),
        feedback=tuple(item for item in ours.feedback if item in spoken),
        rtx=ours.rtx if ours.rtx is not None and str(ours.rtx.payload_type) in theirs.formats else None,
        extensions=tuple(item for item in ours.extensions if item.uri in uris),
    )
