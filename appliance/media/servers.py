"""STUN and TURN servers as settings name them (RFC 7064, RFC 7065)."""

import base64
import hmac
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from appliance.core.auth import secret_of

LOGIN_SECONDS = 86_400
"""A login made of a shared secret is good for so long. Servers ask for it once, when an address is lent."""
STUN_PORT = 3478
TLS_PORT = 5349


class Server(Struct, frozen=True):
    """Where a server is, and how it is spoken to."""

    host: str
    """A name or an IP address."""
    port: int
    transport: str = "udp"
    """udp, tcp, or tls (over TCP)."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.transport}"


class Login(Struct, frozen=True):
    """Long-term credentials (RFC 8489 section 9.2)."""

    username: str
    password: str


class TurnServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``[[media.turn_servers]]``."""

    url: str = ""
    """As :func:`turn_server` reads it; empty: ``rest_api`` tells."""
    rest_api: str = ""
    """Address of a REST API that tells where to ask and with what login (Janus: ``turn_rest_api``)."""
    rest_api_key: str = ""
    rest_api_key_file: str = ""
    rest_api_method: Literal["GET", "POST"] = "POST"
    username: str = ""
    password: str = ""
    password_file: str = ""
    secret: str = ""
    """Shared with the server, which then takes logins that expire (coturn: ``static-auth-secret``)."""
    secret_file: str = ""
    ca_file: str = ""
    """Certificates that a ``turns:`` server's, and its REST API's, must be signed by; empty: the system's."""

    def __post_init__(self) -> None:
        if bool(self.url) is bool(self.rest_api):
            raise ValueError("url, rest_api: wanted one of them")
        if self.rest_api and urlsplit(self.rest_api).scheme not in {"http", "https"}:
            raise ValueError("rest_api: wanted http://... or https://...")
        if (self.secret or self.secret_file) and (self.password or self.password_file):
            raise ValueError("password came with secret, wanted one of them")
        server = self.server if self.url else None
        if server is not None and self.ca_file and server.transport != "tls":
            raise ValueError(f"ca_file came with {self.url!r}, wanted it with turns: only")

    @property
    def server(self) -> Server:
        """Where it is, by ``url``."""
        return turn_server(self.url)

    def read(self, setting: str) -> "TurnServer":
        """With what its files hold. :raises ValueError: one can't be read; the message begins with ``setting``."""
        return replace(
            self,
            password=secret_of(f"{setting}.password", self.password, self.password_file),
            password_file="",
            secret=secret_of(f"{setting}.secret", self.secret, self.secret_file),
            secret_file="",
            rest_api_key=secret_of(f"{setting}.rest_api_key", self.rest_api_key, self.rest_api_key_file),
            rest_api_key_file="",
        )

    def login(self, now_s: int) -> Login:
        """What it is asked with now (Unix seconds); with a shared secret, see draft-uberti-behave-turn-rest-00."""
        if not self.secret:
            return Login(self.username, self.password)
        username = f"{now_s + LOGIN_SECONDS}:{self.username or 'gateway'}"
        signature = hmac.digest(self.secret.encode(), username.encode(), "sha1")
        return Login(username, base64.b64encode(signature).decode())


def stun_server(text: str) -> Server:
    """Read ``host``, ``host:port`` or ``stun:host:port``. :raises ValueError: it is none of them."""
    return _read("stun_servers", text, {"stun": ("udp", STUN_PORT)}, "host:port")


def turn_server(text: str) -> Server:
    """Read ``turn:host:port``, with ``?transport=tcp`` after it or not, or ``turns:host:port``.

    :raises ValueError: it is none of them.
    """
    found = _read(
        "url",
        text,
        {"turn": ("udp", STUN_PORT), "turns": ("tls", TLS_PORT)},
        "turn:host:port, turn:host:port?transport=tcp or turns:host:port",
    )
    asked = parse_qs(text.partition("?")[2]).get("transport", [found.transport])[0].lower()
    if asked not in {"udp", "tcp", "tls"} or (found.transport == "tls" and asked == "udp"):
        raise ValueError(f"url: {text!r} came, wanted transport udp or tcp, and tcp with turns")
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
