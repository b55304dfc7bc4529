"""A firewall and a NAT in a network namespace: packets dropped by direction, size and number, ports translated."""

from pathlib import Path

import pytest

from tests.peers import namespace
from tests.programs import need

pytestmark = pytest.mark.interop


def test_a_firewall_is_known_by_what_it_does(tmp_path: Path) -> None:
    need("iptables", "unshare", "ip")
    if not namespace.available():
        pytest.skip("no network namespace can be made here (it takes root)")
    done = namespace.run_inside(["-m", "tests.interop.faults.firewall", str(tmp_path)], timeout=100)
    assert done.returncode == 0, done.stdout
