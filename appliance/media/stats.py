"""What is told of a PeerConnection from time to time and at its end, as events."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from appliance.core.events import DtlsDetail, MediaStats, SlowLink
from appliance.media.dtls import Dtls
from appliance.media.line import Line
from appliance.wire import twcc


def media_stats(lines: Iterable[Line], dtls: Dtls | None) -> Iterator[MediaStats]:
    """One event for each medium in use; a data medium counts DTLS records, as Janus does."""
    is_first = True
    for line in lines:
        if line.is_rtp:
            stats = line.stats()
            if is_first and twcc.EXTENSION in line.extensions:
                sent, arrivals = line.path.sent, line.path.arrivals
                stats = replace(
                    stats,
                    twccs_received=sent.feedbacks_received,
                    twccs_sent=arrivals.feedbacks_sent,
                    send_estimate=sent.estimate.bps if sent.estimate.has_feedback else None,
                )
            is_first = False
            yield stats
            for substream in line.higher_substreams:
                yield line.layer_stats(substream)
        elif line.medium.kind == "application" and not line.medium.rejected:
            yield MediaStats(
                mid=line.medium.mid,
                mindex=line.medium.mindex,
                media="data",
                packets_received=dtls.packets_received if dtls else 0,
                packets_sent=dtls.packets_sent if dtls else 0,
                bytes_received=dtls.bytes_received if dtls else 0,
                bytes_sent=dtls.bytes_sent if dtls else 0,
            )


def slow_links(lines: Iterable[Line], threshold: int) -> Iterator[SlowLink]:
    """Media that lost at least ``threshold`` packets since the last call; a threshold of 0 is none."""
    for line in lines:
        if not line.is_rtp:
            continue
        incoming, outgoing = line.lost_since()
        for lost, word in ((incoming, "downlink"), (outgoing, "uplink")):
            if threshold and lost >= threshold:
                yield SlowLink(mid=line.medium.mid, media=line.medium.kind, slow_link=word, lost_lastsec=lost)


def dtls_detail(dtls: Dtls | None) -> DtlsDetail | None:
    """How the handshake is or was; ``None`` before it has begun."""
    if dtls is None or not dtls.has_begun:
        return None
    return DtlsDetail(
        role=dtls.role,
        version=dtls.version,
        cipher=dtls.cipher,
        srtp_profile=dtls.profile.name if dtls.profile else None,
        fingerprint_expected=" ".join(f"{item.algorithm} {item.value}" for item in dtls.expected) or None,
        fingerprint_received=f"{dtls.found.algorithm} {dtls.found.value}" if dtls.found else None,
        records_received=dict(dtls.records_received),
        records_sent=dict(dtls.records_sent),
        first_fragment_seen=dtls.heard.first_fragment_seen,
        hellos_received=dtls.heard.hellos,
        last_received=dtls.heard.last,
        alert=dtls.last_alert,
    )
