"""What the demo prints, and what it holds that a whole call has."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from appliance.diagnosis.lines import call_lines

HEP_NAMES = {1: "SIP (offer, answer, hangup)", 5: "RTCP", 100: "log (ICE, DTLS, media, verdict)"}
METRIC_LINES = 14


def report(explained: dict[str, Any], decoded: Mapping[int, int], metrics: Sequence[str]) -> Iterator[str]:
    """The lines."""
    yield ""
    yield from call_lines(explained)
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
