"""Tokens of the Janus API: those that the Admin API manages, and those that carry their own proof.

A stored token opens the plugins that it is allowed. A signed one is ``expiry,realm,package,...:signature`` and needs
no memory: whoever has the secret makes them (Janus's "signed mode"). The realm of the API is ``janus``.
"""

import base64
import hashlib
import hmac
from collections.abc import Collection, Iterable

API_REALM = "janus"
MAX_TOKENS = 100_000
MAX_TOKEN = 4096
"""Characters."""


class TokensFullError(Exception):
    """No more tokens are stored."""


class StoredTokens:
    """What ``add_token`` and its like manage. Forgotten at the gateway's end, as Janus's are."""

    def __init__(self, plugins: Collection[str], *, limit: int = MAX_TOKENS) -> None:
        self._all = plugins
        self._limit = limit
        # By digest, so that the time of a look-up tells nothing of the tokens that are there.
        self._tokens: dict[bytes, tuple[str, set[str]]] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: str) -> bool:
        return _digest(token) in self._tokens

    def may_use(self, token: str, plugin: str) -> bool:
        """Whether a token is stored, and allowed that plugin."""
        found = self._tokens.get(_digest(token))
        return found is not None and plugin in found[1]

    def add(self, token: str, plugins: Iterable[str] | None = None) -> list[str]:
        """Store a token, or allow a stored one more; without plugins, all. Names that are none are skipped.

        :raises TokensFullError: there are too many, or it is too long.
        """
        digest = _digest(token)
        if len(token) > MAX_TOKEN or (digest not in self._tokens and len(self._tokens) >= self._limit):
            raise TokensFullError
        allowed = self._tokens.setdefault(digest, (token, set()))[1]
        allowed.update(self._all if plugins is None else (name for name in plugins if name in self._all))
        return sorted(allowed)

    def allow(self, token: str, plugins: Iterable[str]) -> list[str]:
        """Allow more. :raises KeyError: no such token."""
        allowed = self._tokens[_digest(token)][1]
        allowed.update(plugins)
        return sorted(allowed)

    def disallow(self, token: str, plugins: Iterable[str]) -> list[str]:
        """Allow less. :raises KeyError: no such token."""
        allowed = self._tokens[_digest(token)][1]
        allowed.difference_update(plugins)
        return sorted(allowed)

    def remove(self, token: str) -> None:
        """Forget it. :raises KeyError: no such token."""
        del self._tokens[_digest(token)]

    def list(self) -> Iterable[tuple[str, "list[str]"]]:
        """Tokens and what each is allowed; those that are allowed nothing are left out, as in Janus."""
        for token, allowed in self._tokens.values():
            if allowed:
                yield token, sorted(allowed)


def read_signed(token: str, secret: bytes, realm: str, now_s: float) -> frozenset[str] | None:
    """What a signed token grants: plugin packages, or what else its realm speaks of. ``None`` if it is not valid."""
    if len(token) > MAX_TOKEN:
        return None
    data, colon, signature = token.partition(":")
    if not colon or ":" in signature:
        return None
    digest = hmac.new(secret, data.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    if not hmac.compare_digest(base64.b64encode(digest), signature.encode("utf-8", "surrogatepass")):
        return None
    expiry, _, rest = data.partition(",")
    named, *granted = rest.split(",")
    if named != realm or not (expiry.isascii() and expiry.isdigit() and len(expiry) < 16) or int(expiry) < now_s:
        return None
    return frozenset(granted)


def sign(expiry_s: int, realm: str, granted: Iterable[str], secret: bytes) -> str:
    """Make one, valid until ``expiry_s`` (Unix seconds)."""
    data = ",".join([str(expiry_s), realm, *granted])
    return f"{data}:{base64.b64encode(hmac.new(secret, data.encode(), hashlib.sha1).digest()).decode()}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
