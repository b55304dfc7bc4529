"""Recordings of the cases, kept where somebody wants to make fixtures of them (``captures/from_recordings.py``)."""

import os
import shutil
from pathlib import Path

FOLDER = "FAULT_RECORDINGS"
"""Environment variable; without it nothing is kept."""


def keep(recording: Path | None, code: str, case: str) -> None:
    """Copy a recording, named after the verdict that its case must get."""
    folder = os.environ.get(FOLDER)
    if folder is None or recording is None:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(recording, Path(folder) / f"{code}.{case.replace(' ', '_')}{recording.suffix}")
