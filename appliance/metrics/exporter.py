"""What is exposed, put together: the events' series, others' counts, the process, and single handles."""

import platform
import ssl
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from appliance import __version__
from appliance.core.clock import Clock
from appliance.core.events import Counters, Event
from appliance.core.measure import Measured
from appliance.metrics import names as n
from appliance.metrics.bounded import BoundedTier
from appliance.metrics.counters import ForeignCounters
from appliance.metrics.family import Family
from appliance.metrics.handles import MAX_HANDLES, HandleTier
from appliance.metrics.text import END, head, label_text, number


class Exporter:
    """Takes events, and gives text.

    ``codes`` are the verdicts that there are; ``measured`` is asked at each scrape, and its counts are shown as those
    of ``server_name``.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        server_name: str,
        codes: Iterable[str] = (),
        measured: Sequence[Measured] = (),
        max_handles: int = MAX_HANDLES,
        opaque_id: str = "hash",
    ) -> None:
        self.handles = HandleTier(clock, max_handles=max_handles, opaque_id=opaque_id)
        self.bounded = BoundedTier(clock, codes=codes, watcher=self.handles)
        self._server_name = server_name
        self._measured = measured
        self._foreign = ForeignCounters(clock, self.bounded.bounds)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def take(self, item: Event) -> None:
        """One event."""
        self.bounded.take(item)
        if isinstance(item.event, Counters) and not item.replayed:
            self._foreign.take(item.emitter, item.event.counters)

    def metrics(self, openmetrics: bool) -> Iterator[str]:
        """``/metrics``, to be read to its end before the next event is taken."""
        yield from self.bounded.lines(openmetrics)
        own = [counter for measured in self._measured for counter in measured.measure()]
        yield from self._foreign.lines(openmetrics, self._server_name, own)
        yield from self._own(openmetrics)
        if openmetrics:
            # prometheus_client leaves this module without annotations.
            text: bytes = generate_openmetrics(self._process)  # type: ignore[no-untyped-call]
            yield text.decode().removesuffix(END)
            yield END
        else:
            yield generate_latest(self._process).decode()

    def _own(self, openmetrics: bool) -> Iterator[str]:
        build = {
            "version": __version__,
            "python": platform.python_version(),
            "openssl": ssl.OPENSSL_VERSION.split()[1],
        }
        shown: list[tuple[Family, str, float]] = [
            (n.BUILD_INFO, label_text(build), 1),
            (n.HANDLES_NOT_EXPORTED, "", len(self.bounded.population.handles) - len(self.handles)),
            (n.HANDLES_FORGOTTEN, "", self.bounded.population.forgotten),
            (n.TRACKS_REFUSED, "", self.bounded.tracks_refused),
            (n.PLACES_TAKEN, "", self.bounded.places.taken),
            (n.PLACES_REFUSED, "", self.bounded.places.refused),
            (n.SERIES, "", self.bounded.series),
        ]
        for family, labels, value in shown:
            yield f"{head(family, openmetrics)}{family.full_name}{labels} {number(value)}\n"

    def handle_pieces(self, openmetrics: bool) -> Iterator[str]:
        """``/metrics/handles``, in pieces between which events may be taken."""
        yield from self.handles.pieces(openmetrics)
        if openmetrics:
            yield END
