"""Counts that others keep, shown again: a gateway's (its ``Counters`` events) and this process's own.

A count is shown as its owner has it; when the owner starts again at 0, Prometheus sees that for itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite

from appliance.core.clock import Clock
from appliance.core.events import Counter
from appliance.core.measure import DURATION_BOUNDS
from appliance.metrics.family import Family, Kind, Source
from appliance.metrics.labels import SERVER
from appliance.metrics.names import FAMILIES
from appliance.metrics.series import Bounds
from appliance.metrics.text import head, label_text, number

SILENT_S = 60.0
"""A server that has not told its counts for so long is no longer shown: it tells them every few seconds."""

_SHOWN = tuple(family for family in FAMILIES if family.source is Source.COUNTERS)
_FAMILY_OF: dict[str, Family] = {}
for _family in _SHOWN:
    for _suffix in ("_bucket", "_sum", "_count") if _family.kind is Kind.HISTOGRAM else ("",):
        _FAMILY_OF[_family.name + _suffix] = _family
_BOUNDS = frozenset((*(str(bound) for bound in DURATION_BOUNDS), "+Inf"))

Samples = dict[tuple[str, tuple[str, ...], str], float]
"""By sample name, label values (the server's first), and a bucket's bound."""


class ForeignCounters:
    """Takes what others count; names that :mod:`appliance.metrics.names` does not declare are left out."""

    def __init__(self, clock: Clock, bounds: Bounds) -> None:
        self._clock = clock
        self._bounds = bounds
        self._servers: dict[str, tuple[float, Samples]] = {}

    def take(self, server: str, counters: Iterable[Counter]) -> None:
        """All counts of a gateway, which replace those it told before."""
        label = self._bounds.admit(SERVER, server)
        self._servers[label] = (self._clock.monotonic(), self._read(label, counters))

    def _read(self, server: str, counters: Iterable[Counter]) -> Samples:
        found: Samples = {}
        for counter in counters:
            family = _FAMILY_OF.get(counter.name)
            if family is None or not isfinite(counter.value):
                continue
            bound = ""
            if counter.name.endswith("_bucket"):
                bound = counter.labels.get("le", "")
                if bound not in _BOUNDS:
                    continue
            key = (counter.name, (server, *self._values(family, counter.labels)), bound)
            found[key] = found.get(key, 0) + counter.value
        return found

    def _values(self, family: Family, given: Mapping[str, str]) -> Iterator[str]:
        for label in family.labels[1:]:
            value = given.get(label.name, "")
            yield self._bounds.admit(label, value) if value else ""

    def lines(self, openmetrics: bool, server: str, own: Iterable[Counter]) -> Iterator[str]:
        """Everything, with this process's counts as those of ``server``."""
        now = self._clock.monotonic()
        self._servers = {name: kept for name, kept in self._servers.items() if now - kept[0] <= SILENT_S}
        label = self._bounds.admit(SERVER, server)
        samples = dict(self._servers[label][1]) if label in self._servers else {}
        # Gateway and collector of one machine share their name.
        for key, value in self._read(label, own).items():
            samples[key] = samples.get(key, 0) + value
        for name, kept in self._servers.items():
            if name != label:
                samples |= kept[1]
        by_family: dict[str, list[str]] = {}
        for (name, values, bound), value in samples.items():
            family = _FAMILY_OF[name]
            labels = {key: text for key, text in zip(family.label_names, values, strict=True) if text}
            if bound:
                labels["le"] = bound
            line = f"{family.full_name[: -len(family.name)]}{name}{label_text(labels)} {number(value)}\n"
            by_family.setdefault(family.name, []).append(line)
        for family in _SHOWN:
            if family.name in by_family:
                yield head(family, openmetrics)
                yield from by_family[family.name]
