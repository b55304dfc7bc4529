"""Who talked to whom: the API's client and server of a session, and both ends of the selected pair.

Events name a session by its number; the address is in the transport event that the session's ``created`` refers to.
Where nothing is known (a Unix socket, a broker, an event that was lost), the configured address stands for the server
and for the client, with port 0.
"""

from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from appliance.core.events import CandidateAddress, Event, SelectedPair, Session, Transport
from appliance.hep.message import TCP, UDP, Address

MAX_TRANSPORTS = 10_000
"""Connections and requests remembered; over HTTP each long poll is one, and the session's ``created`` comes at once."""
MAX_SESSIONS = 50_000

VIA_WORDS = {"janus.transport.websockets": "WS", "janus.transport.http": "TCP"}
"""What a SIP Via calls them (RFC 3261 section 20.42, RFC 7118)."""
API_PORTS = {"janus.transport.websockets": 8188, "janus.transport.http": 8088}
"""Janus's own, where the event does not tell the server's port."""


class Place(NamedTuple):
    """One end."""

    address: Address
    port: int


class Path(NamedTuple):
    """Two ends of the same address family, the client's and ours."""

    client: Place
    server: Place
    protocol: int
    via: str = "TCP"


def parse_address(text: object) -> Address | None:
    """An address as events have it; ``None`` for a host name or nothing. IPv4 in IPv6 clothes becomes IPv4."""
    if not isinstance(text, str):
        return None
    try:
        address = ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_port(value: object) -> int:
    """A port as events have it; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFF else 0


def _mapped(address: Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)


def path(client: Place, server: Place, protocol: int, via: str = "TCP") -> Path:
    """Bring both ends into one family: a packet has one family chunk."""
    if client.address.version != server.address.version:
        client = Place(_mapped(client.address), client.port)
        server = Place(_mapped(server.address), server.port)
    return Path(client, server, protocol, via)


def pair_path(body: SelectedPair) -> Path | None:
    """The ends of a selected pair; ``None`` where its addresses can't be read (a name instead of an address)."""
    if body.candidates is not None:
        local, remote = _candidate(body.candidates.local), _candidate(body.candidates.remote)
        tcp = body.candidates.local.transport == "tcp"
    else:
        ours, _, theirs = body.pair.partition("<->")
        local, remote = _text_end(ours), _text_end(theirs)
        tcp = ",tcp]" in ours
    if local is None or remote is None:
        return None
    return path(remote, local, TCP if tcp else UDP)


def _candidate(candidate: CandidateAddress) -> Place | None:
    address = parse_address(candidate.address)
    return None if address is None else Place(address, parse_port(candidate.port))


def _text_end(text: str) -> Place | None:
    """``ip:port [type,proto]``; an IPv6 address has no brackets there."""
    place, _, _ = text.strip().partition(" ")
    host, _, port = place.rpartition(":")
    address = parse_address(host)
    return None if address is None or not port.isdigit() else Place(address, parse_port(int(port[:6])))


class AddressBook:
    """Remembers transports and the sessions that came through them, within bounds."""

    def __init__(
        self, fallback: Address, *, max_transports: int = MAX_TRANSPORTS, max_sessions: int = MAX_SESSIONS
    ) -> None:
        self._fallback = fallback
        self._max_transports = max_transports
        self._max_sessions = max_sessions
        self._transports: OrderedDict[tuple[str, str], Path] = OrderedDict()
        self._sessions: OrderedDict[tuple[str, int], Path] = OrderedDict()
        self.unknown = path(Place(fallback, 0), Place(fallback, 0), TCP)
        """What stands for a path that is not known."""
        self.forgotten_sessions = 0
        """Sessions that had to make room; their later calls carry the fallback address."""

    def note(self, item: Event) -> None:
        """Learn from a transport's or a session's event."""
        body = item.event
        if isinstance(body, Transport):
            client = parse_address(body.data.get("ip"))
            if client is not None:
                self._keep_transport((item.emitter, body.id), self._api_path(body, client))
        elif isinstance(body, Session) and body.transport is not None and item.session_id is not None:
            found = self._transports.get((item.emitter, body.transport.id))
            if found is None:
                found = self.unknown._replace(via=VIA_WORDS.get(body.transport.transport, "TCP"))
            self._sessions[item.emitter, item.session_id] = found
            if len(self._sessions) > self._max_sessions:
                self._sessions.popitem(last=False)
                self.forgotten_sessions += 1

    def _api_path(self, body: Transport, client: Address) -> Path:
        server = parse_address(body.data.get("local_ip")) or self._like(client)
        port = parse_port(body.data.get("local_port")) or API_PORTS.get(body.transport, 0)
        ends = Place(client, parse_port(body.data.get("port"))), Place(server, port)
        return path(*ends, TCP, VIA_WORDS.get(body.transport, "TCP"))

    def _like(self, client: Address) -> Address:
        """The fallback, as the client's family has it: loopback exists in both."""
        if self._fallback.is_loopback:
            return IPv6Address("::1") if client.version == 6 else IPv4Address("127.0.0.1")
        return self._fallback

    def _keep_transport(self, key: tuple[str, str], found: Path) -> None:
        self._transports[key] = found
        self._transports.move_to_end(key)
        if len(self._transports) > self._max_transports:
            self._transports.popitem(last=False)

    def api_path(self, emitter: str, session_id: int | None) -> Path:
        """The API's client and server of a session."""
        return self.unknown if session_id is None else self._sessions.get((emitter, session_id), self.unknown)
