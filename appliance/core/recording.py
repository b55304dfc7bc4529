"""What a recording needs of a call: the contract between the core, which has the packets, and who keeps them."""

from collections.abc import Mapping
from typing import Any, Protocol

Address = tuple[str, int]


class CallRecord(Protocol):
    """Keeps what passes on one handle. Nothing here raises, and nothing here waits."""

    @property
    def media(self) -> bool:
        """It wants RTP and RTCP too, and not what sets the call up alone."""

    def wire(self, data: bytes, incoming: bool, local: Address, remote: Address) -> None:
        """A datagram as it is on the wire: STUN, DTLS, SRTP, SRTCP."""

    def plain(self, data: bytes, incoming: bool) -> None:
        """An RTP or RTCP packet, decrypted."""

    def message(self, message: Mapping[str, Any], *, incoming: bool) -> None:
        """A message of the Janus API; secrets in it are left out."""

    def secret(self, line: str) -> None:
        """A line in the format of SSLKEYLOGFILE; kept only where that is configured."""


class Recorder(Protocol):
    """All records of a gateway."""

    def attached(self, session_id: int, handle_id: int) -> CallRecord | None:
        """A handle begins; ``None``: nobody wants it kept so far."""

    def start(self, session_id: int, handle_id: int) -> CallRecord:
        """Keep everything from now on. :raises ValueError: too many are being kept."""

    def stop(self, session_id: int, handle_id: int) -> None:
        """Keep no more than without :meth:`start`; what was kept so far can still be taken."""

    def detached(self, session_id: int, handle_id: int) -> None:
        """The handle is gone; what was kept can be taken for a while."""

    def take(self, session_id: int, handle_id: int) -> dict[str, Any]:
        """Begin to write what was kept to a file; ``{"file": name}``, or ``{"file": None}`` where there is nothing."""

    def written(self, name: str) -> dict[str, Any]:
        """``{"state": "writing" | "done" | "failed", "problem": text}``. :raises LookupError: no such file."""

    def exchanged(self, session_id: int, handle_id: int, message: object, answer: Mapping[str, Any]) -> None:
        """A request about a handle, and its answer."""
