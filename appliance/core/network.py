"""Whom an address stands for, where something is bounded for each client."""

from ipaddress import IPv6Address


def network_of(address: str) -> str:
    """The address itself; of IPv6 its /64, since whoever has one has all of that. What is no address stays as it is."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
