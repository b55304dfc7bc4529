"""Captures: what is in the files, where they may be, and how large they get. TShark and text2pcap read them."""

import os
import subprocess
from pathlib import Path

import pytest

from appliance.core.events import CandidateAddress, PairAddresses
from appliance.media.capture import MAX_CAPTURES, CaptureFiles, PacketFile
from tests.clock import FakeClock
from tests.programs import need

RTP = bytes.fromhex("80e0031cc00a8b290e2f4c35") + bytes(range(100))
RTCP = bytes.fromhex("80c90001 0e2f4c35".replace(" ", ""))
PAIR = PairAddresses(CandidateAddress("192.0.2.1", 10000, "host"), CandidateAddress("198.51.100.7", 50123, "prflx"))


def files(folder: Path, max_bytes: int = 10_000_000) -> CaptureFiles:
    return CaptureFiles(folder / "captures", FakeClock(), max_bytes=max_bytes)


def started(
    captures: CaptureFiles, *, text: bool = False, folder: str = "", filename: str = "", truncate: int = 0
) -> PacketFile:
    return captures.start(text=text, folder=folder, filename=filename, truncate=truncate, about="[session=1][handle=2]")


def tshark(path: str, *fields: str) -> list[list[str]]:
    options = [part for field in fields for part in ("-e", field)]
    command = [need("tshark"), "-r", path, "-o", "rtp.heuristic_rtp:TRUE", "-T", "fields", *options]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return [line.split("\t") for line in output.splitlines()]


@pytest.mark.interop
def test_a_pcap_has_the_packets_and_their_way(tmp_path: Path) -> None:
    captures = files(tmp_path)
    capture = started(captures, filename="a.pcap")
    capture.packet(RTP, incoming=True, pair=PAIR)
    capture.packet(RTCP, incoming=False, pair=PAIR)
    capture.packet(RTP, incoming=True, pair=None)
    named = PairAddresses(PAIR.local, CandidateAddress("a.local", 9, "host"))
    capture.packet(RTP, incoming=False, pair=named)
    capture.close()
    assert tshark(capture.path, "ip.src", "udp.srcport", "ip.dst", "udp.dstport", "udp.length") == [
        ["198.51.100.7", "50123", "192.0.2.1", "10000", "120"],
        ["192.0.2.1", "10000", "198.51.100.7", "50123", "16"],
        ["10.1.1.1", "1000", "10.2.2.2", "2000", "120"],
        ["10.2.2.2", "2000", "10.1.1.1", "1000", "120"],
    ]
    assert tshark(capture.path, "rtp.ssrc")[0] == ["0x0e2f4c35"]
    assert Path(capture.path).stat().st_mode & 0o777 == 0o600


@pytest.mark.interop
def test_packets_that_are_cut_say_so(tmp_path: Path) -> None:
    captures = files(tmp_path)
    capture = started(captures, truncate=12)
    capture.packet(RTP, incoming=True, pair=PAIR)
    capture.packet(RTCP, incoming=True, pair=PAIR)
    capture.close()
    assert tshark(capture.path, "frame.len", "frame.cap_len") == [["140", "40"], ["36", "36"]]


@pytest.mark.interop
def test_text_for_text2pcap(tmp_path: Path) -> None:
    captures = files(tmp_path)
    capture = started(captures, text=True, folder="calls", filename="a.txt")
    capture.packet(RTP, incoming=True, pair=PAIR)
    capture.packet(RTCP, incoming=False, pair=PAIR)
    capture.close()
    assert capture.path == str(tmp_path / "captures" / "calls" / "a.txt")
    first, second = Path(capture.path).read_text().splitlines()
    assert first.startswith("I 22:13:20.000000 000000  80 e0 03 1c c0 0a")
    assert first.endswith(" JANUS_TEXT2PCAP_RTP [session=1][handle=2]")
    assert second == "O 22:13:20.000000 000000  80 c9 00 01 0e 2f 4c 35 JANUS_TEXT2PCAP_RTCP [session=1][handle=2]"
    made = str(tmp_path / "made.pcap")
    command = [need("text2pcap"), "-D", "-t", "%H:%M:%S.%f", "-u", "1000,2000", capture.path, made]
    subprocess.run(command, capture_output=True, check=True)
    assert [line[0] for line in tshark(made, "udp.length")] == ["120", "16"]


@pytest.mark.parametrize(
    ("folder", "filename", "wanted"),
    [
        ("..", "a.pcap", "wanted one below"),
        ("/usr/share", "a.pcap", "wanted one below"),
        ("a/../../..", "a.pcap", "wanted one below"),
        ("", "../a.pcap", "filename is '../a.pcap'"),
        ("", "/etc/a", "filename is"),
        ("", ".hidden", "filename is"),
        ("", "a\x00b", "filename is"),
        ("", "a" * 300, "filename is"),
        ("x\x00", "a", "null"),
    ],
)
def test_places_outside_are_refused(tmp_path: Path, folder: str, filename: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        started(files(tmp_path), folder=folder, filename=filename)
    assert not list(tmp_path.rglob("*.pcap"))


def test_links_lead_nowhere(tmp_path: Path) -> None:
    captures = files(tmp_path)
    inside = tmp_path / "captures"
    inside.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (inside / "folder").symlink_to(outside)
    (inside / "file.pcap").symlink_to(outside / "x")
    with pytest.raises(ValueError, match="wanted one below"):
        started(captures, folder="folder", filename="a.pcap")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        started(captures, filename="file.pcap")
    os.mkfifo(inside / "pipe")
    with pytest.raises(OSError, match="No such device or address"):
        started(captures, filename="pipe")
    assert not list(outside.iterdir())


def test_a_file_and_their_number_are_bounded(tmp_path: Path) -> None:
    captures = files(tmp_path, max_bytes=24 + 16 + 140)
    capture = started(captures, filename="a.pcap")
    for _ in range(3):
        capture.packet(RTP, incoming=True, pair=PAIR)
    assert capture.lost == 2
    with pytest.raises(ValueError, match="is being written already"):
        started(captures, filename="a.pcap")
    others = [started(captures) for _ in range(MAX_CAPTURES - 1)]
    with pytest.raises(ValueError, match="32 captures run already"):
        started(captures)
    captures.close()
    assert Path(capture.path).stat().st_size == 24 + 16 + 140
    assert started(captures, filename="a.pcap").path == capture.path
    assert len({other.path for other in others}) == MAX_CAPTURES - 1
    captures.close()


def test_a_disk_that_is_full_ends_the_capture_and_nothing_else(tmp_path: Path) -> None:
    captures = files(tmp_path)
    capture = started(captures)
    capture._file.close()
    capture._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115  # the capture closes it
    capture.packet(RTP, incoming=True, pair=PAIR)
    capture.packet(RTP, incoming=True, pair=PAIR)
    assert capture.lost == 2
    capture.close()
