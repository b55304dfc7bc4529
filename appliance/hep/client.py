"""The clients that ship HEPv3 packets to capture servers, by URL."""

import ssl
from collections.abc import Iterable, Sequence
from typing import Protocol

from appliance.hep.endpoint import Endpoint, parse_endpoint
from appliance.hep.failover import FailoverClient
from appliance.hep.layout import MAX_PACKET
from appliance.hep.tally import Count, Tally
from appliance.hep.tcp_client import DRAIN_PER_S, TcpClient
from appliance.hep.udp_client import UdpClient
from appliance.net.spool import Spool


class HepClient(Protocol):
    """What all of them offer."""

    @property
    def endpoint(self) -> Endpoint:
        """The first of its servers."""

    @property
    def tally(self) -> Tally:
        """What it counts."""

    async def start(self) -> None:
        """Begin to reach the server; does not wait for it."""

    def send(self, packet: bytes, payload_type: int, *, expendable: bool = False) -> bool:
        """Send or queue one packet; ``False``: it was dropped, and counted. Never blocks, never raises."""

    async def stop(self) -> None:
        """Send what is queued, if it goes fast, and close."""

    def counts(self) -> Iterable[Count]:
        """The tally and the queue."""


def make_client(
    servers: str | Sequence[str | Endpoint],
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
    spool: Spool | None = None,
    drain_per_s: float = DRAIN_PER_S,
    udp_max_bytes: int = MAX_PACKET,
    larger: TcpClient | None = None,
) -> UdpClient | TcpClient | FailoverClient:
    """The client for ``udp://``, ``tcp://`` or ``tls://host:port``; of several, the first that can be had.

    Of servers over UDP and TCP together, all of the first one's kind come before the others.

    :param spool: for TCP and TLS: where packets wait that could not be sent.
    :param udp_max_bytes: of a datagram; what is longer goes to ``larger``, or is cut.
    :raises ValueError: a URL is wrong.
    """
    named = [servers] if isinstance(servers, str) else servers
    endpoints = [parse_endpoint(server) if isinstance(server, str) else server for server in named]
    over_udp = [endpoint for endpoint in endpoints if endpoint.transport == "udp"]
    over_tcp = [endpoint for endpoint in endpoints if endpoint.transport != "udp"]
    clients: list[UdpClient | TcpClient] = []
    if over_udp:
        clients.append(UdpClient(*over_udp, max_bytes=udp_max_bytes, larger=larger))
    if over_tcp:
        clients.append(TcpClient(*over_tcp, tls=tls, server_name=server_name, spool=spool, drain_per_s=drain_per_s))
    if len(clients) == 1:
        return clients[0]
    return FailoverClient(*(clients if endpoints[0].transport == "udp" else reversed(clients)))


__all__ = ["Count", "FailoverClient", "HepClient", "Tally", "TcpClient", "UdpClient", "make_client"]
