"""The steps of a PeerConnection as a person sees them: a bar that is red where it stopped."""

from msgspec import Struct

from appliance.diagnosis.facts import Mark
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import Verdict
from appliance.diagnosis.words import PHASES


class Phase(Struct, kw_only=True):
    """One step. ``outcome``: ok, failed, pending (begun and not done), skipped (never begun, or not needed)."""

    name: str
    """See :data:`appliance.diagnosis.words.PHASES`."""
    start_us: int | None = None
    end_us: int | None = None
    """``None`` while pending."""
    duration_us: int | None = None
    outcome: str = "skipped"
    events: list[int] = []
    """Ids of the events at its edges."""


def phases(timeline: Timeline, verdict: Verdict) -> list[Phase]:
    """All of :data:`~appliance.diagnosis.words.PHASES`, in order."""
    t = timeline
    first = Mark(t.descriptions[0].timestamp_us, t.descriptions[0].event_id) if t.descriptions else None
    media = t.first_media()
    refused = Mark(t.refusals[-1].timestamp_us, t.refusals[-1].event_id) if t.refusals else None
    over = min(t.ends, key=lambda end: end.timestamp_us, default=None)
    ended = Mark(over.timestamp_us, over.event_id) if over is not None else None
    wants_media = t.has_rtp or media is not None
    steps = {
        "signalling": _phase("signalling", first or refused, t.answered),
        "gathering": _phase("gathering", t.gathering, t.last_local_candidate or t.first_local_candidate),
        "ice": _phase("ice", t.connecting or (t.answered if t.gathering else None), t.ice_connected, t.ice_failed),
        "dtls": _phase("dtls", t.dtls_trying or t.ice_connected, t.dtls_connected or t.up, t.dtls_failed),
        "first_media": _phase("first_media", t.up if wants_media else None, media),
        "media": _phase("media", media or (None if wants_media else t.up), ended if t.up else None),
        "end": _phase("end", ended, ended),
    }
    _mark_failure(steps, verdict, ended)
    if t.joined:
        # Nobody saw how long its set-up took.
        for name in ("signalling", "gathering", "ice", "dtls", "first_media"):
            steps[name].duration_us = None
    return [steps[name] for name in PHASES]


def _phase(name: str, start: Mark | None, done: Mark | None, failed: Mark | None = None) -> Phase:
    if start is None:
        return Phase(name=name)
    finish = done or failed
    phase = Phase(name=name, start_us=start.timestamp_us, events=[start.event_id])
    if finish is None:
        phase.outcome = "pending"
        return phase
    phase.end_us = max(start.timestamp_us, finish.timestamp_us)
    phase.duration_us = phase.end_us - start.timestamp_us
    phase.outcome = "ok" if done is not None else "failed"
    if finish.event_id != start.event_id:
        phase.events.append(finish.event_id)
    return phase


def _mark_failure(steps: dict[str, Phase], verdict: Verdict, ended: Mark | None) -> None:
    """The step that the verdict blames is the one that failed; what an ended call left undone took until its end."""
    blamed = steps[verdict.phase]
    if verdict.severity == "fault" and blamed.outcome in {"pending", "ok"} and verdict.phase not in {"end"}:
        blamed.outcome = "failed"
    if ended is None:
        return
    for phase in steps.values():
        if phase.end_us is None and phase.start_us is not None:
            phase.end_us = max(phase.start_us, ended.timestamp_us)
            phase.duration_us = phase.end_us - phase.start_us
