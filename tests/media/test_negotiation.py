"""Answers to offers of real clients, read by aiortc; and to broken ones."""

import random
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription as TheirDescription
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.context import GatewayConfig
from appliance.core.peer import AnswerPolicy, SdpRefusedError
from appliance.media.config import MAX_CANDIDATES, MAX_MEDIA_LINES
from appliance.media.negotiation import LocalTransport, NegotiatedLine, negotiate, read_offer, remote_data, write_answer
from appliance.wire import dependency, sdp, twcc
from appliance.wire.description import Direction, Fingerprint
from appliance.wire.sdp import MediaDescription
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call
from tests.media.harness import Handle

DATA = Path(__file__).parent.parent / "data" / "sdp"
CHROME = (DATA / "chrome_offer.sdp").read_bytes().decode()
AIORTC = (DATA / "aiortc_offer.sdp").read_bytes().decode()
OFFERS = [path.read_bytes().decode() for path in sorted(DATA.glob("*_offer*.sdp"))]
FINGERPRINT = Fingerprint("sha-256", ":".join(["AB"] * 32))


def respond(text: str, policy: AnswerPolicy | None = None) -> tuple[str, tuple[NegotiatedLine, ...]]:
    offer = read_offer(text)
    lines = negotiate(offer, policy or AnswerPolicy())
    local = LocalTransport(
        session_id=1,
        version=1,
        ufrag="abcd",
        pwd="x" * 32,
        fingerprint=FINGERPRINT,
        is_client=False,
        candidates=("candidate:1 1 udp 2130706431 192.0.2.1 10000 typ host",),
        ssrcs={line.medium.mid: 100 + line.medium.mindex for line in lines},
        rtx_ssrcs={line.medium.mid: 200 + line.medium.mindex for line in lines},
    )
    return write_answer(offer, lines, local), lines


def media(text: str, policy: AnswerPolicy | None = None) -> tuple[MediaDescription, ...]:
    return sdp.parse(respond(text, policy)[0]).media


def offer_of(*sections: str, bundle: str | None = None) -> str:
    head = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 22}\r\n"
    head += f"a=fingerprint:sha-256 {FINGERPRINT.value}\r\na=setup:actpass\r\n"
    mids = " ".join(str(index) for index in range(len(sections))) if bundle is None else bundle
    head += f"a=group:BUNDLE {mids}\r\n" if mids else ""
    lines = (f"{text}\r\na=mid:{index}\r\na=rtcp-mux\r\n" for index, text in enumerate(sections))
    return head + "".join(lines)


def test_chromium_gets_what_it_needs_and_nothing_we_cannot_do() -> None:
    text, _ = respond(CHROME)
    audio, video, data = sdp.parse(text).media
    assert sdp.parse(text).ice_lite
    assert sdp.parse(text).bundle == ("0", "1", "2")
    assert [list(line.codecs) for line in (audio, video)] == [[111], [96, 97]]
    assert audio.codecs[111].fmtp == "minptime=10;useinbandfec=1"
    assert video.codecs[96].rtcp_feedback == ("ccm fir", "nack", "nack pli", "goog-remb", "transport-cc")
    for line in (audio, video):
        assert twcc.EXTENSION in {item.uri for item in line.extensions}
    assert video.codecs[97].parameters == {"apt": "96"}
    assert [(group.semantics, group.ssrcs) for group in video.ssrc_groups] == [("FID", (101, 201))]
    for word in ("simulcast", "a=rid", "stream-id"):
        assert word not in text
    assert {item.uri.rpartition(":")[2] for item in audio.extensions if item.uri.startswith("urn:ietf")} == {
        "ssrc-audio-level", "mid",
    }  # fmt: skip
    for line in (audio, video, data):
        assert (line.setup, line.ice_ufrag, line.fingerprints) == ("passive", "abcd", (FINGERPRINT,))
        assert [candidate.port for candidate in line.candidates] == [10000]
        assert line.end_of_candidates
    assert (audio.msid, audio.ssrcs[0].ssrc, audio.ssrcs[0].cname) == ("janus janus0", 100, "janus")
    assert audio.rtcp_mux
    assert audio.rtcp_rsize
    assert data.formats == ("webrtc-datachannel",)
    assert (data.sctp_port, data.max_message_size) == (5000, 262_144)


@pytest.mark.parametrize("text", OFFERS)
def test_another_tool_reads_our_answers(text: str) -> None:
    answer, lines = respond(text)
    theirs = TheirDescription.parse(answer)
    assert [item.kind for item in theirs.media] == [line.offered.kind for line in lines]
    for item, line in zip(theirs.media, lines, strict=True):
        assert item.rtp.muxId == line.medium.mid
        assert item.dtls.role == "server"
        assert item.ice.usernameFragment == "abcd"
        assert [(candidate.ip, candidate.port) for candidate in item.ice_candidates] == [("192.0.2.1", 10000)]
        if line.codec is not None:
            used = [line.codec, *([line.rtx] if line.rtx is not None else [])]
            assert [codec.payloadType for codec in item.rtp.codecs] == [codec.payload_type for codec in used]


@pytest.mark.parametrize(
    ("wanted", "payload_type", "name"),
    [("vp8", 96, "vp8"), ("H264", 102, "h264"), ("av1", 45, "av1"), ("vp9", 98, "vp9"), ("h265", 96, "vp8")],
)
def test_any_codec_that_is_offered_can_be_asked_for(wanted: str, payload_type: int, name: str) -> None:
    _, lines = respond(CHROME, AnswerPolicy(video_codecs=(wanted,)))
    assert lines[1].codec is not None
    assert (lines[1].codec.payload_type, lines[1].medium.codec) == (payload_type, name)


@pytest.mark.parametrize(
    ("codec", "told", "wanted"),
    [("vp9", {"1"}, True), ("vp9", {1}, True), ("vp9", {"0", 0}, False), ("vp8", {1}, False), ("av1", {1}, False)],
)
def test_layers_are_those_of_a_codec_that_tells_them(codec: str, told: set[str | int], wanted: bool) -> None:
    offer = read_offer(CHROME, svc=frozenset(told))
    lines = negotiate(offer, AnswerPolicy(video_codecs=(codec,)))
    assert [line.medium.svc for line in lines] == [False, wanted, False]


@pytest.mark.parametrize(
    ("codec", "told", "number", "wanted"),
    [("av1", {"1"}, 9, True), ("av1", set(), 9, False), ("av1", {"1"}, 15, False), ("vp8", {"1"}, 9, False)],
)
def test_the_layers_of_av1_need_their_descriptor(codec: str, told: set[str | int], number: int, wanted: bool) -> None:
    text = CHROME.replace("a=mid:1\r\n", f"a=mid:1\r\na=extmap:{number} {dependency.EXTENSION}\r\n")
    offer = read_offer(text, svc=frozenset(told))
    video = negotiate(offer, AnswerPolicy(video_codecs=(codec,)))[1]
    assert video.medium.svc is wanted
    assert (dependency.EXTENSION in {item.uri for item in video.extensions}) is wanted


# Payload types as Debian's Janus 1.1.2 chose them of the same offer.
@pytest.mark.parametrize(
    ("policy", "payload_type"),
    [
        (AnswerPolicy(video_codecs=("h265", "h264"), other_codecs=False), 102),
        (AnswerPolicy(video_codecs=("h265",), other_codecs=False), None),
        (AnswerPolicy(video_codecs=("vp9",), vp9_profile="2"), 100),
        (AnswerPolicy(video_codecs=("vp9", "vp8"), vp9_profile="3"), 98),
        (AnswerPolicy(video_codecs=("h264",), h264_profile="4D001F"), 116),
        (AnswerPolicy(video_codecs=("h264",), h264_profile="640c1f"), 102),
    ],
)
def test_of_several_codecs_and_profiles_the_first_that_is_offered(
    policy: AnswerPolicy, payload_type: int | None
) -> None:
    _, lines = respond(CHROME, policy)
    assert (lines[1].codec.payload_type if lines[1].codec is not None else None) == payload_type
    assert lines[1].medium.rejected is (payload_type is None)


def test_a_codec_that_only_helps_others_is_no_medium() -> None:
    text = offer_of(
        "m=audio 9 UDP/TLS/RTP/SAVPF 63 13 110 0\r\na=rtpmap:63 red/48000/2\r\na=rtpmap:110 telephone-event/48000",
        "m=video 9 UDP/TLS/RTP/SAVPF 97 120\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:120 ulpfec/90000",
    )
    audio, video = media(text)
    assert list(audio.codecs) == [0]
    assert video.port == 0


@pytest.mark.parametrize(
    "section",
    [
        "m=audio 9 UDP/TLS/RTP/SAVPF 120",  # no rtpmap, no static meaning
        "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=rtpmap:98 t140/1000",
        "m=audio 9 RTP/AVP 0",  # not secure
        "m=audio 0 UDP/TLS/RTP/SAVPF 0",
        "m=application 9 UDP/BFCP *",
    ],
)
def test_what_we_cannot_do_is_refused_by_itself(section: str) -> None:
    first, second = media(offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0", section))
    assert (first.port, second.port) == (9, 0)
    assert second.direction is Direction.INACTIVE
    answer, _ = respond(offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0", section))
    assert sdp.parse(answer).bundle == ("0",)


def test_lines_outside_the_bundle_and_without_mux_are_refused() -> None:
    text = offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0", "m=audio 9 UDP/TLS/RTP/SAVPF 8", bundle="0")
    assert [line.port for line in media(text)] == [9, 0]
    assert [line.port for line in media(text.replace("a=rtcp-mux\r\n", "", 1))] == [0, 0]
    alone = offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0", bundle="")
    assert [line.port for line in media(alone)] == [9]
    assert "BUNDLE" not in respond(alone)[0]


def test_a_policy_can_leave_kinds_out() -> None:
    answer = media(CHROME, AnswerPolicy(video=False, data=False))
    assert [line.port for line in answer] == [9, 0, 0]
    assert [line.port for line in media(CHROME, AnswerPolicy(audio=False))] == [0, 9, 9]


@pytest.mark.parametrize(
    ("offered", "answered"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "inactive"), ("inactive", "inactive")],
)
def test_directions_are_those_of_echotest(offered: str, answered: str) -> None:
    (line,) = media(offer_of(f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na={offered}"))
    assert line.direction.value == answered
    assert bool(line.ssrcs) == (answered == "sendrecv")


def test_retransmission_sources_are_no_media() -> None:
    _, lines = respond(CHROME)
    group = sdp.parse(CHROME).media[1].ssrc_groups[0]
    assert group.semantics == "FID"
    assert lines[1].remote_ssrcs == (group.ssrcs[0],)
    assert lines[1].remote_repairs == {group.ssrcs[1]: group.ssrcs[0]}


def test_data_defaults_are_those_of_rfc_8841() -> None:
    line = sdp.parse(offer_of("m=application 9 UDP/DTLS/SCTP webrtc-datachannel")).media[0]
    assert remote_data(line) == (5000, 65_536)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is '', wanted 'v=0'"),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "the description has no m-line"),
        (offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0").replace("a=ice-pwd", "a=x"), "no ice-ufrag and ice-pwd"),
        (offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0").replace("p" * 22, "p" * 21), "wanted 22..256"),
        (offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0").replace(":abcd", ":abc"), "wanted 4..256"),
        (offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0").replace(":abcd", f":{'a' * 257}"), "wanted 4..256"),
        (offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0").replace("a=fingerprint", "a=x"), "no fingerprint"),
        (offer_of("m=audio 0 UDP/TLS/RTP/SAVPF 0"), "every m-line of the description has port 0"),
        (offer_of(*["m=audio 9 UDP/TLS/RTP/SAVPF 0"] * (MAX_MEDIA_LINES + 1)), "33 m-lines, wanted at most 32"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_offer_is_said(text: str, message: str) -> None:
    with pytest.raises(SdpRefusedError, match=message):
        read_offer(text)


def test_an_offer_may_be_as_long_as_the_api_lets_it_be() -> None:
    lines = f"a=x-note:{'1' * 240}\r\n" * 900
    text = offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0") + lines
    assert 200_000 < len(text) < GatewayConfig().max_sdp_bytes
    assert len(read_offer(text).description.media) == 1


def test_more_candidates_than_we_keep_are_read_and_then_ignored() -> None:
    lines = "\r\n".join(f"a=candidate:1 1 udp 1 192.0.2.1 {1000 + n} typ host" for n in range(200))
    offer = read_offer(offer_of(f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n{lines}"))
    assert len(offer.candidates) == MAX_CANDIDATES + 1


def mutated(text: str, seed: int) -> str:
    """One of the ways in which middleboxes and bugs spoil a description."""
    chance = random.Random(seed)
    lines = text.split("\r\n")
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(lines))
        line = lines[at]
        how = chance.randrange(8)
        if how == 0:
            del lines[at]
        elif how == 1:
            lines.insert(at, chance.choice(lines))
        elif how == 2:
            lines[at] = line[: chance.randrange(len(line) + 1)]
        elif how == 3:
            lines[at] = line.replace(chance.choice("0123456789: "), chance.choice(["", "-1", "99999999999", "é", " "]))
        elif how == 4:
            lines[at], lines[0] = lines[0], lines[at]
        elif how == 5:
            lines[at] = line + chance.choice(["\0", "\r", " x", ":", "/", "=" * 300])
        elif how == 6:
            lines[at] = "".join(chance.sample(line, len(line)))
        else:
            lines[at] = chance.choice(["m=audio", "a=mid:0", "a=group:BUNDLE", "a=setup:", "m=video 9 RTP/SAVPF", "="])
        lines = lines or [""]
    return "\r\n".join(lines)


@given(st.sampled_from(OFFERS), st.integers(0, 2**32))
def test_a_spoilt_offer_is_answered_or_refused(text: str, seed: int) -> None:
    try:
        answer, lines = respond(mutated(text, seed))
    except SdpRefusedError as error:
        assert str(error)
        return
    assert len(sdp.parse(answer).media) == len(lines)


@given(st.text(max_size=200))
def test_anything_that_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(SdpRefusedError):
        read_offer(text)


async def test_a_refused_offer_changes_nothing(call: Call) -> None:
    client, handle = call()
    facts = len(handle.facts)
    for text in ("nonsense", client.offer().replace(client.fingerprint.value, ":".join(["00"] * 32))):
        with pytest.raises(SdpRefusedError):
            handle.peer.set_remote_offer(text)
    assert len(handle.facts) == facts
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert len(client.packets) == 1


async def test_fuzzed_offers_leave_an_engine_in_order(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    engine = client.engine
    for seed in range(150):
        other = Handle(engine)
        try:
            other.answer(mutated(CHROME if seed % 2 else AIORTC, seed))
        except SdpRefusedError:
            pass
        clock.advance(0.5)
        client.pump()
        other.peer.close(None)
    assert engine.peers == {handle.peer}
    assert len(engine._by_ufrag) == 1
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert len(client.packets) == 1


async def test_sources_are_told_apart_by_ssrc_then_mid_then_payload_type(call: Call) -> None:
    from appliance.wire.rtp import build_extensions

    mid = ["a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid"]
    client, handle = call(kinds=("audio", "video"), extra={"audio": mid, "video": mid})
    two = Client(client.engine, client.clock, kinds=("video", "video"), extra={"video": mid})
    other = Handle(client.engine)
    try:
        two.ssrcs = {"video": 1}
        two.take(other.answer(two.offer()))
        two.connect()
        profile, data = build_extensions({4: b"1"})
        block = profile.to_bytes(2, "big") + (len(data) // 4).to_bytes(2, "big") + data
        # Both lines use payload type 96 here, so only the MID says which one it is.
        two.send_rtp("video", 1, 0, ssrc=555, extension=block)
        two.send_rtp("video", 1, 0, ssrc=666)
        two.pump()
        assert other.peer.path.streams[555].line.medium.mid == "1"
        assert 666 not in other.peer.path.streams
    finally:
        two.close()
    client.send_rtp("video", 1, 0, ssrc=777)  # by its payload type
    client.pump()
    assert handle.peer.path.streams[777].line.medium.mid == "1"
