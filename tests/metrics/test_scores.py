"""More loss, jitter or delay never raises a score, and what was not measured has none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.metrics.scores import audio_mos, link_quality

shares = st.floats(0, 1)
times = st.floats(0, 10)
kinds = st.sampled_from(["audio", "video"])


@given(shares, shares, times, times, times, times)
def test_mos_never_rises_with_what_harms(
    loss: float, more_loss: float, jitter: float, more_jitter: float, trip: float, more_trip: float
) -> None:
    good = audio_mos(min(loss, more_loss), min(jitter, more_jitter), min(trip, more_trip))
    bad = audio_mos(max(loss, more_loss), max(jitter, more_jitter), max(trip, more_trip))
    assert good is not None and bad is not None
    assert 1 <= bad <= good + 1e-9 <= 4.5 + 1e-9


@given(kinds, shares, shares, times, times, times, times)
def test_quality_never_rises_with_what_harms(
    kind: str, loss: float, more_loss: float, jitter: float, more_jitter: float, trip: float, more_trip: float
) -> None:
    good = link_quality(kind, min(loss, more_loss), min(jitter, more_jitter), min(trip, more_trip))
    bad = link_quality(kind, max(loss, more_loss), max(jitter, more_jitter), max(trip, more_trip))
    assert good is not None and bad is not None
    assert 0 <= bad <= good + 1e-9 <= 1 + 1e-9


@pytest.mark.parametrize(
    ("loss", "jitter", "trip"),
    [(None, 0.01, 0.1), (0.0, None, 0.1), (0.0, 0.01, None), (None, None, None)],
)
def test_no_mos_without_all_it_needs(loss: float | None, jitter: float | None, trip: float | None) -> None:
    assert audio_mos(loss, jitter, trip) is None


def test_no_quality_without_loss() -> None:
    assert link_quality("audio", None, 0.01, 0.1) is None
    assert link_quality("audio", 0.0, None, None) == 1.0


@pytest.mark.parametrize(
    ("loss_percent", "round_trip_ms", "jitter_ms", "mos"),
    [
        # The same form of G.107 (Ie 0, Bpl 25) as others computed it, with delays of their own.
        (0, 50, 5, 4.39),
        (3, 100, 10, 4.07),
        (5, 100, 10, 3.85),
        (10, 150, 20, 3.27),
        (0, 400, 30, 3.94),
    ],
)
def test_mos_is_about_what_others_compute(
    loss_percent: float, round_trip_ms: float, jitter_ms: float, mos: float
) -> None:
    assert audio_mos(loss_percent / 100, jitter_ms / 1000, round_trip_ms / 1000) == pytest.approx(mos, abs=0.2)


def test_mos_recovers_with_the_network() -> None:
    # It is of one interval: a bad one does not spoil the next.
    assert audio_mos(0.5, 0.1, 1.0) == 1.0
    assert audio_mos(0.0, 0.0, 0.0) == pytest.approx(4.4, abs=0.02)


def test_the_delay_term_has_no_step() -> None:
    below, above = link_quality("audio", 0.0, 0.0, 0.31999), link_quality("audio", 0.0, 0.0, 0.32001)
    assert below == pytest.approx(above, abs=1e-4)
