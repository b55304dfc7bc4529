"""The clients that ship HEPv3 packets to capture servers, by URL."""

import ssl
from collections.abc import Iterable, Sequence
from typing import Protocol

from appliance.hep.endpoint import Endpoint, parse_endpoint
from appliance.hep.layout import MAX_PACKET
from appliance.hep.tally import Count, Tally
from appliance.hep.tcp_client import DRAIN_PER_S, TcpClient
from appliance.hep.udp_client import UdpClient
from appliance.net.spool import Spool


class HepClient(Protocol):
    """What both transports offer."""

    endpoint: Endpoint
    """The first of its servers."""
    tally: Tally

    async def start(self) -> None:
        """Begin to reach the server; does not wait for it."""

    def send(self, packet: bytes, payload_type: int, *, expendable: bool = False) -> bool:
        """Send or queue one packet; ``False``: it was dropped, and counted. Never blocks, never raises."""

    async def stop(self) -> None:
        """Send what is queued, if it goes fast, and close."""

    def counts(self) -> Iterable[Count]:
        """The tally and the queue."""


def make_client(
    urls: str | Sequence[str],
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
    spool: Spool | None = None,
    drain_per_s: float = DRAIN_PER_S,
    udp_max_bytes: int = MAX_PACKET,
    larger: TcpClient | None = None,
) -> UdpClient | TcpClient:
    """The client for ``udp://``, ``tcp://`` or ``tls://host:port``; of several, the first that can be had.

    :param spool: for TCP and TLS: where packets wait that could not be sent.
    :param udp_max_bytes: of a datagram; what is longer goes to ``larger``, or is cut.
    :raises ValueError: a URL is wrong, or UDP and TCP are mixed.
    """
    endpoints = [parse_endpoint(url) for url in ([urls] if isinstance(urls, str) else urls)]
    over_udp = {endpoint.transport == "udp" for endpoint in endpoints}
    if len(over_udp) != 1:
        raise ValueError(
            f"capture servers {', '.join(map(str, endpoints))}: wanted all over UDP or none, where one stands in for "
            "another: over UDP nothing tells reliably that a server is gone"
        )
    if over_udp == {True}:
        return UdpClient(*endpoints, max_bytes=udp_max_bytes, larger=larger)
    return TcpClient(*endpoints, tls=tls, server_name=server_name, spool=spool, drain_per_s=drain_per_s)


__all__ = ["Count", "HepClient", "Tally", "TcpClient", "UdpClient", "make_client"]
