"""The engine's settings and its bounds: what an operator may change, and what nobody should."""

from ipaddress import ip_address
from typing import Literal

from msgspec import Struct, field

from appliance.media.addresses import listening
from appliance.media.servers import TurnServer, stun_server


class MediaConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[media]``."""

    addresses: list[str] = field(default_factory=lambda: ["127.0.0.1"])
    """Where media is received, IPv4 or IPv6: IP addresses of this machine, networks (``10.0.0.0/8``), interfaces
    (``eth0``) or patterns of their names (``en*``). One socket for each address, since a socket bound to 0.0.0.0
    answers from the wrong one on a machine that has several."""
    excluded: list[str] = field(default_factory=list)
    """Addresses, networks and interfaces that the patterns of ``addresses`` leave out, such as ``docker*``."""
    announced: dict[str, str] = field(default_factory=dict)
    """What candidates say instead of an address of ours (NAT 1:1): ours to the public one."""
    announce_private: bool = False
    """Candidates say the address of ours as well, for clients on the same side of that NAT."""
    ice: Literal["lite", "full"] = "lite"
    """``lite`` answers the checks of clients, which is all that a gateway with an address they reach needs. ``full``
    sends checks of its own, nominates, and finds its own way out of a NAT with ``stun_servers`` and
    ``turn_servers``."""
    stun_servers: list[str] = field(default_factory=list)
    """``host:port`` of servers that tell what a NAT makes of our addresses; asked every 15 seconds. Two servers that
    disagree show a NAT that only TURN gets through. For ``ice = "full"``."""
    turn_servers: list[TurnServer] = field(default_factory=list)
    """Servers that lend an address, of IPv4 and of IPv6 where they have it, for clients that reach the gateway in no
    other way; all are used at once, the first is preferred. For ``ice = "full"``. Tables ``[[media.turn_servers]]``:
    ``url`` (``turn:host:port``, ``turn:host:port?transport=tcp``, or ``turns:host:port`` for TLS); ``username`` with
    ``password`` or ``password_file``, or else the ``secret`` or ``secret_file`` that the server shares (coturn:
    ``static-auth-secret``), or in place of all that ``rest_api``, the address of what tells both (with ``rest_api_key``
    or ``rest_api_key_file``, and ``rest_api_method``, ``POST`` or ``GET``); for TLS ``ca_file``, if the system does not
    know who signed its certificate."""
    port: int = 10000
    """UDP, the same on every address; 0 takes any free one."""
    port_last: int = 0
    """The last of a range that begins at ``port``, of which the first that is free on every address is taken: for
    several gateways on a machine. 0: no range."""
    ice_tcp: bool = False
    """Clients whose network lets no UDP through may connect over TCP (RFC 6544): a passive candidate stands behind
    those for UDP in every description. Off, as in Janus, because it opens one more port, which a firewall in front of
    the gateway has to let in as well. On a public server, turn it on."""
    tcp_port: int = 0
    """For them, the same on every address; 0: the number of the UDP port."""
    stats_period: float = 1.0
    """Seconds between statistics events; 0 leaves them out, but for the last ones of a PeerConnection."""
    slowlink_threshold: int = 0
    """Packets lost in a second that make a slow link event; 0 is off, as in Janus."""
    no_media_timer: float = 1.0
    """Seconds without a packet after which a medium is reported as not received; 0: never."""
    ice_timeout: float = 30.0
    """Seconds from the answer until ICE has failed when no pair was nominated; also of silence after it was."""
    ice_disconnected: float = 5.0
    """Seconds of silence from the peer after which ICE is disconnected."""
    dtls_timeout: float = 20.0
    """Seconds after which a handshake is given up, as Janus does."""
    nack_history_bytes: int = 262_144
    """What is kept of each stream sent, to answer NACKs."""
    receive_buffer_bytes: int = 4_194_304
    """Wanted of the kernel for each socket (SO_RCVBUF); it may give less, see net.core.rmem_max."""
    max_bitrate: int = 10_000_000
    """Bits per second that clients are told when a bitrate cap is taken away."""

    def __post_init__(self) -> None:
        for ours, public in self.announced.items():
            for address in (ours, public):
                try:
                    ip_address(address)
                except ValueError:
                    raise ValueError(
                        f"announced: {address!r} came, wanted IP addresses, ours to the public one"
                    ) from None
        if self.port_last and not self.port <= self.port_last <= 65_535:
            raise ValueError(f"port_last: {self.port_last} came, wanted port ({self.port}) to 65535, or 0")
        if not 0 <= self.tcp_port <= 65_535:
            raise ValueError(f"tcp_port: {self.tcp_port} came, wanted 0 to 65535")
        for text in self.stun_servers:
            stun_server(text)
        if len(self.turn_servers) > MAX_TURN_SERVERS:
            raise ValueError(f"turn_servers: {len(self.turn_servers)} came, wanted {MAX_TURN_SERVERS} at most")
        if self.ice == "lite" and (self.stun_servers or self.turn_servers):
            raise ValueError('ice: "lite" came with stun_servers or turn_servers, wanted "full": lite asks nobody')

    def hosts(self) -> list[str]:
        """The addresses to listen on. :raises OSError: an entry of ``addresses`` names nothing here."""
        return listening(self.addresses, self.excluded)


SLOT_BYTES = 2048
"""Room for one datagram and for what encryption adds to it when it is sent on from there."""
DATAGRAM_BYTES = 2000
"""What is read of a datagram; one that fills it may have been cut, and is dropped."""
BATCH = 64
"""Datagrams read at one wake-up, so that a flood on one socket leaves the loop to others."""
MTU = 1200
"""Bytes of a DTLS datagram or an RTCP compound: fits every path that carries IPv6 or a VPN."""
MAX_TURN_SERVERS = 4
"""Each may be another two candidates, which every address of a client is paired with."""
MAX_MEDIA_LINES = 32
MAX_CANDIDATES = 64
"""Remote candidates of one PeerConnection that are kept; the rest is counted and ignored."""
MAX_REMOTE_ADDRESSES = 16
"""Addresses of one peer, heard or told, that are probed and answered."""
MAX_STREAMS = 32
"""SSRCs of one peer, since libsrtp keeps a context for each."""
MAX_REPORTED_SSRCS = 64
"""SSRCs that RTCP of one peer may be sent by."""
MAX_MISSING = 128
"""Sequence numbers of one stream that are waited for and asked again."""
MAX_GAP = 200
"""A larger jump isn't asked for again: a key frame is cheaper."""
NACK_TRIES = 8
NACK_AGE = 1.0
"""Seconds after which a missing packet is of no use any more."""
KEYFRAME_INTERVAL = 0.5
"""Seconds between two key frame requests to one source."""
EARLY_DATAGRAMS = 4
"""DTLS datagrams kept for each validated address before nomination: one flight of a ClientHello."""
STUN_REQUESTS_PER_SECOND = 100
"""From one source address; more are dropped unread, so that nobody makes us compute HMACs all day."""
MAX_STUN_SOURCES = 4096
"""Source addresses whose rate is watched at a time."""
OUTSTANDING_PROBES = 64
MAX_DATA_CHANNELS = 64
MAX_BUFFERED_BYTES = 1_048_576
"""Of data channel messages to one peer that wait to be sent."""
