"""What a PeerConnection's events amount to: one sentence, who should act, and the events that prove it."""

from msgspec import Struct

from appliance.core.events import VERDICT_SCHEMA
from appliance.diagnosis.case import MAX_EVIDENCE, Case, Finding
from appliance.diagnosis.rules import RULES, Rule
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.words import Detail, weaker

SCHEMA = VERDICT_SCHEMA
"""``External.schema`` under which verdicts travel in the event stream."""

CODES: tuple[str, ...] = tuple(rule.code for rule in RULES)
"""The closed set of verdict codes: safe as a label value."""

SETUP_PHASES = {"signalling", "gathering", "ice", "dtls"}


class Verdict(Struct, frozen=True, kw_only=True):
    """A judgement. As built-in types it is the ``data`` of an event of :data:`SCHEMA`."""

    code: str
    """One of :data:`CODES`."""
    severity: str
    """good, notice or fault, see :mod:`appliance.diagnosis.words`."""
    sentence: str
    """For a person, with figures."""
    actor: str
    """Who should act: nobody, client, network, server operator, application developer."""
    confidence: str
    """possible, likely or certain."""
    evidence: tuple[int, ...]
    """Ids of the events that show it (positions from 1, where events have no ids)."""
    also: tuple[str, ...] = ()
    """Further codes that hold beside it; evidence_incomplete when events are missing."""
    disproof: str
    """What would show that it is wrong."""
    advice: str
    """What to do next."""
    phase: str
    """Where the call stands or fell, see :data:`appliance.diagnosis.words.PHASES`."""
    final: bool
    """The call is over; else a live judgement that the next may replace."""
    resolves: str | None = None
    """Of a live verdict: the code of the fault that is over."""
    detail: dict[str, Detail] = {}
    """The figures of the sentence."""
    correlation_id: str | None = None
    timestamp_us: int = 0
    """Up to when the call was judged: its end, else the latest event or the time asked for."""


def judge(timeline: Timeline, *, now_us: int | None = None, final: bool = True) -> Verdict:
    """Go through the table. ``now_us`` is the time by the events' own clock; ``final``: no more events will come."""
    case = Case(timeline, now_us, final=final)
    also: list[str] = []
    first: tuple[Rule, Finding] | None = None
    for rule in RULES:
        if first is not None and not rule.beside:
            continue
        finding = rule.when(case)
        if finding is None:
            continue
        if first is None:
            first = (rule, finding)
        elif first[0].phase in {"media", "end"}:
            also.append(rule.code)
    assert first is not None, "the last row always holds"
    return _verdict(case, *first, also)


def _verdict(case: Case, rule: Rule, finding: Finding, also: list[str]) -> Verdict:
    confidence, evidence, sentence = finding.confidence, finding.evidence, rule.say(finding)
    if case.t.holes and rule.code != "evidence_incomplete":
        also = [*also, "evidence_incomplete"]
        evidence = (*evidence, *(hole.event_id for hole in case.t.holes))[:MAX_EVIDENCE]
        if _touched(case, rule):
            confidence = "possible" if rule.absence else weaker(confidence)
            number = f"{case.t.dropped} events" if case.t.dropped else "An unknown number of events"
            sentence += f" {number} of that time are missing, which could tell otherwise."
    return Verdict(
        code=rule.code,
        severity=rule.severity,
        sentence=sentence,
        actor=rule.actor,
        confidence=confidence,
        evidence=evidence,
        also=tuple(also),
        disproof=rule.disproof,
        advice=rule.advice,
        phase=rule.phase,
        final=case.final,
        detail=finding.detail,
        correlation_id=case.t.correlation_id,
        timestamp_us=case.until_us,
    )


def _touched(case: Case, rule: Rule) -> bool:
    """Whether the missing events could have changed this verdict: lost statistics tell nothing of a handshake."""
    missing = {word for hole in case.t.holes for word in (hole.dropped or {"all"})}
    return not (rule.phase in SETUP_PHASES and missing <= {"media", "transports"})
