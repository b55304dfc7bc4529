"""Where a capture server is: ``udp://host:9060``, ``tcp://host:9061``, ``tls://host:9062``."""

from typing import NamedTuple
from urllib.parse import urlsplit

TRANSPORTS = ("udp", "tcp", "tls")


class Endpoint(NamedTuple):
    """A transport and a place."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read a URL. :raises ValueError: it names no transport, host or port; the message says what was wanted."""
    wanted = "wanted udp://host:port, tcp://host:port or tls://host:port"
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"capture server {text!r}: {error}; {wanted}") from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in TRANSPORTS or not host or not port or extra:
        raise ValueError(f"capture server {text!r}: {wanted}")
    return Endpoint(parts.scheme, host, port)
