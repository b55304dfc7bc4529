"""A sender's clock by its own reports, and audio that is nothing but silence: what counts, and what must not."""

import pytest

from appliance.core.events import RtcpReport, SenderInfo
from tests.diagnosis.build import Call

RATE = 48_000


def reports(
    *speeds: float, step: float = 2.0, ssrc: int = 7, jump_at: int = -1, direction: str = "in", ntp: float = 1.0
) -> Call:
    """A sender report each ``step`` seconds; between two, its timestamps ran at that many times the clock rate."""
    call = Call().up()
    clock, timestamp = 3_900_000_000.0, 4_294_900_000  # wraps within the first seconds
    for number, speed in enumerate((1.0, *speeds)):
        call.media(step)
        clock += step * ntp
        timestamp += round(step * ntp * RATE * speed) + (10**9 if number == jump_at else 0)
        told = SenderInfo(int(clock), int((clock % 1) * 2**32), timestamp % 2**32, 100, 9000)
        call.add(RtcpReport(direction=direction, packet_type=200, ssrc=ssrc, mid="0", sender_info=told))
    return call


def test_a_rate_that_stays_wrong_is_told_with_its_size() -> None:
    verdict = reports(*[44_100 / 48_000] * 6).hangup().verdict()
    assert (verdict.code, verdict.detail["percent"], verdict.detail["direction"]) == (
        "clock_or_timestamp_fault", 8.1, "slower",
    )  # fmt: skip
    assert "8.1 % slower" in verdict.sentence
    assert reports(*[1.05] * 6).verdict(final=False).detail["direction"] == "faster"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(reports(*[1.0] * 8), id="as it should be, through the wrap of 32 bits"),
        pytest.param(reports(*[1.005] * 8), id="half a percent is a cheap crystal"),
        pytest.param(reports(*[0.9, 1.1] * 5), id="reports that waver have no rate"),
        pytest.param(reports(0.9, 0.9, 0.9, *[1.0] * 5), id="not for long enough"),
        pytest.param(reports(*[1.0] * 8, jump_at=3), id="a track was replaced"),
        pytest.param(reports(*[0.9] * 8, direction="out"), id="our own reports"),
        pytest.param(reports(*[0.9] * 8, ntp=-1.0), id="a clock that was set back"),
    ],
)
def test_no_fault_of_the_clock(call: Call) -> None:
    verdict = call.hangup().verdict()
    assert (verdict.code, verdict.also) == ("ended_by_app", ())


def quiet(seconds: float, *, size: int = 31, rate: float = 50, kind: str = "audio") -> Call:
    call = Call().up(f"{kind} sendrecv")
    packets = 0
    for _ in range(round(seconds)):
        call.after(1)
        packets += round(rate)
        call.stats(
            kind=kind, rate=rate, codec="opus" if kind == "audio" else "VP8", bytes_received=packets * size
        )  # fmt: skip
    return call


def test_silence_is_a_notice_that_never_outranks_how_the_call_ended() -> None:
    live = quiet(14).verdict(final=False)
    assert (live.code, live.severity, live.confidence) == ("silent_source", "notice", "possible")
    assert len(live.evidence) == 2
    ended = quiet(14).hangup().verdict()
    assert (ended.code, ended.also) == ("ended_by_app", ("silent_source",))


def test_discontinuous_transmission_of_silence_is_silence_too() -> None:
    assert quiet(20, rate=3).verdict(final=False).code == "silent_source"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(quiet(9), id="not for long enough"),
        pytest.param(quiet(20, size=90), id="speech"),
        pytest.param(quiet(20, kind="video"), id="small pictures"),
        pytest.param(Call().up().media(20, codec="PCMU"), id="a codec whose packets are all alike"),
        pytest.param(Call().up().media(20), id="a codec that is not told"),
        pytest.param(quiet(14).after(1).stats(codec="opus", bytes_received=40_000, rate=50), id="then somebody spoke"),
    ],
)
def test_not_silent(call: Call) -> None:
    assert call.verdict(final=False).code == "healthy"
    assert call.hangup().verdict().also == ()
