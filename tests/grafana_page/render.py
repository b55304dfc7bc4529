"""A dashboard file and a real Prometheus's answers as one page, so that panels can be looked at without Grafana."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.dashboards import dashboard, panels
from tests.peers.prometheus import Prometheus, filled

HERE = Path(__file__).parent
UPLOT = HERE.parent.parent / "appliance" / "console" / "static" / "vendor" / "uplot"
RANGE_S = 60


async def _answers(panel: dict[str, Any], server: Prometheus, values: Mapping[str, str], now: float) -> list[Any]:
    found = []
    for target in panel["targets"]:
        expression = filled(target["expr"], values)
        if panel["type"] == "timeseries":
            window = {"start": str(now - RANGE_S), "end": str(now), "step": "1"}
            data = await server.get("query_range", query=expression, **window)
        else:
            data = await server.get("query", query=expression)
        found.append({"legend": target.get("legendFormat", ""), "result": data["result"]})
    return found


async def render(path: Path, server: Prometheus, values: Mapping[str, str]) -> str:
    """HTML with everything in it."""
    board = dashboard(path)
    now = time.time()
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    shown = [
        {
            "title": panel["title"],
            "type": panel["type"],
            "place": panel["gridPos"],
            "unit": panel["fieldConfig"]["defaults"]["unit"],
            "answers": await _answers(panel, server, values, now),
        }
        for panel in panels(board)
    ] + [{"title": row["title"], "type": "row", "place": row["gridPos"]} for row in rows]
    script = (UPLOT / "uPlot.esm.js").read_text("utf-8").partition("export {")[0].replace("export default uPlot;", "")
    page = (HERE / "page.html").read_text("utf-8")
    page = page.replace("/*uplot.css*/", (UPLOT / "uPlot.min.css").read_text("utf-8"))
    given = json.dumps({"title": board["title"], "panels": shown}).replace("<", "\\u003c")
    return page.replace("/*given*/", f"const given = {given};").replace("/*uplot.js*/", script)
