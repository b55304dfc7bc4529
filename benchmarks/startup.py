"""From the command to the first answer on the Janus API: ``appliance run`` in a fresh data folder."""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.figures import Figure
from tests.peers.appliance import free_settings
from tests.peers.janus import free_port

RUNS = 5
LIMIT_SECONDS = 30.0


def _once() -> float:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        options = [*free_settings(Path(folder)), "--set", f"transports.http.port={port}"]
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", *options, "run"], stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            while time.monotonic() - began < LIMIT_SECONDS:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/janus/info", timeout=1):
                        return time.monotonic() - began
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.01)
            raise TimeoutError(f"no answer in {LIMIT_SECONDS:.0f} s")
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait()


def main() -> list[Figure]:
    """Median and worst of some starts."""
    times = [_once() for _ in range(RUNS)]
    note = f"{RUNS} starts, {min(times):.2f}-{max(times):.2f} s"
    return [Figure("start to first answer on the Janus API", statistics.median(times), "s", "<= 2", note)]
