"""Who may use the Janus API: the shared API secret. Without one the API is open (it listens on loopback)."""

import hmac
from pathlib import Path


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


class Authenticator:
    """Compares in constant time; counts the failures."""

    def __init__(self, api_secret: str = "") -> None:
        self._secret = api_secret.encode()
        self.failures = 0

    @property
    def required(self) -> bool:
        """Whether a secret is asked for."""
        return bool(self._secret)

    def allows(self, apisecret: str | None, token: str | None) -> bool:
        """Whether a request may be served. Tokens are not accepted yet: only the secret opens."""
        if not self._secret:
            return True
        if apisecret is not None and hmac.compare_digest(apisecret.encode("utf-8", "surrogatepass"), self._secret):
            return True
        self.failures += 1
        return False
