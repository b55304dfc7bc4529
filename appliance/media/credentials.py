"""What two agents know each other's checks by (RFC 8445 section 5.3), and what a restart changes of it."""

import secrets


class Credentials:
    """Ours are made here, those of the peer are told. The old ones of ours are good until a restart has a pair."""

    def __init__(self) -> None:
        self.ufrag, self.pwd = _made()
        self.old_ufrag: str | None = None
        """That of before an ICE restart, good until the new one has a pair."""
        self.remote_ufrag: str | None = None
        """``None`` before the peer's first description."""
        self.remote_pwd = ""
        self._old_pwd = ""
        self.renewed = False
        """Ours are in an offer that the peer has not answered with its own."""

    def set_remote(self, ufrag: str, pwd: str) -> bool:
        """Take the peer's; true when they restart ICE (RFC 8839 section 4.4.1.1.1), which takes new ones of ours."""
        if (ufrag, pwd) == (self.remote_ufrag, self.remote_pwd):
            return False
        restarts = self.remote_ufrag is not None
        self.remote_ufrag, self.remote_pwd = ufrag, pwd
        return restarts

    def renew(self) -> None:
        """New ones of ours, for an offer that restarts ICE."""
        self.old_ufrag, self._old_pwd = self.ufrag, self.pwd
        self.ufrag, self.pwd = _made()
        self.renewed = True

    def forget_old(self) -> None:
        """The new ones have a pair."""
        self.old_ufrag, self._old_pwd = None, ""

    def pwd_of(self, ufrag: str) -> str | None:
        """Our password under a name that a check came for; ``None`` when it is none, or none any more."""
        if ufrag == self.ufrag:
            return self.pwd
        # Never the empty one: everybody can sign with it.
        return self._old_pwd if ufrag == self.old_ufrag else None

    @property
    def username(self) -> str:
        """Of a check of ours."""
        return f"{self.remote_ufrag}:{self.ufrag}"


def _made() -> tuple[str, str]:
    """RFC 8445 section 5.3 wants 24 and 128 bits of randomness at least."""
    return secrets.token_hex(4), secrets.token_hex(16)
