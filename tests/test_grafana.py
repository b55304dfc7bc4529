"""Dashboards and rules stand for themselves: each once, every name declared, every panel explained."""

import re
import subprocess
from pathlib import Path

import pytest

from appliance.metrics.names import BY_NAME, PROCESS
from tests.dashboards import (
    FILES,
    GRAFANA,
    RULES,
    alerts,
    annotations,
    dashboard,
    further_annotations,
    metrics,
    panels,
    queries,
    variables,
)
from tests.programs import need

DOCS = GRAFANA.parent / "docs"
UIDS = {
    "overview.json": "appliance-overview",
    "calls.json": "appliance-calls",
    "call.json": "appliance-call",
    "pipeline.json": "appliance-pipeline",
}
DECLARED = {f"appliance_{name}" for name in BY_NAME} | set(PROCESS)
# Prometheus makes these itself.
DECLARED |= {"scrape_duration_seconds", "scrape_samples_scraped"}
# A metric is looked up without what a summary or a histogram adds; some names end that way by themselves.
DECLARED |= {name.removesuffix("_count").removesuffix("_sum") for name in DECLARED}

BOARDS = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_the_dashboards_are_those() -> None:
    assert {path.name: dashboard(path)["uid"] for path in FILES} == UIDS


@BOARDS
def test_a_dashboard_belongs_to_no_one_grafana(path: Path) -> None:
    board = dashboard(path)
    assert board["id"] is None
    assert board["title"] and board["description"]
    assert next(iter(variables(board).values()))["type"] == "datasource"
    text = path.read_text("utf-8")
    further = {f"${{{name}}}" for name in further_annotations(board)}
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"${datasource}", "-- Grafana --", board["uid"]} | further


@BOARDS
def test_every_panel_explains_itself(path: Path) -> None:
    board = dashboard(path)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(board):
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


@BOARDS
def test_no_panel_covers_another(path: Path) -> None:
    places = [panel["gridPos"] for panel in dashboard(path)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for index, one in enumerate(places):
        assert not any(overlap(one, other) for other in places[index + 1 :])


@BOARDS
def test_every_metric_is_declared(path: Path) -> None:
    board = dashboard(path)
    for title, expression in queries(board):
        assert metrics(expression), title
        assert metrics(expression) <= DECLARED, title
    for variable in variables(board).values():
        if variable["type"] == "query":
            assert metrics(variable["definition"]) <= DECLARED
    for title, expression in annotations(board).items():
        assert metrics(expression) and metrics(expression) <= DECLARED, title


@BOARDS
def test_every_variable_is_declared(path: Path) -> None:
    board = dashboard(path)
    used = {name for _, expression in queries(board) for name in re.findall(r"\$\{?(\w+)", expression)}
    assert used <= {*variables(board), "__rate_interval", "__range"}
    for variable in variables(board).values():
        assert set(re.findall(r"\$\{?(\w+)", str(variable.get("definition", "")))) <= set(variables(board))


def test_events_are_marked_from_the_store_and_from_loki_where_one_wants_them() -> None:
    board = dashboard(GRAFANA / "dashboards" / "call.json")
    further = further_annotations(board)
    assert list(further) == ["store", "loki"]
    for name, annotation in further.items():
        assert not annotation["enable"] and not annotation["hide"], "off, and a switch turns it on"
        variable = variables(board)[name]
        assert (variable["type"], variable["query"]) == ("datasource", annotation["datasource"]["type"])
    used = set(re.findall(r"\$\{?(\w+)", further["loki"]["expr"] + further["store"]["target"]["rawSql"]))
    assert used <= {*variables(board), "__unixEpochNanoFrom", "__unixEpochNanoTo"}
    for path in FILES:
        if path.stem != "call":
            assert not further_annotations(dashboard(path))


def test_links_lead_to_dashboards_that_are_there() -> None:
    linked = {uid for path in FILES for uid in re.findall(r"/d/([\w-]+)", path.read_text("utf-8"))}
    assert linked and linked <= set(UIDS.values())


def test_rules_name_what_is_declared() -> None:
    named = metrics(RULES.read_text("utf-8").replace("appliance-", "").replace("appliance.*", ""))
    assert len(named) > 15
    assert named <= DECLARED
    recorded = set(re.findall(r"record: (\S+)", RULES.read_text("utf-8")))
    used = set(re.findall(r"\w+(?::\w+)+", "".join(alerts().values())))
    assert used <= recorded


@pytest.mark.parametrize(("name", "text"), alerts().items(), ids=alerts())
def test_every_alert_says_what_it_is_and_what_to_do(name: str, text: str) -> None:
    assert name.startswith("Appliance")
    assert re.search(r"severity: (critical|warning|info)\n", text)
    assert "summary: '" in text and "description: '" in text
    assert "{{" not in text.partition("summary:")[2].partition("\n")[0], "a summary does not change"
    assert f"runbook_url: docs/runbook.md#{name.lower()}\n" in text
    assert f"\n## {name}\n" in (DOCS / "runbook.md").read_text("utf-8")
    tests = (GRAFANA / "prometheus" / "tests" / "appliance.yml").read_text("utf-8")
    for case in (f"{name} fires and resolves", f"{name} does not fire"):
        assert f"- name: {case}\n" in tests
    unknown = tests.partition("- name: nothing is known")[2]
    assert f'alertname="{name}"' in unknown


def test_the_runbook_has_no_alert_of_the_past() -> None:
    sections = re.findall(r"^## (\w+)$", (DOCS / "runbook.md").read_text("utf-8"), re.MULTILINE)
    assert sections == list(alerts())


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=GRAFANA / "prometheus", capture_output=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.interop
def test_promtool_checks_the_configuration_and_the_rules() -> None:
    promtool = need("promtool")
    run(promtool, "check", "config", "prometheus.yml")
    run(promtool, "check", "rules", "rules/appliance.yml")


@pytest.mark.interop
def test_alerts_fire_resolve_and_keep_quiet() -> None:
    run(need("promtool"), "test", "rules", "tests/appliance.yml")
