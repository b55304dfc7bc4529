"""Reads recorded events: JSON objects or arrays, a line each or laid out over several; Janus's, ours, or a recorder's.

A recorder's line has the event inside (``{"t_arrival_us": ..., "event": {...}}``), as what a search engine or a GELF
server exports has (``_source``, ``full_message``); a line of anything else that is an object with a ``dir`` (a
signalling log) is passed over.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from appliance.core.events import Event, EventDecodeError
from appliance.intake import dialect

MAX_LINE = 16 * 2**20
MAX_ARRAY = 512 * 2**20
"""Bytes of a file whose JSON documents go over several lines: it is read at once."""
MAX_NESTED = 4
"""Arrays within arrays."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BETWEEN = re.compile(r"[\s,\x1e]*")
"""Separators of documents: RFC 7464's too, and the commas of an array whose end is missing."""
_ANEW = re.compile(r"\n[ \t]*[\[{]")
_WRAPPERS = ("event", "_source", "full_message")

OnProblem = Callable[[int, str], None]
"""Hears (line number, what is wrong) of each line or event that is none."""


def _ignore(_line: int, _problem: str) -> None:
    return


def read_events(path: Path, on_problem: OnProblem = _ignore) -> Iterator[Event]:
    """Every event of a file, in its order, without ids.

    :raises OSError: it can't be read.
    :raises EventDecodeError: its documents go over several lines, and it is too large for that.
    """
    with path.open("rb") as file:
        if file.read(3) != BYTE_ORDER_MARK:
            file.seek(0)
        begin = file.tell()
        lines = _lines(file.readline, on_problem)
        first = next(((number, line) for number, line in lines if line.strip()), (0, b""))
        if first[0] and not _is_document(first[1]):
            if path.stat().st_size > MAX_ARRAY:
                raise EventDecodeError(f"{path.name}: JSON over several lines in a file of more than {MAX_ARRAY} bytes")
            file.seek(begin)
            whole = file.read()
            try:
                document = dialect.decode(whole)
            except EventDecodeError:
                yield from _documents(whole.decode("utf-8", "replace"), on_problem)
            else:
                yield from _document(1, document, on_problem)
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


def _is_document(line: bytes) -> bool:
    try:
        dialect.decode(line)
    except EventDecodeError:
        return False
    return True


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


def _documents(text: str, on_problem: OnProblem) -> Iterator[Event]:
    """One behind the other. Of an array that has no end its elements; what is none costs itself alone."""
    decoder, at, line, counted, opened = json.JSONDecoder(), 0, 1, 0, 0
    while (between := _BETWEEN.match(text, at)) is not None and (at := between.end()) < len(text):
        line, counted = line + text.count("\n", counted, at), at
        try:
            end = decoder.raw_decode(text, at)[1]
            document = dialect.decode(text[at:end].encode())
            at = end
        except (ValueError, RecursionError) as problem:
            if text[at] == "[" and opened < MAX_NESTED:
                at, opened = at + 1, opened + 1
                continue
            if text[at] != "]":
                on_problem(line, f"JSON: {problem}")
            anew = _ANEW.search(text, at)
            at = anew.start() if anew is not None else len(text)
            continue
        yield from _document(line, document, on_problem)


def _document(number: int, document: object, on_problem: OnProblem, depth: int = 0) -> Iterator[Event]:
    for item in document if isinstance(document, list) else [document]:
        if isinstance(item, list) and depth < MAX_NESTED:
            yield from _document(number, item, on_problem, depth + 1)
            continue
        if isinstance(item, dict) and "type" not in item and "dir" in item:
            continue
        try:
            yield from dialect.read_one(_recorded(item))
        except EventDecodeError as problem:
            on_problem(number, str(problem))


def _recorded(item: Any) -> Any:
    if isinstance(item, dict) and "type" not in item:
        return next((item[name] for name in _WRAPPERS if isinstance(item.get(name), dict)), item)
    return item
