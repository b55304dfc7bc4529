"""What the demo prints, and what it holds that a whole call has."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HEP_NAMES = {1: "SIP (offer, answer, hangup)", 5: "RTCP", 100: "log (ICE, DTLS, media, verdict)"}
METRIC_LINES = 14


def _number(value: float | None, scale: float, unit: str) -> str:
    return "not measured" if value is None else f"{value * scale:.1f} {unit}"


def report(explained: dict[str, Any], decoded: Mapping[int, int], metrics: Sequence[str]) -> Iterator[str]:
    """The lines."""
    yield ""
    yield "Phases"
    for phase in explained["phases"]:
        took = "" if phase["duration_us"] is None else f"{phase['duration_us'] / 1000:9.1f} ms"
        yield f"  {phase['name']:<12} {phase['outcome']:<8} {took}"
    yield f"Selected pair  {explained['selected_pair']}"
    dtls = explained["dtls"] or {}
    yield f"DTLS           {dtls.get('version')}, {dtls.get('cipher')}, {dtls.get('srtp_profile')}"
    yield "Tracks (from the client / to the client)"
    for track in explained["tracks"]:
        if track["kind"] == "data":
            continue
        yield (
            f"  {track['kind']:<6} {track['codec'] or '':<6} packets {track['packets_in']} / {track['packets_out']}, "
            f"loss {_number(track['loss_in'], 100, '%')} / {_number(track['loss_out'], 100, '%')}, "
            f"jitter {_number(track['jitter_ms'], 1, 'ms')}, round trip {_number(track['rtt_ms'], 1, 'ms')}"
        )
    verdict = explained["verdict"]
    yield f"Verdict        {verdict['code']}: {verdict['sentence']}"
    proof = len(explained["evidence"])
    yield f"               to act: {verdict['actor']}; {verdict['confidence']}; {proof} events prove it"
    yield "HEP packets that the listener decoded"
    for kind, count in sorted(decoded.items()):
        yield f"  type {kind:<4} {count:>4}  {HEP_NAMES.get(kind, '')}"
    yield "Metrics while it was up"
    for line in metrics[:METRIC_LINES]:
        yield f"  {line}"
    if len(metrics) > METRIC_LINES:
        yield f"  ... and {len(metrics) - METRIC_LINES} more lines of this handle"


def missing_from(explained: dict[str, Any], decoded: Mapping[int, int], metrics: Sequence[str]) -> list[str]:
    """What a whole call has and this one has not, in words; empty when nothing is missing."""
    missing: list[str] = []
    outcomes = {phase["name"]: phase["outcome"] for phase in explained["phases"]}
    missing += [f"phase {name} is {outcome}" for name, outcome in outcomes.items() if outcome in {"failed", "pending"}]
    kinds = {track["kind"]: track for track in explained["tracks"]}
    for kind in ("audio", "video"):
        track = kinds.get(kind, {})
        missing += [
            f"{kind}: no {name}"
            for name in ("packets_in", "packets_out", "jitter_ms", "rtt_ms")
            if not track.get(name) and track.get(name) != 0.0
        ]
    if not explained["selected_pair"]:
        missing.append("no selected pair")
    if explained["verdict"]["code"] != "ended_by_app":
        missing.append(f"the verdict is {explained['verdict']['code']}, not ended_by_app")
    missing += [f"no HEP packet of type {kind}" for kind in HEP_NAMES if not decoded.get(kind)]
    if not any("_handle_" in line for line in metrics):
        missing.append("no metrics of the handle")
    return missing
