"""Media over TCP and through a TURN server: found in a capture like those over UDP, with the same verdict."""

import random
import struct

import pytest

from appliance.core.events import Event, MediaStats
from appliance.diagnosis.explain import Explanation
from appliance.intake.pcap.framed import Frames, Framing, framing_of
from appliance.intake.pcap.reader import CaptureReader
from appliance.intake.pcap.tcp import Piece
from appliance.intake.recorded import read_recording
from tests.intake.test_replay import DATA, explained, raw
from tests.intake.wrapped import FILE_HEAD, over_tcp, packets, record, through_turn

CASES = ["chrome_echo_http", "aiortc_echo", "pc_close", "dtls_badfp"]


def read(data: bytes) -> tuple[Explanation, CaptureReader, list[Event]]:
    reader = CaptureReader("x")
    events = reader.read(data)
    (call,) = explained(events)
    return call, reader, events


def media(events: list[Event]) -> dict[tuple[str | None, str], tuple[int | None, int | None, int | None]]:
    """The last count of each m-line: packets from the client, to it, lost."""
    return {
        (item.body.mid, item.body.media): (item.body.packets_received, item.body.packets_sent, item.body.lost)
        for item in events
        if isinstance(item.body, MediaStats)
    }


def same(data: bytes, changed: bytes, protocol: str) -> CaptureReader:
    plain, _, before = read(data)
    call, reader, after = read(changed)
    assert (call.verdict.code, call.verdict.also) == (plain.verdict.code, plain.verdict.also)
    assert media(after) == media(before)
    (pair,), (other,) = call.pairs, plain.pairs
    assert (pair.local, pair.remote, pair.protocol) == (other.local, other.remote, protocol)
    assert pair.requests_received == other.requests_received != 0
    assert [phase.name for phase in call.phases] == [phase.name for phase in plain.phases]
    assert call.dtls == plain.dtls
    return reader


@pytest.mark.parametrize("case", CASES)
def test_a_call_over_tcp_is_the_call_over_udp(case: str) -> None:
    reader = same(raw(case), FILE_HEAD + b"".join(over_tcp(raw(case))), "tcp")
    assert reader.tally.framed == sum(1 for packet in packets(raw(case)) if packet.payload)


def test_segments_hold_parts_of_frames_come_twice_and_in_any_order() -> None:
    """What a connection makes of it: a segment retransmitted a little later, neighbours exchanged."""
    data, numbers = raw("chrome_echo_http"), random.Random(7)
    shuffled: list[bytes] = []
    for index, one in enumerate(over_tcp(data, cut_at=90)):
        shuffled.append(one)
        if numbers.random() < 0.2:
            shuffled.append(one)
        # Not before each way's first: with no SYN in the capture, that says where the stream begins.
        if index > 600 and numbers.random() < 0.1:
            first, second = shuffled[-2:]
            shuffled[-2:] = [first[:8] + second[8:], second[:8] + first[8:]]
    same(data, FILE_HEAD + b"".join(shuffled), "tcp")


def test_a_live_call_over_tcp_gets_its_verdict_from_the_wire() -> None:
    """Chromium behind a firewall that lets no UDP through, and this gateway; the segments of media cut."""
    recording = read_recording(DATA / "gateway_tcp.pcap.gz")
    (call,) = explained(recording.events)
    assert call.verdict.code == "ended_by_app"
    assert call.verdict.also == ()
    assert call.selected_pair == "198.51.100.1:40000 [host,tcp] <-> 198.51.100.1:60894 [prflx,tcp]"
    assert {track.kind: track.codec for track in call.tracks} == {"audio": "opus", "video": "vp8"}
    assert recording.tally is not None
    # As TShark counts them, told that the port has RTP.
    assert recording.tally.rtp == 175


def test_what_the_capture_lost_costs_its_own_packets() -> None:
    sent = over_tcp(raw("chrome_echo_http"))
    media_at = [index for index, one in enumerate(sent) if one[25] == 6 and len(one) > 58 and 127 < one[58] < 192]
    gone = set(media_at[200:230])
    call, reader, _ = read(FILE_HEAD + b"".join(one for index, one in enumerate(sent) if index not in gone))
    assert call.verdict.code == "ended_by_app"
    whole = read(FILE_HEAD + b"".join(sent))[1].tally
    assert whole.rtp + whole.rtcp - 31 <= reader.tally.rtp + reader.tally.rtcp <= whole.rtp + whole.rtcp - 29


def test_a_capture_begun_in_mid_call_finds_the_frames() -> None:
    """The first segment that is seen begins and ends in the middle of frames."""
    sent = over_tcp(raw("chrome_echo_http"), joined=4, cut_at=331)
    call, reader, _ = read(FILE_HEAD + b"".join(sent[-400:]))
    assert call.verdict.also == ("evidence_incomplete",)
    assert {track.kind for track in call.tracks} == {"audio", "video"}
    assert reader.tally.rtp > 400


@pytest.mark.parametrize("snap", [60, 96])
def test_segments_that_are_cut_leave_what_is_at_their_beginning(snap: int) -> None:
    data = raw("chrome_echo_http")
    whole = packets(FILE_HEAD + b"".join(over_tcp(data)))
    cut = b"".join(record(packet.head, packet.raw, snap=snap) for packet in whole)
    reader = CaptureReader("x")
    (call,) = explained(reader.read(FILE_HEAD + cut))
    assert {track.kind for track in call.tracks} >= {"audio", "video"} or snap < 96
    assert reader.tally.rtp == sum(1 for packet in packets(data) if packet.payload[:1] >= b"\x80"
                                   and not 191 < packet.payload[1] < 224)  # fmt: skip


@pytest.mark.parametrize("channel", [True, False], ids=["channel", "indications"])
@pytest.mark.parametrize("is_tcp", [True, False], ids=["tcp", "udp"])
@pytest.mark.parametrize("case", CASES)
def test_what_a_turn_server_relays_is_the_call(case: str, channel: bool, is_tcp: bool) -> None:
    data = raw(case)
    (client, _), *_ = [(p.source, p.destination) for p in packets(data) if p.payload]
    changed = FILE_HEAD + b"".join(through_turn(data, client, channel=channel, is_tcp=is_tcp))
    # The pair is of the address that the server lends, and that is one of UDP.
    reader = same(data, changed, "udp")
    assert reader.tally.relayed == sum(1 for packet in packets(data) if packet.payload)


@pytest.mark.parametrize("is_tcp", [True, False], ids=["tcp", "udp"])
def test_what_was_agreed_on_with_a_turn_server_before_the_capture_costs_names_alone(is_tcp: bool) -> None:
    data = raw("aiortc_echo")
    (client, _), *_ = [(p.source, p.destination) for p in packets(data) if p.payload]
    sent = through_turn(data, client, channel=True, is_tcp=is_tcp)
    first = next(index for index, one in enumerate(sent) if b"\xc0\0\x02w" in one[28:36] or b"\xc0\0\x02M" in one)
    call, _, events = read(FILE_HEAD + b"".join(sent[:first] + sent[first + 3 :]))
    assert call.verdict.code == "ended_by_app"
    assert media(events) == media(read(data)[2])


def test_both_sides_of_a_turn_server_in_one_capture_count_once() -> None:
    """At the server's own interface each packet passes twice: in a channel, and as it is."""
    data = raw("chrome_echo_http")
    (client, _), *_ = [(p.source, p.destination) for p in packets(data) if p.payload]
    inside = through_turn(data, client, channel=True, is_tcp=False)
    both = [record(packet.head, packet.raw) for packet in packets(data) if packet.payload] + inside
    both.sort(key=lambda one: struct.unpack_from("<II", one))
    same(data, FILE_HEAD + b"".join(both), "udp")


@pytest.mark.parametrize(
    ("data", "framing"),
    [
        (b"GET /janus HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"GOPTIONS", None),
        (b'{"janus":"create"}', None),
        (b"\x81\x7e\x01\x00" + b"{" * 256, None),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", None),
        (b"", None),
        (b"\0", None),
        (b"\0\0\0\0\0\0\0\0", None),
        (b"\0\x14\0\x01\0\0\x21\x12\xa4\x42" + bytes(12), Framing.DATAGRAMS),
        (b"\0\x03\0\x08\x21\x12\xa4\x42" + bytes(20), Framing.TURN),
        (b"\0\x0c\x80\x6f\0\1\0\0\0\0\0\0\0\1", Framing.DATAGRAMS),
        (b"\x40\x01\0\x0c\x80\x6f\0\1\0\0\0\0\0\0\0\1", Framing.TURN),
    ],
)  # fmt: skip
def test_only_what_begins_like_frames_is_taken_for_them(data: bytes, framing: Framing | None) -> None:
    assert framing_of(data, len(data)) is framing


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("seed", range(20))
def test_garbage_is_passed_over(framing: Framing, seed: int) -> None:
    numbers, frames = random.Random(seed), Frames(framing)
    for _ in range(200):
        data = numbers.randbytes(numbers.randrange(60))
        for found, length in frames.take(Piece(0, data, len(data) + numbers.choice([0, 0, 0, 70_000]))):
            assert 0 < len(found) <= length <= 65_535 + 4


def test_a_frame_comes_whole_however_it_is_cut() -> None:
    sent = [b"\0\1" + bytes(2) + b"\x21\x12\xa4\x42" + bytes(12), b"\x80\x6f" + bytes(500), b"\x90\x60" + bytes(900)]
    stream = b"".join(struct.pack("!H", len(one)) + one for one in sent)
    for size in (1, 2, 3, 7, 600, len(stream)):
        frames = Frames(Framing.DATAGRAMS)
        frames.lost = False
        out = [found for at in range(0, len(stream), size)
               for found in frames.take(Piece(0, stream[at : at + size], len(stream[at : at + size])))]  # fmt: skip
        assert out == [(one, len(one)) for one in sent]
