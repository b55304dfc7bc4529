"""Diagnosis: events folded a second on one core, as the collector does it, and a long call explained for its page.

The peer is the cheapest thing that can be done with the same events: decoding them from the link's msgpack.
"""

import time
from collections.abc import Callable
from random import Random

import msgspec
from msgspec.structs import replace

from appliance.core import events as e
from appliance.diagnosis.calls import Calls
from appliance.diagnosis.explain import explain
from appliance.diagnosis.verdict import judge
from benchmarks.figures import Figure, table

CALLS = 200
SECONDS = 60
HOUR = 3_600
ROUNDS = 5
START_US = 1_700_000_000_000_000
SDP = "v=0\r\n" + "".join(
    f"m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na=sendrecv\r\na=setup:actpass\r\na=rtpmap:96 {codec}/90000\r\n"
    f"a=fingerprint:sha-256 {'AA:' * 31}AA\r\n" + 30 * "a=rtcp-fb:96 nack pli\r\n"
    for mid, (kind, codec) in enumerate((("audio", "opus"), ("video", "VP8")))
)


def call(handle: int, seconds: int) -> list[e.Event]:
    """Every event of a call with audio and video: set up, statistics each second with a little loss, hung up."""
    noise = Random(handle)
    out: list[e.Event] = []

    def tell(body: e.Body, at: float) -> None:
        item = e.event(body, emitter="bench", timestamp=START_US + round(at * 1e6), session_id=handle, handle_id=handle)
        out.append(replace(item, id=len(out) + 1, correlation_id=f"{handle}-{handle}-1@bench"))

    tell(e.Handle(name="attached", plugin="janus.plugin.echotest"), 0)
    tell(e.Jsep(owner="remote", jsep=e.SessionDescription("offer", SDP)), 0.01)
    tell(e.IceState(ice="gathering"), 0.011)
    tell(e.LocalCandidate(candidate="1 1 udp 2015363327 192.0.2.1 10000 typ host"), 0.012)
    tell(e.Jsep(owner="local", jsep=e.SessionDescription("answer", SDP)), 0.02)
    for number in range(4):
        tell(e.RemoteCandidate(candidate=f"{number} 1 udp 2015363327 198.51.100.{number} 50000 typ host"), 0.03)
    for state in ("connecting", "connected", "ready"):
        tell(e.IceState(ice=state), 0.05)
    tell(e.DtlsState(dtls="trying"), 0.06)
    tell(e.DtlsState(dtls="connected"), 0.08)
    tell(e.Connection(connection="webrtcup"), 0.081)
    totals = {"audio": [0, 0], "video": [0, 0]}
    for second in range(1, seconds + 1):
        for mid, kind in enumerate(totals):
            lost = noise.random() < 0.1
            totals[kind][0] += 50
            totals[kind][1] += lost
            got, gone = totals[kind]
            tell(
                e.MediaStats(
                    mid=str(mid), mindex=mid, media=kind, codec="opus", base=48000, rtt=20 + second % 5, lost=gone,
                    lost_by_remote=gone, jitter_local=3, jitter_remote=4, in_link_quality=100,
                    in_media_link_quality=100, out_link_quality=100, out_media_link_quality=100, packets_received=got,
                    packets_sent=got, bytes_received=got * 160, bytes_sent=got * 160, bytes_received_lastsec=8000,
                    bytes_sent_lastsec=8000, nacks_received=0, nacks_sent=0, retransmissions_received=0,
                ),
                second,
            )  # fmt: skip
    tell(e.Connection(connection="hangup", reason="Janus API"), seconds + 0.5)
    return out


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest round: the machine may be shared."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        fastest = min(fastest, time.process_time() - began)
    return fastest


def main() -> list[Figure]:
    """Every figure."""
    stories = [call(handle, SECONDS) for handle in range(1, CALLS + 1)]
    mixed = sorted((item for story in stories for item in story), key=lambda item: item.timestamp)
    packed = [e.encode_msgpack(item) for item in mixed]

    def fold() -> Calls:
        calls = Calls()
        for item in mixed:
            calls.add(item)
        return calls

    calls = fold()
    decoding = best(lambda: [e.decode_msgpack(data) for data in packed]) / len(mixed)
    folding = best(fold) / len(mixed)
    judging = best(lambda: [judge(calls[name], final=False) for name in calls]) / CALLS
    # A live call is judged each three seconds at most, so that many of its events pay for one judgement.
    events_a_look = len(stories[0]) / (SECONDS / 3)
    rate = 1 / (folding + judging / events_a_look)
    hour = call(1, HOUR)
    page = best(lambda: msgspec.json.encode(explain(hour)))
    return [
        Figure("diagnosis: events folded and judged live, one core", rate, "events/s", ">= 50000",
               f"folding {folding * 1e6:.1f} µs an event; decoding it from msgpack alone: {decoding * 1e6:.1f} µs"),
        Figure("diagnosis: one judgement of a live call", judging * 1e6, "µs"),
        Figure("diagnosis: a call of one hour explained as JSON", page, "s", "<= 1.0", f"{len(hour)} events"),
    ]  # fmt: skip


if __name__ == "__main__":
    print(table(main()))
