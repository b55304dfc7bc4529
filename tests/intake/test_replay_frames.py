"""What a capture's file and frames can be, beside the usual: each is read as the same call."""

import gzip
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.intake.pcap.reader import CaptureReader
from appliance.intake.recorded import read_recording
from tests.intake.test_replay import explained, raw, records

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


def test_fragments_are_counted_and_cost_their_own_packet_only() -> None:
    parts = 0

    def fragmented(frame: bytes) -> Iterator[bytes]:
        nonlocal parts
        packet = frame[14:]
        if packet[9] != 17 or len(packet) < 100:
            yield frame
            return
        parts += 1
        size = 48
        first = packet[:2] + (20 + size).to_bytes(2, "big") + packet[4:6] + b"\x20\0" + packet[8:20]
        rest = packet[20 + size :]
        last = packet[:2] + (20 + len(rest)).to_bytes(2, "big") + packet[4:6] + b"\0\x06" + packet[8:20]
        yield frame[:14] + first + packet[20 : 20 + size]
        yield frame[:14] + last + rest

    reader = CaptureReader("x")
    (call,) = explained(reader.read(rewritten(raw(CASE), fragmented)))
    assert parts > 0
    assert reader.tally.skipped.fragments == parts
    assert len(call.descriptions) == 2


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
