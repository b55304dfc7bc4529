"""Dashboards and rules, read for those who test them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parent.parent / "grafana"
RULES = GRAFANA / "prometheus" / "rules" / "appliance.yml"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))

_NAME = re.compile(r"\b(?:appliance|process|python|scrape)_\w+")
_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")


def dashboard(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """All but the rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def queries(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and expression of every query."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]


def annotations(board: dict[str, Any]) -> dict[str, str]:
    """Title and expression of every query that marks events and that Prometheus answers."""
    listed = board["annotations"]["list"]
    return {each["name"]: each["expr"] for each in listed if each["datasource"]["uid"] == "${datasource}"}


def further_annotations(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Those of data sources that need not be there, by the name of their variable."""
    known = {"${datasource}", "-- Grafana --"}
    listed = [each for each in board["annotations"]["list"] if each["datasource"]["uid"] not in known]
    return {each["datasource"]["uid"].strip("${}"): each for each in listed}


def metrics(text: str) -> set[str]:
    """The metrics named in an expression, without what a histogram or summary adds to its name."""
    # Recorded rules have colons in their names and are declared where they are recorded.
    return {_SUFFIX.sub("", name) for name in _NAME.findall(re.sub(r"\w+(?::\w+)+", "", text))}


def alerts() -> dict[str, str]:
    """The text of each alert, by its name."""
    parts = re.split(r"^ +- alert: (\w+)$", RULES.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
