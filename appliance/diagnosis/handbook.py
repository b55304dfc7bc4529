"""Renders the table of verdicts as a page.

``python -m appliance.diagnosis.handbook > docs/verdicts.md``
"""

import re
import sys
from collections.abc import Iterator

from appliance.diagnosis.rules import RULES, Rule

INTRO = """\
# Verdicts

What the diagnosis can say of a PeerConnection, in the order in which it tries: the first row that holds is the
verdict. Rows marked *beside* may hold together with another and then stand under `also`. Where events of a call are
missing, `evidence_incomplete` stands there too, and the confidence is lower: a verdict that rests on something that
did not come is then only possible.

Confidence: *certain* (the events say it), *likely* (they fit nothing else that is common), *possible* (one of
several). Severity: *good*, *notice* (worth knowing, perhaps meant), *fault* (the person was not served). Thresholds
and where they come from: `appliance/diagnosis/thresholds.py`.

This page is made from `appliance/diagnosis/rules/` by `python -m appliance.diagnosis.handbook`.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([INTRO, *_table(), "", *_chapters()])


def _table() -> Iterator[str]:
    yield "| # | code | severity | who should act | what it looks for |"
    yield "|---|---|---|---|---|"
    for number, rule in enumerate(RULES, 1):
        code = f"[`{rule.code}`](#{rule.code})" + (" *beside*" if rule.beside else "")
        yield f"| {number} | {code} | {rule.severity} | {rule.actor} | {rule.signs} |"


def _chapters() -> Iterator[str]:
    for rule in RULES:
        yield from _chapter(rule)


def _chapter(rule: Rule) -> Iterator[str]:
    yield f"## {rule.code}"
    yield ""
    yield f"> {_figures(rule.sentence)}"
    yield ""
    yield f"- Phase: {rule.phase}. Severity: {rule.severity}. Who should act: {rule.actor}."
    yield f"- Looks for: {rule.signs}"
    yield f"- Next: {rule.advice}"
    yield f"- Disproved by: {rule.disproof}"
    yield ""


def _figures(sentence: str) -> str:
    """``{seconds} s`` as ``*seconds* s``."""
    return re.sub(r"\{(\w+)\}", r"*\1*", sentence)


if __name__ == "__main__":
    sys.stdout.write(render())
