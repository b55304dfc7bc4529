"""Programs that interop tests drive; ``tests/programs.sh`` installs them where it can."""

import os
import shutil
from pathlib import Path

import pytest


def need(*programs: str) -> str:
    """Return the path of the first program; without all of them skip, or fail where CI is set."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        message = f"not installed: {', '.join(missing)} (tests/programs.sh installs it)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return str(shutil.which(programs[0]))


def need_file(name: str) -> Path:
    """Return a file that a package brings; without it skip, or fail where CI is set."""
    path = Path(name)
    if not path.exists():
        message = f"not installed: {name} (tests/programs.sh installs it)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
