"""What the Admin API needs of the world outside the core: files, names, sockets, logs and the collector."""

from typing import Any, Protocol

from msgspec import Struct

from appliance.core.events import PairAddresses


class Capture(Protocol):
    """A file that decrypted packets of one handle are written to."""

    path: str
    text: bool
    """In the format of text2pcap instead of pcap."""

    def packet(self, data: bytes, *, incoming: bool, pair: PairAddresses | None) -> None:
        """Write one RTP or RTCP packet that took ``pair``. Never raises: a disk that is full ends the capture."""

    def close(self) -> None:
        """No more packets come."""


class Captures(Protocol):
    """Opens captures, inside the data directory and nowhere else."""

    def start(self, *, text: bool, folder: str, filename: str, truncate: int, about: str) -> Capture:
        """``folder`` and ``filename`` may be empty; ``truncate`` 0 keeps whole packets.

        :raises OSError, ValueError: it can't be written there; the message says why.
        """


class Network(Protocol):
    """Looks around from where the gateway is."""

    async def resolve(self, address: str) -> str:
        """The first IP address of a name. :raises OSError: there is none."""

    async def test_stun(self, address: str, port: int, local_port: int) -> tuple[str, int]:
        """How a STUN server sees us. :raises OSError: it can't be asked, or does not answer."""


class Collector(Protocol):
    """Where the event handlers run."""

    async def ask(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        """Ask, and wait a few seconds. :raises ConnectionError: it is away, refuses, or does not answer."""


class Logs(Protocol):
    """What is logged."""

    level: int
    """0 (nothing) to 7 (everything), as in Janus; 4 is information."""
    timestamps: bool


class AdminTools(Struct, frozen=True, kw_only=True):
    """All of them."""

    captures: Captures
    network: Network
    collector: Collector
    logs: Logs
