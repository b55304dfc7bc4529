"""Capture servers over UDP and over TCP where one stands in for another."""

from collections.abc import Iterable, Sequence

from appliance.hep.endpoint import Endpoint
from appliance.hep.tally import Count, Tally
from appliance.hep.tcp_client import TcpClient
from appliance.hep.udp_client import UdpClient


class FailoverClient:
    """Gives each packet to the first client whose servers can be had, else to the one that can keep it."""

    def __init__(self, *clients: UdpClient | TcpClient) -> None:
        """:param clients: the preferred one first; what it holds while another stands in, it sends when it is back."""
        self._clients: Sequence[UdpClient | TcpClient] = clients
        self.keeper = next((client for client in clients if isinstance(client, TcpClient)), clients[0])

    @property
    def endpoint(self) -> Endpoint:
        """The first server."""
        return self._clients[0].endpoint

    @property
    def tally(self) -> Tally:
        """Of the preferred client; :meth:`counts` has all."""
        return self._clients[0].tally

    async def start(self) -> None:
        """Begin to reach the servers; does not wait for any."""
        for client in self._clients:
            await client.start()

    def send(self, packet: bytes, payload_type: int, *, expendable: bool = False) -> bool:
        """Send or queue one packet. Over UDP nobody tells that it is lost, only that the one before was."""
        for client in self._clients:
            if not client.available:
                continue
            taken = client.send(packet, payload_type, expendable=expendable)
            # A refusal that came just now says that this one will be lost as well.
            if client.available:
                return taken
        return self.keeper.send(packet, payload_type, expendable=expendable)

    async def stop(self) -> None:
        """Send what is queued, if it goes fast, and close."""
        for client in self._clients:
            await client.stop()

    def counts(self) -> Iterable[Count]:
        """Of all clients; they differ by transport."""
        for client in self._clients:
            yield from client.counts()
