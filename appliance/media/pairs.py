"""The candidate pairs of one peer, bounded: what is told and what is heard can both be invented."""

from collections.abc import Callable, Iterable, Iterator

from appliance.media.config import MAX_REMOTE_ADDRESSES
from appliance.media.pair import Pair
from appliance.media.port import Port
from appliance.media.udp import sockaddr
from appliance.wire.candidate import Candidate

MAX_UNPROVEN_PAIRS = 4
"""Pairs that are kept for sources which never proved who they are, to show their bad requests."""
STALE_PAIR = 30.0
"""Seconds without a request after which an address makes room for another of a peer that has moved often."""


class Pairs:
    """By our port and their sockaddr. ``released`` is told when an address is not the peer's any more."""

    def __init__(self, released: Callable[[Pair], None]) -> None:
        self.refused_addresses = 0
        """Sources beyond the bound, or that belong to another live peer."""
        self._pairs: dict[tuple[Port, bytes], Pair] = {}
        self._types: dict[bytes, str] = {}
        self._released = released

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def get(self, port: Port, key: bytes) -> Pair | None:
        """That pair, where there is one."""
        return self._pairs.get((port, key))

    def take(self, candidate: Candidate, ports: Iterable[Port]) -> list[Pair]:
        """Pair what the peer tells with each of ``ports`` that may reach it.

        Gives those that were heard of before they were told, as is usual with trickle: their name is the right one now.
        """
        key = sockaddr(candidate.address, candidate.port)
        self._types.setdefault(key, candidate.type)
        renamed = []
        for port in ports:
            if (":" in port.host) is not (":" in candidate.address):
                continue
            known = self.get(port, key)
            if known is not None:
                if known.remote_type == "prflx" and candidate.type != "prflx":
                    known.remote_type = candidate.type
                    renamed.append(known)
                continue
            pair = self.add(port, key)
            if pair is not None:
                pair.priority = candidate.priority
        return renamed

    def add(self, port: Port, key: bytes) -> Pair | None:
        """A new one; ``None`` when the peer has too many addresses."""
        remotes = {known for _, known in self._pairs}
        if key not in remotes and len(remotes) >= MAX_REMOTE_ADDRESSES:
            self.refused_addresses += 1
            return None
        pair = self._pairs[port, key] = Pair(port, key, self._types.get(key, "prflx"))
        return pair

    def add_unproven(self, port: Port, key: bytes) -> Pair | None:
        """One for a source that can't say who it is."""
        if sum(not known.proven for known in self) >= MAX_UNPROVEN_PAIRS:
            return None
        return self.add(port, key)

    def add_proven(self, port: Port, key: bytes, now: float, selected: Pair | None) -> Pair | None:
        """One for a source that can: it comes before what was only told, and before where the peer was long ago."""
        heard: dict[bytes, float] = {}
        for (_, known), pair in self._pairs.items():
            heard[known] = max(heard.get(known, 0.0), float("inf") if pair is selected else pair.heard)
        if len(heard) >= MAX_REMOTE_ADDRESSES and key not in heard:
            oldest = min(heard, key=lambda known: heard[known])
            if not heard[oldest] or now - heard[oldest] > STALE_PAIR:
                for where in [where for where in self._pairs if where[1] == oldest]:
                    self._released(self._pairs.pop(where))
        return self.add(port, key)

    def disconnected(self, port: Port, key: bytes) -> None:
        """The connection is gone that it was: whoever comes from there next has to prove and nominate it anew."""
        pair = self.get(port, key)
        if pair is not None:
            pair.proven = pair.nominated = False

    def let_go(self) -> None:
        """Nothing is released any more."""
        del self._released

    def restart(self, selected: Pair | None) -> None:
        """ICE begins anew: only the pair in use is kept, until there is another."""
        self._pairs = {where: pair for where, pair in self._pairs.items() if pair is selected}
        for pair in self:
            pair.nominated = pair.answered = False
            pair.triggered = 0.0
        self._types.clear()
