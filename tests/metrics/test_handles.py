"""Single handles: what is shown of them, for how long, and for how many."""

from typing import Any

import pytest

from appliance.core import events as ev
from appliance.metrics.handles import opaque_hash
from tests.clock import FakeClock
from tests.metrics.test_bounded import about, up
from tests.metrics.traces import CASES, Scrape, exporter, play, trace


def until(case: str, count: int) -> list[ev.Event]:
    """A recorded case up to its ``count``-th round of statistics."""
    found = trace(case)
    stats = [index for index, item in enumerate(found) if isinstance(item.event, ev.MediaStats)]
    return found[: stats[3 * count - 1] + 1]


def test_a_recorded_call() -> None:
    clock = FakeClock()
    target = exporter(clock)
    events = until("chrome_echo_http", 6)
    play(target, events, clock)
    scrape = Scrape(target)
    newest = {item.event.mid: item.event for item in events if isinstance(item.event, ev.MediaStats)}
    for mid, body in newest.items():
        if body.media != "data":
            assert body.jitter_local is not None
            assert scrape.handle("handle_rtp_packets_total", mid=mid, direction="in") == [body.packets_received]
            assert scrape.handle("handle_rtp_packets_total", mid=mid, direction="out") == [body.packets_sent]
            assert scrape.handle("handle_rtp_packets_lost_total", mid=mid) == [body.lost]
            assert scrape.handle("handle_nacks_total", mid=mid, direction="in") == [body.nacks_received]
            assert scrape.handle("handle_jitter_seconds", mid=mid, direction="in") == [body.jitter_local / 1000]
    video = newest["1"]
    assert video.rtt is not None
    assert scrape.handle("handle_round_trip_time_seconds") == [video.rtt / 1000]
    # Janus's audio says 0 for a round trip that was never measured, and has no PLI counts at all.
    assert scrape.handle("handle_jitter_seconds", mid="0", direction="out") == []
    assert scrape.handle("handle_plis_total") == []
    bitrate = scrape.handle("handle_bitrate_bytes_per_second", mid="0", direction="in")
    assert bitrate == [pytest.approx(newest["0"].bytes_received_lastsec, rel=0.05)]
    (info,) = [dict(labels) for name, labels in scrape.handles if name == "appliance_handle_info"]
    first = events[-1]
    assert info == {
        "server": "janus-ref",
        "session_id": str(first.session_id),
        "handle_id": str(first.handle_id),
        "plugin": "echotest",
        "opaque_id_hash": opaque_hash(first.opaque_id or ""),
    }
    kinds = sorted(dict(labels)["kind"] for name, labels in scrape.handles if name == "appliance_handle_track_info")
    assert kinds == ["audio", "data", "video"]


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_shown_of_a_call_long_over(case: str) -> None:
    clock = FakeClock()
    target = exporter(clock)
    play(target, trace(case), clock)
    assert Scrape(target).handles, "its last values are shown once more"
    assert Scrape(target).handles == {}


def stats(number: int, **values: Any) -> ev.MediaStats:
    return ev.MediaStats(media="audio", mid="0", packets_received=number, bytes_received=100 * number, **values)


def test_series_end_with_the_handle_after_one_scrape_more() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    target.take(about(stats(50), clock))
    assert Scrape(target).handle("handle_rtp_packets_total", direction="in") == [50]
    target.take(about(stats(77), clock))
    target.take(about(ev.Handle(name="detached", plugin="janus.plugin.echotest"), clock))
    assert Scrape(target).handle("handle_rtp_packets_total", direction="in") == [77]
    assert Scrape(target).handles == {}


def test_tracks_end_with_their_peerconnection_and_the_handle_stays() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    target.take(about(stats(50), clock))
    target.take(about(ev.Connection(connection="hangup", reason="Janus API"), clock))
    assert Scrape(target).handle("handle_rtp_packets_total", direction="in") == [50]
    scrape = Scrape(target)
    assert scrape.handle("handle_rtp_packets_total") == []
    assert scrape.handle("handle_info") == [1]
    up(target, clock)
    target.take(about(stats(3), clock))
    assert Scrape(target).handle("handle_rtp_packets_total", direction="in") == [3]


def test_a_handle_that_ends_between_scrapes_is_seen_once() -> None:
    clock = FakeClock()
    target = exporter(clock)
    Scrape(target)
    up(target, clock)
    target.take(about(stats(5), clock))
    target.take(about(ev.Handle(name="detached", plugin="janus.plugin.echotest"), clock))
    assert Scrape(target).handle("handle_rtp_packets_total", direction="in") == [5]


def test_absent_values_have_no_sample() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    target.take(about(ev.MediaStats(media="audio", mid="0"), clock))
    assert {name for name, _ in Scrape(target).handles} == {"appliance_handle_info", "appliance_handle_track_info"}


def test_a_full_page_lets_a_quiet_handle_go_and_no_other() -> None:
    clock = FakeClock()
    target = exporter(clock, max_handles=2)
    for handle_id in (1, 2, 3):
        up(target, clock, handle_id=handle_id)
    assert Scrape(target).values["appliance_handles_not_exported", frozenset()] == 1

    def shown() -> set[str]:
        return {dict(labels)["handle_id"] for name, labels in Scrape(target).handles if name.endswith("_info")}

    for _ in range(40):
        clock.advance(1)
        for handle_id in (1, 3, 2):
            target.take(about(stats(1), clock, handle_id=handle_id))
        assert shown() == {"1", "2"}, "who is shown stays shown"
    for _ in range(31):
        clock.advance(1)
        for handle_id in (3, 2):
            target.take(about(stats(1), clock, handle_id=handle_id))
    Scrape(target)
    assert shown() == {"2", "3"}


def test_none_can_be_asked_for() -> None:
    clock = FakeClock()
    target = exporter(clock, max_handles=0)
    up(target, clock)
    assert Scrape(target).handles == {}


@pytest.mark.parametrize(
    ("mode", "label"), [("hash", ("opaque_id_hash", opaque_hash("ünser\nGast"))), ("clear", None), ("off", None)]
)
def test_opaque_ids(mode: str, label: tuple[str, str] | None) -> None:
    clock = FakeClock()
    target = exporter(clock, opaque_id=mode)
    body = ev.Handle(name="attached", plugin="janus.plugin.echotest", opaque_id="ünser\nGast")
    target.take(about(body, clock))
    ((_, labels),) = Scrape(target).handles
    found = {name: value for name, value in labels if name.startswith("opaque")}
    expected = dict([label]) if label else {"opaque_id": "ünser\ufffdGast"} if mode == "clear" else {}
    assert found == expected


def test_ids_that_two_servers_share_are_shown_once() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for emitter in ("one", "two"):
        item = about(ev.Handle(name="attached", plugin="janus.plugin.echotest"), clock, emitter=emitter)
        target.take(item)
    assert len(Scrape(target).handles) == 1


def test_the_layers_of_a_simulcast_are_tracks_of_their_own() -> None:
    clock = FakeClock()
    target = exporter(clock)
    up(target, clock)
    for number, media in enumerate(("video", "video-sim1", "video-sim2"), start=1):
        body = ev.MediaStats(media=media, mid="1", packets_received=number, packets_sent=0)
        target.take(about(body, clock))
    scrape = Scrape(target)
    assert scrape.handle("handle_rtp_packets_total", mid="1.sim2", direction="in") == [3]
    assert len(scrape.handle("handle_rtp_packets_total", direction="out")) == 1
    assert scrape("rtp_packets_total", direction="in", kind="video") == 6


def test_the_page_comes_in_small_pieces() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for handle_id in range(1000):
        up(target, clock, handle_id=handle_id)
        target.take(about(stats(handle_id), clock, handle_id=handle_id))
    pieces = list(target.handle_pieces(openmetrics=False))
    assert pieces.count("") == 5
    assert max(piece.count("\n") for piece in pieces) <= 5_000
