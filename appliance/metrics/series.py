"""Series of bounded families: cells that are cheap to change, and their text.

Not prometheus_client's metric objects, because a statistics event touches ten series and a cached cell is one
attribute to add to; what is written is checked against prometheus_client's parser in the tests.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Generic, TypeVar

from appliance.metrics.family import OTHER, Family, Kind, Label
from appliance.metrics.text import EXEMPLAR_LIMIT, clean, head, label_text, number


class Cell:
    """One counter's or gauge's series."""

    __slots__ = ("prefix", "value")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.value: float = 0

    def lines(self, openmetrics: bool) -> Iterator[str]:
        """Its only line."""
        yield f"{self.prefix} {number(self.value)}\n"


class Histogram:
    """One histogram's series: cumulative only when written."""

    __slots__ = ("_base", "_bounds", "_counts", "_exemplars", "_labels", "sum")

    def __init__(self, family: Family, labels: str) -> None:
        self._base = family.full_name
        self._labels = labels
        self._bounds = family.buckets
        self._counts = [0] * (len(family.buckets) + 1)
        self._exemplars: list[tuple[str, float, float] | None] = [None] * (len(family.buckets) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """Observations so far."""
        return sum(self._counts)

    def observe(self, value: float, exemplar: str | None = None, timestamp: float = 0.0) -> None:
        """Count one; ``exemplar`` is the correlation id that explains it, ``timestamp`` its time in seconds."""
        index = bisect_left(self._bounds, value)
        self._counts[index] += 1
        self.sum += value
        if exemplar is not None:
            self._exemplars[index] = (exemplar, value, timestamp)

    def lines(self, openmetrics: bool) -> Iterator[str]:
        """Buckets, sum and count."""
        inner = self._labels[1:-1] + "," if self._labels else ""
        total = 0
        for bound, count, exemplar in zip((*self._bounds, float("inf")), self._counts, self._exemplars, strict=True):
            total += count
            tail = ""
            if openmetrics and exemplar is not None and len(exemplar[0]) <= EXEMPLAR_LIMIT:
                text, value, timestamp = exemplar
                tail = f" # {label_text({'correlation_id': text})} {number(value)} {timestamp:.3f}"
            le = "+Inf" if bound == float("inf") else repr(float(bound))
            yield f'{self._base}_bucket{{{inner}le="{le}"}} {total}{tail}\n'
        yield f"{self._base}_sum{self._labels} {number(self.sum)}\n"
        yield f"{self._base}_count{self._labels} {total}\n"


class Bounds:
    """Turns label values into those that may be shown: what is beyond a bound becomes ``other``."""

    def __init__(self, closed: Mapping[str, Iterable[str]] | None = None) -> None:
        self._closed: dict[Label, frozenset[str]] = {}
        self._known: dict[str, set[str]] = {}
        """By label name, so that all families agree on which servers are shown."""
        self._given = {name: frozenset(values) for name, values in (closed or {}).items()}

    def admit(self, label: Label, value: str) -> str:
        """The value, or ``other``."""
        values = self._given.get(label.name) if not label.values else self._closed.get(label)
        if label.values and values is None:
            values = self._closed[label] = frozenset(label.values)
        if values is not None:
            return value if value in values else OTHER
        known = self._known.setdefault(label.name, set())
        value = clean(value)
        if value not in known:
            if len(known) >= label.cap:
                return OTHER
            known.add(value)
        return value

    def lacks_room(self, label: Label, value: str) -> bool:
        """Whether :meth:`admit` would refuse it for its cap."""
        known = self._known.get(label.name, ())
        return len(known) >= label.cap and clean(value) not in known

    def forget(self, label: Label, value: str) -> None:
        """Make room for another."""
        self._known.get(label.name, set()).discard(value)

    def values(self, label: Label) -> tuple[str, ...]:
        """Every value that a closed label can have, but ``other``; empty for one that is only capped."""
        return label.values or tuple(sorted(self._given.get(label.name, ())))


_Series = TypeVar("_Series", Cell, Histogram)


class _Table(ABC, Generic[_Series]):
    """A family's series by their label values."""

    def __init__(self, family: Family, bounds: Bounds) -> None:
        self.family = family
        self._bounds = bounds
        self._cells: dict[tuple[str, ...], _Series] = {}

    @abstractmethod
    def _make(self, labels: str) -> _Series:
        """A series with nothing counted; ``labels`` as they are written."""

    def cell(self, *values: str) -> _Series:
        """The series of these label values, made if need be. Hostile values can't add one."""
        found = self._cells.get(values)
        if found is not None:
            return found
        admitted = tuple(
            self._bounds.admit(label, value) for label, value in zip(self.family.labels, values, strict=True)
        )
        found = self._cells.get(admitted)
        if found is None:
            labels = label_text(dict(zip(self.family.label_names, admitted, strict=True)))
            found = self._cells[admitted] = self._make(labels)
        return found

    def zero(self, server: str) -> None:
        """Make every combination of the closed labels."""
        for values in product(*(self._bounds.values(label) for label in self.family.labels[1:])):
            self.cell(server, *values)

    def clear(self) -> None:
        """Forget every series."""
        self._cells.clear()

    def forget(self, server: str) -> None:
        """Those of one server."""
        self._cells = {values: cell for values, cell in self._cells.items() if values[0] != server}

    def lines(self, openmetrics: bool) -> Iterator[str]:
        """The family's text, its head first; nothing without series."""
        if self._cells:
            yield head(self.family, openmetrics)
            for cell in self._cells.values():
                yield from cell.lines(openmetrics)


class Table(_Table[Cell]):
    """A counter's or gauge's series."""

    def __len__(self) -> int:
        return len(self._cells)

    def _make(self, labels: str) -> Cell:
        return Cell(self.family.full_name + labels)

    def add(self, *values: str, by: float = 1) -> None:
        """Count."""
        self.cell(*values).value += by


class HistogramTable(_Table[Histogram]):
    """A histogram's series."""

    def __init__(self, family: Family, bounds: Bounds) -> None:
        assert family.kind is Kind.HISTOGRAM
        super().__init__(family, bounds)

    def __len__(self) -> int:
        return len(self._cells) * (len(self.family.buckets) + 3)

    def _make(self, labels: str) -> Histogram:
        return Histogram(self.family, labels)
