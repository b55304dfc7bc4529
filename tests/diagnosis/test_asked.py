"""Calls of which a part was asked of their server, because no event told it."""

import pytest
from msgspec.structs import replace

from appliance.core import events as e
from appliance.core.events import body_from_json
from appliance.diagnosis.calls import split
from appliance.diagnosis.describe import describe_event
from appliance.diagnosis.explain import explain
from appliance.diagnosis.record import record
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import judge
from appliance.handlers.store.rows import INFERRED, body_text
from tests.diagnosis.build import Call, recording

GOOD = ("janus-1.4/aiortc_echo", "janus-1.4/chrome_echo_http", "janus-1.4/videoroom_http")


@pytest.mark.parametrize("case", GOOD)
def test_no_fault_arises_from_an_end_that_no_event_told(case: str) -> None:
    """Wherever the events cease, half a minute before the server is found without the call."""
    judged = 0
    for events in split(recording(case)).values():
        live = Timeline()
        for count, item in enumerate(events, 1):
            live.add(item)
            if live.ends or item.handle_id is None or not live.descriptions:
                continue
            before, gone = judge(live, final=False), judge(Timeline.fold([*events[:count], untold(item)]))
            assert gone.severity != "fault" or before.severity == "fault", (count, gone.sentence)
            assert gone.code != "end_untold" or "no event told its end" in gone.sentence
            assert "evidence_incomplete" in gone.also
            judged += 1
    assert judged > 10


def untold(item: e.Event) -> e.Event:
    """The hangup of a call whose last event that is."""
    over = e.event(
        e.Connection(connection="hangup", reason="not told"),
        emitter=item.emitter,
        timestamp=item.timestamp + 30_000_000,
        session_id=item.session_id,
        handle_id=item.handle_id,
    )
    return replace(over, inferred=True, correlation_id=item.correlation_id)


def test_the_record_of_such_a_call_ends_when_its_server_had_it_last() -> None:
    call = Call().up().media(5).after(30).gone()
    timeline = Timeline.fold(call.events)
    verdict = judge(timeline)
    assert verdict.detail["seconds"] == pytest.approx(5, abs=0.1)
    assert record(timeline, verdict).ended_us == call.events[-2].timestamp


def test_a_call_that_was_joined_has_no_setup_times() -> None:
    plain = Call().up().media(5).hangup("Janus API")
    joined = [
        replace(item, inferred=isinstance(item.event, e.Jsep | e.IceState | e.DtlsState | e.Connection))
        for item in plain.events[:-1]
    ] + plain.events[-1:]
    before, after = explain(plain.events), explain(joined)
    assert before.verdict.code == after.verdict.code == "ended_by_app"
    assert after.verdict.confidence == "likely" and "evidence_incomplete" in after.verdict.also
    times = {phase.name: phase.duration_us for phase in after.phases}
    assert times.pop("media") is not None
    times.pop("end")
    assert set(times.values()) == {None}
    assert {phase.name: phase.outcome for phase in before.phases} == {
        phase.name: phase.outcome for phase in after.phases
    }
    timeline = Timeline.fold(joined)
    assert set(record(timeline, judge(timeline)).phases_us) == {"media"}


def test_what_was_asked_is_marked_wherever_it_is_kept() -> None:
    item = Call().asked(e.Connection(connection="hangup", reason="not told")).events[-1]
    assert body_text(item).endswith(INFERRED)
    assert body_from_json(16, 6, body_text(item)) == item.event
    assert b'"inferred":true' in e.encode_json(item)
    assert "inferred" not in str(e.to_janus(item))
    assert describe_event(item).endswith("(no event told it: the Admin API did)")
