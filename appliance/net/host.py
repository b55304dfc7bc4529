"""The name by which a request came: a guard of listeners on loopback against DNS rebinding.

A hostile page can point its own name at 127.0.0.1 and then ask us as its own origin, without an Origin header that
would give it away. Its requests still carry that name.
"""

from collections.abc import Iterable
from ipaddress import ip_address

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def host_name(header: str) -> str:
    """Name or address in a Host header, lower case, without port and brackets; empty when it is none."""
    if header.startswith("["):
        inside, closing, rest = header[1:].partition("]")
        return inside.lower() if closing and (not rest or rest.startswith(":")) else ""
    name, _, _ = header.partition(":")
    return name.lower().rstrip(".")


class HostGuard:
    """Decides by the Host header: loopback names, bare addresses (they can't be rebound), and the configured names."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._names = LOOPBACK_NAMES | {name.lower().rstrip(".") for name in allowed}

    def admits(self, header: str) -> bool:
        """Whether a request with this Host header is for us."""
        name = host_name(header)
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def authority(host: str, port: int) -> str:
    """``host:port`` as URLs have it; one that listens everywhere is asked on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # nothing binds here
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
