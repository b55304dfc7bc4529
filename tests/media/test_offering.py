"""Offers of ours: what is in them, what an answer makes of them, and what then flows from others to the client."""

import asyncio
from typing import Any

import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from appliance.core.events import Connection, IceState
from appliance.core.peer import AnswerPolicy, OfferLine, SdpRefusedError
from appliance.media.engine import Engine
from appliance.wire import sdp
from appliance.wire.rtcp import Pli
from appliance.wire.rtp import build_extensions, parse_extensions
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call
from tests.media.harness import Handle, aiortc_client, until

LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"

KEY = b"\x10\x00"
"""How a VP8 key frame begins."""


class Subscriber(Client):
    """Answers offers of the gateway."""

    def reply(self, offer: str, *, port: dict[str, int] | None = None) -> str:
        description = self.take(offer)
        lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines.append("a=group:BUNDLE " + " ".join(description.bundle))
        for media in description.media:
            number = (port or {}).get(media.mid or "", 9)
            lines += [f"m={media.kind} {number} {media.protocol} {' '.join(media.formats)}", f"a=mid:{media.mid}"]
            for codec in media.codecs.values():
                lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}/{codec.channels}")
                lines += [f"a=rtcp-fb:{codec.payload_type} {item}" for item in codec.rtcp_feedback]
            lines += [f"a=extmap:{item.id} {item.uri}" for item in media.extensions]
            lines += [f"a={media.direction.reversed.value}", "a=rtcp-mux", "a=setup:active"]
            lines += [f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.pwd}"]
            lines.append(f"a=fingerprint:{self.fingerprint.algorithm} {self.fingerprint.value}")
        return "\r\n".join(lines) + "\r\n"


def subscribe(handle: Handle, subscriber: Subscriber, lines: list[OfferLine], **more: Any) -> str:
    """Offer, answer; returns the offer."""
    offer = handle.peer.create_offer(lines)
    handle.peer.set_remote_answer(subscriber.reply(offer, **more))
    handle.peer.gather(trickle=True)
    return offer


def video(mid: str, source: Handle, source_mid: str = "1") -> OfferLine:
    return OfferLine(mid=mid, kind="video", source=source.peer, source_mid=source_mid)


@pytest.fixture
def listener(server: Engine, clock: FakeClock) -> Any:
    found = Subscriber(server, clock)
    yield found, Handle(server)
    found.close()


async def test_two_publishers_reach_one_subscriber(
    call: Call, listener: tuple[Subscriber, Handle], clock: FakeClock
) -> None:
    audio = [f"a=extmap:2 {LEVEL}", f"a=extmap:4 {MID}"]
    (one, first), (two, second) = (
        call(extra={"audio": audio}),
        call(extra={"audio": [f"a=extmap:5 {LEVEL}", f"a=extmap:2 {MID}"]}),
    )
    subscriber, handle = listener
    lines = [
        OfferLine(mid="a", kind="audio", source=first.peer, source_mid="0", msid="feed one"),
        OfferLine(mid="b", kind="audio", source=second.peer, source_mid="0"),
        video("c", first),
    ]
    offer = sdp.parse(handle.peer.create_offer(lines))
    assert offer.ice_lite
    assert [media.setup for media in offer.media] == ["actpass"] * 3
    assert [media.direction.value for media in offer.media] == ["sendonly"] * 3
    assert [[(item.id, item.uri) for item in media.extensions] for media in offer.media[:2]] == [[(2, LEVEL)]] * 2
    assert offer.media[0].msid == "feed one"
    assert [list(media.codecs) for media in offer.media] == [[111], [111], [96, 97]]
    for mid, source, to_mid in (("0", first, "a"), ("0", second, "b"), ("1", first, "c")):
        source.peer.forward(mid, handle.peer, to_mid)

    # The client's checks may come before its answer: they wait for it.
    text = subscriber.reply(offer.serialise())
    subscriber.check()
    subscriber.pump()
    assert [state.ice for state in handle.all(IceState)] == ["gathering"]
    handle.peer.set_remote_answer(text)
    handle.peer.gather(trickle=True)
    subscriber.start_dtls()
    subscriber.pump()
    assert subscriber.connected
    assert handle.peer.up
    assert [state.ice for state in handle.all(IceState)] == ["gathering", "connecting", "connected", "ready"]

    def block(elements: dict[int, bytes]) -> bytes:
        profile, data = build_extensions(elements)
        return profile.to_bytes(2, "big") + (len(data) // 4).to_bytes(2, "big") + data

    one.send_rtp("audio", 7, 0, b"one", extension=block({2: b"L", 4: b"0"}))
    two.send_rtp("audio", 9, 0, b"two", extension=block({5: b"M", 2: b"0"}))
    one.send_rtp("video", 7, 0, b"see")
    one.pump()
    two.pump()
    subscriber.pump()
    got = {payload: header for header, payload in subscriber.packets}
    ssrcs = [media.ssrcs[0].ssrc for media in offer.media]
    assert [got[name].ssrc for name in (b"one", b"two", b"see")] == ssrcs
    for name, level in ((b"one", b"L"), (b"two", b"M")):
        assert parse_extensions(got[name].extension_profile, got[name].extension) == {2: level}
    # A subscriber that loses its picture has it asked for at the one whose it is.
    before = len([report for report in one.reports if isinstance(report, Pli)])
    clock.advance(1.0)
    subscriber.send_rtcp(Pli(sender_ssrc=1, media_ssrc=ssrcs[2]))
    subscriber.pump()
    one.pump()
    assert len([report for report in one.reports if isinstance(report, Pli)]) > before


async def test_a_switch_goes_on_with_the_numbers(call: Call, listener: tuple[Subscriber, Handle]) -> None:
    (one, first), (two, second) = call(), call()
    subscriber, handle = listener
    subscribe(handle, subscriber, [video("v", first)])
    first.peer.forward("1", handle.peer, "v")
    subscriber.connect()
    one.send_rtp("video", 100, 5000, b"1")
    one.pump()
    second.peer.forward("1", handle.peer, "v")
    two.send_rtp("video", 59_999, 70, b"no picture to begin with")
    two.send_rtp("video", 60_000, 77, KEY + b"2")
    one.send_rtp("video", 101, 8000, b"not any more")
    two.pump()
    one.pump()
    handle.peer.unforward("v")
    two.send_rtp("video", 60_001, 77, b"nor this")
    two.pump()
    first.peer.forward("1", handle.peer, "v")
    one.send_rtp("video", 102, 11_000, KEY + b"3")
    one.pump()
    subscriber.pump()
    assert [payload for _, payload in subscriber.packets] == [b"1", KEY + b"2", KEY + b"3"]
    headers = [header for header, _ in subscriber.packets]
    assert [(header.sequence_number - headers[0].sequence_number) & 0xFFFF for header in headers] == [0, 1, 2]
    assert headers[0].ssrc == headers[1].ssrc == headers[2].ssrc
    assert handle.peer.lines[0].tx in first.peer.lines[1].sinks
    assert handle.peer.lines[0].tx not in second.peer.lines[1].sinks


async def test_lines_are_added_stopped_and_used_again(call: Call, listener: tuple[Subscriber, Handle]) -> None:
    (one, first), (two, second) = call(), call()
    subscriber, handle = listener
    subscribe(handle, subscriber, [video("v", first)])
    first.peer.forward("1", handle.peer, "v")
    subscriber.connect()
    assert [medium.direction for medium in handle.peer.media] == ["sendonly"]

    # A new line carries nothing before its answer.
    offer = handle.peer.create_offer([video("v", first), video("w", second)])
    second.peer.forward("1", handle.peer, "w")
    two.send_rtp("video", 1, 0, b"early")
    one.send_rtp("video", 1, 0, b"known")
    two.pump()
    one.pump()
    subscriber.pump()
    assert [payload for _, payload in subscriber.packets] == [b"known"]
    handle.peer.set_remote_answer(subscriber.reply(offer))
    handle.peer.gather(trickle=True)
    two.send_rtp("video", 2, 0, b"later")
    two.pump()
    subscriber.pump()
    assert [payload for _, payload in subscriber.packets] == [b"known", b"later"]

    idle = OfferLine(mid="v", kind="video")
    offer = subscribe(handle, subscriber, [idle, video("w", second)])
    assert [media.direction.value for media in sdp.parse(offer).media] == ["inactive", "sendonly"]
    one.send_rtp("video", 2, 0, b"unheard")
    one.pump()
    subscribe(handle, subscriber, [video("v", second), video("w", second)])
    second.peer.forward("1", handle.peer, "v")
    two.send_rtp("video", 3, 0, KEY + b"both")
    two.pump()
    subscriber.pump()
    assert [payload for _, payload in subscriber.packets][2:] == [KEY + b"both"] * 2

    # The client stops one of them: its port is 0.
    subscribe(handle, subscriber, [video("v", second), video("w", second)], port={"w": 0})
    assert [medium.rejected for medium in handle.peer.media] == [False, True]
    two.send_rtp("video", 4, 0, b"one left")
    two.pump()
    subscriber.pump()
    assert [payload for _, payload in subscriber.packets][4:] == [b"one left"]
    assert handle.all(Connection) == [Connection(connection="webrtcup")]


async def test_an_ice_restart_of_ours_keeps_the_call(call: Call, listener: tuple[Subscriber, Handle]) -> None:
    one, first = call()
    subscriber, handle = listener
    subscribe(handle, subscriber, [video("v", first)])
    first.peer.forward("1", handle.peer, "v")
    subscriber.connect()
    before = subscriber.transport.ice_ufrag
    offer = handle.peer.create_offer([video("v", first)], ice_restart=True)
    subscriber.ufrag, subscriber.pwd = "fresh", "f" * 24
    handle.peer.set_remote_answer(subscriber.reply(offer))
    handle.peer.gather(trickle=True)
    assert subscriber.transport.ice_ufrag == handle.peer.ice.credentials.ufrag != before
    subscriber.move()
    subscriber.check()
    subscriber.pump()
    assert not handle.peer.ice.awaiting_pair
    one.send_rtp("video", 1, 0, b"x")
    one.pump()
    subscriber.pump()
    assert [payload for _, payload in subscriber.packets] == [b"x"]


async def test_what_cannot_be_offered_or_answered(call: Call, listener: tuple[Subscriber, Handle]) -> None:
    _, first = call()
    subscriber, handle = listener
    peer = handle.peer
    for lines, message in (
        ([], "wanted 1..32"),
        ([OfferLine(mid="v", kind="video")], "wanted one the first time"),
        ([video("v", first, "9")], "there is no video 9"),
        ([video("v", first, "0")], "its source is audio"),
        ([video("v", first), video("v", first)], "the same mid"),
    ):
        with pytest.raises(SdpRefusedError, match=message):
            peer.create_offer(lines)
    assert handle.facts == []
    with pytest.raises(SdpRefusedError, match="no offer of ours"):
        peer.set_remote_answer("v=0\r\n")
    offer = peer.create_offer([video("v", first)])
    with pytest.raises(SdpRefusedError, match="wanted video v"):
        peer.create_offer([video("w", first)])
    answer = subscriber.reply(offer)
    for text, message in (
        (answer.replace("setup:active", "setup:actpass"), "wanted active or passive"),
        (answer.replace("mid:v", "mid:w"), "wanted video v"),
        (answer + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "2 m-lines, wanted 1"),
    ):
        with pytest.raises(SdpRefusedError, match=message):
            peer.set_remote_answer(text)
    peer.set_remote_answer(answer)


async def test_a_publisher_is_sent_nothing(call: Call) -> None:
    client, handle = call(connect=False)
    answer = sdp.parse(handle.answer(client.offer(), policy=AnswerPolicy(receive_only=True)))
    assert [media.direction.value for media in answer.media] == ["recvonly", "recvonly"]
    assert [media.ssrcs for media in answer.media] == [(), ()]


async def test_aiortc_sees_what_another_sends(live: Engine) -> None:
    publisher, subscriber = aiortc_client(), aiortc_client()
    source, handle = Handle(live), Handle(live)
    publisher.addTrack(AudioStreamTrack())
    publisher.addTrack(VideoStreamTrack())
    tracks: list[Any] = []
    subscriber.on("track", tracks.append)
    await publisher.setLocalDescription(await publisher.createOffer())
    answer = source.answer(publisher.localDescription.sdp, policy=AnswerPolicy(receive_only=True))
    await publisher.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))

    async def follow(lines: list[OfferLine]) -> None:
        offer = handle.peer.create_offer(lines)
        for line in lines:
            source.peer.forward(line.source_mid, handle.peer, line.mid)
        await subscriber.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await subscriber.setLocalDescription(await subscriber.createAnswer())
        handle.peer.set_remote_answer(subscriber.localDescription.sdp)
        handle.peer.gather(trickle=False)

    picture = video("0", source)
    await follow([picture])
    async with asyncio.timeout(20):
        frame = await tracks[0].recv()
    assert (frame.width, frame.height) == (640, 480)
    await follow([picture, OfferLine(mid="1", kind="audio", source=source.peer, source_mid="0")])
    async with asyncio.timeout(20):
        assert (await tracks[1].recv()).sample_rate == 48_000
        await tracks[0].recv()
    await subscriber.close()
    await publisher.close()
    await until(handle, lambda: handle.hangup() is not None)
