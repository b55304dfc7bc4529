"""Metrics: writing both pages beside prometheus_client's exposition of the same series, and taking events in.

The handles are made of the events that a Janus server or our gateway sends: attached, described, up, and statistics of
audio and video both ways, all values there. Times are CPU of this process, the best of some rounds: the machine may be
shared.
"""

import time
import zlib
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from appliance.core import events as ev
from appliance.core.clock import Timer
from appliance.core.events import Body, Event, event
from appliance.metrics.exporter import Exporter
from benchmarks.figures import Figure, table

SDP = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\n"
SECOND_US = 1_000_000


class StillClock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall_us(self) -> int:
        return round(self.now * SECOND_US)

    def call_soon(self, action: Callable[[], None]) -> None:
        raise NotImplementedError

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        raise NotImplementedError


def envelope(body: Body, number: int, second: int) -> Event:
    return event(
        body,
        emitter="gateway",
        timestamp=(1000 + second) * SECOND_US,
        session_id=1_000_000 + number,
        handle_id=2_000_000 + number,
        opaque_id=f"user-{number}",
    )


def attached(number: int) -> Iterator[Event]:
    for body in (
        ev.Session(name="created"),
        ev.Handle(name="attached", plugin="janus.plugin.echotest"),
        ev.Jsep(owner="remote", jsep=ev.SessionDescription("offer", SDP)),
        ev.Jsep(owner="local", jsep=ev.SessionDescription("answer", SDP)),
        ev.Connection(connection="webrtcup"),
    ):
        yield envelope(body, number, 0)


def statistics(number: int, second: int) -> Iterator[Event]:
    """One period of audio and video."""
    for mindex, (media, packets) in enumerate((("audio", 50), ("video", 200))):
        sent = packets * second
        body = ev.MediaStats(
            mid=str(mindex), mindex=mindex, media=media, codec="opus" if mindex == 0 else "vp8", base=48000,
            rtt=20 + second, rtt_values=ev.RttValues(second, number, mindex), lost=second, lost_by_remote=second,
            jitter_local=3, jitter_remote=4, in_link_quality=99, in_media_link_quality=99, out_link_quality=99,
            out_media_link_quality=99, packets_received=sent, packets_sent=sent, bytes_received=900 * sent,
            bytes_sent=900 * sent, nacks_received=second, nacks_sent=second, retransmissions_received=second,
            rtt_us=20_123 + second, jitter_local_us=3_210, jitter_remote_us=4_321, plis_received=second,
            plis_sent=second, firs_received=0, firs_sent=0, rembs_received=second, rembs_sent=second,
            retransmissions_sent=second, reordered=0, duplicates=0,
            has_reports=True,
        )  # fmt: skip
        yield envelope(body, number, second)


def exporter(handles: int) -> Exporter:
    target = Exporter(StillClock(), server_name="collector", max_handles=handles)
    for number in range(handles):
        for item in attached(number):
            target.take(item)
        for second in (1, 2):
            for item in statistics(number, second):
                target.take(item)
    return target


def best(action: Callable[[], object], rounds: int) -> float:
    """Seconds of CPU."""
    found = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        action()
        found = min(found, time.process_time() - began)
    return found


def theirs(text: str) -> CollectorRegistry:
    """The same series as prometheus_client's own objects."""
    registry = CollectorRegistry()
    for family in text_string_to_metric_families(text):
        names = tuple(sorted({name for sample in family.samples for name in sample.labels}))
        kind = Counter if family.type == "counter" else Gauge
        metric = kind(family.name, family.documentation, names, registry=registry)
        for sample in family.samples:
            child = metric.labels(**{name: sample.labels.get(name, "") for name in names})
            child.inc(sample.value)
    return registry


def longest_hold(target: Exporter) -> float:
    """Seconds of the longest step between two chances for others, with gzip, as the handler does it."""
    squeeze = zlib.compressobj(1, wbits=31)
    pieces = target.handle_pieces(openmetrics=True)
    longest, size = 0.0, 0
    while True:
        began = time.process_time()
        piece = next(pieces, None)
        if piece is None:
            return longest
        size += len(squeeze.compress(piece.encode()))
        longest = max(longest, time.process_time() - began)


def main() -> list[Figure]:
    small, large = exporter(1_000), exporter(10_000)
    text = "".join(large.metrics(openmetrics=False))
    figures = [
        Figure("/metrics at 10,000 handles", best(lambda: "".join(large.metrics(False)), 9) * 1e3, "ms", "<= 20"),
        Figure("/metrics at 10,000 handles, size", len(text) / 1e3, "kB", "<= 300"),
        Figure("/metrics, series at 10,000 handles over those at 1,000", large.bounded.series / small.bounded.series,
               "x", "<= 1"),
    ]  # fmt: skip
    handles = "".join(small.handle_pieces(openmetrics=False))
    series = sum(not line.startswith("#") for line in handles.splitlines())
    registry = theirs(handles)
    ours = best(lambda: "".join(small.handle_pieces(openmetrics=False)), 9)
    peer = best(lambda: generate_latest(registry), 3)
    figures += [
        Figure("/metrics/handles, 1,000 handles", ours * 1e3, "ms", note=f"{series} series"),
        Figure("the same by prometheus_client", peer * 1e3, "ms"),
        Figure("/metrics/handles, times as fast as prometheus_client", peer / ours, "x", ">= 10"),
        Figure("/metrics/handles, longest hold of the loop", min(longest_hold(small) for _ in range(5)) * 1e3, "ms",
               "<= 20", "with gzip"),
        Figure("/metrics/handles at 10,000, longest hold", min(longest_hold(large) for _ in range(3)) * 1e3, "ms",
               note="max_handles raised"),
    ]  # fmt: skip
    costs = []
    for second in range(3, 8):
        batch = [item for number in range(10_000) for item in statistics(number, second)]
        began = time.process_time()
        for item in batch:
            large.take(item)
        costs.append(time.process_time() - began)
        assert len(batch) == 20_000
    figures.append(Figure("taking in 20,000 statistics events", min(costs), "s CPU", "<= 0.5"))
    return figures


if __name__ == "__main__":
    print(table(main()))
