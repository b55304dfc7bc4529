"""Ends the servers that tests have started when the tests' own process is killed: nobody else would.

A process beside it is told of each, and sees by the end of a pipe that it is gone. The kernel's own way
(``PR_SET_PDEATHSIG``) ends a child with the thread that started it, and a server is started in passing ones too.
"""

import atexit
import subprocess
import sys
from functools import cache

_GUARD = """
import os, signal, sys

def began(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return None

held = {int(line): began(int(line)) for line in sys.stdin}
for pid, when in held.items():
    # A number may be another's by now.
    if when is not None and began(pid) == when:
        (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, signal.SIGKILL)
"""


@cache
def _guard() -> "subprocess.Popen[str]":
    # In a session of its own, so that Ctrl-C does not end it first.
    guard = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _GUARD],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    atexit.register(guard.communicate)
    return guard


def hold(pid: int) -> None:
    """Of a server that was started just now; with it goes its process group, where it leads one."""
    pipe = _guard().stdin
    assert pipe is not None
    pipe.write(f"{pid}\n")
    pipe.flush()
