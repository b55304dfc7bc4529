"""Statistics by the names of the W3C (https://www.w3.org/TR/webrtc-stats/), for tools that read ``getStats()``.

As the server sees it, a peer like the other: ``inbound-rtp`` is what came from the client. Every value is one of an
event's, in the W3C's units, and what an event does not tell is left out. Left out as well is what the W3C counts in
another way: NACK messages, where events count packets asked for; decoded key frames, where a server sees them begin.

``bytesReceived`` and ``bytesSent`` are without, ``headerBytes*`` are the 12 bytes of each RTP header: of a header's
extensions events do not tell, so that these stand with the payload. Their sum is exact.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from appliance.core.events import (
    CandidateAddress,
    DtlsDetail,
    DtlsState,
    Event,
    MediaStats,
    PairCounters,
    PairStats,
    RtcpReport,
)

JsonObject = dict[str, Any]
RTP_HEADER_BYTES = 12
_NTP_TO_UNIX_S = 2_208_988_800
_TLS_VERSIONS = {"DTLSv1.0": "FEFF", "DTLSv1": "FEFF", "DTLSv1.2": "FEFD", "DTLSv1.3": "FEFC"}


class Name(NamedTuple):
    """One entry of the table: the field of :class:`MediaStats`, what it is called, and what to divide it by."""

    field: str
    name: str
    divisor: float = 1


MEDIA: dict[str, tuple[Name, ...]] = {
    "inbound-rtp": (
        Name("packets_received", "packetsReceived"),
        Name("lost", "packetsLost"),
        Name("jitter_local", "jitter", 1e3),
        Name("jitter_local_us", "jitter", 1e6),
        Name("plis_sent", "pliCount"),
        Name("firs_sent", "firCount"),
        Name("retransmissions_received", "retransmittedPacketsReceived"),
    ),
    "outbound-rtp": (
        Name("packets_sent", "packetsSent"),
        Name("plis_received", "pliCount"),
        Name("firs_received", "firCount"),
        Name("retransmissions_sent", "retransmittedPacketsSent"),
    ),
    "remote-inbound-rtp": (
        Name("lost_by_remote", "packetsLost"),
        Name("jitter_remote", "jitter", 1e3),
        Name("jitter_remote_us", "jitter", 1e6),
        Name("rtt", "roundTripTime", 1e3),
        Name("rtt_us", "roundTripTime", 1e6),
    ),
}
"""By the type of the object. Of two entries of one name the later is the finer, and stands where it is told."""
PAIR: tuple[Name, ...] = (
    Name("nominated", "nominated"),
    Name("requests_sent", "requestsSent"),
    Name("responses_received", "responsesReceived"),
    Name("requests_received", "requestsReceived"),
    Name("responses_sent", "responsesSent"),
    Name("rtt_ms", "currentRoundTripTime", 1e3),
)
"""The same of :class:`PairStats`."""


def stats_of(item: Event) -> Iterator[JsonObject]:
    """The objects that an event makes, each with ``id``, ``type`` and ``timestamp`` (milliseconds since the epoch)."""
    found: Iterator[JsonObject]
    match item.event:
        case MediaStats() as body:
            found = _media(body)
        case PairCounters() as body:
            found = (made for pair in body.pairs for made in _pair(pair))
        case RtcpReport() as body:
            found = _sender_report(body)
        case DtlsDetail() | DtlsState() as body:
            found = iter((_transport(body),))
        case _:
            return
    for one in found:
        yield {"id": one.pop("id"), "type": one.pop("type"), "timestamp": item.timestamp / 1e3, **one}


def _filled(body: MediaStats | PairStats, names: tuple[Name, ...]) -> JsonObject:
    found: JsonObject = {}
    for name in names:
        value = getattr(body, name.field)
        if value is not None:
            found[name.name] = value / name.divisor if name.divisor != 1 else value
    return found


def _media(body: MediaStats) -> Iterator[JsonObject]:
    kind, _, layer = body.media.partition("-")
    if kind not in {"audio", "video"}:
        return
    key = f"{body.mid if body.mid is not None else kind}{f'-{layer}' if layer else ''}"
    about: JsonObject = {"kind": kind} | ({} if body.mid is None else {"mid": body.mid})
    if body.codec is not None:
        codec = {"mimeType": f"{kind}/{body.codec}", **({"clockRate": body.base} if body.base else {})}
        yield {"id": f"codec-{key}", "type": "codec", **codec}
        about["codecId"] = f"codec-{key}"
    came = _filled(body, MEDIA["inbound-rtp"])
    _bytes(came, "Received", body.bytes_received, body.packets_received)
    yield {"id": f"inbound-rtp-{key}", "type": "inbound-rtp", **about, **came}
    if layer:
        # Of the layers one is sent on, and told of with the lowest.
        return
    went = _filled(body, MEDIA["outbound-rtp"])
    _bytes(went, "Sent", body.bytes_sent, body.packets_sent)
    if body.packets_sent is not None:
        # Theirs are among the packets that were sent, ours are beside.
        went["packetsSent"] = body.packets_sent + (body.retransmissions_sent or 0)
    yield {"id": f"outbound-rtp-{key}", "type": "outbound-rtp", **about, **went}
    if body.has_reports is not False:
        reported = _filled(body, MEDIA["remote-inbound-rtp"]) | {"localId": f"outbound-rtp-{key}"}
        # It has no mid of its own, by the W3C.
        about.pop("mid", None)
        yield {"id": f"remote-inbound-rtp-{key}", "type": "remote-inbound-rtp", **about, **reported}


def _bytes(found: JsonObject, way: str, total: int | None, packets: int | None) -> None:
    if total is not None and packets is not None:
        headers = min(total, RTP_HEADER_BYTES * packets)
        found[f"bytes{way}"] = total - headers
        found[f"headerBytes{way}"] = headers


def _pair(pair: PairStats) -> Iterator[JsonObject]:
    ends = []
    for side, end in (("local", pair.local), ("remote", pair.remote)):
        key = f"{side}-candidate-{end.transport}-{end.address}-{end.port}"
        ends.append(key)
        yield {"id": key, "type": f"{side}-candidate", **_candidate(end)}
    state = "succeeded" if pair.responses_received else "in-progress" if pair.requests_sent else "waiting"
    yield {
        "id": "candidate-pair-" + "-".join(key.partition("-candidate-")[2] for key in ends), "type": "candidate-pair",
        "localCandidateId": ends[0], "remoteCandidateId": ends[1], "state": state, **_filled(pair, PAIR),
    }  # fmt: skip


def _candidate(end: CandidateAddress) -> JsonObject:
    return {"address": end.address, "port": end.port, "protocol": end.transport, "candidateType": end.type}


def _sender_report(body: RtcpReport) -> Iterator[JsonObject]:
    info = body.sender_info
    if info is None or body.direction != "in":
        return
    yield {
        "id": f"remote-outbound-rtp-{body.ssrc}", "type": "remote-outbound-rtp", "ssrc": body.ssrc,
        "packetsSent": info.packets, "bytesSent": info.octets,
        "remoteTimestamp": 1e3 * (info.ntp_sec - _NTP_TO_UNIX_S + info.ntp_frac / 2**32),
    }  # fmt: skip


def _transport(body: DtlsDetail | DtlsState) -> JsonObject:
    found: JsonObject = {"id": "transport", "type": "transport"}
    if isinstance(body, DtlsState):
        return found | {"dtlsState": {"trying": "connecting", "created": "new"}.get(body.dtls, body.dtls)}
    told = {
        "dtlsRole": body.role,
        "tlsVersion": _TLS_VERSIONS.get(body.version or ""),
        "dtlsCipher": body.cipher,
        "srtpCipher": body.srtp_profile,
    }
    return found | {name: value for name, value in told.items() if value is not None}
