"""What the console asks of its settings, and the addresses that its pages lead to."""

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct, field

from appliance.console.turn import TurnAccess

JANUS_HTTP = "http://{host}:8088/janus"
JANUS_WEBSOCKET = "ws://{host}:8188/"
"""Of the gateway beside this collector. ``{host}`` is the name by which the browser reached the console."""


class ServerAddress(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the Admin API of a server is."""

    name: str
    """As its events name it: ``server_name`` of a Janus server, ``server.name`` of ours."""
    url: str
    """``http://host:7088/admin``, or https."""
    secret_file: str = ""
    """A file with its admin secret."""
    ca_file: str = ""
    """Certificates that an https server's must be signed by; empty: the system's."""
    verify: bool = True
    """Whether its certificate is checked."""


class ConsoleSettings(Protocol):
    """The part of the section ``[console]`` that is the console's own."""

    @property
    def allowed_hosts(self) -> Sequence[str]:
        """Names, beside the loopback ones and bare addresses, by which a browser may call (its Host header)."""

    @property
    def janus_http(self) -> str:
        """Janus API for the demo page; may hold ``{host}``; empty for :data:`JANUS_HTTP`."""

    @property
    def janus_websocket(self) -> str:
        """The same over WebSocket; empty for :data:`JANUS_WEBSOCKET`."""

    @property
    def homer_url(self) -> str:
        """Link template of a call in Homer; empty: no link. What it names in braces the page fills in, percent-encoded:
        correlation_id, session_id, handle_id, server, from_ms and to_ms."""

    @property
    def grafana_url(self) -> str:
        """Link template of a handle in Grafana; empty: no link."""

    @property
    def secret_file(self) -> str:
        """File with the operators' secret; empty: none."""

    @property
    def reader_secret_file(self) -> str:
        """File with the secret of those who only read; empty: none."""

    @property
    def login_hours(self) -> float:
        """How long a login is good."""

    @property
    def proxy_addresses(self) -> Sequence[str]:
        """Addresses or networks of the reverse proxies that say who somebody is."""

    @property
    def proxy_user_header(self) -> str:
        """The header in which they do."""

    @property
    def operators(self) -> Sequence[str]:
        """Users of the proxy who are operators; ``*`` for all."""

    @property
    def turn_urls(self) -> Sequence[str]:
        """TURN server that the network test tries; empty: none."""

    @property
    def turn_secret_file(self) -> str:
        """File with the secret that it shares with us."""


class Options(Struct, frozen=True, kw_only=True):
    """The settings as a value, with the defaults."""

    allowed_hosts: tuple[str, ...] = ()
    janus_http: str = ""
    janus_websocket: str = ""
    homer_url: str = ""
    grafana_url: str = ""
    secret_file: str = ""
    reader_secret_file: str = ""
    login_hours: float = 12.0
    proxy_addresses: tuple[str, ...] = ()
    proxy_user_header: str = "X-Forwarded-User"
    operators: tuple[str, ...] = ()
    turn_urls: tuple[str, ...] = ()
    turn_secret_file: str = ""


class Addresses(Struct, frozen=True, kw_only=True):
    """What ``/api/config`` tells the pages."""

    janus_http: str
    janus_websocket: str
    version: str
    links: dict[str, str] = field(default_factory=dict)
    turn: TurnAccess | None = None
    """For the network test; null where there is none."""


def link_templates(settings: ConsoleSettings) -> dict[str, str]:
    """Name of the tool: template. :raises ValueError: one is no http or https address."""
    templates = {"homer": settings.homer_url, "grafana": settings.grafana_url}
    for name, template in templates.items():
        if template and urlsplit(template).scheme not in {"http", "https"}:
            raise ValueError(f"console.{name}_url: {template!r}: wanted an http or https address")
    return {name: template for name, template in templates.items() if template}


def janus_addresses(settings: ConsoleSettings, host: str) -> tuple[str, str]:
    """HTTP and WebSocket, for a browser that reached the console as ``host`` (IPv6 without brackets)."""
    bracketed = f"[{host}]" if ":" in host else host
    http = settings.janus_http or JANUS_HTTP
    websocket = settings.janus_websocket or JANUS_WEBSOCKET
    return http.replace("{host}", bracketed), websocket.replace("{host}", bracketed)
