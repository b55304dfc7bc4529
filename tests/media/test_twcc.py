"""Transport-wide congestion control at work: what is told of what came, and what is learnt of what was sent."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.clock import Clock
from appliance.core.events import MediaStats
from appliance.media.twcc import MAX_ARRIVALS, Arrivals
from appliance.wire import rtcp, twcc
from appliance.wire.extensions import two_bytes_at
from appliance.wire.rtp import RtpHeader, build_extensions, parse_extensions
from appliance.wire.twcc import TICKS_PER_SECOND, TwccFeedback
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call

OFFERED = {
    "audio": [f"a=extmap:3 {twcc.EXTENSION}", "a=rtcp-fb:111 transport-cc"],
    "video": [f"a=extmap:3 {twcc.EXTENSION}", "a=rtcp-fb:96 transport-cc"],
}


def numbered(number: int, *, audio_level: bool = False) -> bytes:
    """A header extension with a transport-wide sequence number, as it stands in a packet."""
    elements = {1: b"\x80"} if audio_level else {}
    profile, data = build_extensions(elements | {3: (number & 0xFFFF).to_bytes(2, "big")})
    return profile.to_bytes(2, "big") + (len(data) // 4).to_bytes(2, "big") + data


def number_of(header: RtpHeader) -> int:
    return int.from_bytes(parse_extensions(header.extension_profile, header.extension)[3], "big")


def feedbacks(client: Client) -> list[TwccFeedback]:
    found = [report for report in client.reports if isinstance(report, rtcp.TransportFeedback)]
    return [twcc.parse(report.control) for report in found]


async def test_what_came_is_told_with_its_times(call: Call, clock: FakeClock) -> None:
    client, handle = call(extra=OFFERED)
    answer = client.answer
    assert answer is not None
    for media in answer.media:
        assert twcc.EXTENSION in {extension.uri for extension in media.extensions}
        assert "transport-cc" in next(iter(media.codecs.values())).rtcp_feedback
    came: dict[int, float] = {}
    for index in range(20):
        number = 65_530 + index
        if index % 5 != 4:
            kind = "audio" if index % 2 else "video"
            client.send_rtp(kind, index, 3000 * index, extension=numbered(number, audio_level=bool(index % 2)))
            client.pump()
            came[number & 0xFFFF] = clock.monotonic()
        clock.advance(0.008)
    clock.advance(0.3)
    client.pump()
    told: dict[int, int | None] = {}
    for feedback in feedbacks(client):
        told |= {(feedback.base + at) & 0xFFFF: tick for at, tick in enumerate(feedback.arrivals)}
    assert [feedback.number for feedback in feedbacks(client)] == list(range(len(feedbacks(client))))
    assert len(feedbacks(client)) == 2
    assert {number for number, tick in told.items() if tick is not None} == set(came)
    # The last packet of all was lost: of it nothing is known yet.
    assert {number for number, tick in told.items() if tick is None} == {65_534, 3, 8}
    first = came[65_530]
    for number, time in came.items():
        tick, zero = told[number], told[65_530]
        assert tick is not None
        assert zero is not None
        assert abs((tick - zero) / TICKS_PER_SECOND - (time - first)) <= 2 / TICKS_PER_SECOND
    assert handle.peer.path.arrivals.feedbacks_sent == 2


async def test_nothing_is_told_where_it_was_not_agreed(call: Call, clock: FakeClock) -> None:
    client, handle = call(extra={"video": [f"a=extmap:3 {twcc.EXTENSION}"]})
    client.send_rtp("video", 1, 3000, extension=numbered(7))
    client.pump()
    clock.advance(1)
    client.pump()
    assert not feedbacks(client)
    assert handle.peer.describe()["bwe"] == {"twcc": False}


async def test_what_we_send_has_one_run_of_numbers_and_is_estimated(call: Call, clock: FakeClock) -> None:
    client, handle = call(extra=OFFERED)
    came: list[tuple[int, float]] = []
    for index in range(300):
        for kind in ("audio", "video"):
            client.send_rtp(kind, index, 3000 * index, bytes(600), extension=numbered(40_000 + 2 * index))
        client.packets.clear()
        client.pump()
        # Their numbers, not the source's.
        came += [(number_of(header), clock.monotonic() + 900) for header, _ in client.packets]
        if index % 10 == 9:
            ticks = tuple(int(time * TICKS_PER_SECOND) for _, time in came)
            control = TwccFeedback(came[0][0], index // 10, ticks).build()
            client.send_rtcp(rtcp.TransportFeedback(sender_ssrc=1, media_ssrc=2, control=control))
            client.pump()
            came.clear()
        clock.advance(0.01)
    sent = handle.peer.path.sent
    assert sent.feedbacks_received == 30
    assert sent.estimate.has_feedback
    # 200 packets of 632 bytes a second.
    assert abs(sent.estimate.arriving_bps - 8 * 200 * 620) < 60_000
    assert sent.estimate.loss == 0
    assert handle.peer.send_estimate_bps == sent.estimate.bps
    clock.advance(1)
    audio, video = handle.all(MediaStats)[-2:]
    assert (audio.twccs_received, audio.send_estimate) == (30, sent.estimate.bps)
    assert audio.twccs_sent is not None
    assert 20 < audio.twccs_sent <= handle.peer.path.arrivals.feedbacks_sent
    assert (video.twccs_received, video.twccs_sent, video.send_estimate) == (None, None, None)
    shown = handle.peer.describe()["bwe"]
    assert shown == {
        "twcc": True,
        "twcc-ext-id": 3,
        "estimate": sent.estimate.bps,
        "acknowledged": sent.estimate.arriving_bps,
    }


async def test_loss_that_is_told_lowers_the_estimate_and_nonsense_does_not(call: Call, clock: FakeClock) -> None:
    client, handle = call(extra=OFFERED)
    estimate = handle.peer.path.sent.estimate
    start = estimate.bps
    for index in range(100):
        client.send_rtp("video", index, 3000 * index, extension=numbered(index))
        client.pump()
        clock.advance(0.01)
    numbers = [number_of(header) for header, _ in client.packets]
    assert [number - numbers[0] for number in numbers] == list(range(100))
    for control in (b"", b"\0" * 8, TwccFeedback(numbers[-1] + 1000, 0, (1, None, None)).build()):
        client.send_rtcp(rtcp.TransportFeedback(sender_ssrc=1, media_ssrc=2, control=control))
    client.pump()
    assert estimate.bps == start
    assert handle.peer.path.sent.refused == 2
    ticks = tuple(int(40 * index) if index % 3 else None for index in range(100))
    packet = rtcp.TransportFeedback(sender_ssrc=1, media_ssrc=2, control=TwccFeedback(numbers[0], 0, ticks).build())
    client.send_rtcp(packet)
    client.pump()
    assert estimate.loss == 0.34
    assert estimate.bps < start
    # Told twice, it counts once.
    before = estimate.bps
    client.send_rtcp(packet)
    client.pump()
    assert estimate.bps == before


class Wire:
    """Where feedback goes."""

    rtcp_ssrc = 1
    media_ssrc = 2

    def __init__(self) -> None:
        self.told: list[TwccFeedback] = []

    def send_rtcp(self, packets: list[rtcp.Packet]) -> bool:
        assert sum(len(packet.build()) for packet in packets) < 1200
        self.told += [twcc.parse(item.control) for item in packets if isinstance(item, rtcp.TransportFeedback)]
        return True


def recorder() -> tuple[Arrivals, Wire, FakeClock]:
    clock: Clock = FakeClock()
    assert isinstance(clock, FakeClock)
    wire = Wire()
    return Arrivals(wire, clock), wire, clock


def test_a_packet_that_comes_late_is_told_after_all() -> None:
    arrivals, wire, clock = recorder()
    for number in range(20):
        if number != 17:
            arrivals.record(number, clock.monotonic())
    clock.advance(0.1)
    for number in (20, 17, *range(21, 30)):
        arrivals.record(number, clock.monotonic())
    clock.advance(0.1)
    first, second = wire.told
    assert first.arrivals[17] is None
    assert second.base == 17
    # Those that were told before are not told as lost now.
    assert None not in second.arrivals


def test_few_packets_wait_longer_and_many_go_at_once() -> None:
    arrivals, wire, clock = recorder()
    arrivals.record(1, clock.monotonic())
    clock.advance(0.2)
    assert not wire.told
    clock.advance(0.06)
    assert len(wire.told) == 1
    for number in range(MAX_ARRIVALS):
        arrivals.record(2 + number, clock.monotonic())
    told = [tick for feedback in wire.told[1:] for tick in feedback.arrivals]
    assert len(told) == MAX_ARRIVALS
    arrivals.close()


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.floats(0, 0.5)), min_size=1, max_size=200))
def test_whatever_numbers_come_each_is_told(came: list[tuple[int, float]]) -> None:
    arrivals, wire, clock = recorder()
    for number, pause in came:
        arrivals.record(number, clock.monotonic())
        clock.advance(pause)
    clock.advance(1)
    told = {
        (feedback.base + at) & 0xFFFF
        for feedback in wire.told
        for at, tick in enumerate(feedback.arrivals)
        if tick is not None
    }
    assert told == {number for number, _ in came}


@given(
    st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=5),
    st.integers(1, 14),
    st.sampled_from([b"", b"\0", b"\0\0", b"\xf0"]),
    st.integers(0, 3),
)
def test_a_number_is_found_where_the_codec_finds_it(
    elements: dict[int, bytes], wanted: int, before: bytes, sources: int
) -> None:
    profile, data = build_extensions(elements)
    data = before + data
    data += bytes(-len(data) & 3)
    header = RtpHeader(96, 1, 2, 3, csrcs=(9,) * sources, extension_profile=profile, extension=data).build()
    view = memoryview(bytearray(header + bytes(40)))
    value = parse_extensions(profile, data).get(wanted, b"")
    at = two_bytes_at(view, len(header), wanted)
    assert (bytes(view[at : at + 2]) if at else b"") == (value if len(value) == 2 else b"")
