"""Reads recorded events: a JSON object or array a line, or one JSON array; Janus's, ours, or those of a recorder.

A recorder's line has the event inside (``{"t_arrival_us": ..., "event": {...}}``), and a line of anything else that is
an object with a ``dir`` (a signalling log) is passed over.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from appliance.core.events import Event, EventDecodeError
from appliance.intake import dialect

MAX_LINE = 16 * 2**20
MAX_ARRAY = 512 * 2**20
"""Bytes of a file that is one JSON document over several lines: it is read at once."""

OnProblem = Callable[[int, str], None]
"""Hears (line number, what is wrong) of each line or event that is none."""


def _ignore(_line: int, _problem: str) -> None:
    return


def read_events(path: Path, on_problem: OnProblem = _ignore) -> Iterator[Event]:
    """Every event of a file, in its order, without ids.

    :raises OSError: it can't be read.
    :raises EventDecodeError: it is one JSON document over several lines, and that is broken or too large.
    """
    with path.open("rb") as file:
        lines = _lines(file.readline, on_problem)
        first = next(lines, (0, b""))
        if first[1].strip() in {b"[", b"{"}:
            if path.stat().st_size > MAX_ARRAY:
                raise EventDecodeError(f"{path.name}: one JSON document of more than {MAX_ARRAY} bytes")
            file.seek(0)
            yield from _document(1, dialect.decode(file.read()), on_problem)
            return
        for number, line in itertools.chain([first], lines):
            if not line.strip():
                continue
            try:
                document = dialect.decode(line)
            except EventDecodeError as problem:
                on_problem(number, str(problem))
                continue
            yield from _document(number, document, on_problem)


def _lines(readline: Callable[[int], bytes], on_problem: OnProblem) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := readline(MAX_LINE):
        number += 1
        if len(line) < MAX_LINE or line.endswith(b"\n"):
            yield number, line
            continue
        on_problem(number, f"longer than {MAX_LINE} bytes")
        while line and not line.endswith(b"\n"):
            line = readline(MAX_LINE)


def _document(number: int, document: object, on_problem: OnProblem) -> Iterator[Event]:
    for item in document if isinstance(document, list) else [document]:
        if isinstance(item, dict) and "type" not in item and "dir" in item:
            continue
        try:
            yield from dialect.read_one(_recorded(item))
        except EventDecodeError as problem:
            on_problem(number, str(problem))


def _recorded(item: Any) -> Any:
    if isinstance(item, dict) and "type" not in item and isinstance(item.get("event"), dict):
        return item["event"]
    return item
