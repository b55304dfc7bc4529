"""Events of a real Janus get lost, and its Admin API puts right what the collector shows."""

import json
from pathlib import Path

import pytest

from tests.peers import namespace
from tests.programs import need

pytestmark = pytest.mark.interop
SESSIONS = 1 + 24 - 6
"""The call's, and of those that come and go each fourth is destroyed."""
HANDLES = 1 + 2 * 12 + 6


def test_counts_agree_though_events_are_lost(tmp_path: Path) -> None:
    need("janus", "unshare", "ip")
    if not namespace.available():
        pytest.skip("no network namespace can be made here (it takes root)")
    done = namespace.run_inside(["-m", "tests.interop.admin_poll_call", str(tmp_path)], timeout=90)
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout.splitlines()[-1])
    # A call that was up before the collector was.
    assert told["joined"] == [1, 1]
    live = told["live"]
    assert live["plugin"] == "janus.plugin.echotest" and live["verdict"]["severity"] != "fault"
    assert namespace.ADDRESS in live["selected_pair"]
    phases = {phase["name"]: phase for phase in live["phases"]}
    assert phases["dtls"]["outcome"] == "ok" and phases["dtls"]["duration_us"] is None
    assert 'appliance_peerconnections{server="janus-peer",state="up"} 1' in told["live_metrics"]
    timed = [line for line in told["live_metrics"].splitlines() if "setup_phase_duration_seconds_count{" in line]
    assert not [line for line in timed if 'server="janus-peer"' in line and not line.endswith(" 0")]
    # Sessions and handles whose beginnings and ends were lost.
    assert set(told["lost"]) == {"created", "attached", "detached", "destroyed"}
    assert told["after_churn"] == [SESSIONS, HANDLES]
    # And a call of which no event told that it ended.
    verdict = told["explained"]["verdict"]
    assert verdict["code"] == "end_untold", verdict
    assert "no event told its end" in verdict["sentence"] and "evidence_incomplete" in verdict["also"]
    assert told["at_the_end"] == [SESSIONS - 1, HANDLES - 1]
    assert 'appliance_admin_inferred_total{server="test",what="hangup"} 1' in told["metrics"]
    assert {f'appliance_admin_difference{{server="test",what="{what}"}} 0' for what in ("sessions", "handles")} <= set(
        told["metrics"].splitlines()
    )
