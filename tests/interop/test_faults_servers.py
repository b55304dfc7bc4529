"""Servers that fail their calls: one without an address, and such as are stopped or killed under them."""

import json
from pathlib import Path

import pytest

from tests.peers import namespace
from tests.programs import need

pytestmark = pytest.mark.interop


def test_a_server_that_fails_its_calls_is_named(tmp_path: Path) -> None:
    """A real Janus, whose words for it are its own, and our gateway under its supervisor."""
    need("janus", "unshare", "ip")
    if not namespace.available():
        pytest.skip("no network namespace can be made here (it takes root)")
    done = namespace.run_inside(["-m", "tests.interop.stopped_calls", str(tmp_path)], timeout=90)
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["live"] == {
        "janus without address": "gathering_failed",
        "janus SIGTERM": "server_shutdown",
        "janus SIGKILL": "server_shutdown",
        "gateway SIGTERM": "server_shutdown",
        "gateway SIGKILL": "server_shutdown",
    }
    # The events of Janus, written down as it sent them.
    assert told["recorded"] == ["gathering_failed", "server_shutdown", "server_shutdown"]
