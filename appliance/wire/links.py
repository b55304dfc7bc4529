"""Where the IP packet begins behind what a capture's packets begin with: the link's header, tags, and the tunnels in
which traffic is mirrored to whoever records it.
"""

import struct

from appliance.wire.pcap import LinkType, Source, nflog_payload

_VLAN_TYPES = frozenset({0x8100, 0x88A8, 0x9100})
_IP_TYPES = frozenset({0x0800, 0x86DD})
_MPLS_TYPES = frozenset({0x8847, 0x8848})
_PPPOE_SESSION, _PPP_TYPES = 0x8864, frozenset({0x0021, 0x0057})
_ETHERNET_TYPES = frozenset({0x6558, 0x88BE, 0x22EB})
"""What GRE carries: Ethernet (NVGRE), and ERSPAN in its versions."""
_LINKS = frozenset(int(link) for link in LinkType)
MAX_TAGS = 8
GRE = 47
TUNNELS = frozenset({4, 41, GRE})
"""Protocols of IP that carry IP: IPIP, 6in4, GRE."""
VXLAN_HEAD = b"\x08\0\0\0"


def behind_link(data: Source, link: int, start: int, end: int) -> int | None:
    """Where the IP packet begins; ``None`` where there is none."""
    if link in {LinkType.ETHERNET, LinkType.LINUX_SLL}:
        found = _behind_type(data, start + (12 if link == LinkType.ETHERNET else 14), end)
    elif link == LinkType.LINUX_SLL2:
        kind = int.from_bytes(data[start : start + 2], "big")
        # Its type stands in front; that of a tagged packet is followed by the tag.
        found = start + 20 if kind in _IP_TYPES else _behind_type(data, start + 22, end) if kind in _VLAN_TYPES else end
    elif link in {LinkType.NULL, LinkType.LOOP}:
        found = start + 4
    elif link == LinkType.NFLOG:
        found = nflog_payload(data, start, end)
    else:
        found = start if link in _LINKS else end
    return found if end - found >= 20 and data[found] >> 4 in {4, 6} else None


def behind_tunnel(data: Source, protocol: int, start: int, end: int) -> int | None:
    """Where the IP packet begins in one of :data:`TUNNELS`; ``None`` where there is none."""
    if protocol != GRE:
        return start if end - start >= 20 else None
    if end - start < 8:
        return None
    flags, kind = struct.unpack_from("!HH", data, start)
    # RFC 2784, RFC 2890: a checksum, a key and a sequence number may follow.
    at = start + 4 + 4 * bool(flags & 0x8000) + 4 * bool(flags & 0x2000) + 4 * bool(flags & 0x1000)
    if kind in _IP_TYPES:
        return behind_link(data, LinkType.RAW, at, end)
    if kind not in _ETHERNET_TYPES:
        return None
    # ERSPAN: 8 bytes in type II, 12 and perhaps 8 more in type III; type I has neither them nor a sequence number.
    if kind == 0x88BE:
        at += 8 * bool(flags & 0x1000)
    elif kind == 0x22EB and at + 12 <= end:
        at += 12 + 8 * (data[at + 11] & 1)
    return behind_link(data, LinkType.ETHERNET, at, end)


def behind_vxlan(data: bytes) -> int | None:
    """Where the IP packet begins in a datagram of VXLAN (RFC 7348 section 5), as clouds mirror in; or ``None``."""
    return behind_link(data, LinkType.ETHERNET, 8, len(data)) if data[:4] == VXLAN_HEAD else None


def _behind_type(data: Source, at: int, end: int) -> int:
    """``at``: where the type of what follows stands."""
    for _ in range(MAX_TAGS):
        kind = int.from_bytes(data[at : at + 2], "big")
        if kind in _VLAN_TYPES:
            at += 4
            continue
        at += 2
        if kind in _IP_TYPES:
            return at
        if kind in _MPLS_TYPES:
            return _behind_labels(data, at, end)
        if kind == _PPPOE_SESSION and int.from_bytes(data[at + 6 : at + 8], "big") in _PPP_TYPES:
            return at + 8
        break
    return end


def _behind_labels(data: Source, at: int, end: int) -> int:
    for _ in range(MAX_TAGS):
        if at + 4 > end:
            break
        if data[at + 2] & 1:
            return at + 4
        at += 4
    return end
