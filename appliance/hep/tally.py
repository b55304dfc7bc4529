"""What a HEP client counts, and the names under which it tells it."""

from collections.abc import Iterable
from typing import NamedTuple

TYPE_WORDS = {1: "sip", 5: "rtcp", 100: "log"}


class Count(NamedTuple):
    """One count or level, by the names of the metrics."""

    name: str
    labels: dict[str, str]
    value: float


class Tally:
    """Of one client, whichever of its servers it speaks to."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.sent: dict[int, int] = {}
        """Packets by payload type: handed to the operating system, over TCP and acknowledged by the peer's."""
        self.sent_bytes = 0
        self.resent = 0
        """Packets sent again over TCP, because the peer may have lost them with its connection."""
        self.dropped: dict[str, int] = {}
        """Packets by reason: queue_full, disconnected, write_error, oversize, spool_full, spool_expired,
        spool_corrupt."""
        self.errors: dict[str, int] = {}
        """Failures by what failed: resolve, connect, refused, write, timeout, closed, spool."""
        self.connected = False

    def count_sent(self, payload_type: int, size: int) -> None:
        """One more went out."""
        self.sent[payload_type] = self.sent.get(payload_type, 0) + 1
        self.sent_bytes += size

    def drop(self, reason: str, number: int = 1) -> None:
        """Packets that will not go out."""
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def fail(self, what: str) -> None:
        """One more failure."""
        self.errors[what] = self.errors.get(what, 0) + 1

    def counts(self) -> Iterable[Count]:
        """Everything, for whoever shows it."""
        by_word: dict[str, int] = {}
        for kind, number in self.sent.items():
            word = TYPE_WORDS.get(kind, str(kind))
            by_word[word] = by_word.get(word, 0) + number
        transport = {"transport": self.transport}
        for word, number in by_word.items():
            yield Count("hep_packets_sent_total", {**transport, "proto_type": word}, number)
        yield Count("hep_bytes_sent_total", transport, self.sent_bytes)
        yield Count("hep_packets_resent_total", transport, self.resent)
        for reason, number in self.dropped.items():
            yield Count("hep_packets_dropped_total", {**transport, "reason": reason}, number)
        yield Count("hep_send_errors_total", transport, sum(self.errors.values()))
        yield Count("hep_connected", transport, float(self.connected))
