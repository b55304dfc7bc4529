"""A PeerConnection's live state in the shape of Janus's ``handle_info`` key ``webrtc`` (1.4)."""

from typing import TYPE_CHECKING, Any

from appliance.core.events import MediaStats
from appliance.media.dtls import DtlsStage
from appliance.media.line import Line
from appliance.media.simulcast import REPAIRED_RID, RID, Encodings
from appliance.wire import twcc

if TYPE_CHECKING:
    from appliance.media.dtls import Dtls
    from appliance.media.peer import Peer

_DTLS_STATES = {
    DtlsStage.NEW: "created",
    DtlsStage.TRYING: "trying",
    DtlsStage.CONNECTED: "connected",
    DtlsStage.FAILED: "failed",
    DtlsStage.CLOSED: "failed",
}


def describe(peer: "Peer") -> dict[str, Any]:
    """Times are wall clock, microseconds."""
    found: dict[str, Any] = {"ice": _ice(peer)}
    if peer.dtls is not None:
        found["dtls"] = _dtls(peer, peer.dtls)
    extensions: dict[str, int] = {}
    for line in peer.lines:
        extensions |= line.extensions
    found["extensions"] = extensions
    found["bwe"] = _bandwidth(peer, extensions.get(twcc.EXTENSION))
    found["media"] = {line.medium.mid: _medium(peer, line) for line in peer.lines if not line.medium.rejected}
    return found


def _bandwidth(peer: "Peer", number: int | None) -> dict[str, Any]:
    if number is None:
        return {"twcc": False}
    sent = peer.path.sent
    found: dict[str, Any] = {"twcc": True, "twcc-ext-id": number}
    if sent.estimate.has_feedback:
        found["estimate"] = sent.estimate.bps
        found["acknowledged"] = sent.estimate.arriving_bps
    return found


def _ice(peer: "Peer") -> dict[str, Any]:
    agent = peer.ice
    found: dict[str, Any] = {"stream_id": 1, "component_id": 1, "state": agent.stage.value}
    for name in ("gathered", "connected"):
        if name in peer.moments:
            found[name] = peer.moments[name]
    found["local-candidates"] = [text.removeprefix("candidate:") for text in agent.local.texts]
    if agent.remote.texts:
        found["remote-candidates"] = list(agent.remote.texts)
    if agent.selected is not None:
        found["selected-pair"] = agent.selected.text
    found["ready"] = int(agent.selected is not None)
    return found


def _dtls(peer: "Peer", dtls: "Dtls") -> dict[str, Any]:
    found: dict[str, Any] = {"fingerprint": peer.local_fingerprint}
    if dtls.expected:
        found["remote-fingerprint"] = dtls.expected[0].value
        found["remote-fingerprint-hash"] = dtls.expected[0].algorithm
    found |= {
        "dtls-role": "active" if dtls.is_client else "passive",
        "dtls-state": _DTLS_STATES[dtls.stage],
        "retransmissions": dtls.retransmissions,
        "valid": dtls.stage is DtlsStage.CONNECTED,
        "srtp-profile": dtls.profile.name if dtls.profile else "none",
        "ready": peer.path.ready,
    }
    for name, moment in (("handshake-started", "handshake-started"), ("connected", "dtls-connected")):
        if moment in peer.moments:
            found[name] = peer.moments[moment]
    found["sctp-association"] = peer.channels is not None
    found["stats"] = _both_ways(dtls)
    return found


def _both_ways(dtls: "Dtls") -> dict[str, Any]:
    return {
        "in": {"packets": dtls.packets_received, "bytes": dtls.bytes_received},
        "out": {"packets": dtls.packets_sent, "bytes": dtls.bytes_sent},
    }


def _medium(peer: "Peer", line: Line) -> dict[str, Any]:
    medium = line.medium
    found: dict[str, Any] = {"type": medium.kind, "mindex": medium.mindex, "mid": medium.mid}
    if not line.is_rtp:
        found["type"] = "data"
        found["stats"] = _both_ways(peer.dtls) if peer.dtls is not None else {}
        return found
    if line.remote_msid:
        stream, _, track = line.remote_msid.partition(" ")
        found["msid"] = {"remote-stream": stream, "remote-track": track}
    stats = line.stats()
    ssrcs: dict[str, int] = {"ssrc": line.ssrc} if line.tx is not None else {}
    repeats = line.rtx_payload_type >= 0
    if repeats and line.tx is not None:
        ssrcs["ssrc-rtx"] = line.rtx_ssrc
    for substream in (0, *line.higher_substreams):
        latest = line.latest(substream)
        if latest is None:
            continue
        name = f"ssrc-peer-sim-{substream}" if substream else "ssrc-peer"
        ssrcs[name] = latest.ssrc
        for repair, about in peer.path.repairs.ssrcs.items():
            if about == latest.ssrc:
                ssrcs[f"{name}-rtx"] = repair
    if line.encodings is not None and line.encodings.rids:
        found["rid-simulcast"] = _rids(line, line.encodings)
    layers = [(substream, line.layer_stats(substream)) for substream in line.higher_substreams]
    found |= {
        "do_nacks": line.nacks,
        "nack-queue-ms": 1000,
        "ssrc": ssrcs,
        "direction": {
            "send": medium.direction in {"sendrecv", "sendonly"},
            "recv": medium.direction in {"sendrecv", "recvonly"},
        },
        "codecs": {
            "pt": line.payload_type,
            **({"rtx-pt": line.rtx_payload_type} if repeats else {}),
            "codec": medium.codec,
        },
        "rtcp": {"main": _rtcp(stats), **{f"sim{substream}": _rtcp(layer) for substream, layer in layers}},
        "stats": {
            "in": {
                **_came(stats),
                "nacks": line.nacks_received,
                "retransmissions": stats.retransmissions_received,
                **_keyframes(stats.keyframes_received),
                **{f"video-simulcast-{substream}": _came(layer) for substream, layer in layers},
            },
            "out": {
                "packets": stats.packets_sent,
                "bytes": stats.bytes_sent,
                "bytes_lastsec": stats.bytes_sent_lastsec,
                "nacks": line.nacks_sent,
                **_keyframes(stats.keyframes_sent),
            },
        },
    }
    return found


def _keyframes(count: int | None) -> dict[str, Any]:
    return {} if count is None else {"keyframes": count}


def _rids(line: Line, encodings: Encodings) -> dict[str, Any]:
    found: dict[str, Any] = {"rid": list(encodings.rids), "rid-ext-id": line.extensions[RID]}
    if REPAIRED_RID in line.extensions:
        found["ridrtx-ext-id"] = line.extensions[REPAIRED_RID]
    return found | {"rid-order": "lmh" if encodings.lowest_first else "hml"}


def _rtcp(stats: MediaStats) -> dict[str, Any]:
    return {
        "base": stats.base,
        **({} if stats.rtt is None else {"rtt": stats.rtt}),
        "lost": stats.lost,
        "lost-by-remote": stats.lost_by_remote,
        "jitter-local": stats.jitter_local,
        "jitter-remote": stats.jitter_remote,
        "in-link-quality": stats.in_link_quality,
        "in-media-link-quality": stats.in_media_link_quality,
        "out-link-quality": stats.out_link_quality,
        "out-media-link-quality": stats.out_media_link_quality,
    }


def _came(stats: MediaStats) -> dict[str, Any]:
    return {
        "packets": stats.packets_received,
        "bytes": stats.bytes_received,
        "bytes_lastsec": stats.bytes_received_lastsec,
    }
