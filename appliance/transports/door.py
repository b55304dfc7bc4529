"""Who may come in, and how much of it: addresses, origins, requests a second, TLS. The same for every transport."""

from collections import Counter as Tally

from aiohttp import web
from msgspec import Struct

from appliance.core.clock import Clock
from appliance.core.network import network_of
from appliance.net.tls import server_context

MAX_ADDRESSES = 10_000
"""Whose requests are counted in one second; further ones wait for the next."""


class DoorConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every transport's settings have."""

    acl: list[str] = []
    """Addresses that may use it, each the beginning of one (``192.168.1.``, ``::1``); empty: all may."""
    acl_forwarded: bool = False
    """Take a client's address from X-Forwarded-For (its last entry), where a reverse proxy is in front."""
    requests_per_second: int = 2000
    """Of one address (of one /64 in IPv6); 0: any number."""
    certificate_file: str = ""
    """Certificate chain (PEM) to serve with TLS, and then only so."""
    private_key_file: str = ""
    """Its key (PEM); empty: it is in the same file."""
    max_message_bytes: int = 1_048_576
    """Of one request."""
    max_connections: int = 10_000
    """At once."""


class Door:
    """One for each listener. :raises ValueError: the certificate can't be used."""

    def __init__(self, config: DoorConfig, clock: Clock, *, allow_origin: str) -> None:
        """``allow_origin``: ``*``, one origin, or empty for none: then no web page comes in at all."""
        self.refused: Tally[str] = Tally()
        """What was turned away, by reason."""
        self.tls = server_context(config.certificate_file, config.private_key_file)
        self._config = config
        self._clock = clock
        self._allow_origin = allow_origin
        self._second = 0.0
        self._requests: Tally[str] = Tally()

    def scheme(self, plain: str) -> str:
        """``http`` or ``https``, ``ws`` or ``wss``."""
        return plain if self.tls is None else plain + "s"

    def address(self, request: web.BaseRequest) -> str:
        """The client's, as text; empty when it has none."""
        forwarded = request.headers.get("X-Forwarded-For") if self._config.acl_forwarded else None
        if forwarded is not None:
            # The last entry is the proxy's own word; those before it are what the client said.
            return forwarded.rpartition(",")[2].strip()[:64]
        peer = request.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def admits(self, request: web.BaseRequest) -> bool:
        """Whether the address is on the list."""
        if not self._config.acl:
            return True
        address = self.address(request).removeprefix("::ffff:")
        if address and any(address.startswith(beginning) for beginning in self._config.acl):
            return True
        self.refused["acl"] += 1
        return False

    def is_foreign(self, request: web.BaseRequest) -> bool:
        """Whether a web page asks that may not. What names no origin is no page."""
        origin = request.headers.get("Origin")
        foreign = self._allow_origin != "*" and origin is not None and origin != self._allow_origin
        if foreign:
            self.refused["origin"] += 1
        return foreign

    def within_rate(self, address: str) -> bool:
        """Count one request of an address; false when there were too many this second."""
        limit = self._config.requests_per_second
        if not limit:
            return True
        now = self._clock.monotonic()
        if now - self._second >= 1.0:
            self._second = now
            self._requests.clear()
        key = network_of(address)
        if self._requests[key] >= limit or (key not in self._requests and len(self._requests) >= MAX_ADDRESSES):
            self.refused["rate"] += 1
            return False
        self._requests[key] += 1
        return True
