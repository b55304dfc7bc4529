"""The curves of a track: what the client and the server asked of each other, and long calls in few points."""

from appliance.diagnosis.explain import explain
from appliance.diagnosis.series import Point, Series
from tests.console.recorded import recorded


def test_requests_are_told_a_second() -> None:
    """The real Janus counted 355 NACKs of the client in this call; it tells nothing of PLI."""
    (video,) = (track for track in explain(recorded("loss_slowlink")).tracks if track.kind == "video")
    times, rates = video.series.timestamp_us, video.series.nacks_in
    asked = sum(
        (rate or 0) * (at - before) / 1e6 for before, at, rate in zip(times, times[1:], rates[1:], strict=False)
    )
    assert round(asked) == 355
    assert set(video.series.plis_in) == {None}


def point(second: int, nacks_in: float | None) -> Point:
    return Point(second * 1_000_000, None, None, None, None, None, None, None, nacks_in, None, 0.0)


def test_a_storm_is_not_averaged_away() -> None:
    series = Series(limit=4)
    for second, nacks in enumerate((0.0, None, 90.0, 0.0, 0.0)):
        series.add(point(second, nacks))
    assert [p.nacks_in for p in series.all()] == [0.0, 90.0, 0.0]
    assert [p.plis_in for p in series.all()] == [0.0, 0.0, 0.0]
