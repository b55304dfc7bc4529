"""Calls that came up: what went wrong with them, and what only looks as if."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from appliance.core.events import CandidateAddress, IceState, MediaFault, RtcpReport, SlowLink
from tests.diagnosis.build import Call
from tests.diagnosis.test_clock_and_silence import quiet, reports

Story = Callable[[], Call]
AV = ("audio sendrecv", "video sendrecv VP8")
LOSSY = {"lost": 0.10}
OTHER = CandidateAddress(address="198.51.100.8", port=50001, type="srflx")


def alive(call: Call) -> Call:
    return call.add(RtcpReport(direction="in", packet_type=201, ssrc=1))


def paths(*seconds: float, same: bool = False) -> Call:
    """The pair changes at those times."""
    call = Call().up().media(1)
    for number, when in enumerate(seconds):
        remote = OTHER if number % 2 == 0 and not same else CandidateAddress(
            address="198.51.100.7", port=50000, type="prflx" if same and number % 2 else "srflx"
        )  # fmt: skip
        call.media(when - call.now).select(remote)
    return call.media(1).hangup()


def storm(a_second: float) -> Call:
    call = Call().up(*AV)
    for second in range(15):
        call.both(1, video={"plis_received": round(second * a_second)})
    return call.hangup()


def pictures(*counted: tuple[int, int], rate: float = 60) -> Call:
    """Each second as many key frames had come, and as many requests for one had been sent."""
    call = Call().up(*AV)
    for keyframes, requests in counted:
        call.both(1, video={"keyframes_received": keyframes, "plis_sent": requests, "rate": rate})
    return call


def repaired(seconds: int, *, quality: int = 99) -> Call:
    """A sixth is asked for again."""
    call = Call().up().media(5, nacks_sent=0, in_media_link_quality=100)
    for second in range(seconds):
        call.media(1, nacks_sent=8 * (second + 1), in_media_link_quality=quality)
    return call.media(20, nacks_sent=8 * seconds, in_media_link_quality=100)


def stormy_for_a_while() -> Call:
    call = Call().up(*AV)
    for second in range(40):
        call.both(1, video={"plis_received": min(second, 15)})
    return call


def full_for_a_while() -> Call:
    call = Call().up().media(5)
    return call.media(8, lost=0.1, lost_by_remote=0.1, rtt=200).media(20)


def narrow(seconds_after: int) -> Call:
    """The estimate falls to a fifth while the round trip grows, and recovers."""
    call = Call().up().media(5, remb_bitrate=1_000_000)
    call.media(3, remb_bitrate=200_000, rtt=300)
    return call.media(seconds_after, remb_bitrate=900_000)


def reports_each_five_seconds(share: float) -> Call:
    call = Call().up()
    lost = 0
    for second in range(1, 31):
        if second % 5 == 0:
            lost += round(250 * share)
        call.after(1).stats(lost_by_remote=0.0)
        body = call.events.pop().event
        call.add(replace(body, lost_by_remote=lost))
    return call.hangup()


def reordered() -> Call:
    """Each second a tenth of the packets is missing, and here in the next; both sides count so."""
    call = Call().up()
    for number in range(30):
        call.after(1).stats()
        call.counters["0", "audio"]["lost"] = call.counters["0", "audio"]["lost_by_remote"] = 5 * (number % 2)
    return call


def layers() -> Call:
    """All three come, then the client's encoder drops the upper ones."""
    call = Call().up(*AV)
    for rate in (*[60] * 10, *[0] * 10):
        call.after(1).stats(mid="1", kind="video", rate=60).stats()
        for layer in ("video-sim1", "video-sim2"):
            call.stats(mid="1", kind=layer, rate=rate, sent=0)
    return call.hangup()


def skipped_numbers() -> Call:
    """What both recorded echo calls show: the plugin paused the video, and the client counts what it skipped."""
    call = Call().up(*AV).both(6).both(3, video={"rate": 30, "sent": 0})
    call.counters["1", "video"]["lost_by_remote"] += 90
    return call.both(1, video={"rate": 30, "sent": 18}).both(6).hangup()


HOLDS: list[tuple[str, str, str, Story]] = [
    (
        "srtp_decrypt_failed",
        "fault",
        "certain",
        lambda: Call().up().media(6, rate=0).add(MediaFault(kind="srtp_auth", count=300)).hangup(),
    ),
    (
        "rtp_unroutable",
        "fault",
        "certain",
        lambda: Call().up().media(6, rate=0).add(MediaFault(kind="unknown_payload_type", count=300)).hangup(),
    ),
    ("no_media_from_client", "fault", "likely", lambda: Call().up(*AV).both(9, audio={"rate": 0}).hangup()),
    ("no_media_from_client", "fault", "certain", lambda: alive(Call().up().media(6, rate=0, sent=50)).hangup()),
    (
        "no_media_from_client",
        "fault",
        "likely",
        lambda: Call().up().media(12, rate=0, sent=0, rtt=0).session("timeout").detach(),
    ),
    ("one_way_audio", "fault", "likely", lambda: Call().up(*AV).both(7, audio={"rate": 0, "sent": 50}).hangup()),
    ("one_way_audio", "fault", "likely", lambda: Call().up(*AV).both(7, audio={"sent": 0}).hangup()),
    ("no_video_from_client", "notice", "possible", lambda: Call().up(*AV).both(7, video={"rate": 0}).hangup()),
    (
        "no_media_to_client",
        "notice",
        "likely",
        lambda: Call().up("audio recvonly", answer=("audio sendonly",)).media(7, rate=0).hangup(),
    ),
    # ICE itself says it.
    ("network_lost", "fault", "likely", lambda: Call().up().media(5).ice("failed").after(5).hangup("ICE failed")),
    ("network_lost", "fault", "likely", lambda: Call().up().media(5).ice("disconnected").after(7).session("timeout")),
    # Everything ceased at once, and nobody hung up.
    (
        "network_lost",
        "fault",
        "likely",
        lambda: Call().up().media(5).receiving(False).media(20, rate=0).session("timeout").detach(),
    ),
    (
        "network_lost",
        "fault",
        "likely",
        lambda: Call().up().media(5).media(9, rate=0).transport("disconnected").session("destroyed").detach(),
    ),
    # The probes tell even where the application hung up.
    (
        "network_lost",
        "fault",
        "likely",
        lambda: (
            Call()
            .up()
            .stun(2, 2, 5, 5, selected=True)
            .media(5)
            .media(20, rate=0)
            .stun(7, 3, 9, 9, selected=True)
            .hangup()
        ),
    ),
    ("session_timeout", "fault", "certain", lambda: Call().up().media(20).session("timeout").detach()),
    ("session_timeout", "fault", "certain", lambda: Call().after(12).session("timeout").detach()),
    (
        "media_stopped",
        "notice",
        "likely",
        lambda: alive(Call().up().media(5).receiving(False).media(7, rate=0, sent=50)).hangup(),
    ),
    ("media_stopped", "notice", "possible", lambda: Call().up().media(5).media(7, rate=0).hangup()),
    (
        "media_stopped",
        "notice",
        "likely",
        lambda: Call().up(*AV).both(5).both(7, video={"rate": 0, "sent": 0}).hangup(),
    ),
    (
        "network_interrupted",
        "fault",
        "likely",
        lambda: Call().up().media(10).media(12, rate=0, sent=50).media(1, rate=650, lost=600 / 650).media(20).hangup(),
    ),
    (
        "network_interrupted",
        "fault",
        "likely",
        lambda: Call().up().media(5).ice("disconnected").media(6).ice("connected").media(5).hangup(),
    ),
    ("uplink_loss", "fault", "certain", lambda: Call().up().media(5).media(8, lost=0.1).media(5).hangup()),
    ("downlink_loss", "fault", "certain", lambda: Call().up().media(5).media(8, lost_by_remote=0.1).media(5).hangup()),
    # Some clients report each five seconds only.
    ("downlink_loss", "fault", "certain", lambda: reports_each_five_seconds(0.1)),
    (
        "congestion",
        "fault",
        "likely",
        lambda: Call().up().media(5).media(9, lost=0.1, lost_by_remote=0.1, rtt=300).hangup(),
    ),
    (
        "bandwidth_drop",
        "notice",
        "possible",
        lambda: (
            Call()
            .up(*AV)
            .both(5, video={"remb_bitrate": 2_000_000})
            .both(4, video={"remb_bitrate": 500_000, "rtt": 200})
            .hangup()
        ),
    ),
    ("high_jitter", "notice", "likely", lambda: Call().up().media(5).media(4, jitter_local=45).media(5).hangup()),
    ("keyframe_storm", "notice", "likely", lambda: storm(1)),
    ("no_keyframe", "fault", "likely", lambda: pictures(*[(0, 1)] * 7).hangup()),
    ("no_keyframe", "fault", "likely", lambda: pictures((1, 1), *((1, n) for n in range(1, 9))).hangup()),
    ("no_keyframe", "fault", "likely", lambda: pictures((1, 1), *[(1, 3)] * 7, (2, 4), (3, 5)).hangup()),
    ("unstable_path", "notice", "likely", lambda: paths(5, 12, 20, 28)),
    (
        "loss_repaired",
        "notice",
        "likely",
        lambda: repaired(10).hangup(),
    ),
    ("clock_or_timestamp_fault", "notice", "likely", lambda: reports(*[0.9] * 8).hangup()),
    ("silent_source", "notice", "possible", lambda: quiet(20)),
]


# The innocent ones. Most are the false alarms that other tools are known for.
MISSES: list[tuple[str, str, Story]] = [
    (
        "a stray packet or two",
        "ended_by_app",
        lambda: Call().up().media(9).add(MediaFault(kind="srtp_auth", count=12)).hangup(),
    ),
    (
        "replays are no failure to decrypt",
        "ended_by_app",
        lambda: Call().up().media(9).add(MediaFault(kind="srtp_replay", count=900)).hangup(),
    ),
    ("gone before anything could come", "ended_by_app", lambda: Call().up().media(4, rate=0, sent=50).hangup()),
    (
        "receives only, and has no media events",
        "ended_by_app",
        lambda: Call().up("audio recvonly", answer=("audio sendonly",)).media(9, rate=0, sent=50).hangup(),
    ),
    (
        "inactive",
        "ended_by_app",
        lambda: Call().up("audio inactive", answer=("audio inactive",)).media(9, rate=0).hangup(),
    ),
    (
        "we refused its video",
        "ended_by_app",
        lambda: Call().up(*AV, answer=("audio sendrecv", "video rejected")).media(9).hangup(),
    ),
    (
        "we do not take its video",
        "ended_by_app",
        lambda: (
            Call().up(*AV, answer=("audio sendrecv", "video sendonly")).both(9, video={"rate": 0, "sent": 30}).hangup()
        ),
    ),
    ("data alone, idle", "ended_by_app", lambda: Call().up("application").media(30, kind="data", rate=0).hangup()),
    (
        "data alone, Janus 1.4.1 counts none sent",
        "ended_by_app",
        lambda: Call().up("application").media(30, kind="data", rate=3, sent=0).hangup(),
    ),
    (
        "data alone, vanished: nothing would have shown",
        "session_timeout",
        lambda: Call().up("application").media(30, kind="data", rate=0).session("timeout"),
    ),
    (
        "muted by disabling the track: silence is sent",
        "ended_by_app",
        lambda: Call().up().media(5).media(20, rate=50, jitter_local=0).hangup(),
    ),
    (
        "muted for a while by stopping the track",
        "ended_by_app",
        lambda: Call().up().media(5).receiving(False).media(20, rate=0).receiving(True).media(9).hangup(),
    ),
    (
        "muted just before the end",
        "ended_by_app",
        lambda: Call().up().media(9).receiving(False).media(4, rate=0).hangup(),
    ),
    (
        "renegotiated to receive only",
        "ended_by_app",
        lambda: (
            Call().up().media(5).offer("audio recvonly").answer("audio sendonly").media(20, rate=0, sent=50).hangup()
        ),
    ),
    ("DTX: a packet in 400 ms", "ended_by_app", lambda: Call().up().media(60, rate=2.5).hangup()),
    (
        "DTX, and one of its packets lost",
        "ended_by_app",
        lambda: Call().up().media(20, rate=3).media(3, rate=3, lost=0.34).media(20, rate=3).hangup(),
    ),
    ("a simulcast layer that was switched off", "ended_by_app", layers),
    (
        "no receiver report: unknown, not good and not bad",
        "ended_by_app",
        lambda: Call().up().media(9, has_reports=False, lost_by_remote=0.0, rtt=0).hangup(),
    ),
    ("reported lost, never sent", "ended_by_app", skipped_numbers),
    ("late, and counted as lost until it came", "ended_by_app", lambda: reordered().hangup()),
    ("one burst", "ended_by_app", lambda: Call().up().media(20).media(1, lost=0.5).media(20).hangup()),
    ("a little loss", "ended_by_app", lambda: Call().up().media(60, lost=0.02).hangup()),
    (
        "ten bad seconds in an hour",
        "ended_by_app",
        lambda: Call().up().media(1800).media(10, lost=0.1).media(1800).hangup(),
    ),
    (
        "lossy both ways at a steady round trip",
        "uplink_loss",
        lambda: Call().up().media(5).media(9, lost=0.1, lost_by_remote=0.1).hangup(),
    ),
    (
        "the application capped the bitrate",
        "ended_by_app",
        lambda: (
            Call().up(*AV).both(5, video={"remb_bitrate": 2_000_000}).both(5, video={"remb_bitrate": 128_000}).hangup()
        ),
    ),
    (
        "jitter of video holds the pacing of frames",
        "ended_by_app",
        lambda: Call().up(*AV).both(9, video={"jitter_local": 45}).hangup(),
    ),
    ("two uneven seconds", "ended_by_app", lambda: Call().up().media(9).media(2, jitter_local=45).media(9).hangup()),
    (
        "each request for a key frame is answered",
        "ended_by_app",
        lambda: pictures(*((n, n) for n in range(9))).hangup(),
    ),
    ("one request of many got lost", "ended_by_app", lambda: pictures((1, 1), *[(1, 2)] * 9).hangup()),
    ("a key frame comes late", "ended_by_app", lambda: pictures(*[(0, 3)] * 4, (1, 3), *[(1, 4)] * 9).hangup()),
    ("nobody asks for a key frame", "ended_by_app", lambda: pictures(*[(1, 1)] * 20).hangup()),
    (
        "the camera sends nothing while it is asked",
        "media_stopped",
        lambda: pictures((1, 1), (1, 1)).both(9, video={"keyframes_received": 1, "plis_sent": 9, "rate": 0}).hangup(),
    ),
    ("asked for again, and did not come", "ended_by_app", lambda: repaired(10, quality=60).hangup()),
    ("a key frame now and then", "ended_by_app", lambda: storm(0.4)),
    ("the path changes slowly", "ended_by_app", lambda: paths(5, 40, 80, 120)),
    ("a candidate that gets its real name", "ended_by_app", lambda: paths(5, 6, 7, 8, same=True)),
    (
        "ICE blinks",
        "ended_by_app",
        lambda: Call().up().media(5).ice("disconnected").media(2).ice("connected").media(5).hangup(),
    ),
    (
        "the probes were answered: it is the media that stopped",
        "media_stopped",
        lambda: (
            Call()
            .up()
            .stun(2, 2, 5, 5, selected=True)
            .media(5)
            .media(20, rate=0)
            .stun(7, 7, 9, 9, selected=True)
            .hangup()
        ),
    ),
    (
        "unanswered before it was up does not count",
        "media_stopped",
        lambda: (
            Call()
            .settled()
            .after(0.1)
            .stun(9, 2, 5, 5, selected=True)
            .connected()
            .up()
            .media(5)
            .media(20, rate=0)
            .stun(13, 6, 9, 9, selected=True)
            .hangup()
        ),
    ),
    (
        "it said goodbye after the silence",
        "media_stopped",
        lambda: Call().up().media(5).media(9, rate=0).hangup("DTLS alert"),
    ),
    (
        "a hangup came before the time-out",
        "ended_by_app",
        lambda: Call().up().media(9).hangup().after(60).session("timeout"),
    ),
]


@pytest.mark.parametrize(
    ("code", "severity", "confidence", "story"), HOLDS, ids=[f"{n}-{c[0]}" for n, c in enumerate(HOLDS)]
)
def test_the_story_gets_its_verdict(code: str, severity: str, confidence: str, story: Story) -> None:
    call = story()
    verdict = call.verdict()
    assert (verdict.code, verdict.severity, verdict.confidence) == (code, severity, confidence)
    assert verdict.evidence
    assert set(verdict.evidence) <= {item.id for item in call.events}
    assert "{" not in verdict.sentence


@pytest.mark.parametrize(("why", "instead", "story"), MISSES, ids=[case[0].replace(" ", "-") for case in MISSES])
def test_the_innocent_is_not_accused(why: str, instead: str, story: Story) -> None:
    assert story().code() == instead, why


@pytest.mark.parametrize(("why", "instead", "story"), MISSES, ids=[case[0].replace(" ", "-") for case in MISSES])
def test_nor_while_the_call_lives(why: str, instead: str, story: Story) -> None:
    """The same stories without their end, as a live call of that moment."""
    call = story()
    while call.events[-1].type != 32:
        call.events.pop()
    verdict = call.verdict(final=False)
    if instead in {"ended_by_app", "session_timeout"}:
        assert verdict.severity != "fault", (why, verdict.code)


def test_both_ways_are_both_told() -> None:
    verdict = Call().up().media(5).media(8, lost=0.1, lost_by_remote=0.1).media(5).hangup().verdict()
    assert (verdict.code, verdict.also) == ("uplink_loss", ("downlink_loss",))
    assert verdict.detail["percent"] == 10.0


def test_a_slow_link_is_evidence_in_the_words_of_people() -> None:
    """Janus's downlink is the client's upload."""
    call = Call().up().media(5)
    for _ in range(8):
        call.media(1, lost=0.1).add(SlowLink(mid="0", media="audio", slow_link="downlink", lost_lastsec=5))
    slow = {item.id for item in call.events if isinstance(item.event, SlowLink)}
    verdict = call.hangup().verdict()
    assert verdict.code == "uplink_loss"
    assert slow & set(verdict.evidence)
    assert "uplink" not in verdict.sentence
    assert "downlink" not in verdict.sentence


def test_a_server_that_tells_nothing_of_media_accuses_nobody() -> None:
    """Its event handler's mask leaves them out, or it has no stats_period: silence is ignorance."""
    assert Call().up(*AV).after(60).code(final=False) == "healthy"
    assert Call().up(*AV).after(60).hangup().code() == "ended_by_app"


def test_a_hold_that_was_agreed_on_is_no_pause_afterwards() -> None:
    """A camera that comes back after half a minute is not late at once."""
    call = Call().up(*AV).both(9)
    call.offer("audio sendrecv", "video inactive").answer("audio sendrecv", "video inactive")
    call.both(30, video={"rate": 0, "sent": 0}).offer(*AV).answer(*AV).both(2, video={"rate": 0})
    assert call.code(final=False) == "healthy"
    assert call.both(6, video={"rate": 0}).code(final=False) == "media_stopped"


def test_a_component_for_rtcp_that_fails_harms_nothing() -> None:
    """As of a Janus of 2017, with a client that multiplexes them."""
    call = Call().up().media(3).add(IceState(ice="failed", component_id=2)).media(9)
    assert call.code(final=False) == "healthy"
    assert call.hangup().code() == "ended_by_app"


def test_live_loss_comes_and_goes() -> None:
    call = Call().up().media(9)
    assert call.code(final=False) == "healthy"
    assert call.media(6, lost=0.2).code(final=False) == "uplink_loss"
    assert call.media(9).code(final=False) == "healthy"
    assert call.hangup().code() == "uplink_loss"


def test_unreported_is_unknown_and_healthy_says_so() -> None:
    verdict = Call().up().media(9, has_reports=False, rtt=0).verdict(final=False)
    assert (verdict.code, verdict.confidence) == ("healthy", "likely")
    assert "unknown" in verdict.sentence
    assert Call().up().media(9, has_reports=True).verdict(final=False).confidence == "certain"


def test_from_before_there_were_mids() -> None:
    """A Janus of 2017 told media by their kind alone."""
    call = Call().up()
    for item in Call().up().media(9, lost=0.1).events[-9:]:
        call.after(1).add(replace(item.event, mid=None, mindex=None))
    assert call.hangup().code() == "uplink_loss"


@pytest.mark.parametrize(
    ("story", "code"),
    [
        pytest.param(stormy_for_a_while, "keyframe_storm", id="asked for key frames"),
        pytest.param(full_for_a_while, "congestion", id="a full line"),
        pytest.param(lambda: repaired(10), "loss_repaired", id="repaired"),
        pytest.param(lambda: pictures(*[(0, 3)] * 7, *[(1, 3)] * 5), "no_keyframe", id="a picture at last"),
        pytest.param(lambda: narrow(20), "bandwidth_drop", id="bandwidth"),
    ],
)
def test_what_is_over_is_told_at_the_end_alone(story: Story, code: str) -> None:
    call = story()
    assert call.code(final=False) == "healthy"
    assert call.hangup().code() == code
