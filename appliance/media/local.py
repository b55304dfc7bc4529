"""Our own candidates: the addresses that we listen on, and what they are called outside (RFC 8445 section 5.1)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from appliance.core.events import Body, LocalCandidate
from appliance.media.port import Port
from appliance.media.tcp import TcpPort
from appliance.media.udp import UdpPort
from appliance.wire.candidate import Candidate

HOST_PREFERENCE = 126
PRFLX_PREFERENCE = 110
SRFLX_PREFERENCE = 100
RELAY_PREFERENCE = 0
TCP_HOST_PREFERENCE = 90
"""Below every direct way over UDP: RFC 6544 section 4.2 wants that where both are offered, and browsers count so."""
_PASSIVE = 4
"""Direction preference of a passive host candidate (RFC 6544 section 4.2)."""


def priority(preference: int, local: int = 65_535) -> int:
    """RFC 8445 section 5.1.2.1, component 1; ``local`` is the preference among addresses of one type."""
    return preference << 24 | local << 8 | 255


def _addresses(ports: Sequence[UdpPort] | Sequence[TcpPort], announce_private: bool) -> list[tuple[str, int]]:
    addresses = [(port.announced, port.port) for port in ports]
    if announce_private:
        addresses += [(port.host, port.port) for port in ports if port.host != port.announced]
    return list(dict.fromkeys(addresses))


def host_candidates(ports: Sequence[UdpPort], *, announce_private: bool = False) -> Iterator[Candidate]:
    """One for each socket, in the configuration's order: the first is preferred.

    A mapped address (NAT 1:1) takes the place of ours; with ``announce_private`` ours comes after all of them.
    """
    for index, (address, number) in enumerate(_addresses(ports, announce_private), 1):
        yield Candidate(
            foundation=str(index),
            component=1,
            transport="udp",
            priority=priority(HOST_PREFERENCE, 65_536 - index),
            address=address,
            port=number,
            type="host",
        )


def tcp_candidates(ports: Sequence[TcpPort], *, announce_private: bool = False) -> Iterator[Candidate]:
    """One for each TCP port, passive: the client connects. Its port is told as that of UDP is, NAT and all."""
    for index, (address, number) in enumerate(_addresses(ports, announce_private), 1):
        yield Candidate(
            foundation=f"t{index}",
            component=1,
            transport="tcp",
            priority=priority(TCP_HOST_PREFERENCE, _PASSIVE << 13 | 8192 - index),
            address=address,
            port=number,
            type="host",
            tcp_type="passive",
        )


class LocalSide(Protocol):
    """What is known of our own addresses: :class:`appliance.media.gathering.Gathering`."""

    @property
    def ports(self) -> Sequence[Port]:
        """Everything that a check can be sent from."""

    def candidates(self) -> Iterable[Candidate]:
        """As they are now, best first."""


class LocalCandidates:
    """Ours in one PeerConnection: as ``side`` has them at its start, and anew at each ICE restart.

    In between they stay as the peer was told them, also where a server has taken an address back.
    """

    def __init__(self, side: LocalSide, emit: Callable[[Body], None]) -> None:
        self.ports: list[Port] = []
        self.texts: list[str] = []
        self._side = side
        self._emit = emit
        self._types: dict[tuple[str, int], str] = {}
        self._told: set[str] = set()
        self.take()

    def take(self) -> None:
        """Have them as they are now."""
        candidates = list(self._side.candidates())
        self.ports = list(self._side.ports)
        self.texts = [candidate.to_sdp() for candidate in candidates]
        self._types = {(candidate.address, candidate.port): candidate.type for candidate in candidates}

    def tell(self) -> None:
        """Emit those that were not told yet."""
        for text in self.texts:
            if text not in self._told:
                self._emit(LocalCandidate(candidate=text.removeprefix("candidate:")))
        self._told = set(self.texts)

    def type_of(self, address: tuple[str, int]) -> str | None:
        """host, srflx or relay; ``None`` when there is none of that address."""
        return self._types.get(address)

    def let_go(self) -> None:
        """Know nobody any more: the agent is closed."""
        del self._emit
