"""Broken calls in ``captures/faults``, made by tests/interop: each capture tells the verdict that its case got."""

import json
from pathlib import Path
from typing import Any

import pytest
from scapy.utils import RawPcapReader

from appliance.commands.replay import explain_recording
from appliance.core.clock import LoopClock
from appliance.core.stamp import Stamper
from appliance.diagnosis.rules import RULES
from appliance.intake.recorded import read_recording

FAULTS = Path(__file__).parent.parent / "captures" / "faults"
CODES = sorted(path.stem for path in FAULTS.glob("*.pcap"))
MAX_BYTES = 100_000


def described(code: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FAULTS / f"{code}.json").read_text())
    return found


def test_each_capture_is_of_a_verdict_and_has_its_description() -> None:
    assert sorted(path.stem for path in FAULTS.glob("*.json")) == CODES
    assert set(CODES) <= {rule.code for rule in RULES}


def test_every_verdict_has_a_capture_or_a_reason_why_not() -> None:
    text = (FAULTS.parent / "README.md").read_text()
    told, _, untold = text.partition("By the packets alone")[2].partition("By neither:")
    for rule in RULES:
        assert f"`{rule.code}`" in (told if rule.code in CODES else untold), rule.code


@pytest.mark.parametrize("code", CODES)
def test_a_capture_tells_what_broke_its_call(code: str) -> None:
    description = described(code)
    path = FAULTS / f"{code}.pcap"
    assert path.stat().st_size < MAX_BYTES
    assert description["verdict"] == code
    recording = read_recording(path)
    (call,) = explain_recording(recording, Stamper(LoopClock()))
    assert call.explanation.verdict.code == code
    # Of packets alone it is known that signalling is not there.
    assert ("evidence_incomplete" in call.explanation.verdict.also) == (description["by"] == "packets")


@pytest.mark.parametrize("code", CODES)
def test_a_description_counts_what_tshark_counted(code: str) -> None:
    description = described(code)
    counts = description["packets"]
    with RawPcapReader(str(FAULTS / f"{code}.pcap")) as packets:
        assert sum(1 for _ in packets) == counts["all"]
    assert all(description[key] for key in ("origin", "holds", "licence", "tool"))
    if description["by"] == "hep":
        assert counts["hep"] == counts["all"]
    else:
        assert "hep" not in counts
        assert counts["stun"] > 0
