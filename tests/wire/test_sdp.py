from pathlib import Path

import aiortc.sdp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import sdp
from appliance.wire.description import direction
from appliance.wire.sdp import (
    Candidate,
    Codec,
    Direction,
    Fingerprint,
    Group,
    HeaderExtension,
    MediaDescription,
    Origin,
    Rid,
    SdpDecodeError,
    SessionDescription,
    Simulcast,
    Ssrc,
    SsrcGroup,
)

REAL = {path.stem: path.read_bytes().decode() for path in (Path(__file__).parent.parent / "data/sdp").glob("*.sdp")}
NAMES = [
    "aiortc_offer",
    "aiortc_offer_data",
    "chrome_answer",
    "chrome_offer",
    "chrome_offer_audio",
    "chrome_offer_renegotiated",
    "janus_answer",
    "janus_answer_data",
    "janus_offer",
]

FIREFOX = """\
v=0
o=mozilla...THIS_IS_SDPARTA-99.0 4327261771880257373 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 15:B0:92:1F:C7:40:EE:22:A6:AF:26:EF:EA:FF:37:1D:B3:EF:11:0B:8B:73:4F:01:7D:C9:AE:26:4F:87:E0:95
a=group:BUNDLE 0 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 109 0
c=IN IP4 0.0.0.0
a=sendrecv
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=ice-pwd:c3ae4ad65c7b6a1e4a6f1f3a5d1c2b7e
a=ice-ufrag:5ab1f7c2
a=mid:0
a=msid:{7e0fd4b2} {0cd29c9f}
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=setup:actpass
a=ssrc:1021177302 cname:{a6b8b4c7}
m=video 0 UDP/TLS/RTP/SAVPF 120 124
c=IN IP4 0.0.0.0
a=bundle-only
a=sendonly
a=fmtp:120 max-fs=12288;max-fr=60
a=fmtp:124 apt=120
a=ice-pwd:c3ae4ad65c7b6a1e4a6f1f3a5d1c2b7e
a=ice-ufrag:5ab1f7c2
a=mid:1
a=rtcp-fb:* transport-cc
a=rtcp-fb:120 nack
a=rtcp-fb:120 nack pli
a=rtcp-fb:120 ccm fir
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:120 VP8/90000
a=rtpmap:124 rtx/90000
a=setup:actpass
a=rid:hi send
a=rid:mid send max-width=640;max-height=360
a=rid:lo send
a=simulcast:send hi;mid,~lo
a=ssrc:2222 cname:{a6b8b4c7}
a=ssrc:3333 cname:{a6b8b4c7}
a=ssrc-group:FID 2222 3333
a=end-of-candidates
"""
HASH = ":".join(["AB"] * 32)


def without_raw(description: SessionDescription) -> SessionDescription:
    media = tuple(msgspec.structs.replace(item, attributes=()) for item in description.media)
    return msgspec.structs.replace(description, attributes=(), media=media)


def test_the_real_descriptions_are_all_there() -> None:
    assert sorted(REAL) == NAMES


def test_an_offer_of_chromium() -> None:
    offer = sdp.parse(REAL["chrome_offer"])
    assert [media.kind for media in offer.media] == ["audio", "video", "application"]
    assert offer.bundle == ("0", "1", "2")
    audio, video, data = offer.media
    assert audio.direction is Direction.SENDRECV
    assert audio.codecs[111] == Codec(
        payload_type=111,
        name="opus",
        clock_rate=48000,
        channels=2,
        fmtp="minptime=10;useinbandfec=1",
        rtcp_feedback=("transport-cc",),
    )
    assert audio.codecs[111].parameters == {"minptime": "10", "useinbandfec": "1"}
    assert video.codecs[96].name == "VP8"
    assert "nack pli" in video.codecs[96].rtcp_feedback
    assert video.codecs[97].parameters == {"apt": "96"}
    assert video.setup == "actpass"
    assert (video.rtcp_mux, video.rtcp_rsize) == (True, True)
    assert video.ssrc_groups[0].semantics == "FID"
    assert {source.ssrc for source in video.ssrcs} == set(video.ssrc_groups[0].ssrcs)
    assert (data.sctp_port, data.max_message_size, data.formats) == (5000, 262144, ("webrtc-datachannel",))
    assert {media.ice_ufrag for media in offer.media} == {"F8cV"}


def test_an_answer_of_janus() -> None:
    answer = sdp.parse(REAL["janus_answer"])
    [fingerprint] = answer.fingerprints
    assert fingerprint.algorithm == "sha-256"
    assert all(media.fingerprints == (fingerprint,) for media in answer.media)
    candidate = answer.media[0].candidates[0]
    assert (candidate.address, candidate.port, candidate.type) == ("127.0.0.1", 28445, "host")
    assert answer.media[0].end_of_candidates
    assert answer.media[1].direction is Direction.INACTIVE


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_stands_at_session_level_counts_for_every_m_line(end: str) -> None:
    offer = sdp.parse(FIREFOX.replace("\n", end))
    audio, video = offer.media
    assert audio.fingerprints == video.fingerprints == offer.fingerprints
    assert audio.ice_options == ("trickle",)
    assert audio.extensions[1] == HeaderExtension(2, "urn:ietf:params:rtp-hdrext:csrc-audio-level", Direction.RECVONLY)
    assert audio.codecs[0] == Codec(payload_type=0, name="PCMU", clock_rate=8000)
    assert (video.port, video.bundle_only, video.end_of_candidates) == (0, True, True)
    assert video.codecs[120].rtcp_feedback == ("nack", "nack pli", "ccm fir", "transport-cc")
    assert video.rids == (Rid("hi", "send"), Rid("mid", "send", "max-width=640;max-height=360"), Rid("lo", "send"))
    assert video.simulcast == Simulcast(send=(("hi",), ("mid", "~lo")))
    assert video.ssrcs == (Ssrc(2222, "{a6b8b4c7}"), Ssrc(3333, "{a6b8b4c7}"))
    assert video.ssrc_groups == (SsrcGroup("FID", (2222, 3333)),)
    assert audio.msid == "{7e0fd4b2} {0cd29c9f}"


def test_an_m_line_keeps_what_it_says_itself() -> None:
    common = f"a=setup:actpass\na=sendonly\na=ice-ufrag:sess\na=ice-pwd:{'s' * 22}\na=fingerprint:sha-256 {HASH}\n"
    own = f"a=setup:active\na=recvonly\na=ice-ufrag:medi\na=ice-pwd:{'m' * 22}\n"
    text = f"v=0\no=- 1 1 IN IP4 0.0.0.0\n{common}m=audio 9 RTP/AVP 0\nm=audio 9 RTP/AVP 0\n{own}"
    first, second = sdp.parse(text).media
    assert (first.setup, first.direction, first.ice_ufrag, first.ice_pwd) == (
        "actpass", Direction.SENDONLY, "sess", "s" * 22,
    )  # fmt: skip
    assert (second.setup, second.direction, second.ice_ufrag, second.ice_pwd) == (
        "active", Direction.RECVONLY, "medi", "m" * 22,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_aiortc_reads_the_same(name: str) -> None:
    theirs = aiortc.sdp.SessionDescription.parse(REAL[name])
    ours = sdp.parse(REAL[name])
    assert [(m.kind, m.port, m.profile) for m in theirs.media] == [(m.kind, m.port, m.protocol) for m in ours.media]
    for their, our in zip(theirs.media, ours.media, strict=True):
        assert their.rtp.muxId == our.mid
        assert (their.ice.usernameFragment, their.ice.password) == (our.ice_ufrag, our.ice_pwd)
        assert [(f.algorithm, f.value.upper()) for f in their.dtls.fingerprints] == [
            (f.algorithm, f.value) for f in our.fingerprints
        ]
        assert [(c.address, c.port) for c in our.candidates] == [(c.ip, c.port) for c in their.ice_candidates]
        assert their.ice_candidates_complete == our.end_of_candidates
        if our.is_rtp:
            assert their.direction == our.direction
            # aiortc knows no static payload types but the three it can decode
            assert {(c.payloadType, c.name, c.clockRate, c.channels or 1) for c in their.rtp.codecs} <= {
                (c.payload_type, c.name, c.clock_rate, c.channels) for c in our.codecs.values()
            }
            assert [(e.id, e.uri) for e in their.rtp.headerExtensions] == [(e.id, e.uri) for e in our.extensions]
            assert [s.ssrc for s in their.ssrc] == [s.ssrc for s in our.ssrcs]
            for codec in their.rtp.codecs:
                mine = our.codecs[codec.payloadType].rtcp_feedback
                assert [f"{f.type} {f.parameter or ''}".strip() for f in codec.rtcpFeedback] == list(mine)


@pytest.mark.parametrize("text", [*(REAL[name] for name in NAMES), FIREFOX])
def test_what_is_read_writes_and_reads_the_same(text: str) -> None:
    first = sdp.parse(text)
    written = first.serialise()
    again = sdp.parse(written)
    assert without_raw(again) == without_raw(first)
    assert again.serialise() == written
    assert written.endswith("\r\n")
    assert set(first.attributes) == set(again.attributes)


@pytest.mark.parametrize("name", NAMES)
def test_aiortc_accepts_what_we_write(name: str) -> None:
    ours = sdp.parse(REAL[name])
    theirs = aiortc.sdp.SessionDescription.parse(ours.serialise())
    assert [m.rtp.muxId for m in theirs.media] == [m.mid for m in ours.media]
    assert [m.ice.usernameFragment for m in theirs.media] == [m.ice_ufrag for m in ours.media]


def test_an_answer_composed_of_values() -> None:
    answer = SessionDescription(
        origin=Origin(session_id="7", session_version="1"),
        groups=(Group("BUNDLE", ("0",)),),
        ice_lite=True,
        attributes=(("msid-semantic", " WMS *"), ("extmap-allow-mixed", None)),
        media=(
            MediaDescription(
                kind="video",
                port=9,
                protocol="UDP/TLS/RTP/SAVPF",
                formats=("96", "97"),
                connection="IN IP4 127.0.0.1",
                bandwidths=(("TIAS", 500_000),),
                mid="0",
                direction=Direction.SENDONLY,
                ice_ufrag="abcd",
                ice_pwd="p" * 22,
                ice_options=("trickle",),
                fingerprints=(Fingerprint("sha-256", HASH),),
                setup="passive",
                candidates=(Candidate.parse("candidate:1 1 udp 2015363327 127.0.0.1 10000 typ host"),),
                end_of_candidates=True,
                rtcp_mux=True,
                rtcp_rsize=True,
                codecs={
                    96: Codec(payload_type=96, name="VP8", clock_rate=90000, rtcp_feedback=("nack", "nack pli")),
                    97: Codec(payload_type=97, name="rtx", clock_rate=90000, fmtp="apt=96"),
                },
                extensions=(HeaderExtension(3, "urn:ietf:params:rtp-hdrext:sdes:mid", Direction.RECVONLY),),
                ssrcs=(Ssrc(1, "us", "s t"), Ssrc(2, "us")),
                ssrc_groups=(SsrcGroup("FID", (1, 2)),),
                rids=(Rid("h", "recv", "pt=96"),),
                simulcast=Simulcast(receive=(("h",),)),
                msid="s t",
                attributes=(("rtcp", "9 IN IP4 0.0.0.0"),),
            ),
        ),
    )
    assert answer.serialise().split("\r\n") == [
        "v=0",
        "o=- 7 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=ice-lite",
        "a=msid-semantic: WMS *",
        "a=extmap-allow-mixed",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
        "c=IN IP4 127.0.0.1",
        "b=TIAS:500000",
        "a=mid:0",
        "a=sendonly",
        "a=msid:s t",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:" + "p" * 22,
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {HASH}",
        "a=setup:passive",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=extmap:3/recvonly urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=rtpmap:96 VP8/90000",
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:96 nack pli",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rid:h recv pt=96",
        "a=simulcast:recv h",
        "a=ssrc-group:FID 1 2",
        "a=ssrc:1 cname:us",
        "a=ssrc:1 msid:s t",
        "a=ssrc:2 cname:us",
        "a=rtcp:9 IN IP4 0.0.0.0",
        "a=candidate:1 1 udp 2015363327 127.0.0.1 10000 typ host",
        "a=end-of-candidates",
        "",
    ]
    assert without_raw(sdp.parse(answer.serialise())) == without_raw(answer)


def test_a_line_end_in_a_value_never_becomes_a_line() -> None:
    description = SessionDescription(origin=Origin(session_id="1", session_version="1"), name="x\r\na=ice-lite")
    with pytest.raises(ValueError, match="holds a line end"):
        description.serialise()


def minimal(*lines: str, media: str = "m=audio 9 UDP/TLS/RTP/SAVPF 111") -> str:
    return "\r\n".join(("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", media, *lines, ""))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "line 1 is '', wanted 'v=0'"),
        ("hello", "line 1 is 'hello', wanted <letter>=<value>"),
        ("v=1\r\n", "line 1 is 'v=1', wanted 'v=0'"),
        ("m=audio 9 RTP/AVP 0\r\n", "line 1 is 'm=audio 9 RTP/AVP 0', wanted 'v=0'"),
        ("v=0\r\n", "there is no o= line, wanted one before the first m-line"),
        ("v=0\r\no=- x 1 IN IP4 0.0.0.0", "line 2 is 'o=- x 1 IN IP4 0.0.0.0', wanted numbers as session id"),
        ("v=0\r\no=- 1", "line 2 is 'o=- 1', wanted o=<user> <session id> <version>"),
        ("v=0\r\nx=1", "line 2 is 'x=1', wanted <letter>=<value>"),
        ("v=0\r\na=b\rc", "line 2 is 'a=b\\rc', wanted no CR or NUL within"),
        ("v" * (256 * 1024 + 1), "description has 262145 characters, wanted at most 262144"),
        (minimal(media="m=audio 9"), "line 5 is 'm=audio 9', wanted m=<kind> <port> <protocol> <format> ..."),
        (minimal(media="m=audio 70000 RTP/AVP 0"), "line 5 is 'm=audio 70000 RTP/AVP 0', wanted a port within"),
        (minimal(media="m=audio 9 RTP/AVP 128"), "line 5 is 'm=audio 9 RTP/AVP 128', wanted a payload type within"),
        (minimal(media="m=audio 9 RTP/AVP 0 0"), "line 5 is 'm=audio 9 RTP/AVP 0 0', wanted each payload type once"),
        (minimal(media="m=au(dio 9 RTP/AVP 0"), "line 5 is 'm=au(dio 9 RTP/AVP 0', wanted a token as kind"),
        (minimal(media="m=a 9 UDP " + "x " * 128 + "x"), "line 5 is 'm=a 9 UDP x x"),
        (minimal("c=IN IP4"), "line 6 is 'c=IN IP4', wanted c=<network> <address type> <address>"),
        (minimal("b=AS:x"), "line 6 is 'b=AS:x', wanted b=<type>:<number>"),
        (minimal("a=mid:"), "line 6 is 'a=mid:', wanted a value after the colon"),
        (minimal("a=mid:a b"), "line 6 is 'a=mid:a b', wanted a=mid:<token>"),
        (minimal("a=ice-ufrag:abc"), "line 6 is 'a=ice-ufrag:abc', wanted 4..256 letters, digits, + or /"),
        (minimal("a=ice-pwd:short"), "line 6 is 'a=ice-pwd:<5 characters>', wanted 22..256 letters, digits, + or /"),
        (minimal("a=fingerprint:sha-256 AB"), "line 6 is 'a=fingerprint:sha-256 AB', wanted 32 bytes of sha-256"),
        (minimal("a=fingerprint:sha-256"), "line 6 is 'a=fingerprint:sha-256', wanted a=fingerprint:<hash> <hex"),
        (minimal("a=setup:maybe"), "line 6 is 'a=setup:maybe', wanted active, passive, actpass or holdconn"),
        (minimal("a=rtpmap:111 opus"), "line 6 is 'a=rtpmap:111 opus', wanted a=rtpmap:<payload type> <name>/<clock"),
        (minimal("a=rtpmap:200 opus/48000"), "line 6 is 'a=rtpmap:200 opus/48000', wanted payload type 0..127"),
        (minimal("a=rtpmap:111 opus/0"), "line 6 is 'a=rtpmap:111 opus/0', wanted payload type 0..127, a clock rate"),
        (minimal("a=fmtp:x y"), "line 6 is 'a=fmtp:x y', wanted a=fmtp:<payload type> <parameters>"),
        (minimal("a=rtcp-fb:111"), "line 6 is 'a=rtcp-fb:111', wanted a=rtcp-fb:<payload type or *> <feedback>"),
        (minimal("a=extmap:0 urn:x"), "line 6 is 'a=extmap:0 urn:x', wanted an id within 1..255 or 4096..4351"),
        (minimal("a=extmap:1"), "line 6 is 'a=extmap:1', wanted a=extmap:<id>[/<direction>] <URI>"),
        (minimal("a=ssrc:4294967296 cname:x"), "line 6 is 'a=ssrc:4294967296 cname:x', wanted an SSRC within"),
        (minimal("a=ssrc-group:FID x"), "line 6 is 'a=ssrc-group:FID x', wanted SSRCs within 0..4294967295, not 'x'"),
        (minimal("a=rid:h up"), "line 6 is 'a=rid:h up', wanted a=rid:<id> send|recv [restrictions]"),
        (minimal("a=simulcast:send"), "line 6 is 'a=simulcast:send', wanted a=simulcast:send|recv <rid>"),
        (minimal("a=simulcast:send a;;b"), "line 6 is 'a=simulcast:send a;;b', wanted a=simulcast:send|recv <rid>"),
        (minimal("a=sctp-port:x"), "line 6 is 'a=sctp-port:x', wanted an SCTP port within 0..65535, not 'x'"),
        (minimal("a=max-message-size:-1"), "line 6 is 'a=max-message-size:-1', wanted bytes within 0.."),
        (minimal("a=mid:1", "m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:1"), "line 8 is 'a=mid:1', wanted a mid"),
        (minimal(*["m=audio 0 RTP/AVP 0"] * 64), "line 69 is 'm=audio 0 RTP/AVP 0', wanted at most 64 m-lines"),
        (minimal(*["a=x"] * 1024), "line 1029 is 'a=x', wanted at most 1024 lines before the next m-line"),
        (minimal(*["a=candidate:x"] * 257), "more than 256 candidates up to line 262"),
    ],
)  # fmt: skip
def test_a_refusal_names_line_text_and_what_was_wanted(text: str, wanted: str) -> None:
    with pytest.raises(SdpDecodeError) as caught:
        sdp.parse(text)
    assert str(caught.value).startswith(wanted)


def test_a_malformed_candidate_is_left_out_and_told_of() -> None:
    [media] = sdp.parse(minimal("a=candidate:1 1 udp 1 foo.bar 1 typ host", "a=candidate:x")).media
    assert media.candidates == ()
    assert media.refused_candidates == (
        "line 6: address is 'foo.bar', wanted an IP address or a .local name",
        "line 7: candidate 'candidate:x' has 1 fields, wanted at least 8",
    )


def test_small_differences_are_tolerated() -> None:
    text = (
        "v=0\no=- 1 1 IN IP4 0.0.0.0\n\nm=application 9 DTLS/SCTP 5000\na=sctpmap:5000 webrtc-datachannel 1024\na=x\n\n"
    )
    [media] = sdp.parse(text).media
    assert media.sctp_port == 5000
    assert media.attributes == (("sctpmap", "5000 webrtc-datachannel 1024"), ("x", None))
    assert media.codecs == {}
    [media] = sdp.parse(minimal("a=fmtp:111 a=1", "a=fmtp:111 B = 2;c", "a=rtpmap:111 x/8000")).media
    assert media.codecs[111].parameters == {"a": "1", "b": "2", "": "c"}


@pytest.mark.parametrize(
    ("way", "sends", "receives", "back"),
    [
        (Direction.SENDRECV, True, True, Direction.SENDRECV),
        (Direction.SENDONLY, True, False, Direction.RECVONLY),
        (Direction.RECVONLY, False, True, Direction.SENDONLY),
        (Direction.INACTIVE, False, False, Direction.INACTIVE),
    ],
)
def test_directions(way: Direction, sends: bool, receives: bool, back: Direction) -> None:
    assert (way.sends, way.receives, way.reversed) == (sends, receives, back)
    assert direction(sends=sends, receives=receives) is way


def test_what_has_a_mid_is_found() -> None:
    offer = sdp.parse(FIREFOX)
    assert offer.media_of("1") is offer.media[1]
    assert offer.media_of("7") is None
    assert sdp.parse(minimal()).bundle == ()


def survives(text: str) -> None:
    try:
        read = sdp.parse(text)
    except SdpDecodeError:
        return
    written = read.serialise()
    again = sdp.parse(written)
    assert without_raw(again).serialise() == without_raw(read).serialise()


SNIPPETS = st.sampled_from(
    ["", " ", ":", ";", "/", "0", "-1", "99999999999", "\r", "\0", "\u2028", "é", "~", "a=", "٣"]
)


@given(st.text(max_size=300))
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    survives(text)
    survives(minimal(*text.split("\n")))


@given(st.sampled_from([*NAMES, "firefox"]), st.data())
def test_mutated_descriptions_raise_nothing_else(name: str, data: st.DataObject) -> None:
    lines = (FIREFOX if name == "firefox" else REAL[name]).splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        line = lines[index]
        position = data.draw(st.integers(0, len(line)))
        match data.draw(st.integers(0, 4)):
            case 0:
                lines[index] = line[:position] + data.draw(SNIPPETS) + line[position:]
            case 1:
                lines[index] = line[:position]
            case 2:
                lines[index] = line[:position] + line[position + 1 :]
            case 3:
                lines.insert(data.draw(st.integers(0, len(lines))), line)
            case _:
                del lines[index]
                lines = lines or ["v=0"]
    survives("\r\n".join(lines))


@pytest.mark.parametrize("name", NAMES)
def test_truncated_descriptions_raise_nothing_else(name: str) -> None:
    text = REAL[name]
    for size in range(0, len(text), 7):
        survives(text[:size])
