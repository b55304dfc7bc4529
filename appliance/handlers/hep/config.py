"""The settings of ``[handlers.hep]``, and what follows from them."""

import ssl
from typing import Literal

from msgspec import field

from appliance.core.selection import SelectConfig
from appliance.hep.endpoint import Endpoint, parse_endpoint
from appliance.hep.layout import MAX_PACKET
from appliance.net.tls import ClientTls, client_context

MIN_DATAGRAM = 1200
"""Less may have no room for the chunks and the head of a message in the shape of SIP."""


class HepConfig(SelectConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.hep]``."""

    enabled: bool = True
    events: str = "all"
    """Which events are sent."""
    server: str = "udp://127.0.0.1:9060"
    """Capture server: ``udp://``, ``tcp://`` or ``tls://host:port``."""
    also: list[str] = field(default_factory=list)
    """Further capture servers; see ``mode``."""
    mode: Literal["all", "failover"] = "all"
    """Each server gets everything, or the first that can be had; over UDP only a refusal tells that one can't."""
    udp_max_bytes: int = 65_507
    """The longest datagram. Networks that drop fragments want some 1400, capture servers of old 8192."""
    large_server: str = ""
    """``tcp://`` or ``tls://``: where a message goes that is longer than that; empty: its payload is cut."""
    spool: bool = True
    """Keep on disk (in ``data_dir``) what a TCP or TLS server can't be sent, and send it when it can."""
    spool_max_mb: float = 256
    """Of each server; beyond it the oldest goes."""
    spool_max_age_s: float = 86_400
    """What is older is not sent any more: Homer keeps no table for calls of days ago."""
    spool_drain_per_s: float = 5000
    """Messages a second from the spool, on top of as many as come in."""
    agent_id: int = 2001
    """Capture agent id (chunk 0x000c)."""
    node_name: str = ""
    """Capture agent name (chunk 0x0013); empty: the server's name."""
    auth_key_file: str = ""
    """File with the authentication key (chunk 0x000e). Homer keeps it in clear with every packet and checks nothing."""
    jsep: Literal["sip", "log"] = "sip"
    """Offers and answers in the shape of SIP, which Homer shows as a ladder, or as JSON."""
    ladder_states: bool = True
    """Show candidates that come later, and the states of ICE and DTLS, in the ladder too (SIP INFO)."""
    mask: str = ""
    """What capture servers must not see: ``addresses``, ``ice`` (credentials), ``names``, or ``all``."""
    mask_key_file: str = ""
    """File with the key of the masks, 16 to 64 bytes: then they are the same after a restart; empty: a new one each."""
    verdict_wait_s: float = 2.0
    """How long the BYE waits for the verdict that it tells."""
    unattached: bool = False
    """Also send what belongs to no session (transports, the server's start), under ``server@<server name>``."""
    api_address: str = "127.0.0.1"
    """The Janus API's address, for events that do not tell it."""
    max_calls: int = 5000
    """Calls remembered at once."""
    tls_ca_file: str = ""
    """Certificates that a TLS capture server's must be signed by; empty: the system's."""
    tls_cert_file: str = ""
    """Our own certificate, for TLS capture servers that ask for one."""
    tls_key_file: str = ""
    """Its private key; empty: it is in the same file."""
    tls_server_name: str = ""
    """Whom a TLS capture server's certificate must name; empty: the host of its URL."""
    tls_verify: bool = True
    """Whether a TLS capture server's certificate is checked (heplify-server before 1.60.6 signs its own)."""

    def endpoints(self) -> dict[str, Endpoint]:
        """Every capture server by its setting: ``server``, ``also[0]``, ..., ``large_server``.

        :raises ValueError: a URL is wrong.
        """
        urls = {"server": self.server, **{f"also[{place}]": url for place, url in enumerate(self.also)}}
        if self.large_server:
            urls["large_server"] = self.large_server
        return {name: parse_endpoint(url) for name, url in urls.items()}

    def groups(self) -> list[list[Endpoint]]:
        """The servers of each client, see ``mode``. :raises ValueError: a URL, or what goes with it, is wrong."""
        named = self.endpoints()
        large = named.pop("large_server", None)
        if large is not None and large.transport == "udp":
            raise ValueError(f"large_server: {self.large_server!r}: wanted tcp://host:port or tls://host:port")
        if not MIN_DATAGRAM <= self.udp_max_bytes <= MAX_PACKET:
            raise ValueError(f"udp_max_bytes: {self.udp_max_bytes}: wanted {MIN_DATAGRAM} to {MAX_PACKET}")
        for name in ("spool_max_mb", "spool_max_age_s", "spool_drain_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)}: wanted more than 0")
        servers = list(named.values())
        return [servers] if self.mode == "failover" else [[server] for server in servers]

    def tls_context(self) -> ssl.SSLContext:
        """For ``tls://`` servers. :raises ValueError: a file can't be read, or holds no certificate or key."""
        return client_context(
            ClientTls(
                tls=True,
                tls_ca_file=self.tls_ca_file,
                tls_cert_file=self.tls_cert_file,
                tls_key_file=self.tls_key_file,
                tls_verify=self.tls_verify,
            )
        )
