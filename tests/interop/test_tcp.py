"""Chromium on a network that drops UDP: the call comes up over TCP, and the network test says so."""

import json
from pathlib import Path

import pytest

from tests.interop.tcp_call import PORT
from tests.peers import namespace
from tests.peers.namespace import ADDRESS
from tests.programs import need

pytestmark = pytest.mark.interop


def test_where_udp_is_blocked_calls_go_over_tcp(tmp_path: Path) -> None:
    need("iptables", "unshare", "ip", "chromium")
    if not namespace.available():
        pytest.skip("no network namespace can be made here (it takes root)")
    done = namespace.run_inside(["-m", "tests.interop.tcp_call", str(tmp_path)], timeout=150)
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    where = f"{ADDRESS} port {PORT}"
    rows = told["rows"]
    assert rows["UDP"].startswith(f"No answer from {where}")
    assert rows["TCP"].startswith(f"{where} answers after") and "go over TCP" in rows["TCP"]
    assert "UDP is blocked" in told["result"]
    assert (told["info"]["ice-tcp"], told["info"]["ice-lite"]) == (True, True)
    (pair,) = told["call"]["pairs"]
    assert pair.startswith(f"{ADDRESS}:{PORT} [host,tcp] <-> ") and pair.endswith("[prflx,tcp]")
    assert any('protocol="tcp"' in line for line in told["call"]["metrics"]), told["call"]["metrics"]
