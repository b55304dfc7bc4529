"""Which way a packet goes, as the bytes that stand in it: both addresses, then both ports; one more where it is TCP."""

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from appliance.intake.pcap.association import Way

TCP_MARK = b"t"
"""Behind the key of a way over TCP, since the same ports of UDP are another."""


def ends_of(key: bytes) -> tuple[tuple[str, int], tuple[str, int]]:
    """Address and port of source and destination."""
    size = (len(key) - 4) // 2
    family = AF_INET if size == 4 else AF_INET6
    source, destination = inet_ntop(family, key[:size]), inet_ntop(family, key[size : 2 * size])
    at = 2 * size
    return (source, int.from_bytes(key[at : at + 2], "big")), (destination, int.from_bytes(key[at + 2 : at + 4], "big"))


def is_over_tcp(key: bytes) -> bool:
    """Whether it has the mark."""
    return len(key) & 1 == 1


def reversed_key(key: bytes) -> bytes:
    """Of the other direction."""
    size = (len(key) - 4) // 2
    at = 2 * size
    return key[size:at] + key[:size] + key[at + 2 : at + 4] + key[at : at + 2] + key[at + 4 :]


def made_key(source: tuple[str, int], destination: tuple[str, int], *, is_tcp: bool = False) -> bytes:
    """The reverse of :func:`ends_of`."""
    ends = (source, destination)
    addresses = b"".join(inet_pton(AF_INET6 if ":" in address else AF_INET, address) for address, _ in ends)
    return addresses + b"".join(port.to_bytes(2, "big") for _, port in ends) + (TCP_MARK if is_tcp else b"")


def key_of(way: Way) -> bytes:
    """Of a direction that is known."""
    return made_key(way.source, way.other.source, is_tcp=way.flow.is_tcp)
