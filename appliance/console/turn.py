"""Access to the TURN server for the network test: a user name that expires, signed, as coturn's ``use-auth-secret``.

draft-uberti-behave-turn-rest-00: the user name begins with the Unix time until which it is good, and the password is
its HMAC-SHA1 under a secret that the TURN server shares.
"""

import base64
import hmac
from collections.abc import Sequence

from msgspec import Struct

from appliance.core.auth import secret_of

VALID_S = 3600


class TurnAccess(Struct, frozen=True, kw_only=True):
    """An RTCIceServer, as browsers want it."""

    urls: Sequence[str]
    username: str
    credential: str


class Turn:
    """:raises ValueError: an address is none, or the secret's file is no good; the message names the setting."""

    def __init__(self, urls: Sequence[str], secret_file: str) -> None:
        for url in urls:
            if not url.startswith(("turn:", "turns:")):
                raise ValueError(f"turn_urls: {url!r}: wanted turn:host:3478 or turns:host:5349?transport=tcp")
        self._urls = tuple(urls)
        self._secret = secret_of("turn_secret", "", secret_file).encode()
        if bool(self._urls) != bool(self._secret):
            raise ValueError("turn_urls, turn_secret_file: wanted together, or neither")

    def access(self, now_s: int) -> TurnAccess | None:
        """Good for :data:`VALID_S` from ``now_s`` (Unix time); ``None`` where no TURN server is configured."""
        if not self._urls:
            return None
        username = f"{now_s + VALID_S}:appliance"
        signature = hmac.digest(self._secret, username.encode(), "sha1")
        return TurnAccess(urls=self._urls, username=username, credential=base64.b64encode(signature).decode())
