"""An explained call as lines of text, for a terminal: phases, path, tracks, verdict."""

from collections.abc import Iterator
from typing import Any


def _number(value: float | None, scale: float, unit: str) -> str:
    return "not measured" if value is None else f"{value * scale:.1f} {unit}"


def call_lines(explained: dict[str, Any]) -> Iterator[str]:
    """The lines of an :class:`~appliance.diagnosis.explain.Explanation` as built-in types."""
    yield "Phases"
    for phase in explained["phases"]:
        took = "" if phase["duration_us"] is None else f"{phase['duration_us'] / 1000:9.1f} ms"
        yield f"  {phase['name']:<12} {phase['outcome']:<8} {took}"
    yield f"Selected pair  {explained['selected_pair'] or 'not known'}"
    dtls = explained["dtls"] or {}
    told = [dtls[key] for key in ("version", "cipher", "srtp_profile") if dtls.get(key)]
    yield f"DTLS           {', '.join(told) or 'not known'}"
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
