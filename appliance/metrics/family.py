"""What a metric family is: a name, a type, and labels whose values are bounded before anything is counted."""

from enum import StrEnum

from msgspec import Struct

PREFIX = "appliance_"
OTHER = "other"
"""What a value outside its label's bound becomes."""


class Kind(StrEnum):
    """Types of the exposition formats."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Source(StrEnum):
    """Where a family's values are from."""

    EVENTS = "events"
    """Counted here from the event stream: the same for a Janus server as for our gateway."""
    COUNTERS = "counters"
    """Kept by a component (:mod:`appliance.core.measure`) or by a gateway (its ``Counters`` events), re-exposed."""
    OWN = "exporter"
    """About the collector that exposes it."""
    HANDLES = "handles"
    """One handle's, on ``/metrics/handles``."""


class Label(Struct, frozen=True):
    """A label and its bound: a closed set (``values``), or the first ``cap`` values that come.

    Anything beyond becomes :data:`OTHER`; on ``/metrics/handles`` neither is set, the number of handles is the bound.
    """

    name: str
    values: tuple[str, ...] = ()
    cap: int = 0


class Family(Struct, frozen=True, kw_only=True):
    """One metric family; ``name`` is without :data:`PREFIX`, ``unit`` is for people."""

    name: str
    kind: Kind
    help: str
    unit: str = ""
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    source: Source
    zeroed: bool = False
    """Every combination of its closed labels exists, as 0, from a server's first event on, so that a rate sees the
    first count."""

    @property
    def full_name(self) -> str:
        """As Prometheus has it."""
        return PREFIX + self.name

    @property
    def label_names(self) -> tuple[str, ...]:
        """In the order in which values are given."""
        return tuple(label.name for label in self.labels)
