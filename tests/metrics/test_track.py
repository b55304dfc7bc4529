"""What one track's statistics say, and what they don't."""

from typing import Any

import pytest

from appliance.core.events import MediaStats, RttValues
from appliance.metrics.track import Track, kind_of, mid_of

SECOND = 1_000_000


def stats(**values: Any) -> MediaStats:
    base: dict[str, Any] = {
        "media": "audio",
        "mid": "0",
        "packets_received": 0,
        "packets_sent": 0,
        "bytes_received": 0,
        "bytes_sent": 0,
        "lost": 0,
        "lost_by_remote": 0,
        "rtt": 0,
        "jitter_local": 0,
        "jitter_remote": 0,
    }
    return MediaStats(**(base | values))


def feed(*steps: MediaStats, from_zero: bool = True, kind: str = "audio") -> Track:
    track = Track("0", kind, from_zero=from_zero)
    for index, step in enumerate(steps, start=1):
        track.take(step, index * SECOND, None)
    return track


def report(number: int, **values: Any) -> MediaStats:
    """Statistics after the peer's ``number``-th report."""
    return stats(rtt=20, rtt_values=RttValues(ntp=number, lsr=1, dlsr=1), **values)


def test_the_first_statistics_count_from_zero_where_the_beginning_was_seen() -> None:
    assert feed(stats(packets_received=50)).packets_in == 50


def test_the_first_statistics_count_nothing_where_it_was_not() -> None:
    track = feed(stats(packets_received=50_000, lost=70, lost_by_remote=9), from_zero=False)
    assert (track.packets_in, track.lost_in, track.lost_out, track.loss_in) == (0, 0, 0, None)
    track.take(stats(packets_received=50_098, lost=72), 2 * SECOND, None)
    assert (track.packets_in, track.lost_in, track.loss_in) == (98, 2, 0.02)


def test_a_restart_counts_from_zero() -> None:
    track = feed(stats(packets_received=1000, bytes_received=9000, lost=40), stats(packets_received=10, lost=1))
    assert (track.packets_in, track.lost_in, track.lost_here) == (10, 1, 1)


@pytest.mark.parametrize("order", [("packets_received", "packets_sent"), ("bytes_received", "bytes_sent")])
def test_no_rise_is_negative(order: tuple[str, str]) -> None:
    high, low = {order[0]: 100, order[1]: 100}, {order[0]: 100, order[1]: 99}
    track = feed(stats(**high, nacks_received=5), stats(**low, nacks_received=3))
    rises = (track.packets_in, track.packets_out, track.bytes_in, track.bytes_out, track.nack_in)
    assert all(rise >= 0 for rise in rises)


def test_loss_that_falls_back_is_counted_once() -> None:
    # 33, then 100, then 33 again was seen of a real server once the loss had ended.
    track = Track("0", "audio", from_zero=True)
    counted = 0
    for index, lost in enumerate([33, 100, 33, 60, 101], start=1):
        track.take(stats(packets_received=index * 100, lost=lost), index * SECOND, None)
        counted += track.lost_in
        assert track.lost_in >= 0
    assert counted == track.lost_here == 101


def test_negative_loss_written_as_unsigned_is_no_loss() -> None:
    assert feed(stats(packets_received=50, lost=2**32 - 3)).lost_in == 0


def test_nothing_received_measures_nothing() -> None:
    track = feed(stats(packets_received=50), stats(packets_received=50))
    assert (track.loss_in, track.jitter_in, track.quality_in, track.mos_in) == (None, None, None, None)


def test_before_the_first_report_the_peer_has_said_nothing() -> None:
    track = feed(stats(packets_sent=50), stats(packets_sent=100))
    assert not track.reports
    assert (track.loss_out, track.jitter_out, track.quality_out, track.round_trip) == (None, None, None, None)


def test_our_gateway_says_itself_whether_the_peer_has_reported() -> None:
    assert feed(stats(packets_sent=50, has_reports=True, rtt=None)).loss_out == 0
    assert feed(stats(packets_sent=50, has_reports=False, rtt=3, jitter_remote=7)).loss_out is None


def test_loss_by_report_is_of_what_was_sent_since_the_last_report() -> None:
    # A browser reports on audio every 5 s: 60 lost of 250 sent, though only 50 were sent in the last period.
    sent = [report(1, packets_sent=50)]
    sent += [report(1, packets_sent=50 + 50 * each) for each in range(1, 5)]
    track = feed(*sent, report(2, packets_sent=300, lost_by_remote=60))
    assert (track.lost_out, track.loss_out) == (60, 60 / 250)
    track.take(report(2, packets_sent=350, lost_by_remote=60), 20 * SECOND, None)
    assert (track.lost_out, track.loss_out) == (0, None)


def test_loss_of_what_was_never_sent_does_not_count() -> None:
    # The plugin paused for 3 s, and the sequence numbers jumped.
    track = feed(report(1, packets_sent=100), report(2, packets_sent=111, lost_by_remote=90))
    assert (track.lost_out, track.loss_out, track.lost_by_peer) == (0, 0.0, 0)
    track.take(report(3, packets_sent=161, lost_by_remote=95), 9 * SECOND, None)
    assert (track.lost_out, track.lost_by_peer) == (5, 5)


def test_microseconds_come_before_milliseconds() -> None:
    track = feed(
        stats(packets_received=10, packets_sent=10, has_reports=True, rtt=3, rtt_us=3456, jitter_local=1,
              jitter_local_us=1234, jitter_remote_us=777)
    )  # fmt: skip
    assert (track.round_trip, track.jitter_in, track.jitter_out) == (0.003456, 0.001234, 0.000777)


def test_absurd_times_are_not_measured() -> None:
    track = feed(stats(packets_received=10, packets_sent=9, rtt=65_535_999, jitter_local=4_294_967, jitter_remote=1))
    assert (track.round_trip, track.jitter_in) == (None, None)


def test_bitrate_is_of_the_period_and_not_of_a_step_of_the_clock() -> None:
    track = Track("0", "audio", from_zero=True)
    found = []
    for second, octets in [(10, 1000), (12, 5000), (5, 6000), (6, 7000)]:
        track.take(stats(bytes_received=octets), second * SECOND, None)
        found.append(track.bitrate_in)
    assert found == [None, 2000, None, 1000]


def test_a_muted_track_is_not_bad() -> None:
    track = feed(report(1, packets_received=50, packets_sent=50), report(2, packets_received=50, packets_sent=50))
    assert (track.quality_in, track.quality_out, track.mos_in, track.mos_out) == (None, None, None, None)


def test_data_has_counts_alone() -> None:
    track = feed(MediaStats(media="data", mid="2", packets_received=4, bytes_received=90), kind="data")
    assert (track.packets_in, track.bytes_in, track.loss_in, track.quality_in) == (4, 90, None, None)


@pytest.mark.parametrize(
    ("media", "mid", "kind", "label"),
    [
        ("audio", "0", "audio", "0"),
        ("video-sim1", "1", "video", "1.sim1"),
        ("video", None, "video", "video"),
        ("hostile", "x", "other", "x"),
    ],
)
def test_names_of_media(media: str, mid: str | None, kind: str, label: str) -> None:
    assert kind_of(media) == kind
    assert mid_of(MediaStats(media=media, mid=mid)) == label
