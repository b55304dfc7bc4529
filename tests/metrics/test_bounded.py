"""What recorded calls count, and what nothing can make of the number of series."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.core import events as ev
from appliance.core.events import Event, event
from appliance.metrics.exporter import Exporter
from tests.clock import FakeClock
from tests.metrics.traces import CASES, SERVER, TRACES, Scrape, exporter, play, trace

US = 1_000_000


def scraped(case: str) -> Scrape:
    clock = FakeClock()
    target = exporter(clock)
    play(target, trace(case), clock)
    return Scrape(target)


def raw(case: str) -> list[dict[str, Any]]:
    """The recorded objects as they are, read by nothing of ours."""
    return [json.loads(line)["event"] for line in (TRACES / f"{case}.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES)
def test_packets_and_bytes_are_those_of_the_last_statistics(case: str) -> None:
    last: dict[tuple[int, str], dict[str, Any]] = {}
    for item in raw(case):
        for body in item["event"] if isinstance(item["event"], list) else [item["event"]]:
            if (item["type"], item.get("subtype")) == (32, 3):
                last[item["handle_id"], body["mid"]] = body
    scrape = scraped(case)
    for kind in ("audio", "video", "data"):
        bodies = [body for body in last.values() if body["media"] == kind]
        for direction, word in (("in", "received"), ("out", "sent")):
            labels = {"kind": kind, "direction": direction}
            assert scrape("rtp_packets_total", **labels) == sum(body[f"packets-{word}"] for body in bodies)
            assert scrape("rtp_bytes_total", **labels) == sum(body[f"bytes-{word}"] for body in bodies)


@pytest.mark.parametrize("case", CASES)
def test_every_event_is_counted_and_nothing_stays_alive(case: str) -> None:
    scrape = scraped(case)
    numbers = [item["type"] for item in raw(case)]
    for word, mask in ev.MASK_WORDS.items():
        if word not in {"all", "none", "media"}:
            assert scrape("events_total", type=word) == numbers.count(int(mask))
    assert scrape("sessions") == 0
    assert scrape.total("handles") == 0
    assert scrape.total("peerconnections") == 0
    assert scrape.total("peerconnections_started_total") == scrape.total("peerconnections_ended_total")


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("aiortc_echo", {"hangups_total{reason=janus_api}": 1, "dtls_handshakes_total{outcome=ok}": 1}),
        ("pc_close", {"hangups_total{reason=dtls_alert}": 1, "dtls_handshakes_total{outcome=ok}": 1}),
        (
            "dtls_badfp",
            {
                "hangups_total{reason=dtls_alert}": 1,
                "dtls_handshakes_total{outcome=ok}": 0,
                "dtls_handshakes_total{outcome=other}": 1,
                "setup_phase_duration_seconds_count{outcome=failed,phase=dtls}": 1,
            },
        ),
        (
            "ice_wrongcand",
            {
                "hangups_total{reason=ice_failed}": 1,
                "ice_state_transitions_total{state=failed}": 1,
                "setup_phase_duration_seconds_count{outcome=failed,phase=ice}": 1,
                "setup_phase_duration_seconds_bucket{le=5.0,outcome=failed,phase=ice}": 0,
                "setup_phase_duration_seconds_bucket{le=10.0,outcome=failed,phase=ice}": 1,
            },
        ),
        (
            "vanish_http",
            {
                "sessions_ended_total{reason=timeout}": 1,
                "hangups_total{reason=detach}": 1,
                "media_stalls_total{kind=audio}": 1,
                "media_stalls_total{kind=video}": 1,
            },
        ),
        (
            "videoroom_http",
            {
                "peerconnections_started_total{plugin=videoroom}": 4,
                "peerconnections_up_total{plugin=videoroom}": 4,
                "hangups_total{reason=close_pc}": 1,
                "setup_phase_duration_seconds_count{outcome=ok,phase=gathering}": 4,
                "setup_phase_duration_seconds_count{outcome=ok,phase=first_media}": 2,
            },
        ),
        (
            "loss_slowlink",
            {
                "slow_links_total{direction=in,kind=audio}": 7,
                "slow_links_total{direction=out,kind=video}": 6,
                "ice_selected_pairs_total{family=4,local_type=host,protocol=udp,remote_type=host}": 1,
                "transport_events_total{event=connected,transport=websocket}": 1,
            },
        ),
        ("reneg_icerestart", {"peerconnections_started_total{plugin=echotest}": 1}),
    ],
)
def test_recorded_cases(case: str, expected: dict[str, float]) -> None:
    scrape = scraped(case)
    for text, value in expected.items():
        name, _, labels = text.removesuffix("}").partition("{")
        assert scrape(name, **dict(pair.split("=") for pair in labels.split(","))) == value, text


def test_loss_is_the_highest_that_was_told() -> None:
    bodies = [item["event"] for item in raw("loss_slowlink") if (item["type"], item.get("subtype")) == (32, 3)]
    scrape = scraped("loss_slowlink")
    for kind in ("audio", "video"):
        told = max(body["lost"] for body in bodies if body["media"] == kind)
        assert told > 0
        assert scrape("rtp_packets_lost_total", kind=kind, direction="in", observer="local") == told
    # Both observers look at different directions, and neither is ever shown for the other's.
    assert scrape("rtp_packets_lost_total", kind="audio", direction="in", observer="remote") is None
    assert scrape("rtp_packets_lost_total", kind="audio", direction="out", observer="local") is None


def test_loss_of_packets_that_the_plugin_held_back_does_not_count() -> None:
    # EchoTest's video was off for 3 s: aiortc then reports 90 packets lost that were never sent.
    told = [item["event"].get("lost-by-remote", 0) for item in raw("aiortc_echo") if item.get("subtype") == 3]
    assert max(told) == 90
    assert scraped("aiortc_echo")("rtp_packets_lost_total", kind="video", direction="out", observer="remote") == 0


@pytest.mark.parametrize("case", ["aiortc_echo", "loss_slowlink", "reneg_icerestart"])
def test_no_counter_ever_falls(case: str) -> None:
    target = exporter()
    before: dict[str, float] = {}
    for item in trace(case):
        target.take(item)
        if item.type == ev.EventType.MEDIA:
            after = dict(line.rsplit(" ", 1) for line in target.bounded.lines(False) if not line.startswith("#"))
            for series, value in before.items():
                if "_total{" in series or "_count{" in series or "_bucket{" in series:
                    assert float(after[series]) >= value, series
            before = {series: float(value) for series, value in after.items()}
    assert before


def up(target: Exporter, clock: FakeClock, *, handle_id: int = 1, sdp: str = "m=audio 9 X 0\r\na=sendrecv\r\n") -> None:
    """One PeerConnection that is up, by the fewest events."""
    bodies: list[ev.Body] = [
        ev.Session(name="created"),
        ev.Handle(name="attached", plugin="janus.plugin.echotest"),
        ev.Jsep(owner="remote", jsep=ev.SessionDescription("offer", sdp)),
        ev.Jsep(owner="local", jsep=ev.SessionDescription("answer", sdp)),
        ev.Connection(connection="webrtcup"),
    ]
    for body in bodies:
        target.take(about(body, clock, handle_id=handle_id))


def about(body: ev.Body, clock: FakeClock, *, handle_id: int = 1, **more: Any) -> Event:
    item = event(body, emitter=SERVER, timestamp=clock.wall_us(), session_id=1, handle_id=handle_id)
    return replace(item, **more)


def test_a_call_without_media_is_silent_after_a_while() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    assert Scrape(target)("peerconnections_silent") == 0
    clock.advance(6)
    target.take(about(ev.MediaStats(media="data", mid="2", packets_received=9, bytes_received=900), clock))
    assert Scrape(target)("peerconnections_silent") == 1
    target.take(about(ev.MediaState(media="audio", mid="0", receiving=True), clock))
    assert Scrape(target)("peerconnections_silent") == 0


def test_a_listener_is_not_silent() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock, sdp="m=audio 9 X 0\r\na=recvonly\r\n")
    clock.advance(60)
    assert Scrape(target)("peerconnections_silent") == 0


def test_a_second_peerconnection_of_a_handle_counts_anew() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for _ in range(2):
        up(target, clock)
        target.take(about(ev.MediaStats(media="audio", mid="0", packets_received=50, lost=5), clock))
        target.take(about(ev.Connection(connection="hangup", reason="Janus API"), clock))
    scrape = Scrape(target)
    assert scrape("rtp_packets_total", direction="in", kind="audio") == 100
    assert scrape("rtp_packets_lost_total", direction="in", kind="audio", observer="local") == 10
    assert scrape("peerconnections_ended_total", plugin="echotest") == 2


def test_statistics_after_the_end_bring_nobody_back() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    target.take(about(ev.MediaStats(media="audio", mid="0", packets_received=50), clock))
    target.take(about(ev.Handle(name="detached", plugin="janus.plugin.echotest"), clock))
    target.take(about(ev.MediaStats(media="audio", mid="0", packets_received=90), clock))
    scrape = Scrape(target)
    assert scrape("rtp_packets_total", direction="in", kind="audio") == 50
    assert scrape.total("handles") == 0


def test_a_collector_that_comes_late_counts_from_there() -> None:
    clock = FakeClock()
    target = exporter(clock)
    late = [item for item in trace("chrome_echo_http") if isinstance(item.event, ev.MediaStats)]
    play(target, late[:3], clock)
    scrape = Scrape(target)
    assert late[0].event.packets_received > 0
    assert scrape("rtp_packets_total", direction="in", kind="audio") == 0
    assert scrape("peerconnections", state="up") == 1
    assert scrape("sessions") == 1
    play(target, late[3:6], clock)
    by_then = [item.event.packets_received for item in late[:6] if item.event.media == "audio"]
    assert Scrape(target)("rtp_packets_total", direction="in", kind="audio") == by_then[1] - by_then[0]


def test_what_is_told_again_says_what_is_alive_and_counts_nowhere() -> None:
    clock = FakeClock()
    target = exporter(clock)
    events = [item for item in trace("chrome_echo_http") if item.timestamp < trace("chrome_echo_http")[-20].timestamp]
    play(target, [replace(item, replayed=True) for item in events], clock)
    target.take(event(ev.Gap(reason="restart"), emitter=SERVER, timestamp=clock.wall_us()))
    scrape = Scrape(target)
    assert scrape("peerconnections", state="up") == 1
    assert scrape.total("rtp_packets_total") == 0
    assert scrape.total("peerconnections_started_total") == 0
    assert scrape.total("setup_phase_duration_seconds_count") == 0
    assert scrape.handle("handle_rtp_packets_total", direction="in")


@pytest.mark.parametrize("with_statistics", [True, False])
def test_counting_goes_on_from_what_was_told_again(with_statistics: bool) -> None:
    clock = FakeClock()
    target = exporter(clock)
    events = trace("chrome_echo_http")
    stats = [index for index, item in enumerate(events) if isinstance(item.event, ev.MediaStats)]
    again = [
        replace(item, replayed=True)
        for item in events[: stats[8] + 1]
        if with_statistics or not isinstance(item.event, ev.MediaStats)
    ]
    play(target, again, clock)
    target.take(event(ev.Gap(reason="restart"), emitter=SERVER, timestamp=clock.wall_us()))
    play(target, events[stats[8] + 1 : stats[17] + 1], clock)
    audio = [events[index].event.packets_received for index in stats[:18] if events[index].event.media == "audio"]
    seen = audio[5] - audio[2 if with_statistics else 3]
    assert Scrape(target)("rtp_packets_total", direction="in", kind="audio") == seen


def test_a_call_on_a_handle_of_before_counts_from_zero() -> None:
    clock = FakeClock()
    target = exporter(clock)
    body = ev.Handle(name="attached", plugin="janus.plugin.echotest")
    target.take(about(body, clock, replayed=True))
    target.take(about(ev.Jsep(owner="remote", jsep=ev.SessionDescription("offer", "")), clock))
    target.take(about(ev.MediaStats(media="audio", mid="0", packets_received=50), clock))
    assert Scrape(target)("rtp_packets_total", direction="in", kind="audio") == 50


def test_a_server_that_starts_again_has_nobody() -> None:
    clock = FakeClock()
    target = exporter(clock)
    nobody = {"sessions": 0, "handles": 0, "peerconnections": 0, "stats-period": 1}
    bodies = (
        ev.Core(status="started"),
        ev.Core(status="update", info=nobody),
        ev.Shutdown(),
    )
    for body in bodies:
        up(target, clock)
        assert Scrape(target).total("peerconnections") == 1
        target.take(event(body, emitter=SERVER, timestamp=clock.wall_us()))
        scrape = Scrape(target)
        assert (scrape.total("peerconnections"), scrape.total("handles"), scrape("sessions")) == (0, 0, 0)


def test_a_handle_whose_end_was_lost_goes_some_time_after_its_session() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    target.take(event(ev.Session(name="destroyed"), emitter=SERVER, timestamp=clock.wall_us(), session_id=1))
    assert Scrape(target).total("handles") == 1
    clock.advance(31)
    scrape = Scrape(target)
    assert scrape.total("handles") == 0
    assert scrape("hangups_total", reason="detach") == 1


def test_a_session_that_went_with_its_transport() -> None:
    clock = FakeClock()
    target = exporter(clock)
    made = ev.Session(name="created", transport=ev.TransportRef("janus.transport.websockets", "7"))
    gone = ev.Transport(transport="janus.transport.websockets", id="7", data={"event": "disconnected"})
    for body in (made, gone, ev.Session(name="destroyed")):
        target.take(event(body, emitter=SERVER, timestamp=clock.wall_us(), session_id=1))
    assert Scrape(target)("sessions_ended_total", reason="transport_gone") == 1


@pytest.mark.parametrize(
    ("detail", "outcome"),
    [
        ({"fingerprint_expected": "sha-256 AA", "fingerprint_received": "sha-256 BB"}, "fingerprint_mismatch"),
        ({"alert": ev.DtlsAlert("received", "fatal", 46, "certificate_unknown")}, "alert_received"),
        ({"alert": ev.DtlsAlert("sent", "fatal", 40, "handshake_failure")}, "alert_sent"),
        ({"version": "DTLSv1.2", "fingerprint_received": "sha-256 AA"}, "no_srtp_profile"),
        ({}, "other"),
    ],
)
def test_why_a_handshake_failed(detail: dict[str, Any], outcome: str) -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    for body in (
        ev.DtlsState(dtls="trying", retransmissions=2),
        ev.DtlsState(dtls="failed", retransmissions=3),
        ev.DtlsDetail(role="server", **detail),
        ev.Connection(connection="hangup", reason="DTLS alert"),
    ):
        target.take(about(body, clock))
    scrape = Scrape(target)
    assert scrape("dtls_handshakes_total", outcome=outcome) == 1
    assert scrape("dtls_retransmissions_total") == 3


def test_a_verdict_counts_once_and_by_its_code() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for code, final, correlation in [
        ("healthy", False, "a"),
        ("uplink_loss", True, "a"),
        ("uplink_loss", True, "a"),
        ("healthy", True, "b"),
        ("hostile code", True, "c"),
        (7, True, "d"),
    ]:
        body = ev.External(schema=ev.VERDICT_SCHEMA, data={"code": code, "final": final})
        target.take(about(body, clock, correlation_id=correlation))
    target.take(about(ev.External(schema="operator", data={"code": "healthy"}), clock, correlation_id="e"))
    scrape = Scrape(target)
    assert scrape("verdicts_total", code="healthy") == 1
    assert scrape("verdicts_total", code="uplink_loss") == 1
    assert scrape("verdicts_total", code="other") == 1


def test_gaps_are_told() -> None:
    clock = FakeClock()
    target = exporter(clock)
    gap = ev.Gap(reason="queue_full", dropped={"media": 40, "webrtc": 2, "hostile": 9})
    target.take(event(gap, emitter=SERVER, timestamp=clock.wall_us()))
    scrape = Scrape(target)
    assert scrape("event_gaps_total", reason="queue_full") == 1
    assert scrape("events_missing_total", type="media") == 40
    assert scrape("events_missing_total", type="other") == 9


HOSTILE = ['"} 1\nappliance_up 1', "\x00\ud800\u2028", "10.1.2.3", "a" * 5000, "ünïcode", "\\", "", '",x="']


def hostile(number: int) -> list[Event]:
    """One handle of someone who would like a series of their own from every text there is."""
    word = f"{HOSTILE[number % len(HOSTILE)]}{number}"
    bodies: list[ev.Body] = [
        ev.Session(name=word, transport=ev.TransportRef(word, word)),
        ev.Session(name="created", transport=ev.TransportRef(word, word)),
        ev.Handle(name="attached", plugin=word, opaque_id=word),
        ev.Jsep(owner=word, jsep=ev.SessionDescription(word, word)),
        ev.Jsep(owner="remote", jsep=ev.SessionDescription("offer", word)),
        ev.IceState(ice=word),
        ev.SelectedPair(pair=word),
        ev.SelectedPair(
            pair=word,
            candidates=ev.PairAddresses(
                ev.CandidateAddress(word, number, word, word, number), ev.CandidateAddress(word, 1, word, word, 4)
            ),
        ),
        ev.DtlsState(dtls=word),
        ev.DtlsDetail(role=word, version=word),
        ev.Connection(connection="webrtcup"),
        ev.MediaState(media=word, mid=word, receiving=False),
        ev.SlowLink(mid=word, media=word, slow_link=word),
        ev.MediaStats(media=word, mid=word, codec=word, packets_received=number, lost=-5, rtt=-1),
        ev.RtcpReport(direction=word, packet_type=number, ssrc=1),
        ev.MediaFault(kind=word, count=-3),
        ev.MediaFault(kind=f"data_{word}", count=number),
        ev.Plugin(plugin=word, data={"room": word}),
        ev.Transport(transport=word, id=word, data={"event": word, "ip": word}),
        ev.External(schema=ev.VERDICT_SCHEMA, data={"code": word}),
        ev.Core(status=word),
        ev.Gap(reason=word, dropped={word: 1}),
        ev.Counters(counters=(ev.Counter(word, 1), ev.Counter("api_requests_total", 1, {"transport": word}))),
        ev.ApiError(code=number, reason=word),
        ev.Unknown(content={word: word}),
        ev.Connection(connection="hangup", reason=word),
    ]
    return [
        replace(
            event(body, emitter=word, timestamp=number * US, session_id=number, handle_id=number, opaque_id=word),
            correlation_id=word,
        )
        for body in bodies
    ]


def test_ten_thousand_hostile_handles_add_no_series() -> None:
    clock = FakeClock()
    target = exporter(clock)
    sizes = []
    for number in range(10_000):
        for item in hostile(number):
            target.take(item)
        if number in {999, 9_999}:
            sizes.append((len(Scrape(target).values), target.bounded.series))
    assert sizes[0] == sizes[1]
    assert len(target.bounded.population.handles) == 10_000
    scrape = Scrape(target)
    servers = {value for _, labels in scrape.values for name, value in labels if name == "server"}
    assert len(servers) == 64 + 1
    assert "other" in servers
    assert scrape.values["appliance_handles_not_exported", frozenset()] == 8_000
    plugins = {value for _, labels in scrape.values for name, value in labels if name == "plugin"}
    assert "other" in plugins and not any("1" in plugin for plugin in plugins)


texts = st.text(max_size=12) | st.sampled_from(["remote", "hangup", "gathering", "audio", "queue_full", "failed"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 24), texts, st.integers(-(2**40), 2**40)), max_size=20))
def test_no_event_raises(steps: list[tuple[int, str, int]]) -> None:
    target = exporter()
    for index, text, number in steps:
        base = hostile(abs(number) % 5)[index]
        values: dict[str, Any] = {}
        for name in base.event.__struct_fields__:
            value = getattr(base.event, name)
            if isinstance(value, str):
                values[name] = text
            elif isinstance(value, int) and not isinstance(value, bool):
                values[name] = number
        target.take(replace(base, emitter="one", event=replace(base.event, **values), timestamp=number))
    Scrape(target)


def test_too_many_tracks_and_handles_are_counted() -> None:
    clock = FakeClock()
    target = Exporter(clock, server_name="collector")
    target.bounded.population._max_handles = 10
    for handle_id in range(12):
        up(target, clock, handle_id=handle_id)
    for number in range(300):
        target.take(about(ev.MediaStats(media="audio", mid=str(number)), clock, handle_id=11))
    scrape = Scrape(target)
    assert scrape.values["appliance_handles_forgotten_total", frozenset()] == 2
    assert scrape.values["appliance_tracks_refused_total", frozenset()] == 300 - 256
    assert scrape.total("handles") == 10


def test_feedback_is_counted_by_type_and_direction() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    for times in (1, 2):
        body = ev.MediaStats(
            media="video", mid="1", packets_received=times, packets_sent=times, nacks_received=times,
            nacks_sent=2 * times, plis_received=3 * times, plis_sent=4 * times, firs_received=5 * times,
            firs_sent=6 * times, rembs_received=7 * times, rembs_sent=8 * times,
            twccs_received=9 * times, twccs_sent=10 * times,
        )  # fmt: skip
        target.take(about(body, clock))
    scrape = Scrape(target)
    for index, kind in enumerate(("nack", "pli", "fir", "remb", "twcc")):
        assert scrape("rtcp_feedback_total", direction="in", type=kind) == 2 * (2 * index + 1), kind
        assert scrape("rtcp_feedback_total", direction="out", type=kind) == 2 * (2 * index + 2), kind
