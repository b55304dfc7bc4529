"""Counts that somebody keeps and the Prometheus exporter reads, without either knowing the other.

A component that counts implements :class:`Measured`; whoever exposes metrics asks each at scrape time, so nothing
is counted twice. Names are those of :mod:`appliance.metrics.names`, without the ``appliance_`` prefix; a name that
is not declared there is not exposed.
"""

from collections.abc import Iterable
from typing import Protocol

from appliance.core.events import Counter


class Measured(Protocol):
    """Something that counts."""

    def measure(self) -> Iterable[Counter]:
        """The current values: cumulative counts (``..._total``) or levels."""
