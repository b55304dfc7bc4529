"""A real Janus whose operator changed one line: its events come to our collector, and its call is explained."""

import json
from pathlib import Path

import pytest

from tests.peers import namespace
from tests.programs import need

pytestmark = pytest.mark.interop


def test_a_call_through_janus_is_explained_like_ours(tmp_path: Path) -> None:
    need("janus", "unshare", "ip")
    if not namespace.available():
        pytest.skip("no network namespace can be made here (it takes root)")
    done = namespace.run_inside(["-m", "tests.interop.janus_call", str(tmp_path)], timeout=90)
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout.splitlines()[-1])
    explained = told["explained"]
    assert explained["server"] == "janus-peer"
    assert explained["verdict"]["code"] == "ended_by_app"
    outcomes = {phase["name"]: phase["outcome"] for phase in explained["phases"]}
    assert {outcomes[name] for name in ("signalling", "gathering", "ice", "dtls", "first_media")} == {"ok"}
    assert namespace.ADDRESS in explained["selected_pair"]
    # How many is known of the last time that Janus told, once a second.
    assert {track["kind"] for track in explained["tracks"] if track["packets_in"]} >= {"audio", "video"}
    assert 'appliance_peerconnections_up_total{server="janus-peer",plugin="echotest"} 1' in told["metrics"]
