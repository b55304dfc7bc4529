"""What tests have started ends with them, even where they are killed."""

import signal
import subprocess
import sys

import pytest

_TESTS = """
import subprocess, sys, time
from tests.peers.leash import hold
child = subprocess.Popen({command}, start_new_session={leads})
hold(child.pid)
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("command", "leads"),
    [(["sleep", "60"], False), (["sh", "-c", "sleep 60; true"], True)],
    ids=["alone", "with its children"],
)
def test_a_server_ends_with_the_tests_that_were_killed(command: list[str], leads: bool) -> None:
    script = _TESTS.format(command=command, leads=leads)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        assert tests.stdout.readline() == b"started\n"
        tests.send_signal(signal.SIGKILL)
        # The other end of this pipe is the server's too, so its end is the server's.
        assert tests.stdout.read() == b""
