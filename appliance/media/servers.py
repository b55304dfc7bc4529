"""STUN and TURN servers as settings name them (RFC 7064, RFC 7065)."""

from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

STUN_PORT = 3478
TLS_PORT = 5349


class Server(Struct, frozen=True):
    """Where a server is, and how it is spoken to."""

    host: str
    """A name or an IP address."""
    port: int
    transport: str = "udp"
    """udp, tcp, or tls (over TCP)."""


def stun_server(text: str) -> Server:
    """Read ``host``, ``host:port`` or ``stun:host:port``. :raises ValueError: it is none of them."""
    return _read("stun_servers", text, {"stun": ("udp", STUN_PORT)}, "host:port")


def turn_server(text: str) -> Server:
    """Read ``turn:host:port``, with ``?transport=tcp`` after it or not, or ``turns:host:port``.

    :raises ValueError: it is none of them.
    """
    found = _read(
        "turn_server",
        text,
        {"turn": ("udp", STUN_PORT), "turns": ("tls", TLS_PORT)},
        "turn:host:port, turn:host:port?transport=tcp or turns:host:port",
    )
    asked = parse_qs(text.partition("?")[2]).get("transport", [found.transport])[0].lower()
    if asked not in {"udp", "tcp", "tls"} or (found.transport == "tls" and asked == "udp"):
        raise ValueError(f"turn_server: {text!r} came, wanted transport udp or tcp, and tcp with turns")
    return found if found.transport == "tls" else Server(found.host, found.port, asked)


def _read(setting: str, text: str, schemes: dict[str, tuple[str, int]], wanted: str) -> Server:
    scheme, separator, rest = text.partition(":")
    if scheme not in schemes or not separator:
        scheme, rest = next(iter(schemes)), text
    transport, port = schemes[scheme]
    try:
        parts = urlsplit(f"//{rest}")
        host, number = parts.hostname, parts.port or port
    except ValueError:
        host, number = None, 0
    if not host or parts.path or parts.username is not None:
        raise ValueError(f"{setting}: {text!r} came, wanted {wanted}")
    return Server(host, number, transport)
