"""What a plugin sends by itself reaches clients as if a client had sent it."""

import asyncio
from typing import Any

import pytest
from aiortc import RTCSessionDescription
from msgspec.structs import replace

from appliance.core.peer import OfferLine, SourceLine
from appliance.media.engine import Engine
from appliance.wire import sdp
from appliance.wire.rtcp import Nack, Pli
from appliance.wire.rtp import RtpHeader, build_extensions, parse_extensions
from tests.clock import FakeClock
from tests.media.harness import Handle, aiortc_client, until
from tests.media.test_offering import KEY, Subscriber, subscribe

OPUS = SourceLine(mid="0", kind="audio", codec="opus", clock_rate=48_000, channels=2, payload_type=111)
VP8 = SourceLine(mid="1", kind="video", codec="VP8", clock_rate=90_000)


class Listener:
    """A client that is offered a source's lines, and hears them."""

    def __init__(self, server: Engine, clock: FakeClock, lines: tuple[SourceLine, ...], **more: Any) -> None:
        self.wanted: list[str] = []
        self.source = server.source(lines, self.wanted.append)
        self.client, self.handle = Subscriber(server, clock), Handle(server)
        offered = [OfferLine(mid=one.mid, kind=one.kind, source=self.source, source_mid=one.mid) for one in lines]
        self.offer = sdp.parse(subscribe(self.handle, self.client, offered, **more))
        for one in lines:
            self.source.forward(one.mid, self.handle.peer, one.mid)
        self.client.connect()

    def heard(self) -> list[tuple[RtpHeader, bytes]]:
        self.client.pump()
        return self.client.packets


@pytest.fixture
def listener(server: Engine, clock: FakeClock) -> Any:
    found = Listener(server, clock, (OPUS, VP8))
    yield found
    found.client.close()


async def test_frames_become_packets_in_order(listener: Listener, clock: FakeClock) -> None:
    assert [[codec.name for codec in media.codecs.values()] for media in listener.offer.media] == [
        ["opus"], ["VP8", "rtx"],
    ]  # fmt: skip
    for index in range(3):
        listener.source.send("0", b"frame %d" % index, timestamp=960 * index, marker=index == 0)
        clock.advance(0.02)
    heard = listener.heard()
    assert [payload for _, payload in heard] == [b"frame 0", b"frame 1", b"frame 2"]
    headers = [header for header, _ in heard]
    assert {header.ssrc for header in headers} == {listener.offer.media[0].ssrcs[0].ssrc}
    assert {header.payload_type for header in headers} == {111}
    assert [(header.sequence_number - headers[0].sequence_number) & 0xFFFF for header in headers] == [0, 1, 2]
    assert [(header.timestamp - headers[0].timestamp) & 0xFFFFFFFF for header in headers] == [0, 960, 1920]
    assert [header.marker for header in headers] == [True, False, False]


async def test_packets_from_elsewhere_keep_their_gaps_and_lose_their_extensions(listener: Listener) -> None:
    def packet(sequence: int, payload: bytes) -> bytes:
        plain = RtpHeader(payload_type=8, sequence_number=sequence, timestamp=7, ssrc=9)
        return replace(plain, extension_profile=0xBEDE, extension=b"\x10a\0\0").build() + payload

    for sequence in (65_535, 1):
        listener.source.send_packet("0", packet(sequence, b"x%d" % sequence))
    heard = listener.heard()
    assert [payload for _, payload in heard] == [b"x65535", b"x1"]
    assert [header.extension_profile for header, _ in heard] == [None, None]
    assert (heard[1][0].sequence_number - heard[0][0].sequence_number) & 0xFFFF == 2


async def test_extensions_that_the_line_has_go_on(server: Engine, clock: FakeClock) -> None:
    level = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    listener = Listener(server, clock, (replace(OPUS, extensions={level: 4}),))
    (agreed,) = [one.id for one in listener.offer.media[0].extensions if one.uri == level]
    plain = RtpHeader(payload_type=8, sequence_number=1, timestamp=7, ssrc=9)
    block = build_extensions({4: b"\x7f", 5: b"other"})
    packet = replace(plain, extension_profile=block[0], extension=block[1]).build() + b"x"
    listener.source.send_packet("0", packet)
    ((header, _),) = listener.heard()
    assert parse_extensions(header.extension_profile, header.extension) == {agreed: b"\x7f"}
    listener.client.close()


async def test_encodings_of_simulcast_are_chosen_from_and_heard(server: Engine, clock: FakeClock) -> None:
    listener = Listener(server, clock, (replace(VP8, substreams=3),))
    best: list[bytes] = []
    lowest: list[bytes] = []
    listener.source.listen("1", lambda packet: best.append(bytes(packet)))
    listener.source.listen("1", lambda packet: lowest.append(bytes(packet)), substream=0)
    for number in range(3):
        for substream in range(3):
            header = RtpHeader(
                payload_type=96, sequence_number=number, timestamp=3000 * number, ssrc=substream, marker=True
            )
            # A key frame of VP8 (RFC 7741 section 4.3), and what it is of.
            payload = KEY + bytes((substream, number))
            listener.source.send_packet("1", header.build() + payload, substream=substream)
        clock.advance(0.03)
    assert [payload[-2:] for _, payload in listener.heard()][-1] == bytes((2, 2))
    assert best[-1][-2:] == bytes((2, 2))
    assert [packet[-2:] for packet in lowest] == [bytes((0, number)) for number in range(3)]
    assert listener.wanted
    assert listener.source.dropped == 0
    listener.source.send_packet("1", RtpHeader(96, 1, 1, 1).build(), substream=3)
    assert listener.source.dropped == 1
    listener.client.close()


async def test_lines_come_and_stay(server: Engine, clock: FakeClock) -> None:
    listener = Listener(server, clock, (OPUS,))
    listener.source.send("0", b"one", timestamp=0)
    listener.source.change((OPUS, VP8))
    listener.source.send("0", b"two", timestamp=960)
    heard = listener.heard()
    assert [payload for _, payload in heard] == [b"one", b"two"]
    assert (heard[1][0].sequence_number - heard[0][0].sequence_number) & 0xFFFF == 1
    assert [medium.mid for medium in listener.source.media] == ["0", "1"]
    for lines in ((OPUS, OPUS), (replace(OPUS, substreams=4),)):
        with pytest.raises(ValueError, match=r"mid|substreams"):
            listener.source.change(lines)
    assert [medium.mid for medium in listener.source.media] == ["0", "1"]
    listener.client.close()


async def test_many_hear_one_source_and_each_its_own_numbers(server: Engine, clock: FakeClock) -> None:
    first, second = Listener(server, clock, (OPUS,)), Subscriber(server, clock)
    handle = Handle(server)
    subscribe(handle, second, [OfferLine(mid="a", kind="audio", source=first.source, source_mid="0")])
    second.connect()
    first.source.send("0", b"one", timestamp=0)
    first.source.forward("0", handle.peer, "a")
    first.source.send("0", b"two", timestamp=960)
    second.pump()
    assert [payload for _, payload in first.heard()] == [b"one", b"two"]
    assert [payload for _, payload in second.packets] == [b"two"]
    first.source.close()
    first.source.send("0", b"three", timestamp=1920)
    second.pump()
    assert len(first.heard()) == 2
    assert len(second.packets) == 1
    first.client.close()
    second.close()


async def test_a_client_that_misses_something_gets_it_again(listener: Listener, clock: FakeClock) -> None:
    listener.source.send("1", KEY + b"picture", timestamp=0, marker=True)
    (header, payload) = listener.heard()[0]
    clock.advance(0.1)
    listener.client.send_rtcp(Nack(sender_ssrc=1, media_ssrc=header.ssrc, lost=(header.sequence_number,)))
    assert listener.heard()[-1][1].endswith(payload)
    assert len(listener.client.packets) == 2


async def test_key_frames_are_asked_of_the_plugin_now_and_then(listener: Listener, clock: FakeClock) -> None:
    listener.source.send("1", KEY + b"picture", timestamp=0, marker=True)
    (header, _) = listener.heard()[0]
    listener.wanted.clear()
    clock.advance(1.0)
    for _ in range(10):
        listener.client.send_rtcp(Pli(sender_ssrc=1, media_ssrc=header.ssrc))
        listener.client.pump()
        clock.advance(0.01)
    assert listener.wanted == ["1"]
    clock.advance(1.0)
    assert listener.wanted == ["1", "1"]


async def test_what_is_no_packet_is_dropped_and_counted(listener: Listener) -> None:
    good = RtpHeader(payload_type=0, sequence_number=1, timestamp=0, ssrc=0).build()
    for mid, packet in (
        ("0", b""), ("0", b"\x00" * 20), ("0", b"\x80\xc8" + bytes(26)), ("0", good + bytes(2000)), ("9", good),
        ("0", b"\xa0" + good[1:] + b"\xff"), ("0", b"\x90" + good[1:]),
    ):  # fmt: skip
        listener.source.send_packet(mid, packet)
    listener.source.send("9", b"", timestamp=0)
    assert listener.source.dropped == 8
    assert listener.heard() == []


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ((OPUS, OPUS), "two lines have the same mid"),
        ((SourceLine(mid="0", kind="data", codec="x", clock_rate=1),), "kind: 'data': wanted audio or video"),
        (tuple(SourceLine(mid=str(n), kind="audio", codec="opus", clock_rate=1) for n in range(33)), "33 lines"),
    ],
)
async def test_lines_that_cannot_be(server: Engine, lines: tuple[SourceLine, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        server.source(lines)


async def test_aiortc_hears_a_plugin(live: Engine) -> None:
    pcmu = SourceLine(mid="0", kind="audio", codec="PCMU", clock_rate=8000, payload_type=0)
    source, handle, listener = live.source((pcmu,)), Handle(live), aiortc_client()
    tracks: list[Any] = []
    listener.on("track", tracks.append)
    offer = handle.peer.create_offer([OfferLine(mid="0", kind="audio", source=source, source_mid="0")])
    await listener.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
    await listener.setLocalDescription(await listener.createAnswer())
    handle.peer.set_remote_answer(listener.localDescription.sdp)
    handle.peer.gather(trickle=False)
    source.forward("0", handle.peer, "0")
    await until(handle, lambda: handle.peer.up and listener.connectionState == "connected")
    for index in range(20):
        # The loudest sample of either sign, in turn (ITU-T G.711).
        source.send("0", b"\x00\x80" * 80, timestamp=160 * index)
    async with asyncio.timeout(20):
        frame = await tracks[0].recv()
    assert (frame.sample_rate, frame.samples) == (8000, 160)
    assert list(memoryview(bytes(frame.planes[0])).cast("h")[:4]) == [-32_124, 32_124] * 2
    await listener.close()
