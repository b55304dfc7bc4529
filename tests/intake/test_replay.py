"""Real Janus calls on the wire get the verdicts that their events get, as far as a wire can tell; nothing breaks it.

``tests/data/replay`` holds captures of Janus 1.4.1 with aiortc and Chromium on loopback (signalling in clear), SRTP cut
behind its header.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.core.events import Event, Jsep, MediaStats, PairCounters, RtcpReport
from appliance.diagnosis.calls import split
from appliance.diagnosis.explain import Explanation, explain
from appliance.intake.pcap.association import BELIEVE_AFTER
from appliance.intake.pcap.http import Reader
from appliance.intake.pcap.reader import CaptureReader
from appliance.intake.pcap.stream import Stream
from appliance.intake.pcap.tcp import MAX_WAITING, HalfStream, Piece
from appliance.intake.recorded import RecordingError, read_recording
from appliance.wire.pcap import LinkType, Skipped, Writer
from appliance.wire.rtp import RtpHeader

DATA = Path(__file__).parent.parent / "data" / "replay"
CAPTURES = Path(__file__).parents[2] / "captures"
EXPECTED = {
    "aiortc_echo": "ended_by_app",
    "chrome_echo_http": "ended_by_app",
    "pc_close": "normal_close",
    "dtls_badfp": "fingerprint_mismatch",
    "ice_wrongcand": "udp_blocked_or_firewall",
}


def explained(events: list[Event]) -> list[Explanation]:
    numbered = [replace(item, id=number) for number, item in enumerate(events, 1)]
    return [explain(found, final=True) for found in split(numbered).values()]


def raw(case: str) -> bytes:
    return gzip.decompress((DATA / f"{case}.pcap.gz").read_bytes())


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("udp_blocked", "udp_blocked_or_firewall"),
        ("one_way_network", "one_way_network"),
        ("dtls_no_response", "dtls_no_response"),
        ("dtls_alert_sent", "dtls_alert_sent"),
        ("dtls_alert_received", "dtls_alert_received"),
    ],
)
def test_packets_alone_tell_what_broke_the_call(case: str, code: str) -> None:
    """Calls through this gateway that were broken on purpose; without their signalling."""
    (call,) = explained(read_recording(CAPTURES / f"{case}.pcap").events)
    assert call.verdict.code == code
    assert call.verdict.also == ("evidence_incomplete",)


def records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 24
    while offset < len(data):
        size = struct.unpack_from("<I", data, offset + 8)[0]
        yield data[offset : offset + 16], data[offset + 16 : offset + 16 + size]
        offset += 16 + size


@pytest.mark.parametrize(("case", "code"), EXPECTED.items())
def test_a_capture_gets_its_verdict(case: str, code: str) -> None:
    (call,) = explained(read_recording(DATA / f"{case}.pcap.gz").events)
    assert call.verdict.code == code
    assert call.verdict.evidence
    assert {item.owner for item in call.descriptions} == {"remote", "local"}
    assert call.client_address is not None
    assert call.client_address.startswith("127.0.0.1:")


def test_what_the_wire_shows_of_a_handshake_and_media() -> None:
    # Figures of tshark 4.0.17 for the same file.
    (call,) = explained(read_recording(DATA / "aiortc_echo.pcap.gz").events)
    assert call.dtls is not None
    assert (call.dtls.version, call.dtls.cipher) == ("DTLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")
    assert call.dtls.srtp_profile == "SRTP_AEAD_AES_256_GCM"
    tracks = {track.kind: track for track in call.tracks}
    assert (tracks["audio"].packets_in, tracks["audio"].packets_out) == (448, 448)
    assert (tracks["video"].packets_in, tracks["video"].codec, tracks["video"].mid) == (270, "vp8", "1")
    outcomes = {phase.name: phase.outcome for phase in call.phases}
    assert [outcomes[name] for name in ("signalling", "ice", "dtls", "media")] == ["ok"] * 4


def test_stun_is_counted_by_direction() -> None:
    events = read_recording(DATA / "ice_wrongcand.pcap.gz").events
    last = [item.event for item in events if isinstance(item.event, PairCounters)][-1]
    assert [(pair.requests_sent, pair.responses_received, pair.requests_received) for pair in last.pairs] == [(3, 0, 0)]
    assert last.pairs[0].remote.port == 9


def test_cut_packets_cost_the_description_and_not_the_call() -> None:
    data = raw("pc_close")
    cut = [data[:24]]
    for head, packet in records(data):
        cut.append(head[:8] + struct.pack("<I", min(160, len(packet))) + head[12:] + packet[:160])
    reader = CaptureReader("cut")
    (call,) = explained(reader.read(b"".join(cut)))
    assert call.up_us is not None
    assert "evidence_incomplete" in call.verdict.also
    assert {track.kind: track.packets_in for track in call.tracks}["audio"] == 198


@pytest.mark.parametrize("link", [0, 101, 113, 276, "vlan"])
def test_other_links_tell_the_same(link: int | str) -> None:
    data = raw("ice_wrongcand")
    number = 1 if link == "vlan" else int(link)
    out = [data[:20] + number.to_bytes(4, "little")]
    for head, packet in records(data):
        ip, kind = packet[14:], packet[12:14]
        new = {
            0: b"\x02\0\0\0" + ip,
            101: ip,
            113: bytes(14) + kind + ip,
            276: kind + bytes(18) + ip,
            "vlan": packet[:12] + b"\x81\0\0\x07" + kind + ip,
        }[link]
        out.append(head[:8] + struct.pack("<II", len(new), len(new)) + new)
    (call,) = explained(CaptureReader("link").read(b"".join(out)))
    assert call.verdict.code == "udp_blocked_or_firewall"


def pcapng(data: bytes, order: str, resolution: int) -> bytes:
    """The same as pcapng, in either byte order, with timestamps of 10^-resolution seconds."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(f"{order}I", 12 + len(body))
        return struct.pack(f"{order}I", kind) + size + body + size

    out = [block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))]
    options = struct.pack(f"{order}HHB3xHH", 9, 1, resolution, 0, 0)
    out.append(block(1, struct.pack(f"{order}HHI", 1, 0, 0) + options))
    out.append(block(5, bytes(8)))  # statistics: passed over
    for head, packet in records(data):
        seconds, micros, captured, size = struct.unpack("<IIII", head)
        ticks = (seconds * 1_000_000 + micros) * 10 ** (resolution - 6)
        fields = struct.pack(f"{order}IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, captured, size)
        out.append(block(6, fields + packet))
    return b"".join(out)


@pytest.mark.parametrize(("order", "resolution"), [("<", 6), (">", 9)])
def test_pcapng_is_the_same_file(order: str, resolution: int) -> None:
    data = raw("ice_wrongcand")
    assert CaptureReader("x").read(pcapng(data, order, resolution)) == CaptureReader("x").read(data)


def test_streams_follow_rfc_3550() -> None:
    stream = Stream(1, 111, 65_530, b"", 0)
    for number in range(100):
        if number in {20, 21, 50}:
            continue
        stream.take(number * 20_000, (65_530 + number) & 0xFFFF, number * 960, 100)
    stream.take(100 * 20_000, (65_530 + 50) & 0xFFFF, 50 * 960, 100)  # one comes late
    stream.sample(3_000_000)
    (sample,) = stream.samples
    assert (sample.packets, sample.lost, sample.late, sample.octets) == (98, 2, 1, 9_800)
    assert stream.clock == 48_000
    assert sample.jitter_us == 0


def test_a_stream_too_short_to_tell_its_clock_has_no_jitter() -> None:
    stream = Stream(1, 111, 0, b"", 0)
    for number in range(10):
        stream.take(number * 20_000, number, number * 960, 100)
    stream.sample(200_000)
    assert stream.samples[-1].jitter_us is None


def test_tcp_segments_find_their_order() -> None:
    half = HalfStream()

    def fed(sequence: int, data: bytes, length: int, at_us: int = 0) -> list[tuple[int, bytes]]:
        return [(piece.timestamp_us, piece.filled) for piece in half.feed(sequence, Piece(at_us, data, length))]

    half.opens(2**32 - 3)
    assert fed(2**32 - 2, b"ab", 2, 1) == [(1, b"ab")]
    assert fed(3, b"fg", 2, 2) == []
    assert fed(2**32 - 2, b"ab", 2, 3) == []  # again
    assert fed(0, b"cd", 3, 4) == [(4, b"cd\0"), (4, b"fg")]  # its last byte was not captured
    assert half.holes == 1
    assert fed(6, b"i", 1, 5) == []
    for number in range(7, 7 + MAX_WAITING):
        late = fed(number, b"x", 1, number)
    # Nobody waited for the byte before "i": only the capture has lost it.
    assert late[:3] == [(5, b"\0"), (5, b"i"), (7, b"x")]
    assert half.holes == 2


def frame(content: bytes, first: int, mask: bytes = b"") -> bytes:
    size = struct.pack("!BB", first, len(content) | (0x80 if mask else 0))
    return size + mask + (bytes(c ^ mask[i % 4] for i, c in enumerate(content)) if mask else content)


def test_websocket_messages_masked_squeezed_and_in_parts() -> None:
    head = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    squeeze = zlib.compressobj(wbits=-15)
    packed = [(squeeze.compress(text) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4] for text in (b"hello hello", b"hello")]
    data = head + frame(packed[0], 0xC1) + frame(packed[1], 0xC1, b"\1\2\3\4") + frame(b"he", 0x01) + frame(b"!", 0x80)
    reader = Reader()
    found = [message.body for at in range(len(data)) for message in reader.feed(data[at : at + 1])]
    assert found == [b"hello hello", b"hello", b"he!"]


def test_http_bodies_by_length_and_in_chunks() -> None:
    data = (
        b"POST /janus/12/34 HTTP/1.1\r\nContent-Length: 4\r\n\r\n{  }"
        b"POST /janus HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{ \r\n1\r\n}\r\n0\r\n\r\n"
        b"GET /janus/12?maxev=5 HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    reader = Reader()
    found = [tuple(message) for at in range(len(data)) for message in reader.feed(data[at : at + 1])]
    assert found == [("/janus/12/34", b"{  }"), ("/janus", b"{ }"), ("/janus/12?maxev=5", b"")]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "of a mirror port"])
def test_rtp_alone_is_a_call_whose_signalling_is_missing(copies: int) -> None:
    writer = Writer(link_type=LinkType.RAW)
    data = [writer.file_header()]
    for number in range(200):
        packet = RtpHeader(111, number, number * 960, 7).build() + bytes(50)
        ends = ("2001:db8::1", 4000), ("2001:db8::2", 5000)
        data += [writer.record(10**18 + number * 20_000_000, *ends, packet)] * copies
    (call,) = explained(CaptureReader("rtp").read(b"".join(data)))
    assert "evidence_incomplete" in call.verdict.also
    assert [(track.kind, track.packets_in) for track in call.tracks] == [("audio", 200 - BELIEVE_AFTER)]
    assert call.tracks[0].loss_in == 0.0


def test_decrypted_rtcp_tells_of_the_way_back(tmp_path: Path) -> None:
    captures = Path(__file__).parent.parent.parent / "captures"
    events = read_recording(captures / "decrypted.pcap").events
    reports = [item.event for item in events if isinstance(item.event, RtcpReport)]
    assert {report.direction for report in reports} == {"in", "out"}
    stats = [item.event for item in events if isinstance(item.event, MediaStats)]
    assert any(each.lost_by_remote == 0 and each.has_reports for each in stats)


def test_text2pcap_is_read(tmp_path: Path) -> None:
    lines = []
    for number in range(60):
        packet = RtpHeader(111, number, number * 960, 7).build() + bytes(20)
        clock = (
            f"23:59:59.{number * 20_000 % 1_000_000:06}" if number < 50 else f"00:00:00.{number * 20_000 - 10**6:06}"
        )
        lines.append(f"I {clock} 000000  {packet.hex(' ')} JANUS RTP [session=1][handle=2]\r\n")
    path = tmp_path / "janus.txt"
    path.write_text("".join(lines), "ascii")
    recording = read_recording(path)
    (call,) = explained(recording.events)
    assert recording.kind == "text2pcap"
    assert call.tracks[0].packets_in == 60 - BELIEVE_AFTER
    assert recording.events[-1].timestamp - recording.events[0].timestamp < 2_000_000


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\x7fELF\x02\x01", "wanted a capture"),
        (b"\x1f\x8b\x08broken", "gzip"),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0", "has 8 bytes"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 147), "link type is 147"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1), "no IP packet"),
        (b'{"hello": 1}\n', "no event in it"),
        (b"\x0a\x0d\x0d\x0a\x05\0\0\0\x4d\x3c\x2b\x1a", "length 5"),
    ],
)
def test_an_unreadable_file_is_told_in_words(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=why):
        read_recording(path)


def test_a_missing_file_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read_recording(tmp_path / "nothing")


def test_a_file_that_ends_anywhere_is_read_to_there(tmp_path: Path) -> None:
    data = raw("ice_wrongcand")
    whole = len(CaptureReader("x").read(data))
    for end in range(24, len(data), 997):
        reader = CaptureReader("x")
        assert len(reader.read(data[:end])) <= whole
    packed = gzip.compress(data)
    path = tmp_path / "cut.pcap.gz"
    path.write_bytes(packed[: len(packed) // 2])
    assert read_recording(path).events


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from(["ice_wrongcand", "pc_close"]))
def test_spoilt_packets_break_nothing(seed: int, case: str) -> None:
    random = Random(seed)
    packets = list(records(raw(case)))
    kept = [packets[0][1][:0] or raw(case)[:24]]
    for head, packet in packets[:150]:
        spoilt = bytearray(packet)
        for _ in range(random.choice([0, 0, 1, 3])):
            spoilt[random.randrange(14, len(spoilt))] = random.randrange(256)
        kept.append(head + spoilt)
    for call in explained(CaptureReader("spoilt").read(b"".join(kept))):
        assert call.verdict.code


def test_trickled_and_described_is_what_the_client_said() -> None:
    events = read_recording(DATA / "chrome_echo_http.pcap.gz").events
    offers = [item.event for item in events if isinstance(item.event, Jsep)]
    assert [(jsep.owner, jsep.jsep.type) for jsep in offers] == [("remote", "offer"), ("local", "answer")]
    assert events == sorted(events, key=lambda item: item.timestamp)
    assert json.dumps(explained(events)[0].verdict.detail)
    assert CaptureReader("x").tally.skipped == Skipped()
