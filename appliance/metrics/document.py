"""Writes ``docs/metrics.md`` from the declarations: ``python -m appliance.metrics.document``."""

from pathlib import Path
from textwrap import dedent

from appliance.metrics import scores
from appliance.metrics.family import Family, Label, Source
from appliance.metrics.names import FAMILIES, PROCESS

METRICS_PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"

_TITLES = {
    Source.EVENTS: "Counted from the events (`/metrics`)",
    Source.COUNTERS: "Kept by the parts themselves (`/metrics`)",
    Source.OWN: "About the exporter (`/metrics`)",
    Source.HANDLES: "Of single handles (`/metrics/handles`)",
}
_INTRODUCTIONS = {
    Source.EVENTS: """
        The same for our gateways and for Janus servers that send their events here. `server` is the server's name;
        the first 64 are told apart, the rest are `other`. Every other label has the values listed, and `other`.
        Labels and buckets whose combinations are few exist as 0 from a server's first event on. Histograms carry
        exemplars with the correlation id in OpenMetrics.
        """,
    Source.COUNTERS: """
        Told by our gateways every few seconds, and by the collector at each scrape; `server` is the teller's name.
        A gateway that has been silent for a minute is no longer shown. Janus servers do not tell these. API requests
        that may come by an open transport are there as 0 from its start on, so that a rate sees the first.
        """,
    Source.OWN: """
        With them, `process_*` and `python_info` of the collector, under the names that every exporter has.
        """,
    Source.HANDLES: """
        Join on `appliance_handle_info` for server, plugin, room and opaque id. A handle's series end with it, after
        one scrape more; the tracks of a PeerConnection end with that. What was not measured has no sample. At most
        `handlers.prometheus.max_handles` (2,000) are shown: when there are more, a handle that has been quiet for
        30 s gives way, and `appliance_handles_not_exported` says how many are missing. `opaque_id_hash` is the first
        16 hexadecimal digits of SHA-256; `handlers.prometheus.opaque_id` makes it `opaque_id` in clear, or leaves it
        out. The layers of a simulcast are tracks of their own, `mid="1.sim1"`.
        """,
}


def _label(label: Label) -> str:
    if not label.values:
        return f"`{label.name}`"
    values = ", ".join(label.values)
    return f"`{label.name}`: {values}"


def _row(family: Family) -> str:
    labels = "; ".join(_label(label) for label in family.labels if label.name != "server") or "–"
    if family.source is Source.HANDLES:
        labels = ", ".join(f"`{label.name}`" for label in family.labels)
    buckets = f" Buckets: {', '.join(f'{bound:g}' for bound in family.buckets)}." if family.buckets else ""
    return f"| `{family.full_name}` | {family.kind.value} | {family.unit or '–'} | {labels} | {family.help}{buckets} |"


def _prose(text: str) -> str:
    return " ".join(dedent(text).split())


def _score(function: object) -> str:
    """Its docstring, which is the published formula."""
    return _prose(function.__doc__ or "").replace("``", "`")


def render() -> str:
    """The whole page."""
    lines = [
        "# Metrics",
        "",
        "Written from `appliance/metrics/names.py` and `kept.py` by `python -m appliance.metrics.document`, as a test",
        "holds it.",
        "Directions are the server's: `in` is from the client, `out` is to it.",
        "",
    ]
    for source, title in _TITLES.items():
        lines += [f"## {title}", "", _prose(_INTRODUCTIONS[source]), ""]
        lines += ["| name | type | unit | labels | what it is |", "|---|---|---|---|---|"]
        lines += [_row(family) for family in FAMILIES if family.source is source]
        lines.append("")
    lines += [
        "Of the process: " + ", ".join(f"`{name}`" for name in PROCESS) + ".",
        "",
        "## Scores",
        "",
        _prose(scores.__doc__ or ""),
        "",
        f"**Link quality.** {_score(scores.link_quality)}",
        "",
        f"**Audio MOS.** {_score(scores.audio_mos)}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    METRICS_PAGE.parent.mkdir(exist_ok=True)
    METRICS_PAGE.write_text(render(), "utf-8")
