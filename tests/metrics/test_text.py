"""What is written, read by others: prometheus_client's two parsers and promtool."""

import subprocess
from collections.abc import Iterable, Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import Collector

from appliance.metrics.family import Family, Kind, Source
from appliance.metrics.names import BY_NAME
from appliance.metrics.series import Histogram
from appliance.metrics.text import clean, head, label_text, number, wants_openmetrics
from tests.clock import FakeClock
from tests.metrics.test_handles import until
from tests.metrics.traces import Scrape, exporter, play, read, trace
from tests.programs import need

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(families: Iterable[Metric]) -> Samples:
    found = [sample for family in families for sample in family.samples]
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for sample in found
        if not sample.name.startswith(("process_", "python_"))
    }


def read_openmetrics(text: str) -> list[Metric]:
    # prometheus_client leaves this module without annotations.
    return list(openmetrics_families(text))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("case", ["chrome_echo_http", "loss_slowlink"])
def test_openmetrics_says_the_same_as_text(case: str) -> None:
    clock = FakeClock()
    target = exporter(clock)
    play(target, until(case, 5), clock)
    text, openmetrics = "".join(target.metrics(False)), "".join(target.metrics(True))
    assert openmetrics.endswith("# EOF\n") and openmetrics.count("# EOF") == 1
    assert samples(read_text(text)) == samples(read_openmetrics(openmetrics))
    handles = "".join(target.handle_pieces(False))
    assert len(samples(read_text(handles))) > 30
    assert samples(read_text(handles)) == samples(read_openmetrics("".join(target.handle_pieces(True))))


def test_types_and_help_are_read_back() -> None:
    clock = FakeClock()
    target = exporter(clock)
    play(target, until("chrome_echo_http", 4), clock)
    text = "".join(target.metrics(False)) + "".join(target.handle_pieces(False))
    for family in read_text(text):
        if family.name.startswith("appliance_"):
            short = family.name.removeprefix("appliance_")
            declared = BY_NAME.get(short) or BY_NAME[short + "_total"]
            assert family.type == ("gauge" if declared.kind is Kind.INFO else declared.kind.value)
            assert family.documentation == declared.help


def test_histograms_carry_the_correlation_id() -> None:
    clock = FakeClock()
    target = exporter(clock)
    play(target, trace("chrome_echo_http"), clock)
    found = {
        (sample.labels["phase"], sample.exemplar.labels["correlation_id"])
        for family in read_openmetrics("".join(target.metrics(True)))
        for sample in family.samples
        if family.name == "appliance_setup_phase_duration_seconds" and sample.exemplar
    }
    (correlation,) = {item.correlation_id for item in trace("chrome_echo_http") if item.correlation_id}
    assert found == {(phase, correlation) for phase in ("signalling", "gathering", "ice", "dtls", "first_media")}
    assert "correlation_id" not in "".join(target.metrics(False))


class Same(Collector):
    """The same families, as prometheus_client would have them written."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


AWKWARD = ["plain", 'quo"te', "back\\slash", "ünïcode", "tab\there", "new\nline", "", "a,b={c}"]


@pytest.mark.parametrize("value", AWKWARD)
@pytest.mark.parametrize("amount", [0, 1, 2.5, 1e-9, 123456789012, 0.1 + 0.2, 3.0, 1e300])
def test_prometheus_client_writes_the_same(value: str, amount: float) -> None:
    family = Family(name="x_total", kind=Kind.COUNTER, help='He"lp \\ it.', source=Source.OWN)
    ours = f"{head(family, False)}{family.full_name}{label_text({'one': value})} {number(amount)}\n"
    theirs = CounterMetricFamily("appliance_x", family.help, labels=["one"])
    theirs.add_metric([clean(value)], amount)
    registry = CollectorRegistry()
    registry.register(Same(theirs))
    assert samples(read_text(ours)) == samples(read_text(generate_latest(registry).decode()))
    assert ours.splitlines()[:2] == generate_latest(registry).decode().splitlines()[:2]


def test_prometheus_client_writes_the_same_histogram() -> None:
    family = Family(name="h", kind=Kind.HISTOGRAM, help="H.", buckets=(0.1, 1.0), source=Source.OWN)
    cell = Histogram(family, '{a="b"}')
    for value in (0.05, 0.1, 0.5, 7.0):
        cell.observe(value)
    theirs = HistogramMetricFamily("appliance_h", "H.", labels=["a"])
    theirs.add_metric(["b"], [("0.1", 2), ("1.0", 3), ("+Inf", 4)], sum_value=7.65)
    registry = CollectorRegistry()
    registry.register(Same(theirs, GaugeMetricFamily("other", "O.")))
    expected = samples(read_text(generate_latest(registry).decode()))
    assert samples(read_text(head(family, False) + "".join(cell.lines(False)))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml", False),
        ("application/openmetrics-text", True),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.3", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x, text/plain", False),
    ],
)
def test_what_a_scraper_accepts(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


@pytest.mark.interop
def test_promtool_finds_nothing_to_complain_of() -> None:
    promtool = need("promtool")
    clock = FakeClock()
    target = exporter(clock)
    play(target, until("loss_slowlink", 5), clock)
    ours = "".join(line for line in target.metrics(False) if not line.startswith(("process_", "python_")))
    for text in (ours, "".join(target.handle_pieces(False))):
        run = subprocess.run(
            [promtool, "check", "metrics"], input=text.encode(), capture_output=True, timeout=30, check=False
        )
        complaints = run.stdout.decode() + run.stderr.decode()
        assert complaints.strip() == ""
        assert run.returncode == 0


def test_the_reader_of_these_tests_refuses_a_series_given_twice() -> None:
    with pytest.raises(AssertionError, match="twice"):
        read("a 1\na 2\n")
    assert Scrape(exporter()).values
