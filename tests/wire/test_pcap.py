import io
import mmap
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1Q, Ether, Loopback
from scapy.packet import Packet, Raw
from scapy.utils import PcapReader, wrpcap

from appliance.wire import pcap
from appliance.wire.pcap import Datagram, LinkType, PcapDecodeError, Reader, Writer

AT_US = 1_800_000_000_123_456
ADDRESSES_4 = ("192.0.2.1", "198.51.100.2")
ADDRESSES_6 = ("2001:db8::1", "fe80::2")
PAYLOAD = b"payload"


def ether(**fields: int) -> Packet:
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", **fields)  # or scapy asks the network for them


def written(
    payloads: list[bytes], addresses: tuple[str, str] = ADDRESSES_4, link: LinkType = LinkType.RAW, ns: bool = False
) -> bytes:
    writer = Writer(link_type=link, nanoseconds=ns)
    records = [
        writer.record((AT_US + index) * 1000 + 789, (addresses[0], 1111), (addresses[1], 2222), payload)
        for index, payload in enumerate(payloads)
    ]
    return writer.file_header() + b"".join(records)


def by_scapy(tmp_path: Path, *packets: Packet, **options: object) -> bytes:
    path = tmp_path / "x.pcap"
    for packet in packets:
        packet.time = AT_US / 1_000_000
    wrpcap(str(path), list(packets), **options)
    return path.read_bytes()


@given(
    st.lists(st.binary(max_size=300), max_size=5),
    st.sampled_from([ADDRESSES_4, ADDRESSES_6]),
    st.sampled_from([LinkType.RAW, LinkType.ETHERNET]),
    st.booleans(),
)
def test_what_is_written_reads_the_same(
    payloads: list[bytes], addresses: tuple[str, str], link: LinkType, ns: bool
) -> None:
    reader = Reader(written(payloads, addresses, link, ns))
    assert list(reader) == [
        Datagram(AT_US + index, addresses[0], 1111, addresses[1], 2222, payload)
        for index, payload in enumerate(payloads)
    ]
    assert (reader.link_type, reader.nanoseconds) == (link, ns)
    assert reader.skipped == pcap.Skipped()


@given(st.binary(max_size=200), st.sampled_from([ADDRESSES_4, ADDRESSES_6]))
def test_scapy_finds_every_checksum_right(payload: bytes, addresses: tuple[str, str]) -> None:
    data = pcap.ip_packet((addresses[0], 1111), (addresses[1], 2222), payload)
    layer = IPv6 if ":" in addresses[0] else IP
    rebuilt = layer(data)
    if layer is IP:
        del rebuilt.chksum
    del rebuilt[UDP].chksum
    assert bytes(rebuilt) == data


@pytest.mark.parametrize("link", [LinkType.RAW, LinkType.ETHERNET])
@pytest.mark.parametrize("ns", [False, True])
def test_scapy_reads_our_file(link: LinkType, ns: bool) -> None:
    with PcapReader(io.BytesIO(written([PAYLOAD], link=link, ns=ns))) as file:
        [packet] = file.read_all()
    assert packet.time == pytest.approx(AT_US / 1_000_000, abs=1e-6)
    assert (packet[IP].src, packet[UDP].sport, packet[IP].dst, packet[UDP].dport) == (
        "192.0.2.1", 1111, "198.51.100.2", 2222,
    )  # fmt: skip
    assert bytes(packet[UDP].payload) == PAYLOAD


def udp_over(addresses: tuple[str, str]) -> Packet:
    layer = IPv6 if ":" in addresses[0] else IP
    return layer(src=addresses[0], dst=addresses[1]) / UDP(sport=1111, dport=2222) / Raw(PAYLOAD)


@pytest.mark.parametrize("addresses", [ADDRESSES_4, ADDRESSES_6])
@pytest.mark.parametrize("link", ["ethernet", "vlan", "qinq", "raw", "sll", "sll2", "null", "destination options"])
def test_every_link_type_that_scapy_writes(link: str, addresses: tuple[str, str], tmp_path: Path) -> None:
    packet = udp_over(addresses)
    version = 6 if ":" in addresses[0] else 4
    proto = 0x86DD if version == 6 else 0x0800
    match link:
        case "ethernet":
            packet = ether() / packet
        case "vlan":
            packet = ether() / Dot1Q(vlan=7) / packet
        case "qinq":
            packet = ether(type=0x88A8) / Dot1Q(vlan=7) / Dot1Q(vlan=8) / packet
        case "sll":
            packet = CookedLinux(proto=proto) / packet
        case "sll2":
            packet = CookedLinuxV2(proto=proto) / packet
        case "null":
            packet = Loopback(type=2 if version == 4 else 30) / packet
        case "destination options" if version == 6:
            packet = ether() / IPv6(src=addresses[0], dst=addresses[1]) / IPv6ExtHdrDestOpt() / packet[UDP]
    options = {"linktype": 276} if link == "sll2" else {}
    reader = Reader(by_scapy(tmp_path, packet, **options))
    assert list(reader) == [Datagram(AT_US, addresses[0], 1111, addresses[1], 2222, PAYLOAD)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("ns", [False, True])
def test_both_byte_orders_and_units(order: str, ns: bool) -> None:
    packet = pcap.ip_packet(("127.0.0.1", 1), ("127.0.0.1", 2), PAYLOAD)
    head = struct.pack(f"{order}IHHiIII", 0xA1B23C4D if ns else 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    record = struct.pack(f"{order}IIII", 1_800_000_000, 123_456_000 if ns else 123_456, len(packet), len(packet))
    [datagram] = Reader(head + record + packet)
    assert datagram == Datagram(AT_US, "127.0.0.1", 1, "127.0.0.1", 2, PAYLOAD)


def test_what_is_no_udp_is_counted(tmp_path: Path) -> None:
    packets = [
        ether() / IP() / TCP(),
        ether() / IP() / ICMP(),
        ether(type=0x0806) / Raw(bytes(28)),
        ether() / IP(frag=3, proto=17) / Raw(bytes(30)),
        ether() / IPv6() / IPv6ExtHdrFragment(offset=3, nh=17) / Raw(bytes(30)),
        ether() / IPv6() / TCP(),
        ether() / IP(proto=17) / Raw(bytes(4)),
        ether() / Raw(b""),
        ether(type=0x0800) / Raw(b""),
        ether(type=0x0800) / Raw(b"\x50" + bytes(40)),
        ether() / udp_over(ADDRESSES_4),
    ]
    reader = Reader(by_scapy(tmp_path, *packets))
    assert len(list(reader)) == 1
    assert reader.skipped == pcap.Skipped(not_udp=3, not_ip=3, fragments=2, malformed=2)


def test_a_first_fragment_is_a_truncated_datagram(tmp_path: Path) -> None:
    first = ether() / IP(flags="MF") / UDP(sport=1, dport=2, len=1000) / Raw(bytes(100))
    [datagram] = Reader(by_scapy(tmp_path, first))
    assert datagram.truncated
    assert len(datagram.payload) == 100


def test_snapped_packets_are_marked() -> None:
    whole = written([bytes(100)])
    offset = pcap.FILE_HEADER_SIZE
    seconds, fraction, captured, original = struct.unpack_from("<IIII", whole, offset)
    short = struct.pack("<IIII", seconds, fraction, 60, original)
    reader = Reader(whole[:offset] + short + whole[offset + 16 : offset + 16 + 60])
    [datagram] = reader
    assert (len(datagram.payload), datagram.truncated, captured) == (32, True, 128)
    assert next(reader.packets())[1] == 128


def test_every_truncation_of_a_file_is_refused_or_counted() -> None:
    whole = written([PAYLOAD, PAYLOAD])
    first_ends = pcap.FILE_HEADER_SIZE + (len(whole) - pcap.FILE_HEADER_SIZE) // 2
    for size in range(len(whole)):
        if size < pcap.FILE_HEADER_SIZE:
            with pytest.raises(PcapDecodeError):
                Reader(whole[:size])
            continue
        reader = Reader(whole[:size])
        assert len(list(reader)) == (size >= first_ends)
        assert reader.skipped.cut_records == (size not in {pcap.FILE_HEADER_SIZE, first_ends})


def test_captures_one_behind_the_other_are_read_to_the_end() -> None:
    reader = Reader(written([b"a", b"b"]) + written([b"c"]))
    assert [datagram.payload for datagram in reader] == [b"a", b"b", b"c"]
    assert reader.skipped.appended == 1


def test_a_file_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(written([PAYLOAD]))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert [datagram.payload for datagram in Reader(mapped)] == [PAYLOAD]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", "file begins with nothing, wanted a pcap magic number"),
        (b"MZ\0\0", "file begins with 4d5a0000, wanted a pcap magic number"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "file is pcapng, wanted classic pcap (editcap -F pcap converts it)"),
        (written([])[:23], "file has 23 bytes, wanted at least 24"),
        (written([])[:20] + b"\x69\0\0\0", "link type is 105, wanted one of 0 (NULL), 1 (ETHERNET)"),
    ],
)
def test_a_foreign_file_is_refused(data: bytes, wanted: str) -> None:
    with pytest.raises(PcapDecodeError) as caught:
        Reader(data)
    assert str(caught.value).startswith(wanted)


def test_a_record_of_impossible_length_ends_the_reading() -> None:
    data = written([PAYLOAD]) + struct.pack("<IIII", 0, 0, 2**20, 2**20)
    reader = iter(Reader(data))
    assert next(reader).payload == PAYLOAD
    with pytest.raises(PcapDecodeError, match="record at byte 75 has 1048576 bytes, wanted at most 262144"):
        next(reader)


def test_the_writer_refuses_what_it_cannot_write() -> None:
    with pytest.raises(ValueError, match="wanted RAW or ETHERNET"):
        Writer(link_type=LinkType.LINUX_SLL)
    with pytest.raises(ValueError, match=r"addresses are 127\.0\.0\.1 and ::1, wanted one family"):
        pcap.ip_packet(("127.0.0.1", 1), ("::1", 2), b"")
    with pytest.raises(ValueError, match="payload has 65508 bytes"):
        pcap.ip_packet(("127.0.0.1", 1), ("127.0.0.1", 2), bytes(65508))
    assert len(pcap.ip_packet(("127.0.0.1", 1), ("127.0.0.1", 2), bytes(65507))) == 65535


@given(st.sampled_from(LinkType), st.binary(max_size=200), st.integers(0, 250), st.integers(0, 255))
def test_arbitrary_packets_raise_nothing_else(link: LinkType, data: bytes, index: int, value: int) -> None:
    head = struct.pack("<IHHiIII", pcap.MAGIC_US, 2, 4, 0, 0, 65535, link)
    changed = bytearray(written([PAYLOAD], ADDRESSES_6 if index % 2 else ADDRESSES_4, LinkType.ETHERNET))
    changed[index % len(changed)] = value
    framed = head + struct.pack("<IIII", 1, 2, len(data), len(data)) + data
    for file in (data, head + data, framed, bytes(changed)):
        try:
            list(Reader(file))
        except PcapDecodeError:
            continue
