"""Programs that interop tests drive; ``tests/programs.sh`` installs them where it can."""

import os
import shutil

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
