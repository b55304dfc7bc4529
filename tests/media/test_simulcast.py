"""Simulcast as it comes: told apart by RID or SSRC, and counted apart."""

import pytest
from aiortc.sdp import SessionDescription as TheirDescription

from appliance.core.events import MediaFault, MediaState, MediaStats
from appliance.media.simulcast import REPAIRED_RID, RID, Encodings, offered
from appliance.media.stats import media_stats
from appliance.wire import rtcp, sdp
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call
from tests.media.harness import Handle

BY_RID = [
    f"a=extmap:10 {RID}",
    f"a=extmap:11 {REPAIRED_RID}",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=96",
    "a=rid:h send",
    "a=rid:m send",
    "a=rid:l send",
    "a=simulcast:send h;m;l",
]
BY_SSRC = ["a=ssrc-group:SIM 301 302 303", *(f"a=ssrc:{ssrc} cname:client" for ssrc in (301, 302, 303))]
SSRCS = {"l": 301, "m": 302, "h": 303}


def labelled(rid: str, number: int = 10) -> bytes:
    """A header extension with one id."""
    return bytes([0xBE, 0xDE, 0, 1, number << 4 | len(rid) - 1]) + rid.encode().ljust(3, b"\0")


def simulcast(call: Call, lines: list[str] = BY_RID) -> tuple[Client, Handle]:
    formats = {"video": " 97"} if lines is BY_RID else {}
    return call(extra={"video": lines}, formats=formats)


def stats(handle: Handle) -> dict[str, MediaStats]:
    return {item.media: item for item in media_stats(handle.peer.lines, None)}


def test_the_answer_takes_the_encodings_as_they_were_offered() -> None:
    lines = "\r\n".join(["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "m=video 9 UDP/TLS/RTP/SAVPF 96", *BY_RID])
    media = sdp.parse(lines + "\r\n").media[0]
    hml = offered(media, lowest_first=False)
    lmh = offered(media, lowest_first=True)
    assert hml is not None
    assert lmh is not None
    assert (hml.rids, lmh.rids) == (("l", "m", "h"), ("h", "m", "l"))
    for encodings in (hml, lmh):
        rids, answered = encodings.describe()
        assert [(rid.id, rid.direction) for rid in rids] == [("h", "recv"), ("m", "recv"), ("l", "recv")]
        assert answered is not None
        assert answered.receive == (("h",), ("m",), ("l",))


@pytest.mark.parametrize(
    ("without", "instead", "wanted"),
    [
        ("a=simulcast:send h;m;l", "a=simulcast:send h", None),
        ("a=simulcast:send h;m;l", "a=simulcast:send h;~m", ("m", "h")),
        ("a=simulcast:send h;m;l", "a=simulcast:send h,l;m", ("m", "h")),
        ("a=simulcast:send h;m;l", "a=simulcast:recv h;m;l", None),
        ("a=rid:m send", "a=rid:m recv", ("l", "h")),
        (f"a=extmap:10 {RID}", "a=extmap:10 urn:other", None),
        ("a=rid:h send", "a=ssrc-group:SIM 9", ("l", "m")),
    ],
)
def test_what_is_no_simulcast(without: str, instead: str, wanted: tuple[str, ...] | None) -> None:
    lines = [instead if line == without else line for line in BY_RID]
    text = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "m=video 9 UDP/TLS/RTP/SAVPF 96", *lines, ""]
    found = offered(sdp.parse("\r\n".join(text)).media[0], lowest_first=False)
    assert (None if found is None else found.rids) == wanted


async def test_our_answer_says_so_and_another_tool_reads_it(call: Call) -> None:
    client, handle = simulcast(call)
    assert client.answer is not None
    video = client.answer.media[1]
    assert [rid.id for rid in video.rids] == ["h", "m", "l"]
    assert video.simulcast is not None
    assert {item.uri for item in video.extensions} == {RID, REPAIRED_RID}
    assert [medium.simulcast for medium in handle.peer.media] == [False, True]
    theirs = TheirDescription.parse(handle.peer.answer).media[1]
    assert [item.uri for item in theirs.rtp.headerExtensions] == [RID, REPAIRED_RID]


@pytest.mark.parametrize("lines", [BY_RID, BY_SSRC])
async def test_encodings_are_counted_and_told_apart(call: Call, clock: FakeClock, lines: list[str]) -> None:
    client, handle = simulcast(call, lines)
    for number in range(6):
        for index, rid in enumerate("lmh"):
            extension = labelled(rid) if lines is BY_RID and number == 0 else b""
            # The lower ones stop earlier.
            if number < 2 * (index + 1):
                client.send_rtp("video", number, 3000 * number, ssrc=SSRCS[rid], extension=extension)
    client.pump()
    told = [(state.mid, state.substream, state.receiving) for state in handle.all(MediaState)]
    assert told == [("1", 0, True), ("1", 1, True), ("1", 2, True)]
    found = stats(handle)
    assert [found[name].packets_received for name in ("video", "video-sim1", "video-sim2")] == [2, 4, 6]
    assert [found[name].rtt for name in ("video-sim1", "video-sim2")] == [None, None]
    shown = handle.peer.describe()["media"]["1"]
    assert [shown["ssrc"][name] for name in ("ssrc-peer", "ssrc-peer-sim-1", "ssrc-peer-sim-2")] == [301, 302, 303]
    assert set(shown["rtcp"]) == {"main", "sim1", "sim2"}
    assert shown["stats"]["in"]["video-simulcast-2"]["packets"] == 6
    if lines is BY_RID:
        wanted = {"rid": ["l", "m", "h"], "rid-ext-id": 10, "ridrtx-ext-id": 11, "rid-order": "hml"}
        assert shown["rid-simulcast"] == wanted
    else:
        assert "rid-simulcast" not in shown
    # A key frame of each was asked for, since each is new.
    asked = [packet.media_ssrc for packet in client.reports if isinstance(packet, rtcp.Pli)]
    assert sorted(set(asked)) == [301, 302, 303]


async def test_an_encoding_that_stops_is_told_alone(call: Call, clock: FakeClock) -> None:
    client, handle = simulcast(call)
    for number in range(40):
        for rid in "lmh" if number < 10 else "lm":
            client.send_rtp("video", number, 3000 * number, ssrc=SSRCS[rid], extension=labelled(rid))
        client.pump()
        clock.advance(0.1)
    client.send_rtp("video", 10, 120_000, ssrc=SSRCS["h"])
    client.pump()
    told = [(state.substream, state.receiving) for state in handle.all(MediaState)]
    assert told == [(0, True), (1, True), (2, True), (2, False), (2, True)]


async def test_a_source_is_unknown_until_it_says_which(call: Call) -> None:
    client, handle = simulcast(call)
    client.send_rtp("video", 1, 0, ssrc=303)
    client.send_rtp("video", 2, 0, ssrc=303, extension=labelled("x"))
    client.pump()
    assert not handle.peer.path.streams
    handle.peer.path.faults.tell()
    faults = handle.all(MediaFault)
    assert [(fault.kind, fault.count) for fault in faults] == [("unknown_ssrc", 2)]
    client.send_rtp("video", 3, 0, ssrc=303, extension=labelled("h"))
    client.send_rtp("video", 4, 0, ssrc=303)
    client.pump()
    assert [(one.substream, one.packets) for one in handle.peer.path.streams.values()] == [(2, 2)]


async def test_a_retransmission_goes_to_the_encoding_that_it_names(call: Call, clock: FakeClock) -> None:
    client, handle = simulcast(call)
    for number in (1, 2, 4):
        for rid in "lmh":
            client.send_rtp("video", number, 3000 * number, ssrc=SSRCS[rid], extension=labelled(rid))
    client.pump()
    clock.advance(0.01)
    client.pump()
    # All three miss number 3: without the id it could be anybody's.
    again = (3).to_bytes(2, "big") + b"again"
    client.send_rtp("video", 70, 9000, again, ssrc=777, payload_type=97, extension=labelled("m", 11))
    client.pump()
    lost = {one.substream: one.lost for one in handle.peer.path.streams.values()}
    assert lost == {0: 1, 1: 0, 2: 1}
    assert handle.peer.describe()["media"]["1"]["ssrc"]["ssrc-peer-sim-1-rtx"] == 777


def test_ids_that_nobody_offered() -> None:
    encodings = Encodings(rids=("l", "h"))
    assert [encodings.of_rid(rid) for rid in (b"l", b"h", b"m", b"", None)] == [0, 1, None, None, None]
