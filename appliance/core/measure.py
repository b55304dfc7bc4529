"""Counts that somebody keeps and the Prometheus exporter reads, without either knowing the other.

A component that counts implements :class:`Measured`; whoever exposes metrics asks each at scrape time, so nothing
is counted twice. Names are those of :mod:`appliance.metrics.names`, without the ``appliance_`` prefix; a name that
is not declared there is not exposed.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Protocol

from appliance.core.events import Counter


class Measured(Protocol):
    """Something that counts."""

    def measure(self) -> Iterable[Counter]:
        """The current values: cumulative counts (``..._total``) or levels."""


DURATION_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Seconds: upper bounds of the buckets of :class:`Durations`."""


class Durations:
    """How long something took, as the counts of a Prometheus histogram."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self.total = 0.0
        """Seconds."""
        self._counts = [0] * (len(DURATION_BOUNDS) + 1)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(DURATION_BOUNDS, seconds)] += 1
        self.total += seconds

    def measure(self, name: str, labels: Mapping[str, str]) -> Iterator[Counter]:
        """``name`` with ``_bucket`` (cumulative, label ``le``), ``_sum`` and ``_count``."""
        bounds = (*(str(bound) for bound in DURATION_BOUNDS), "+Inf")
        for bound, count in zip(bounds, accumulate(self._counts), strict=True):
            yield Counter(f"{name}_bucket", count, {**labels, "le": bound})
        yield Counter(f"{name}_sum", self.total, dict(labels))
        yield Counter(f"{name}_count", self.count, dict(labels))
