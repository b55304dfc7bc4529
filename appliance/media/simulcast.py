"""Simulcast as negotiated: one medium in up to three encodings at once (RFC 8853), each a stream of its own.

Encodings are told apart by restriction ids in a header extension (RFC 8851, RFC 8852) or by SSRCs in an
``a=ssrc-group:SIM``. Substream 0 is the lowest, as Janus counts them.
"""

from msgspec import Struct

from appliance.wire.description import MediaDescription, Rid, Simulcast

RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
MAX_SUBSTREAMS = 3


class Encodings(Struct, frozen=True, kw_only=True):
    """What a client sends of one medium, lowest first: ids, or else SSRCs."""

    rids: tuple[str, ...] = ()
    ssrcs: tuple[int, ...] = ()
    lowest_first: bool = False
    """The description lists the lowest first, too."""

    def of_rid(self, rid: bytes | None) -> int | None:
        """The substream of a restriction id; ``None`` where it is none of these."""
        return next((index for index, known in enumerate(self.rids) if known.encode() == rid), None)

    def describe(self) -> tuple[tuple[Rid, ...], Simulcast | None]:
        """What an answer says of it."""
        if not self.rids:
            return (), None
        listed = self.rids if self.lowest_first else self.rids[::-1]
        return tuple(Rid(rid, "recv") for rid in listed), Simulcast(receive=tuple((rid,) for rid in listed))


def offered(media: MediaDescription, *, lowest_first: bool) -> Encodings | None:
    """What an m-line offers to send; ``None`` without simulcast. Beyond three encodings only the first are taken."""
    declared = {rid.id for rid in media.rids if rid.direction == "send"}
    if media.simulcast is not None and any(extension.uri == RID for extension in media.extensions):
        streams = (alternatives[0].removeprefix("~") for alternatives in media.simulcast.send)
        rids = tuple(dict.fromkeys(rid for rid in streams if rid in declared))[:MAX_SUBSTREAMS]
        if len(rids) > 1:
            return Encodings(rids=rids if lowest_first else rids[::-1], lowest_first=lowest_first)
    for group in media.ssrc_groups:
        if group.semantics == "SIM" and len(group.ssrcs) > 1:
            return Encodings(ssrcs=group.ssrcs[:MAX_SUBSTREAMS])
    return None
