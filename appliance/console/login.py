"""Who somebody is: a secret and then a signed cookie, the secret itself with each request, or a reverse proxy's word.

Two roles: a reader sees everything, an operator may also change things (record, hang up, settings). Where nothing is
configured, whoever reaches the console is an operator, and only this machine reaches it.
"""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

from appliance.console.settings import ConsoleSettings
from appliance.core.auth import same_secret, secret_of
from appliance.core.clock import Clock
from appliance.core.events import Counter
from appliance.core.network import network_of
from appliance.net.host import is_loopback

LEAST_SECRET = 12
"""Characters of a secret."""
MAX_NAME = 128
"""Characters of a user's name that are kept of what a proxy says."""
MAX_TOKEN = 200
ATTEMPTS = 5
"""Wrong secrets in a row that one address may try at once."""
ATTEMPT_EVERY_S = 12.0
"""It may try again so often after that."""
MAX_ADDRESSES = 4096
"""Addresses whose attempts are remembered; beyond, the one that tried longest ago is forgotten."""


class Role(IntEnum):
    """What somebody may do; a higher one may do all that a lower one may."""

    NOBODY = 0
    READER = 1
    OPERATOR = 2

    @property
    def word(self) -> str | None:
        """As the pages call it; ``None`` for nobody."""
        return {Role.READER: "reader", Role.OPERATOR: "operator"}.get(self)


class Visitor(Struct, frozen=True):
    """Who asks, and how that is known."""

    role: Role
    user: str = ""
    """Empty where no proxy says."""
    until_s: int | None = None
    """Unix time at which that ends; ``None``: each request says it anew."""


class Attempts:
    """How often each address may still be wrong. An IPv6 client has a whole /64."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Address: how many attempts were spent at which time."""

    def wait_s(self, address: str) -> float:
        """Seconds until it may try; 0: now."""
        return max(0.0, (self._state(address)[0] - ATTEMPTS + 1) * ATTEMPT_EVERY_S)

    def failed(self, address: str) -> None:
        """It was wrong."""
        spent, key = self._state(address)
        self._spent[key] = spent + 1, self._clock.monotonic()
        self._spent.move_to_end(key)
        if len(self._spent) > MAX_ADDRESSES:
            self._spent.popitem(last=False)

    def _state(self, address: str) -> tuple[float, str]:
        key = network_of(address)
        spent, at = self._spent.get(key, (0.0, 0.0))
        return max(0.0, spent - (self._clock.monotonic() - at) / ATTEMPT_EVERY_S), key


class Login:
    """Decides who somebody is; the sockets are :mod:`appliance.console.gate`'s.

    :raises ValueError: a secret's file is no good, an address is none, or others could come in and nothing asks them.
    """

    def __init__(self, settings: ConsoleSettings, clock: Clock, *, host: str = "127.0.0.1") -> None:
        """``host``: where the console listens."""
        self.failures = 0
        """Wrong secrets."""
        self.attempts = Attempts(clock)
        self._clock = clock
        self._secrets: dict[Role, bytes] = {}
        for role, setting, file in (
            (Role.OPERATOR, "secret", settings.secret_file),
            (Role.READER, "reader_secret", settings.reader_secret_file),
        ):
            secret = secret_of(setting, "", file)
            if 0 < len(secret) < LEAST_SECRET:
                raise ValueError(f"{setting}_file: {len(secret)} characters came, wanted at least {LEAST_SECRET}")
            if secret:
                self._secrets[role] = secret.encode()
        if len(set(self._secrets.values())) < len(self._secrets):
            raise ValueError("reader_secret_file: holds the same secret as secret_file")
        if settings.login_hours <= 0:
            raise ValueError(f"login_hours: {settings.login_hours:g} came, wanted more than 0")
        self._valid_s = settings.login_hours * 3600
        self._proxies = tuple(_proxy(address) for address in settings.proxy_addresses)
        self.user_header = settings.proxy_user_header
        """The header in which a proxy names the user."""
        self._operators = frozenset(settings.operators)
        # A collector that starts anew asks again: nothing that signs cookies is kept anywhere.
        self._key = secrets.token_bytes(32)
        if not self.required and not is_loopback(host):
            raise ValueError(
                f"host is {host!r}, which others can reach: wanted secret_file, proxy_addresses, or a loopback one"
            )

    @property
    def required(self) -> bool:
        """Whether anybody is asked."""
        return bool(self._secrets or self._proxies)

    @property
    def takes_secrets(self) -> bool:
        """Whether a secret lets somebody in; else only a proxy does."""
        return bool(self._secrets)

    @property
    def valid_s(self) -> int:
        """Seconds for which a cookie is good."""
        return int(self._valid_s)

    def is_proxy(self, peer: str | None) -> bool:
        """Whether what comes from this address may say on whose behalf."""
        try:
            address = ip_address(peer or "")
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._proxies)

    def by_proxy(self, user: str) -> Visitor:
        """Who a configured proxy says it is."""
        operator = user in self._operators or "*" in self._operators
        return Visitor(Role.OPERATOR if operator else Role.READER, user[:MAX_NAME])

    def by_secret(self, given: object, address: str) -> Visitor:
        """Who knows this secret. Ask :attr:`attempts` first; a wrong one is noted there."""
        # All of them, so that the time tells nothing about which there are.
        right = [role for role, secret in self._secrets.items() if same_secret(given, secret)]
        if right:
            return Visitor(max(right))
        self.failures += 1
        self.attempts.failed(address)
        return Visitor(Role.NOBODY)

    def token(self, role: Role) -> str:
        """What a cookie holds: role, end (Unix seconds), signature."""
        claim = f"{role:d}.{self._clock.wall_us() // 1_000_000 + self.valid_s}"
        return f"{claim}.{self._signature(claim)}"

    def by_token(self, token: str) -> Visitor:
        """Who was given this cookie; nobody where it is none of ours, or too old."""
        claim, _, signature = token[:MAX_TOKEN].rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), self._signature(claim).encode()):
            return Visitor(Role.NOBODY)
        role, end = map(int, claim.split("."))
        if end <= self._clock.wall_us() // 1_000_000:
            return Visitor(Role.NOBODY)
        return Visitor(Role(role), until_s=end)

    def measure(self) -> Iterable[Counter]:
        """Failures."""
        yield Counter("auth_failures_total", self.failures, {"api": "console"})

    def _signature(self, claim: str) -> str:
        return hmac.new(self._key, claim.encode("utf-8", "surrogatepass"), sha256).hexdigest()


def _proxy(address: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(address, strict=False)
    except ValueError as problem:
        raise ValueError(f"proxy_addresses: {problem}") from None


def last_forwarded(header: str) -> str:
    """The address that the nearest proxy saw, in ``X-Forwarded-For``; what stands before it anybody can write."""
    return header.rpartition(",")[2].strip()
