"""Make fixtures of broken calls: from recordings of the fault matrix, what each verdict can be known by.

    FAULT_RECORDINGS=recorded pytest -m interop tests/interop/test_faults_*.py
    python captures/from_recordings.py recorded

The first runs every case and keeps its recording, named after the verdict that the case must get; the second writes,
for each verdict, ``captures/faults/CODE.pcap`` and ``CODE.json``. Where the packets of the call tell the verdict by
themselves, the capture holds them, media cut behind the RTP header; where they can't, it holds the call's events as the
HEP handler ships them. Either is read back first, and has to tell that verdict. Needs Wireshark's programs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scapy.layers.inet import IP, UDP
from scapy.packet import Raw
from scapy.utils import wrpcap

sys.path.insert(0, str(Path(__file__).parents[1]))

from appliance.commands.replay import Call, explain_recording
from appliance.core.clock import LoopClock
from appliance.core.stamp import Stamper
from appliance.intake.recorded import RecordingError, read_recording
from appliance.recording.bundle import WIRE
from tests.handlers.hep_calls import mapper

HERE = Path(__file__).parent / "faults"
MAX_BYTES = 100_000
RTP_HEADER = 40
"""Bytes of a packet of media that are kept: IPv4, UDP and RTP without extensions."""
LICENCE = "Recorded for this project; under its licence, MIT."
HEP_FROM, HEP_TO, HEP_PORT = "192.0.2.1", "192.0.2.9", 9060
"""Made up (RFC 5737)."""
KINDS = ("stun", "dtls", "rtp", "rtcp")
HEURISTICS = ("--enable-heuristic", "rtp_udp", "--enable-heuristic", "rtcp_udp")


class Made(NamedTuple):
    """One fixture: a capture, and how it tells its verdict."""

    data: bytes
    by: str


def main() -> None:
    """Read the arguments, make what can be made, and say what can't."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recorded", type=Path, help="folder of recordings, each named CODE.CASE.zip or .jsonl")
    parser.add_argument("--only", nargs="*", help="these verdicts alone")
    options = parser.parse_args()
    HERE.mkdir(exist_ok=True)
    best: dict[str, tuple[Made, str]] = {}
    for path in sorted(options.recorded.iterdir()):
        code, case = path.stem.split(".", 1)
        if options.only and code not in options.only:
            continue
        for made in fixtures(path, code):
            # Packets say more than events, and the smaller of two says as much as the larger.
            if code not in best or (made.by, len(made.data)) > (best[code][0].by, -len(best[code][0].data)):
                best[code] = made, case
    for code, (made, case) in best.items():
        write(code, made, case.replace("_", " "))


def fixtures(path: Path, code: str) -> Iterator[Made]:
    """The captures of a recording that tell its verdict, and are small enough."""
    with tempfile.TemporaryDirectory() as directory:
        for by, capture in (("packets", packets(path, Path(directory))), ("hep", events(path, code, Path(directory)))):
            if capture is None:
                continue
            told = [call.explanation.verdict.code for call in calls(capture)]
            size = capture.stat().st_size
            if told == [code] and size < MAX_BYTES:
                yield Made(capture.read_bytes(), by)
            else:
                print(f"{path.name}: by {by}, {size} bytes tell {told}")


def calls(path: Path) -> list[Call]:
    """What a recording holds."""
    try:
        return explain_recording(read_recording(path), Stamper(LoopClock()))
    except RecordingError:
        return []


def packets(path: Path, directory: Path) -> Path | None:
    """The call on the wire: STUN and DTLS whole, of media the headers."""
    if path.suffix != ".zip":
        return None
    whole, set_up, media, target = (
        directory / name for name in ("whole.pcapng", "set-up.pcap", "media.pcap", "p.pcap")
    )
    with zipfile.ZipFile(path) as archive:
        if WIRE not in archive.namelist():
            return None
        whole.write_bytes(archive.read(WIRE))
    run("tshark", "-r", str(whole), "-Y", "stun || dtls", "-F", "pcap", "-w", str(set_up))
    run("tshark", "-r", str(whole), "-Y", "!(stun || dtls)", "-F", "pcap", "-w", f"{media}.whole")
    run("editcap", "-F", "pcap", "-s", str(RTP_HEADER), f"{media}.whole", str(media))
    run("mergecap", "-F", "pcap", "-w", str(target), str(set_up), str(media))
    return target


def events(path: Path, code: str, directory: Path) -> Path | None:
    """The call's events as HEP."""
    found = next((call for call in calls(path) if call.explanation.verdict.code == code), None)
    if found is None:
        return None
    hep = mapper()
    sent = []
    for item in found.events:
        sent += [(item.timestamp, out) for out in hep.take(item, item.timestamp / 1e6)]
    last_us = found.events[-1].timestamp
    sent += [(last_us, out) for out in hep.flush()]
    frames = []
    for timestamp_us, out in sent:
        frame = IP(src=HEP_FROM, dst=HEP_TO) / UDP(sport=HEP_PORT, dport=HEP_PORT) / Raw(out.render())
        frame.time = timestamp_us / 1e6
        frames.append(frame)
    target = directory / "e.pcap"
    wrpcap(str(target), frames)
    return target


def write(code: str, made: Made, case: str) -> None:
    """The pair of files."""
    capture = HERE / f"{code}.pcap"
    capture.write_bytes(made.data)
    description: dict[str, Any] = {
        "origin": f"the case '{case}' of tests/interop, recorded",
        "holds": "the call's packets, media cut behind the RTP header"
        if made.by == "packets"
        else "the call's events, as the HEP handler ships them",
        "licence": LICENCE,
        "tool": run("tshark", "--version").splitlines()[0],
        "verdict": code,
        "by": made.by,
        "packets": counted(capture),
    }
    capture.with_suffix(".json").write_text(json.dumps(description, indent=1) + "\n")
    print(f"{capture.name}: by {made.by}, {len(made.data)} bytes")


def counted(capture: Path) -> dict[str, int]:
    """How many packets TShark finds of each kind."""
    found = run("tshark", "-r", str(capture), *HEURISTICS, "-T", "fields", "-e", "frame.protocols").splitlines()
    counts = {"all": len(found)}
    for kind in KINDS:
        if number := sum(kind in line.split(":") for line in found):
            counts[kind] = number
    # It has no name for HEP.
    if number := len(run("tshark", "-r", str(capture), "-Y", 'udp.payload[0:4] == "HEP3"').splitlines()):
        counts["hep"] = number
    return counts


def run(*command: str) -> str:
    """Its output; a failure ends us."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
