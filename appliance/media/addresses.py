"""Which of this machine's addresses carry media: what ``media.addresses`` and ``media.excluded`` name."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import ifaddr
from msgspec import Struct


class Address(Struct, frozen=True):
    """An address of an interface of this machine."""

    interface: str
    ip: str


Interfaces = Callable[[], Iterable[Address]]
Matches = Callable[[Address], bool]


def interfaces() -> list[Address]:
    """Every address that this machine has now, in the system's order."""
    found: list[Address] = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            found.append(Address(adapter.nice_name, entry.ip if isinstance(entry.ip, str) else entry.ip[0]))
    return found


def listening(wanted: Sequence[str], excluded: Sequence[str] = (), here: Interfaces = interfaces) -> list[str]:
    """The addresses to listen on, each once, in the order in which they are wanted.

    An entry is an IP address, a network (``10.0.0.0/8``), or the name of an interface or a pattern of names
    (``eth0``, ``en*``). An address by itself is taken as it stands, whether this machine has it or not: binding to it
    says so. Patterns and networks leave out link-local addresses, which can't be reached from another link, and the
    loopback interface unless they name nothing else.

    :raises OSError: an entry names nothing, or nothing is left.
    """
    found: dict[str, None] = {}
    known: list[Address] | None = None
    unwanted = [_matcher(entry) for entry in excluded]
    for entry in wanted:
        if _is_address(entry):
            found[entry] = None
            continue
        known = known if known is not None else list(here())
        matches = _matcher(entry)
        of_entry = [item for item in known if matches(item) and not ip_address(item.ip).is_link_local]
        outside = [item for item in of_entry if not ip_address(item.ip).is_loopback]
        if not of_entry:
            has = ", ".join(f"{item.interface} {item.ip}" for item in known)
            raise OSError(f"media.addresses: {entry!r} is no address, network or interface of this machine, has {has}")
        for item in outside or of_entry:
            if not any(matches(item) for matches in unwanted):
                found[item.ip] = None
    if not found:
        raise OSError(f"media.addresses: nothing is left of {list(wanted)} without {list(excluded)}")
    return list(found)


def _is_address(entry: str) -> bool:
    try:
        ip_address(entry)
    except ValueError:
        return False
    return True


def _matcher(entry: str) -> Matches:
    network: IPv4Network | IPv6Network
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return lambda item: fnmatchcase(item.interface, entry)
    return lambda item: ip_address(item.ip) in network
