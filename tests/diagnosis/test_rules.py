"""The table as a whole, and what must hold of any call."""

from pathlib import Path
from string import Formatter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.core import events as e
from appliance.diagnosis.calls import Calls
from appliance.diagnosis.describe import MAX_LENGTH, describe_event
from appliance.diagnosis.explain import explain
from appliance.diagnosis.handbook import render
from appliance.diagnosis.rules import RULES
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import CODES, judge
from appliance.diagnosis.words import ACTORS, PHASES, SEVERITIES
from tests.diagnosis import test_end_rules, test_media_rules, test_setup_rules
from tests.diagnosis.build import Call, recording

DOCS = Path(__file__).parents[2] / "docs" / "verdicts.md"
REQUIRED = {
    "healthy", "normal_close", "ended_by_app", "ended_by_admin", "ended_by_plugin", "udp_blocked_or_firewall",
    "no_remote_candidates", "mdns_only", "ice_failed_unknown", "dtls_no_response", "fingerprint_mismatch",
    "no_media_from_client", "media_stopped", "network_lost", "session_timeout", "uplink_loss", "downlink_loss",
    "evidence_incomplete",
}  # fmt: skip


def test_codes_are_a_closed_set() -> None:
    assert len(CODES) == len(set(CODES))
    assert set(CODES) >= REQUIRED
    assert all(code.isidentifier() and code.islower() for code in CODES)
    for rule in RULES:
        assert rule.phase in PHASES
        assert rule.severity in SEVERITIES
        assert rule.actor in ACTORS
        assert rule.advice
        assert rule.disproof
        assert rule.signs


def test_every_code_has_a_story() -> None:
    told = {case[0] for case in (*test_setup_rules.HOLDS, *test_media_rules.HOLDS, *test_end_rules.STORIES)}
    assert set(CODES) - told == {"healthy", "in_progress", "evidence_incomplete"}, "see test_end_rules for these"


def test_the_documentation_is_the_table() -> None:
    assert DOCS.read_text("utf-8") == render(), "python -m appliance.diagnosis.handbook > docs/verdicts.md"
    assert all(f"## {code}\n" in render() for code in CODES)


def test_people_are_not_spoken_to_in_slang() -> None:
    for rule in RULES:
        words = "".join(text for text, *_ in Formatter().parse(rule.sentence))
        assert not any(slang in words.lower() for slang in ("uplink", "downlink", "ssrc", "prflx", "dtls alert"))


EVENTS = [
    *recording("janus-1.4/aiortc_echo"),
    *recording("janus-1.1.2/ice_wrongcand"),
    *Call().up().media(3).stun(1, 1).detail().gap(media=1).hangup().detach().events,
    *test_setup_rules.blocked().events[:20],
]
numbers = st.integers(min_value=-(2**53), max_value=2**53)
words = st.sampled_from(
    ["", "connected", "failed", "audio", "video-sim2", "data", "offer", "remote", "\0\ud83d", "x" * 400]
)
texts = words | st.text(max_size=60)
small = st.integers(min_value=-5, max_value=10**9) | st.none()
BODIES = st.one_of(
    st.builds(e.Session, name=texts),
    st.builds(e.Handle, name=texts, plugin=texts),
    st.builds(e.Jsep, owner=words, jsep=st.builds(e.SessionDescription, words, texts)),
    st.builds(
        e.Jsep, owner=words, jsep=st.builds(e.SessionDescription, words, st.text("macndit=:/ 09\r\n", max_size=200))
    ),
    st.builds(e.IceState, ice=words),
    st.builds(e.LocalCandidate, candidate=texts),
    st.builds(e.RemoteCandidate, candidate=texts | st.just("1 1 udp 1 x.local 99999999999 typ host")),
    st.builds(e.SelectedPair, pair=texts),
    st.builds(e.DtlsState, dtls=words, retransmissions=numbers),
    st.builds(e.Connection, connection=words | st.sampled_from(["webrtcup", "hangup"]), reason=st.none() | texts),
    st.builds(e.DtlsDetail, role=words, fingerprint_expected=st.none() | texts, fingerprint_received=st.none() | texts),
    st.builds(e.MediaState, media=words, mid=st.none() | words, receiving=st.booleans(), seconds=small),
    st.builds(e.SlowLink, slow_link=texts, media=words, lost_lastsec=small),
    st.builds(
        e.MediaStats,
        media=words,
        mid=st.none() | words,
        lost=small,
        lost_by_remote=small,
        packets_received=small,
        packets_sent=small,
        bytes_received=small,
        bytes_sent=small,
        rtt=small,
        jitter_local=small,
        remb_bitrate=small,
        plis_received=small,
        nacks_sent=small,
        in_media_link_quality=small,
    ),
    st.builds(e.RtcpReport, direction=words, packet_type=numbers, ssrc=numbers),
    st.builds(e.MediaFault, kind=texts, count=numbers),
    st.builds(
        e.Transport, transport=texts, id=texts, data=st.dictionaries(st.sampled_from(["event", "ip"]), texts | numbers)
    ),
    st.builds(e.Gap, reason=texts, dropped=st.dictionaries(words, numbers, max_size=3)),
    st.builds(e.ApiError, code=st.sampled_from([465, 469, 0]), reason=texts),
    st.builds(e.Core, status=words),
    st.builds(e.Shutdown),
    st.builds(e.EndOfCandidates, count=numbers),
    st.builds(e.Unknown, content=st.dictionaries(texts, numbers, max_size=2)),
)
ANYTHING = st.builds(
    lambda body, timestamp, session, handle: e.event(
        body, emitter="gw", timestamp=timestamp, session_id=session, handle_id=handle
    ),
    BODIES,
    numbers | st.integers(min_value=1_700_000_000_000_000, max_value=1_700_000_100_000_000),
    st.sampled_from([None, 7, 7, 7, 8]),
    st.sampled_from([None, 9, 9, 9]),
)


@given(st.lists(st.sampled_from(EVENTS) | ANYTHING, max_size=60), st.booleans())
@settings(max_examples=250, deadline=None)
def test_no_events_in_any_order_raise(events: list[e.Event], final: bool) -> None:
    calls = Calls(max_calls=3)
    for item in events:
        calls.add(item)
        line = describe_event(item)
        assert len(line) <= MAX_LENGTH
        assert "\n" not in line
    for name in calls:
        assert judge(calls[name], final=final).code in CODES
    found = explain(events, final=final)
    assert found.verdict.code in CODES
    assert all(phase.duration_us is None or phase.duration_us >= 0 for phase in found.phases)


@given(st.permutations(Call().up().media(6, lost=0.1).hangup().detach().events))
@settings(max_examples=100, deadline=None)
def test_no_order_of_a_real_call_raises(events: list[e.Event]) -> None:
    assert explain(events).verdict.code in CODES


@given(
    st.integers(min_value=0, max_value=30), st.integers(min_value=0, max_value=30),
    st.floats(min_value=0, max_value=0.4), st.floats(min_value=0, max_value=0.4), st.booleans(),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_more_loss_never_heals(seconds: int, more: int, share: float, rise: float, up: bool) -> None:
    way: dict[str, Any] = {"lost": share} if up else {"lost_by_remote": share}
    worse = {key: value + rise for key, value in way.items()}
    less = Call().up().media(5).media(seconds, **way).media(5).hangup().verdict()
    most = Call().up().media(5).media(seconds + more, **worse).media(5).hangup().verdict()
    order = SEVERITIES.index
    assert order(most.severity) >= order(less.severity), (less.code, most.code)


def test_a_call_that_never_ends_stays_small() -> None:
    call = Call().up()
    timeline = Timeline.fold(call.events, points=100)
    body = call.media(1).events[-1].event
    for number in range(1, 5_000):
        stats = replace(body, packets_received=50 * number, lost=number)
        for extra in (stats, e.IceState(ice="connecting"), e.SelectedPair(pair=str(number)), e.Gap(reason="sequence")):
            timeline.add(replace(call.events[-1], event=extra, timestamp=call.events[0].timestamp + number * 1_000_000))
        timeline.add(
            replace(call.events[-1], event=e.RemoteCandidate(candidate=f"1 1 udp 1 10.0.0.1 {number} typ host"))
        )
        timeline.add(replace(call.events[-1], event=e.MediaStats(media="audio", mid=str(number))))
    assert max(len(timeline.ice_states), len(timeline.selected), len(timeline.holes)) <= 60
    assert len(timeline.remote_candidates) <= 200
    assert len(timeline.tracks) <= 64
    points = timeline.tracks["0", 0].series.all()
    assert 40 <= len(points) <= 101
    assert [p.timestamp_us for p in points] == sorted(p.timestamp_us for p in points)
    assert judge(timeline, final=False).code in CODES
