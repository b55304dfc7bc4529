"""The gateway behind a NAT of the kernel's, in each way that docs/nat.md names."""

import json
from pathlib import Path

import pytest

from tests.peers import namespace
from tests.programs import need

pytestmark = pytest.mark.interop

PUBLIC, SERVER = "198.51.100.20", "198.51.100.10"


def test_a_gateway_behind_a_nat_is_reached(tmp_path: Path) -> None:
    need("turnserver", "iptables", "unshare", "nsenter", "ip")
    if not namespace.available():
        pytest.skip("no network namespace can be made here (it takes root)")
    done = namespace.run_inside(["-m", "tests.interop.nat_call", str(tmp_path)], timeout=110)
    assert done.returncode == 0, done.stdout
    told = {case.pop("case"): case for case in map(json.loads, done.stdout.splitlines())}
    assert {name: case["echo"] for name, case in told.items()} == {
        "mapped": "echo: hello", "stun": "echo: hello", "turn": "echo: hello", "turn over tcp": "echo: hello",
    }, told  # fmt: skip
    # The client is told the public address, in whatever way it was found, and the pair in use is called by it.
    assert told["mapped"]["candidates"] == [f"1 1 udp 2130706431 {PUBLIC} 40000 typ host"]
    assert told["mapped"]["pairs"][-1].startswith(f"{PUBLIC}:40000 [host,udp] <-> ")
    assert told["stun"]["candidates"][1].endswith(f" {PUBLIC} 40000 typ srflx raddr 10.0.0.2 rport 40000")
    assert told["stun"]["pairs"][-1].startswith(f"{PUBLIC}:40000 [srflx,udp] <-> ")
    for name in ("turn", "turn over tcp"):
        assert f" {SERVER} " in told[name]["candidates"][1]
        assert " typ relay " in told[name]["candidates"][1]
        assert told[name]["pairs"][-1].startswith(f"{SERVER}:")
        assert "[relay,udp] <-> " in told[name]["pairs"][-1]
