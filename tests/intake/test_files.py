import json
from pathlib import Path

import pytest

from appliance.core.events import Event, encode_json
from appliance.intake import dialect
from appliance.intake.files import MAX_LINE, read_events

DATA = Path(__file__).parent.parent / "data"
A = {"type": 1, "timestamp": 1, "session_id": 7, "event": {"name": "created"}}
B = {"type": 1, "timestamp": 2, "session_id": 7, "event": {"name": "destroyed"}}


def written(folder: Path, content: bytes | str) -> Path:
    path = folder / "events.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def stamps(path: Path) -> tuple[list[int], list[tuple[int, str]]]:
    problems: list[tuple[int, str]] = []
    return [item.timestamp for item in read_events(path, lambda n, text: problems.append((n, text)))], problems


@pytest.mark.parametrize(
    "content",
    [
        f"{json.dumps(A)}\n{json.dumps(B)}\n",
        f"{json.dumps(A)}\n\n{json.dumps(B)}",
        json.dumps([A, B]),
        json.dumps([A, B], indent=2),
        f"[{json.dumps(A)},\n{json.dumps(B)}]".replace("[", "[\n", 1),
        f"{json.dumps([A])}\n{json.dumps([B])}\n",
        f"{json.dumps({'t_arrival_us': 1, 'post': 0, 'i': 0, 'event': A})}\n{json.dumps({'event': B})}",
        f"{json.dumps({'dir': 'c2s', 'message': {}})}\n{json.dumps(A)}\n{json.dumps(B)}\r\n",
    ],
    ids=["lines", "gaps", "array", "pretty", "array-in-lines", "arrays", "recorder", "with-signalling"],
)
def test_every_shape_of_a_recording_is_read(tmp_path: Path, content: str) -> None:
    assert stamps(written(tmp_path, content)) == ([1, 2], [])


def test_a_single_pretty_object_is_read(tmp_path: Path) -> None:
    assert stamps(written(tmp_path, json.dumps(A, indent=1))) == ([1], [])


def test_a_recorded_trace_is_what_was_posted() -> None:
    path = DATA / "janus-1.4/aiortc_echo_combined.jsonl"
    posted = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert list(read_events(path)) == [found for item in posted for found in dialect.read_one(item)]


def test_our_own_lines_are_read_back_without_what_a_collector_gave_them(tmp_path: Path) -> None:
    from msgspec.structs import replace

    original: list[Event] = list(read_events(DATA / "janus-1.4/aiortc_echo.jsonl"))
    stamped = [replace(item, id=n + 1, correlation_id="1-2-3@x") for n, item in enumerate(original)]
    path = written(tmp_path, b"\n".join(map(encode_json, stamped)))
    assert list(read_events(path)) == original


def test_a_bad_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, f'{json.dumps(A)}\n{{"type": \n7\n{json.dumps({**B, "event": 1})}\n{json.dumps(B)}')
    times, problems = stamps(path)
    assert times == [1, 2]
    assert [number for number, _ in problems] == [2, 3, 4]
    assert "int came, wanted an object" in problems[1][1]


def test_a_line_that_never_ends_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, b"x" * (2 * MAX_LINE + 5) + b"\n" + json.dumps(A).encode())
    times, problems = stamps(path)
    assert times == [1]
    assert problems == [(1, f"longer than {MAX_LINE} bytes")]


@pytest.mark.parametrize(
    ("content", "line"), [("[\n{]", 2), ("{", 1), ("[" * 100_000, 1), (f"{json.dumps(A, indent=1)}\n{{1", 9)]
)
def test_a_broken_document_is_named(tmp_path: Path, content: str, line: int) -> None:
    _, problems = stamps(written(tmp_path, content))
    assert [number for number, _ in problems] == [line]
    assert problems[0][1].startswith("JSON: ")


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "with a byte order mark"])
@pytest.mark.parametrize(
    "content",
    [
        json.dumps([[A], [[B]]]),
        f"{json.dumps([[A]])}\n{json.dumps([[B]])}\n",
        f"{json.dumps(A, indent=2)}\n{json.dumps(B, indent=2)}\n",
        f"{json.dumps(A)}{json.dumps(B)}",
        f"\x1e{json.dumps(A)}\n\x1e{json.dumps(B)}\n",
        f"\r\n{json.dumps(A)}\r\n\r\n{json.dumps(B)}",
        f"{json.dumps({'_index': 'x', '_source': A})}\n{json.dumps({'version': '1.1', 'level': 1, 'full_message': B})}",
        json.dumps([A, B, {**A, "timestamp": 3}])[:-30],
        json.dumps([A, B, {**A, "timestamp": 3}], indent=1)[:-30],
    ],
    ids=["nested", "nested in lines", "laid out", "close", "RFC 7464", "CRLF", "wrapped", "cut array", "cut, laid out"],
)
def test_what_receivers_write_is_read(tmp_path: Path, content: str, mark: str) -> None:
    assert stamps(written(tmp_path, mark + content))[0] == [1, 2]


def test_an_empty_file_has_no_events(tmp_path: Path) -> None:
    assert stamps(written(tmp_path, "")) == ([], [])


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_events(tmp_path / "none"))
