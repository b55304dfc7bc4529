"""What a capture's file and frames can be, beside the usual: each is read as the same call."""

import gzip
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.intake.pcap.reader import CaptureReader
from appliance.intake.recorded import RecordingError, read_recording, read_together
from appliance.wire.fragments import MAX_WAITING, Fragments, fragment_of
from tests.intake.test_replay import CAPTURES, explained, raw, records
from tests.intake.wrapped import FILE_HEAD, Connections, Packet, packets, record

CASE = "ice_wrongcand"


def rewritten(data: bytes, change: Callable[[bytes], Iterator[bytes]], *, link: int = 1) -> bytes:
    """Every frame in place of what it was."""
    out = [data[:20] + link.to_bytes(4, "little")]
    for head, frame in records(data):
        for new in change(frame):
            out.append(head[:8] + struct.pack("<II", len(new), len(new)) + new)
    return b"".join(out)


def swapped(data: bytes, magic: int) -> bytes:
    """Of the other byte order, and in nanoseconds where the magic number says so."""
    factor = 1000 if magic == 0xA1B23C4D else 1
    out = [struct.pack(">IHHiIII", magic, 2, 4, 0, 0, 65_535, 1)]
    for head, frame in records(data):
        seconds, micros, captured, size = struct.unpack("<IIII", head)
        out.append(struct.pack(">IIII", seconds, micros * factor, captured, size) + frame)
    return b"".join(out)


@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_either_byte_order_and_nanoseconds(magic: int) -> None:
    data = raw(CASE)
    assert CaptureReader("x").read(swapped(data, magic)) == CaptureReader("x").read(data)


def test_two_vlan_tags() -> None:
    def tagged(frame: bytes) -> Iterator[bytes]:
        yield frame[:12] + b"\x88\xa8\0\x05\x81\0\0\x07" + frame[12:]

    data = raw(CASE)
    assert CaptureReader("x").read(rewritten(data, tagged)) == CaptureReader("x").read(data)


@pytest.mark.parametrize("extended", [False, True])
def test_ip6_with_and_without_a_header_between(extended: bool) -> None:
    def as_ip6(frame: bytes) -> Iterator[bytes]:
        packet = frame[14:]
        size = 4 * (packet[0] & 15)
        payload, protocol = packet[size : int.from_bytes(packet[2:4], "big")], packet[9]
        if extended:
            payload, protocol = bytes([protocol, 0, 1, 4, 0, 0, 0, 0]) + payload, 60
        ends = b"".join(b"\xfd" + bytes(11) + packet[at : at + 4] for at in (12, 16))
        yield struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload

    reader = CaptureReader("x")
    (call,) = explained(reader.read(rewritten(raw(CASE), as_ip6, link=101)))
    (plain,) = explained(CaptureReader("x").read(raw(CASE)))
    assert call.verdict.code == plain.verdict.code
    assert len(call.descriptions) == len(plain.descriptions) == 2
    assert [phase.name for phase in call.phases] == [phase.name for phase in plain.phases]
    assert reader.tally.skipped.malformed == 0


def parts_of(packet: bytes, number: int, size: int) -> list[bytes]:
    """The fragments of an IPv4 packet without options."""
    payload, out = packet[20:], []
    for at in range(0, len(payload), size):
        piece, more = payload[at : at + size], at + size < len(payload)
        word = at // 8 | more << 13
        head = packet[:2] + struct.pack("!HHH", 20 + len(piece), number, word) + packet[8:10] + b"\0\0" + packet[12:20]
        out.append(head + piece)
    return out


def parts_of_ip6(packet: bytes, number: int, size: int) -> list[bytes]:
    """The same as fragments of IPv6, from and to addresses that end in those of the packet."""
    payload, out = packet[20:], []
    ends = b"".join(b"\xfd" + bytes(11) + packet[at : at + 4] for at in (12, 16))
    for at in range(0, len(payload), size):
        piece, more = payload[at : at + size], at + size < len(payload)
        fragment = struct.pack("!BBHI", packet[9], 0, at | more, number)
        out.append(struct.pack("!IHBB", 6 << 28, 8 + len(piece), 44, 64) + ends + fragment + piece)
    return out


Divide = Callable[[bytes, int, int], list[bytes]]


def fragmented(divide: Divide, *, order: int = 1, lose: int = 0) -> bytes:
    """Every packet in parts, or those but the one with that number from the end."""
    numbers = iter(range(1, 60_000))

    def change(frame: bytes) -> Iterator[bytes]:
        packet = frame[14:]
        parts = divide(packet[: int.from_bytes(packet[2:4], "big")], next(numbers), 48)
        if lose:
            del parts[-lose]
        yield from parts[::order]

    return rewritten(raw(CASE), change, link=101)


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize("divide", [parts_of, parts_of_ip6])
def test_fragments_are_put_together(divide: Divide, order: int) -> None:
    reader = CaptureReader("x")
    (call,) = explained(reader.read(fragmented(divide, order=order)))
    (plain,) = explained(CaptureReader("x").read(raw(CASE)))
    assert (call.verdict.code, call.verdict.also) == (plain.verdict.code, plain.verdict.also)
    assert len(call.descriptions) == len(plain.descriptions) == 2
    assert [pair.requests_sent for pair in call.pairs] == [pair.requests_sent for pair in plain.pairs]
    assert reader.tally.skipped.fragments == reader.tally.malformed == 0


def test_where_a_fragment_is_lost_the_first_is_read_as_far_as_it_goes() -> None:
    reader = CaptureReader("x")
    reader.read(fragmented(parts_of, lose=1))
    sizes = [len(frame) - 14 for _, frame in records(raw(CASE))]
    assert reader.tally.skipped.fragments == sum(size > 20 + 48 for size in sizes)
    assert reader.tally.stun > 0


def test_fragments_that_lead_nowhere_are_bounded() -> None:
    head, fragments = struct.pack("!BBHHHBBH8s", 0x45, 0, 36, 0, 0x2000, 64, 17, 0, b"abcdefgh"), Fragments()
    for number in range(70_000):
        data = head[:4] + struct.pack("!HH", number & 0xFFFF, 0x2000 | number % 512) + head[8:] + bytes(16)
        part = fragment_of(data)
        assert part is not None
        fragments.take(part)
    assert fragments.given_up >= 65_536 - MAX_WAITING
    assert len(fragments.rest()) <= MAX_WAITING


TUNNELLED: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "cooked v1": (113, lambda packet: bytes(14) + b"\x08\0" + packet),
    "cooked v2 with a tag": (276, lambda packet: b"\x81\0" + bytes(18) + b"\0\5\x08\0" + packet),
    "PPPoE": (1, lambda packet: bytes(12) + b"\x88\x64\x11\0\0\1" + bytes([0, len(packet) & 255]) + b"\0\x21" + packet),
    "MPLS": (1, lambda packet: bytes(12) + b"\x88\x47\0\0\x10\x40\0\0\x11\x40" + packet),
    "NFLOG": (239, lambda packet: b"\2\0\0\0\x08\0\1\0abcd" + struct.pack("<HH", 4 + len(packet), 9) + packet),
    "IP in IP": (101, lambda packet: outer(4, packet)),
    "GRE": (101, lambda packet: outer(47, b"\x20\0\x08\0key!" + packet)),
    "ERSPAN II": (101, lambda packet: outer(47, b"\x10\0\x88\xbe\0\0\0\1" + bytes(8 + 12) + b"\x08\0" + packet)),
    "ERSPAN III": (101, lambda packet: outer(47, b"\x10\0\x22\xeb\0\0\0\1" + bytes(11) + b"\1" + bytes(8 + 12)
                                             + b"\x08\0" + packet)),
    "VXLAN": (101, lambda packet: outer(17, struct.pack("!HHHH", 9, 4789, 8 + 8 + 14 + len(packet), 0)
                                        + b"\x08\0\0\0\0\0\7\0" + bytes(12) + b"\x08\0" + packet)),
    "authentication header": (101, lambda packet: outer(51, bytes([4, 4]) + bytes(22) + packet)),
}  # fmt: skip


def outer(protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    return head + b"\x0a\0\0\1\x0a\0\0\2" + payload


@pytest.mark.parametrize("name", TUNNELLED)
def test_packets_are_found_in_what_mirrors_them(name: str) -> None:
    link, wrap = TUNNELLED[name]
    data = raw(CASE)
    changed = rewritten(data, lambda frame: iter([wrap(frame[14:])]), link=link)
    assert CaptureReader("x").read(changed) == CaptureReader("x").read(data)


def test_tunnels_in_tunnels_end_somewhere() -> None:
    def nested(frame: bytes) -> Iterator[bytes]:
        packet = frame[14:]
        while len(packet) < 60_000:
            packet = outer(4, TUNNELLED["VXLAN"][1](packet))
        yield packet

    reader = CaptureReader("x")
    assert reader.read(rewritten(raw(CASE)[:2000], nested, link=101)) == []
    assert reader.tally.other > 0


def shifted(data: bytes, chosen: Callable[[int], bool]) -> bytes:
    """Only the packets with those numbers."""
    both = [head + frame for number, (head, frame) in enumerate(records(data)) if chosen(number)]
    return data[:24] + b"".join(both)


def test_packets_in_any_order_are_put_in_that_of_time(tmp_path: Path) -> None:
    """As of two interfaces, one behind the other."""
    data, path = raw(CASE), tmp_path / "a.pcap"
    path.write_bytes(shifted(data, lambda number: number % 2 == 1) + shifted(data, lambda number: number % 2 == 0)[24:])
    found = read_recording(path)
    assert found.events == [replace(item, emitter="a") for item in CaptureReader("x").read(data)]
    assert found.tally is not None
    assert found.tally.was_sorted


def test_what_is_too_long_to_be_put_in_order_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, path = raw(CASE), tmp_path / "a.pcap"
    monkeypatch.setattr("appliance.wire.ordered.MAX_PACKETS", 20)
    path.write_bytes(shifted(data, lambda number: number > 50) + shifted(data, lambda number: number <= 50)[24:])
    with pytest.raises(RecordingError, match="more than 20 packets to put in order"):
        read_recording(path)
    # In order each by itself, they take no memory together.
    path.write_bytes(data)
    assert read_together([path, path]).events == [replace(item, emitter="a") for item in CaptureReader("x").read(data)]


def test_the_parts_of_a_capture_are_one_together(tmp_path: Path) -> None:
    """Of two interfaces, one of them gzipped and in nanoseconds; and a ring's files, the later first."""
    data = raw(CASE)
    one, two, late, early = (tmp_path / name for name in ("a.pcap", "b.pcap.gz", "c.pcap", "d.pcap"))
    one.write_bytes(shifted(data, lambda number: number % 2 == 1))
    two.write_bytes(gzip.compress(swapped(shifted(data, lambda number: number % 2 == 0), 0xA1B23C4D)))
    late.write_bytes(shifted(data, lambda number: number > 50))
    early.write_bytes(shifted(data, lambda number: number <= 50))
    whole = CaptureReader("x").read(data)
    for paths, name in (([one, two], "a"), ([late, early], "c")):
        assert read_together(paths).events == [replace(item, emitter=name) for item in whole]
    told = tmp_path / "events.json"
    told.write_text(json.dumps({"emitter": "j", "type": 2, "timestamp": 1, "session_id": 1, "handle_id": 2,
                                "event": {"name": "attached", "plugin": "p"}}))  # fmt: skip
    with pytest.raises(RecordingError, match="holds events, others hold packets"):
        read_together([one, told])
    assert len(read_together([told, told]).events) == 2


@pytest.mark.parametrize(
    ("rtcp", "code"), [(True, "no_media_to_client"), (False, "ended_by_app")], ids=["with RTCP", "filtered"]
)
def test_a_call_without_media_is_told_from_a_capture_without_them(rtcp: bool, code: str) -> None:
    """Where RTCP goes, RTP would be there too. (That the client's came, the server's messages say.)"""

    def chosen(frame: bytes) -> Iterator[bytes]:
        is_media = frame[14 + 9] == 17 and 127 < frame[42] < 192
        if not is_media or (rtcp and 191 < frame[43] < 224):
            yield frame

    (call,) = explained(CaptureReader("x").read(rewritten(raw("chrome_echo_http"), chosen)))
    assert call.verdict.code == code


def test_cut_checks_still_say_whose_they_are() -> None:
    def cut(frame: bytes) -> bytes:
        return frame[:96] if frame[14 + 9] == 17 else frame

    data = raw(CASE)
    both = [(head, frame) for head, frame in records(data)]
    changed = data[:24] + b"".join(head[:8] + struct.pack("<II", len(cut(frame)), len(frame)) + cut(frame)
                                   for head, frame in both)  # fmt: skip
    (call,) = explained(CaptureReader("x").read(changed))
    (plain,) = explained(CaptureReader("x").read(data))
    assert call.pairs == plain.pairs
    assert call.verdict.code == plain.verdict.code


def test_gzip_that_is_cut_is_read_to_there(tmp_path: Path) -> None:
    data = raw(CASE)
    packed = gzip.compress(data, mtime=0)
    whole, cut, two = tmp_path / "a.pcap.gz", tmp_path / "b.pcap.gz", tmp_path / "c.pcap.gz"
    whole.write_bytes(packed)
    cut.write_bytes(packed[: len(packed) - 200])
    # As a rotating capture writes them: one compressed file behind the other.
    two.write_bytes(gzip.compress(data[:5000], mtime=0) + gzip.compress(data[5000:], mtime=0))
    counts = {path.name[0]: len(read_recording(path).events) for path in (whole, cut, two)}
    assert counts["a"] == counts["c"] >= counts["b"] > 10


def hep(change: Callable[[Packet, int], list[bytes]]) -> bytes:
    """The packets of a HEP capture, each in other records."""
    data = (CAPTURES / "hep" / "call.pcap").read_bytes()
    return FILE_HEAD + b"".join(
        record(packet.head, new) for number, packet in enumerate(packets(data), 1) for new in change(packet, number)
    )


def test_hep_in_fragments_and_in_a_stream_is_hep(tmp_path: Path) -> None:
    whole = read_recording(CAPTURES / "hep" / "call.pcap").events
    assert len(whole) > 20
    stream = Connections()

    def in_segments(packet: Packet, _number: int) -> list[bytes]:
        sizes = range(0, len(packet.payload), 311)
        parts = [packet.payload[at : at + 311] for at in sizes]
        return [stream.segment(packet.source, packet.destination, part) for part in parts]

    for change in (lambda packet, number: parts_of(packet.raw, number, 160), in_segments):
        path = tmp_path / "call.pcap"
        path.write_bytes(hep(change))
        found = read_recording(path)
        assert found.tally is not None
        assert found.tally.malformed == found.tally.skipped.fragments == 0
        assert found.events == whole
