"""Which way a packet goes, as the bytes that stand in it: both addresses, then both ports."""

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from appliance.intake.pcap.association import Way


def ends_of(key: bytes) -> tuple[tuple[str, int], tuple[str, int]]:
    """Address and port of source and destination."""
    size = (len(key) - 4) // 2
    family = AF_INET if size == 4 else AF_INET6
    source, destination = inet_ntop(family, key[:size]), inet_ntop(family, key[size : 2 * size])
    return (source, int.from_bytes(key[-4:-2], "big")), (destination, int.from_bytes(key[-2:], "big"))


def reversed_key(key: bytes) -> bytes:
    """Of the other direction."""
    size = (len(key) - 4) // 2
    return key[size : 2 * size] + key[:size] + key[-2:] + key[-4:-2]


def key_of(way: Way) -> bytes:
    """The reverse of :func:`ends_of`."""
    return _packed(way.source[0]) + _packed(way.other.source[0]) + _port(way) + _port(way.other)


def _packed(address: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in address else AF_INET, address)


def _port(way: Way) -> bytes:
    return way.source[1].to_bytes(2, "big")
