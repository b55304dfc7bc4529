"""A candidate attribute as far as a verdict needs it: type, address, whether anyone out there could reach it."""

import ipaddress

from msgspec import Struct

MAX_LENGTH = 500
CGNAT = ipaddress.ip_network("100.64.0.0/10")
"""Shared address space (RFC 6598): private for our purpose, though :mod:`ipaddress` does not call it so."""


class Candidate(Struct, frozen=True, kw_only=True):
    """RFC 8839 section 5.1."""

    address: str
    port: int
    type: str
    """host, srflx, prflx or relay."""
    transport: str = "udp"

    @property
    def is_mdns(self) -> bool:
        """A name that only the client's own network can resolve (``<uuid>.local``)."""
        return self.address.endswith(".local")

    @property
    def is_udp(self) -> bool:
        """TCP candidates of browsers are active ones: nobody can call them."""
        return self.transport == "udp"


def parse_candidate(text: str) -> Candidate | None:
    """Read the attribute's value, with or without ``candidate:``; ``None`` where it is none."""
    words = text[:MAX_LENGTH].strip().removeprefix("a=").removeprefix("candidate:").split()
    if len(words) < 8 or words[6] != "typ" or not (words[5].isascii() and words[5].isdigit()):
        return None
    return Candidate(
        address=words[4].lower(), port=int(words[5][:6]), type=words[7].lower(), transport=words[2].lower()
    )


def is_private(address: str) -> bool:
    """Not reachable from the public Internet; names and whatever is no address count as not private."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return ip.is_private or (ip.version == 4 and ip in CGNAT)


def is_public(address: str) -> bool:
    """A global unicast address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return ip.is_global


def same_network(one: str, other: str) -> bool:
    """Both in one /16 (IPv4) or /64 (IPv6): near enough that no address translation is likely between them."""
    try:
        a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:
        return False
    if a.version != b.version:
        return False
    shift = 16 if a.version == 4 else 64
    return int(a) >> shift == int(b) >> shift
