"""What went out for each call, for the console: the last packets of the last calls."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from appliance.core.archive import SentPacket
from appliance.hep.listen import summary
from appliance.hep.template import HepTemplate

MAX_CALLS = 500
MAX_PACKETS = 300
"""Packets of one call other than statistics."""
MAX_STATISTICS = 100
"""Statistics and reports of one call; apart, because an hour of them would push out how the call began."""
HEAD = 200
"""Bytes of a payload that are kept."""


class _Entry(NamedTuple):
    number: int
    template: HepTemplate
    timestamp_us: int
    payload_type: int
    size: int
    head: bytes


class Journal:
    """Contract: :class:`appliance.core.archive.HepJournal`."""

    def __init__(
        self, *, max_calls: int = MAX_CALLS, max_packets: int = MAX_PACKETS, max_statistics: int = MAX_STATISTICS
    ) -> None:
        self._max_calls = max_calls
        self._sizes = max_packets, max_statistics
        self._calls: OrderedDict[str, tuple[deque[_Entry], deque[_Entry]]] = OrderedDict()
        self._numbers = count()
        self.forgotten = 0
        """Calls that had to make room."""

    def note(
        self,
        correlation_id: str,
        template: HepTemplate,
        timestamp_us: int,
        payload_type: int,
        payload: bytes,
        size: int,
        *,
        statistics: bool,
    ) -> None:
        """One packet has been handed over."""
        entries = self._calls.get(correlation_id)
        if entries is None:
            entries = (deque(maxlen=self._sizes[0]), deque(maxlen=self._sizes[1]))
            self._calls[correlation_id] = entries
            if len(self._calls) > self._max_calls:
                self._calls.popitem(last=False)
                self.forgotten += 1
        entry = _Entry(next(self._numbers), template, timestamp_us, payload_type, size, payload[:HEAD])
        entries[statistics].append(entry)

    def sent(self, correlation_id: str) -> Sequence[SentPacket]:
        """Oldest first; empty when unknown or forgotten."""
        packets, statistics = self._calls.get(correlation_id, ((), ()))
        return [
            SentPacket(
                timestamp_us=entry.timestamp_us,
                payload_type=entry.payload_type,
                source=entry.template.source,
                destination=entry.template.destination,
                size=entry.size,
                summary=summary(entry.head),
            )
            for entry in sorted((*packets, *statistics))
        ]
