"""The verdicts of what a real Janus sent, with no fault where there was none."""

import pytest

from appliance.diagnosis.calls import split
from appliance.diagnosis.explain import Explanation, explain
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import judge
from appliance.intake.files import read_events
from tests.diagnosis.build import DATA, recording

EXPECTED = [
    ("aiortc_echo", ["ended_by_app"]),
    ("aiortc_echo_combined", ["ended_by_app"]),
    ("chrome_echo_http", ["ended_by_app"]),
    ("data_only", ["ended_by_app"]),
    ("reneg_icerestart", ["ended_by_app"]),
    ("admin_session", ["ended_by_admin"]),
    ("pc_close", ["normal_close"]),
    ("dtls_badfp", ["fingerprint_mismatch"]),
    ("ice_wrongcand", ["ice_failed_unknown"]),
    ("vanish_http", ["network_lost"]),
    ("loss_slowlink", ["uplink_loss"]),
    # Its second handle sent an answer that nobody had asked for.
    ("unix_and_errors", ["no_remote_candidates", "sdp_unexpected"]),
]
ONLY_1_1_2 = [
    ("session_timeout", ["session_timeout"]),
    # Its second handle only made a room.
    ("janode", ["no_remote_candidates", "no_peer_connection"]),
]
ONLY_1_4 = [
    ("consent_freshness", ["network_lost"]),
    ("videoroom_http", ["no_peer_connection", "ended_by_plugin", *["ended_by_app"] * 3]),
]
CASES = [
    *((f"janus-{version}/{case}", codes) for version in ("1.1.2", "1.4") for case, codes in EXPECTED),
    *((f"janus-1.1.2/{case}", codes) for case, codes in ONLY_1_1_2),
    *((f"janus-1.4/{case}", codes) for case, codes in ONLY_1_4),
]


def explained(case: str) -> list[Explanation]:
    return [explain(events) for events in split(recording(case)).values()]


@pytest.mark.parametrize(("case", "codes"), CASES)
def test_a_recording_gets_its_verdict(case: str, codes: list[str]) -> None:
    found = explained(case)
    assert [call.verdict.code for call in found] == codes
    for call in found:
        assert call.verdict.evidence
        assert [item.id for item in call.evidence] == list(call.verdict.evidence)


@pytest.mark.parametrize("version", ["1.1.2", "1.4"])
def test_loss_each_way_is_told_each_way(version: str) -> None:
    (call,) = explained(f"janus-{version}/loss_slowlink")
    assert call.verdict.also == ("downlink_loss",)
    # The recording lost 12 % each way for eight seconds.
    assert 9 < float(call.verdict.detail["percent"] or 0) < 15
    audio = next(track for track in call.tracks if track.kind == "audio")
    assert audio.loss_out is None or audio.loss_out == 0
    assert call.slow_links["from_client"] > 5


def test_janus_does_not_say_why_so_neither_are_we_sure() -> None:
    (call,) = explained("janus-1.1.2/dtls_badfp")
    assert call.verdict.confidence == "likely"
    (call,) = explained("janus-1.1.2/vanish_http")
    assert call.verdict.confidence == "likely"
    assert "page was closed" in call.verdict.sentence


@pytest.mark.parametrize(
    ("case", "failed"),
    [("dtls_badfp", "dtls"), ("ice_wrongcand", "ice"), ("vanish_http", "media"), ("aiortc_echo", None)],
)
def test_the_bar_is_red_where_it_stopped(case: str, failed: str | None) -> None:
    (call,) = explained(f"janus-1.4/{case}")
    assert [phase.name for phase in call.phases if phase.outcome == "failed"] == ([failed] if failed else [])


def test_phases_have_the_times_of_the_recording() -> None:
    """By the timestamps in the file: offer .588, answer .590, connecting .590, connected .611, DTLS .611 to .623."""
    (call,) = explained("janus-1.1.2/aiortc_echo")
    durations = {phase.name: round((phase.duration_us or 0) / 1000) for phase in call.phases}
    assert 1 <= durations["signalling"] <= 3
    assert 20 <= durations["ice"] <= 22
    assert 11 <= durations["dtls"] <= 13
    assert 20 <= durations["first_media"] <= 23
    assert 8_900 <= durations["media"] <= 9_000
    assert {phase.outcome for phase in call.phases} == {"ok"}


def test_what_the_page_shows_is_there() -> None:
    (call,) = explained("janus-1.4/chrome_echo_http")
    assert call.selected_pair is not None
    assert "[host,udp]" in call.selected_pair
    assert [(pair.selected, pair.requests_sent) for pair in call.pairs] == [(True, None)]
    assert [(d.owner, d.type) for d in call.descriptions] == [("remote", "offer"), ("local", "answer")]
    assert [line.kind for line in call.descriptions[0].media] == ["audio", "video", "application"]
    assert call.descriptions[1].media[0].codecs == ["opus"]
    video = next(track for track in call.tracks if track.kind == "video")
    assert len(video.series.timestamp_us) == len(video.series.loss_in) > 5
    assert call.opaque_id == "opq-echo_http"
    assert call.client_address is not None
    assert call.plugin == "janus.plugin.echotest"


@pytest.mark.parametrize(
    "case", ["janus-1.4/aiortc_echo", "janus-1.4/reneg_icerestart", "janus-1.1.2/chrome_echo_http"]
)
def test_no_moment_of_a_healthy_call_is_a_fault(case: str) -> None:
    """As a live call: judged after each event, it may be in progress, healthy or over, and a stopped track a notice."""
    (events,) = split(recording(case)).values()
    timeline = Timeline()
    for item in events:
        timeline.add(item)
        verdict = judge(timeline, final=False)
        assert verdict.severity != "fault", (verdict.code, item)


def test_a_trace_of_2017_has_no_fault() -> None:
    """From the talk that introduced event handlers: no mids, no subtypes, the SDP left out."""
    problems: list[str] = []
    events = read_events(DATA / "seeds" / "talk-echotest.jsonl", lambda line, problem: problems.append(problem))
    (call,) = (explain(call) for call in split(events).values())
    assert not problems
    assert call.verdict.code == "healthy"
    assert call.up_us is not None


def test_the_calls_of_a_room_are_told_apart() -> None:
    calls = split(recording("janus-1.4/videoroom_http"))
    assert len(calls) == 5
    for name, events in calls.items():
        assert {item.correlation_id for item in events if item.handle_id is not None} == {name}
