"""The gateway's part: how much of each call it keeps in memory, and what of it."""

from msgspec import Struct


class RecordingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[recording]``."""

    buffer_seconds: float = 0.0
    """Seconds of every call's packets that are kept in memory, so that a rule can still record the media of a call that
    went wrong; 0: only calls that were asked for. It costs each media packet as much time again as forwarding it, and
    some 2 MiB for each call with video."""
    setup_bytes: int = 64 * 2**10
    """Of each call's first STUN, DTLS and API messages, kept in memory until 30 s after its end, so that the bundle of
    a call that failed to come up has them without having been asked for. RTP is not among it, so that this costs media
    nothing. 0: none."""
    buffer_bytes: int = 2 * 2**20
    """Of one call that nobody has asked for."""
    max_bytes: int = 64 * 2**20
    """Of one call that is recorded; what comes after is counted."""
    total_bytes: int = 256 * 2**20
    """Of all calls together."""
    payloads: bool = False
    """Keep the decrypted payloads too. Without it only the headers of RTP, and RTCP."""
    keys: bool = False
    """Keep what decrypts the call, in the format of SSLKEYLOGFILE."""

    def __post_init__(self) -> None:
        if not 0 <= self.buffer_seconds <= 3600:
            raise ValueError(f"buffer_seconds: {self.buffer_seconds} came, wanted 0 to 3600")
        if not 0 <= self.setup_bytes <= 2**20:
            raise ValueError(f"setup_bytes: {self.setup_bytes} came, wanted 0 to {2**20}")
        for name in ("buffer_bytes", "max_bytes", "total_bytes"):
            if getattr(self, name) < 65_536:
                raise ValueError(f"{name}: {getattr(self, name)} came, wanted 65536 or more")
