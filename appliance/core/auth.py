"""Who may use the API: the shared secret, stored tokens, signed tokens. Without any the API is open, on loopback."""

import hmac
from collections.abc import Callable
from pathlib import Path

from appliance.core.tokens import API_REALM, StoredTokens, read_signed


def secret_of(setting: str, value: str, file: str) -> str:
    """A secret given as it is or as the name of a file that holds it.

    :raises ValueError: both are given, or the file can't be read or is empty; the message names the setting.
    """
    if not file:
        return value
    if value:
        raise ValueError(f"{setting} and {setting}_file are both set: wanted one of them")
    try:
        secret = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{setting}_file: {file}: {getattr(error, 'strerror', None) or error}") from None
    if not secret:
        raise ValueError(f"{setting}_file: {file}: empty, wanted a secret")
    return secret


def same_secret(given: object, wanted: bytes) -> bool:
    """Compare in constant time what a request carries with a secret."""
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted)


class Authenticator:
    """Compares in constant time; counts the failures.

    A request passes with the secret or with a token that is stored or signed; whatever is not set up opens nothing.
    ``now_s``: Unix seconds, for the expiry of signed tokens.
    """

    def __init__(
        self,
        api_secret: str = "",
        *,
        tokens: StoredTokens | None = None,
        token_secret: str = "",
        now_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.tokens = tokens
        """``None`` where tokens are not stored."""
        self.failures = 0
        self._secret = api_secret.encode()
        self._token_secret = token_secret.encode()
        self._now_s = now_s

    @property
    def required(self) -> bool:
        """Whether the secret is asked for."""
        return bool(self._secret)

    @property
    def takes_tokens(self) -> bool:
        """Whether tokens are accepted, of either kind."""
        return self.tokens is not None or bool(self._token_secret)

    def allows(self, apisecret: str | None, token: str | None) -> bool:
        """Whether a request may be served."""
        if not self._secret and not self.takes_tokens:
            return True
        if self._secret and same_secret(apisecret, self._secret):
            return True
        if token is not None and self._is_valid(token):
            return True
        self.failures += 1
        return False

    def may_attach(self, token: str | None, plugin: str) -> bool:
        """Whether a request that is allowed may attach to a plugin: who shows a token gets what that one is allowed."""
        if token is None or not self.takes_tokens:
            return True
        if self.tokens is not None and self.tokens.may_use(token, plugin):
            return True
        return plugin in (self.granted(token) or ())

    def _is_valid(self, token: str) -> bool:
        return (self.tokens is not None and token in self.tokens) or self.granted(token) is not None

    @property
    def takes_signed(self) -> bool:
        """Whether tokens that carry their own proof are accepted."""
        return bool(self._token_secret)

    def granted(self, token: str, realm: str = API_REALM) -> frozenset[str] | None:
        """What a signed token of that realm grants; ``None``: it is not valid."""
        return read_signed(token, self._token_secret, realm, self._now_s()) if self._token_secret else None
