"""Events in files, and what a full disk or a cut line does to them."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from appliance.handlers.output.file import FileOutput, FileOutputConfig
from appliance.intake.files import read_events
from tests.clock import FakeClock
from tests.handlers.harness import context, recorded
from tests.handlers.output.backend import numbered

KB = 1 / 1024
"""In the unit of ``max_mb``."""


async def opened(folder: Path, **settings: Any) -> FileOutput:
    handler = FileOutput(FileOutputConfig(**settings), context(folder, FakeClock()))
    await handler.start()
    return handler


def sessions(path: Path) -> list[int]:
    return [json.loads(line)["session_id"] for line in path.read_text().splitlines()]


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_what_is_written_can_be_read_again_with_nothing_missing(tmp_path: Path) -> None:
    events = list(recorded("janus-1.4/aiortc_echo_combined.jsonl"))
    handler = await opened(tmp_path)
    await handler.handle(events)
    await handler.stop()
    problems: list[Any] = []
    found = list(read_events(handler.path, lambda line, problem: problems.append((line, problem))))
    assert [item.event for item in found] == [item.event for item in events]
    assert not problems
    assert handler.path.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_full_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    handler = await opened(tmp_path, max_mb=KB, keep=2)
    for first in range(0, 50, 10):
        await handler.handle(numbered(first, 10))
    await handler.stop()
    assert {path.name for path in files(tmp_path)} == {"events.jsonl", "events.jsonl.1", "events.jsonl.2"}
    kept = [sessions(tmp_path / name) for name in ("events.jsonl.2", "events.jsonl.1", "events.jsonl")]
    assert [number for part in kept for number in part] == list(range(50))[-sum(map(len, kept)) :]
    assert handler.rotations > 2
    assert all(path.stat().st_size <= 1024 for path in files(tmp_path))


async def test_it_goes_on_where_it_was_behind_a_line_that_was_cut(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"session_id":0}\n{"session_')
    handler = await opened(tmp_path)
    await handler.handle(numbered(1, 2))
    await handler.stop()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert lines[1] == '{"session_'
    assert [json.loads(line)["session_id"] for line in lines[2:]] == [1, 2]


async def test_a_full_disk_is_waited_for_and_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = await opened(tmp_path, retransmissions_backoff=1)
    write = os.write
    troubles = [7, 0]

    def cut(descriptor: int, data: bytes) -> int:
        if troubles:
            room = troubles.pop(0)
            if room:
                return write(descriptor, bytes(data[:room]))
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", cut)
    await handler.handle(numbered(0, 3))
    await handler.stop()
    assert sessions(handler.path) == [0, 1, 2]
    assert handler.attempts["failed"] == 1


@pytest.mark.parametrize("settings", [{"file": "../x"}, {"file": "/etc/x"}, {"file": ""}, {"max_mb": 0}, {"keep": -1}])
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        FileOutput(FileOutputConfig(**settings), context(tmp_path, FakeClock()))
