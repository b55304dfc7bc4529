"""Names follow Prometheus's conventions, and every label is bounded."""

import ast

import pytest

from appliance.metrics.document import METRICS_PAGE, render
from appliance.metrics.family import Family, Kind, Source
from appliance.metrics.names import BY_NAME, FAMILIES

UNITS = {"seconds", "bytes", "ratio"}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(FAMILIES) > 70


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_conventions(family: Family) -> None:
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert family.name.endswith("_info") == (family.kind is Kind.INFO or family.name == "build_info")
    assert (family.kind is Kind.HISTOGRAM) == bool(family.buckets)
    assert list(family.buckets) == sorted(set(family.buckets))
    assert family.help.endswith(".")
    assert "\n" not in family.help
    if family.unit in UNITS:
        assert family.unit in family.name.split("_")
    assert not any(label.name in {"ip", "address", "sdp", "user_agent", "transaction", "le"} for label in family.labels)
    assert len(set(family.label_names)) == len(family.labels)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_labels_are_bounded(family: Family) -> None:
    if family.source in {Source.EVENTS, Source.COUNTERS}:
        assert family.labels[0].name == "server"
        assert all(label.values or 0 < label.cap <= 64 for label in family.labels)


def told() -> set[str]:
    """The names of all counts that any part of the appliance keeps, from its source."""
    found: set[str] = set()
    for path in (METRICS_PAGE.parent.parent / "appliance").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in {"Counter", "Count", "measure"}:
                name = node.args[0] if node.args else None
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    found.add(name.value)
    return found


def test_every_count_that_is_kept_is_declared() -> None:
    names = told()
    assert "event_queue_length" in names, "the search finds nothing"
    declared = {family.name for family in FAMILIES if family.source is Source.COUNTERS}
    assert names <= declared


def test_the_page_is_what_the_code_says() -> None:
    assert METRICS_PAGE.read_text("utf-8") == render(), "run: python -m appliance.metrics.document"
