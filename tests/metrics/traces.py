"""Events that real Janus servers sent, as the collector would hand them on."""

import json
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from appliance.core.correlation import Correlator
from appliance.core.events import Event, from_janus
from appliance.metrics.exporter import Exporter
from tests.clock import FakeClock

TRACES = Path(__file__).parent.parent / "data" / "janus-1.4"
CASES = (
    "aiortc_echo", "chrome_echo_http", "dtls_badfp", "ice_wrongcand", "loss_slowlink", "pc_close", "reneg_icerestart",
    "vanish_http", "videoroom_http",
)  # fmt: skip
SERVER = "janus-ref"

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def trace(case: str) -> list[Event]:
    """One recorded case."""
    correlator = Correlator()
    found: list[Event] = []
    for line in (TRACES / f"{case}.jsonl").read_text("utf-8").splitlines():
        for item in from_janus(json.loads(line)["event"]):
            found.append(replace(item, correlation_id=correlator.of(item)))
    return found


def exporter(clock: FakeClock | None = None, **options: object) -> Exporter:
    return Exporter(clock or FakeClock(), server_name="collector", codes=("healthy", "uplink_loss"), **options)  # type: ignore[arg-type]  # options are its own


def play(target: Exporter, events: Iterable[Event], clock: FakeClock | None = None) -> None:
    """Feed events, moving a clock along with their own time."""
    before: int | None = None
    for item in events:
        if clock is not None and before is not None and item.timestamp > before:
            clock.advance((item.timestamp - before) / 1e6)
        before = item.timestamp
        target.take(item)


def read(text: str) -> Values:
    """All samples, by prometheus_client's parser: a second sample of one series is an error."""
    found: Values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


class Scrape:
    """What one scrape of both paths said."""

    def __init__(self, target: Exporter) -> None:
        self.text = "".join(target.metrics(openmetrics=False))
        self.values = read(self.text)
        self.handles_text = "".join(target.handle_pieces(openmetrics=False))
        self.handles = read(self.handles_text)

    def __call__(self, name: str, /, **labels: object) -> float | None:
        """A bounded sample of the recorded server."""
        wanted = {"server": SERVER} | {key: str(value) for key, value in labels.items()}
        return self.values.get((f"appliance_{name}", frozenset(wanted.items())))

    def total(self, name: str, **labels: object) -> float:
        """The sum over all other labels."""
        wanted = {(key, str(value)) for key, value in labels.items()}
        found = [v for (n, have), v in self.values.items() if n == f"appliance_{name}" and wanted <= have]
        assert found, f"no such series: {name} {labels}"
        return sum(found)

    def handle(self, name: str, **labels: object) -> list[float]:
        """All samples of single handles that carry the labels."""
        wanted = {(key, str(value)) for key, value in labels.items()}
        return [v for (n, have), v in self.handles.items() if n == f"appliance_{name}" and wanted <= have]
