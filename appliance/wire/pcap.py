"""Classic pcap files of UDP datagrams: written with Ethernet or raw IP, read with the link types met in the field.

The format is that of draft-ietf-opsawg-pcap (the old ``libpcap`` file); link types are those of tcpdump.org. A
pcapng file is told apart by :func:`is_pcapng` and refused by :class:`Reader`.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from mmap import mmap
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from msgspec import Struct

MAGIC_US = 0xA1B2C3D4
MAGIC_NS = 0xA1B23C4D
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
MAX_PACKET = 262_144
"""Bytes of one record, the limit of libpcap."""
SNAPLEN = 65_535
FILE_HEADER_SIZE = 24
RECORD_HEADER_SIZE = 16

_ETHERNET_IP4 = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00"
_ETHERNET_IP6 = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x86\xdd"
_VLAN_TYPES = frozenset({0x8100, 0x88A8, 0x9100})
_MAX_TAGS = 4
_UDP = 17
_NFLOG_PAYLOAD = 9
_IP6_OPTIONS = frozenset({0, 43, 60})
"""Extension headers that may stand between IPv6 and UDP: hop-by-hop, routing, destination options."""

Source = bytes | mmap
"""A whole file; mapped into memory where it is large."""


class PcapDecodeError(ValueError):
    """Not a readable capture; says which field, its value, and what was wanted."""


class LinkType(IntEnum):
    """What a packet of the file begins with."""

    NULL = 0
    ETHERNET = 1
    RAW_BSD = 12
    RAW_OPENBSD = 14
    RAW = 101
    LOOP = 108
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    NFLOG = 239
    LINUX_SLL2 = 276


class Datagram(Struct, frozen=True):
    """One UDP datagram and when it was seen."""

    timestamp_us: int
    """Microseconds since the Unix epoch."""
    source: str
    source_port: int
    destination: str
    destination_port: int
    payload: bytes
    truncated: bool = False
    """The capture holds less of the payload than was sent."""


class Skipped(Struct):
    """What a :class:`Reader` left out."""

    not_ip: int = 0
    not_udp: int = 0
    fragments: int = 0
    """IP fragments that are passed over: of :class:`Reader` all but the first, which it yields as truncated; else those
    of packets of which a part is missing."""
    malformed: int = 0
    """Headers that contradict each other, or were cut before the payload."""
    cut_records: int = 0
    """A last record that the file ends within: a capture that was still running."""
    appended: int = 0
    """File headers in the middle: captures written one behind the other, as Janus does."""


def is_pcap(data: Source) -> bool:
    """Whether a file begins as :class:`Reader` wants."""
    return data[:4] in _MAGICS


def is_pcapng(data: Source) -> bool:
    """Whether a file begins with a pcapng section header block."""
    return data[:4] == PCAPNG_MAGIC


_MAGICS = {
    MAGIC_US.to_bytes(4, "big"): (">", False),
    MAGIC_US.to_bytes(4, "little"): ("<", False),
    MAGIC_NS.to_bytes(4, "big"): (">", True),
    MAGIC_NS.to_bytes(4, "little"): ("<", True),
}


class Reader:
    """Iterates over the datagrams of a file's bytes; :attr:`skipped` tells what else was there.

    :raises PcapDecodeError: by the constructor, the file header is no classic pcap's or has a foreign link type; in
        the iteration, a record is longer than :data:`MAX_PACKET`: what follows can't be found.
    """

    def __init__(self, data: Source) -> None:
        if is_pcapng(data):
            raise PcapDecodeError("file is pcapng, wanted classic pcap (editcap -F pcap converts it)")
        if not is_pcap(data):
            raise PcapDecodeError(f"file begins with {data[:4].hex() or 'nothing'}, wanted a pcap magic number")
        if len(data) < FILE_HEADER_SIZE:
            raise PcapDecodeError(f"file has {len(data)} bytes, wanted at least {FILE_HEADER_SIZE}")
        self._order, self.nanoseconds = _MAGICS[data[:4]]
        # The upper bits carry the length of a frame check sequence (draft-ietf-opsawg-pcap section 4).
        number = struct.unpack_from(f"{self._order}I", data, 20)[0] & 0x03FFFFFF
        if number not in _LINKS:
            known = ", ".join(f"{link.value} ({link.name})" for link in LinkType)
            raise PcapDecodeError(f"link type is {number}, wanted one of {known}")
        self.link_type = LinkType(number)
        self.skipped = Skipped()
        self._data = data

    def packets(self) -> Iterator[tuple[int, int, bytes]]:
        """Every record: timestamp in µs, length on the wire, what was captured of it."""
        record = struct.Struct(f"{self._order}IIII")
        divisor = 1000 if self.nanoseconds else 1
        offset, total = FILE_HEADER_SIZE, len(self._data)
        header = self._data[:FILE_HEADER_SIZE]
        while offset < total:
            if self._data[offset : offset + FILE_HEADER_SIZE] == header:
                self.skipped.appended += 1
                offset += FILE_HEADER_SIZE
                continue
            if total - offset < RECORD_HEADER_SIZE:
                self.skipped.cut_records += 1
                return
            seconds, fraction, captured, original = record.unpack_from(self._data, offset)
            if captured > MAX_PACKET:
                raise PcapDecodeError(f"record at byte {offset} has {captured} bytes, wanted at most {MAX_PACKET}")
            start = offset + RECORD_HEADER_SIZE
            offset = start + captured
            if offset > total:
                self.skipped.cut_records += 1
                return
            yield seconds * 1_000_000 + fraction // divisor, original, self._data[start:offset]

    def __iter__(self) -> Iterator[Datagram]:
        link = _LINKS[self.link_type]
        for timestamp_us, _, frame in self.packets():
            try:
                packet = link(frame)
                if packet is None:
                    self.skipped.not_ip += 1
                    continue
                datagram = self._ip(timestamp_us, packet)
            except (IndexError, struct.error, ValueError):
                self.skipped.malformed += 1
                continue
            if datagram is not None:
                yield datagram

    def _ip(self, timestamp_us: int, packet: bytes) -> Datagram | None:
        if not packet:
            raise ValueError("no IP header")
        version = packet[0] >> 4
        if version == 4:
            return self._ip4(timestamp_us, packet)
        if version == 6:
            return self._ip6(timestamp_us, packet)
        self.skipped.not_ip += 1
        return None

    def _ip4(self, timestamp_us: int, packet: bytes) -> Datagram | None:
        size = 4 * (packet[0] & 0x0F)
        fragment = struct.unpack_from("!H", packet, 6)[0] & 0x1FFF
        if packet[9] != _UDP:
            self.skipped.not_udp += 1
            return None
        if fragment:
            self.skipped.fragments += 1
            return None
        if size < 20:
            raise ValueError("header length")
        source, destination = inet_ntop(AF_INET, packet[12:16]), inet_ntop(AF_INET, packet[16:20])
        return _udp(timestamp_us, source, destination, packet, size)

    def _ip6(self, timestamp_us: int, packet: bytes) -> Datagram | None:
        following, offset = packet[6], 40
        for _ in range(8):
            if following in _IP6_OPTIONS:
                following, offset = packet[offset], offset + 8 + 8 * packet[offset + 1]
            elif following == 44:
                if struct.unpack_from("!H", packet, offset + 2)[0] >> 3:
                    self.skipped.fragments += 1
                    return None
                following, offset = packet[offset], offset + 8
            else:
                break
        if following != _UDP:
            self.skipped.not_udp += 1
            return None
        source, destination = inet_ntop(AF_INET6, packet[8:24]), inet_ntop(AF_INET6, packet[24:40])
        return _udp(timestamp_us, source, destination, packet, offset)


class Writer:
    """Makes the bytes of a file: first :meth:`file_header`, then a :meth:`record` for each datagram."""

    def __init__(self, *, link_type: LinkType = LinkType.RAW, nanoseconds: bool = False) -> None:
        if link_type not in {LinkType.RAW, LinkType.ETHERNET}:
            raise ValueError(f"link_type is {link_type.name}, wanted RAW or ETHERNET")
        self.link_type = link_type
        self.nanoseconds = nanoseconds

    def file_header(self) -> bytes:
        """The first 24 bytes."""
        magic = MAGIC_NS if self.nanoseconds else MAGIC_US
        return struct.pack("<IHHiIII", magic, 2, 4, 0, 0, SNAPLEN, self.link_type)

    def record(
        self,
        timestamp_ns: int,
        source: tuple[str, int],
        destination: tuple[str, int],
        payload: bytes,
        *,
        keep: int | None = None,
    ) -> bytes:
        """One datagram with the headers it had or could have had; ``keep``: bytes of the payload that are written.

        :raises ValueError: one address is IPv4 and the other IPv6, or the payload does not fit a datagram.
        :raises OSError: an address is not numeric.
        """
        cut = 0 if keep is None else max(0, len(payload) - keep)
        return self.packet(timestamp_ns, ip_packet(source, destination, payload), cut=cut)

    def packet(self, timestamp_ns: int, packet: bytes, *, cut: int = 0) -> bytes:
        """One IP packet as it is, or without its last ``cut`` bytes, whose absence the file tells."""
        if self.link_type is LinkType.ETHERNET:
            packet = (_ETHERNET_IP6 if packet[0] >> 4 == 6 else _ETHERNET_IP4) + packet
        seconds, fraction = divmod(timestamp_ns, 1_000_000_000)
        if not self.nanoseconds:
            fraction //= 1000
        kept = packet[: len(packet) - cut]
        return struct.pack("<IIII", seconds, fraction, len(kept), len(packet)) + kept


def ip_packet(source: tuple[str, int], destination: tuple[str, int], payload: bytes) -> bytes:
    """IPv4 or IPv6 header, UDP header, payload; all checksums right. Raises as :meth:`Writer.record`."""
    is_ip6 = ":" in source[0]
    if is_ip6 != (":" in destination[0]):
        raise ValueError(f"addresses are {source[0]} and {destination[0]}, wanted one family")
    size = 8 + len(payload)
    if size > (65_535 if is_ip6 else 65_515):
        raise ValueError(f"payload has {len(payload)} bytes, wanted what fits a datagram")
    family = AF_INET6 if is_ip6 else AF_INET
    addresses = inet_pton(family, source[0].partition("%")[0]) + inet_pton(family, destination[0].partition("%")[0])
    ports_and_size = struct.pack("!HHH", source[1], destination[1], size)
    pseudo = addresses + struct.pack("!HH", _UDP, size)
    # RFC 768: a sum of zero is sent as all ones, since zero means "none".
    checksum = _checksum(pseudo + ports_and_size + payload) or 0xFFFF
    datagram = ports_and_size + checksum.to_bytes(2, "big") + payload
    if is_ip6:
        return struct.pack("!IHBB", 6 << 28, size, _UDP, 64) + addresses + datagram
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + size, 0, 0x4000, 64, _UDP)
    return head + _checksum(head + addresses).to_bytes(2, "big") + addresses + datagram


def _checksum(data: bytes) -> int:
    # The ones' complement sum of 16-bit words is the number modulo 65535 (RFC 1071).
    number = int.from_bytes(data + bytes(len(data) & 1), "big")
    return 0xFFFF - (number % 0xFFFF or (0xFFFF if number else 0))


def _udp(timestamp_us: int, source: str, destination: str, packet: bytes, offset: int) -> Datagram:
    source_port, destination_port, size = struct.unpack_from("!HHH", packet, offset)
    if len(packet) < offset + 8 or size < 8:
        raise ValueError("UDP header")
    payload = packet[offset + 8 : offset + size]
    return Datagram(
        timestamp_us,
        source,
        source_port,
        destination,
        destination_port,
        payload,
        len(payload) < size - 8,
    )


def _ethernet(frame: bytes) -> bytes | None:
    return _behind_ether_type(frame, 12)


def _sll(frame: bytes) -> bytes | None:
    return _behind_ether_type(frame, 14)


def _sll2(frame: bytes) -> bytes | None:
    return frame[20:] if frame[:2] in {b"\x08\x00", b"\x86\xdd"} and len(frame) >= 20 else None


def _behind_ether_type(frame: bytes, offset: int) -> bytes | None:
    for _ in range(_MAX_TAGS):
        kind = int.from_bytes(frame[offset : offset + 2], "big")
        if kind not in _VLAN_TYPES:
            break
        offset += 4
    return frame[offset + 2 :] if kind in {0x0800, 0x86DD} else None


def _null(frame: bytes) -> bytes | None:
    # Four bytes of address family in the writer's byte order, with a number for IPv6 of each system's own: the
    # version in the IP header says it better.
    return frame[4:]


def nflog_payload(data: Source, start: int, end: int) -> int:
    """Where the packet begins behind LINKTYPE_NFLOG's header (family, version, resource id) and attributes, which are
    in the byte order of the host that wrote them; ``end`` where there is none.
    """
    at = start + 4
    while at + 4 <= end:
        sizes = [struct.unpack_from(f"{order}HH", data, at) for order in "<>"]
        size, kind = next((each for each in sizes if 4 <= each[0] <= end - at), (0, 0))
        if kind & 0x7FFF == _NFLOG_PAYLOAD:
            return at + 4
        if not size:
            break
        at += size + (-size & 3)
    return end


def _nflog(frame: bytes) -> bytes | None:
    return frame[nflog_payload(frame, 0, len(frame)) :] or None


def _raw(frame: bytes) -> bytes | None:
    return frame


_LINKS = {
    LinkType.NULL: _null,
    LinkType.LOOP: _null,
    LinkType.ETHERNET: _ethernet,
    LinkType.RAW_BSD: _raw,
    LinkType.RAW_OPENBSD: _raw,
    LinkType.RAW: _raw,
    LinkType.IPV4: _raw,
    LinkType.IPV6: _raw,
    LinkType.NFLOG: _nflog,
    LinkType.LINUX_SLL: _sll,
    LinkType.LINUX_SLL2: _sll2,
}
