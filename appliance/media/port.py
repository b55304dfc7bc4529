"""What datagrams come and go through: a socket of ours, or an address that a TURN server lends us."""

from typing import Any, Protocol

from appliance.media.udp import MediaReceiver, Slot


class Port(Protocol):
    """One local transport address. :class:`appliance.media.udp.UdpPort` is the fast one.

    Two are equal when they are the same object.
    """

    host: str
    """An IP address: the socket's own, or the relayed one."""
    port: int
    announced: str
    """What candidates say: the host, or its public address."""
    candidate_type: str
    """host or relay."""
    transport: str
    """udp or tcp: between us and the peer, or between the TURN server and the peer."""
    media: dict[bytes, MediaReceiver]
    """By sockaddr: who takes SRTP and SRTCP from there."""

    def send(self, data: bytes, key: bytes) -> None:
        """Send one datagram now to a sockaddr."""

    def queue(self, base: Any, length: int, name: Any) -> None:
        """Send ``length`` bytes at ``base`` to a pinned sockaddr, at the next :meth:`flush` at the latest."""

    def spare(self) -> Slot:
        """Room for a copy, until it is queued."""

    def flush(self) -> None:
        """Send what is queued."""

    def release(self, key: bytes) -> None:
        """A sockaddr is nobody's any more."""
