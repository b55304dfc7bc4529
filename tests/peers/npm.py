"""Packages from the npm registry, installed once a test run."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.programs import need


@cache
def installed(*packages: str) -> Path:
    """``node_modules`` with these packages (``name@version``)."""
    npm = need("npm", "node")
    folder = Path(mkdtemp(prefix="appliance-npm-"))
    (folder / "package.json").write_text("{}")
    done = subprocess.run(
        [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *packages],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "node_modules"
