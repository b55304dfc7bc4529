"""A candidate pair, and what is counted about it."""

from appliance.core.events import CandidateAddress, PairAddresses, PairStats
from appliance.media.port import Port
from appliance.media.udp import address_of


class Pair:
    """One of our addresses and one of theirs."""

    def __init__(self, port: Port, key: bytes, remote_type: str) -> None:
        self.port = port
        self.key = key
        self.local = port.announced, port.port
        """What our end is called outside: where the peer sees our checks come from, where that is known."""
        self.local_type = port.candidate_type
        self.host, self.remote_port = address_of(key)
        self.remote_type = remote_type
        self.priority = 0
        self.proven = False
        """A message with the right MESSAGE-INTEGRITY came from there."""
        self.nominated = False
        self.heard = 0.0
        """When the last request came, monotonic."""
        self.answered_at = 0.0
        """When one last was, monotonic."""
        self.triggered = 0.0
        """When the pair was last checked out of turn, monotonic; by a full agent."""
        self.requests_sent = self.responses_received = self.requests_received = self.responses_sent = 0
        self.bad_integrity = 0
        self.answered = False
        """A check of ours was answered, since ICE began or was restarted."""
        self.rtt_ms: float | None = None

    @property
    def addresses(self) -> PairAddresses:
        """Both ends as events show them."""
        return PairAddresses(
            CandidateAddress(*self.local, self.local_type, self.port.transport, _family(self.local[0])),
            CandidateAddress(self.host, self.remote_port, self.remote_type, self.port.transport, _family(self.host)),
        )

    @property
    def text(self) -> str:
        """As Janus writes it."""
        transport = self.port.transport
        return (
            f"{self.local[0]}:{self.local[1]} [{self.local_type},{transport}] <-> "
            f"{self.host}:{self.remote_port} [{self.remote_type},{transport}]"
        )

    def stats(self, *, selected: bool) -> PairStats:
        """Its counters."""
        ends = self.addresses
        return PairStats(
            local=ends.local,
            remote=ends.remote,
            selected=selected,
            nominated=self.nominated,
            requests_sent=self.requests_sent,
            responses_received=self.responses_received,
            requests_received=self.requests_received,
            responses_sent=self.responses_sent,
            bad_integrity=self.bad_integrity,
            rtt_ms=self.rtt_ms,
        )


def _family(address: str) -> int:
    return 6 if ":" in address else 4
