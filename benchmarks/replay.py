"""Replay: a capture of 100,000 packets made into timelines, beside ``tshark -T fields`` reading the same file.

The first figure is of the work alone (tshark's start, measured with a file of few packets, is taken off); the second
of both commands as they are typed, with their start.
"""

import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

from appliance.core.events import Event
from appliance.diagnosis.calls import split
from appliance.diagnosis.explain import explain
from appliance.intake.recorded import read_recording
from appliance.wire import stun
from appliance.wire.pcap import LinkType, Writer
from appliance.wire.rtp import RtpHeader
from benchmarks.figures import Figure, table

PACKETS = 100_000
CALLS = 20
START_NS = 1_700_000_000 * 10**9
SERVER = ("192.0.2.1", 10_000)
ROUNDS = 3
FIELDS = ("frame.time_epoch", "ip.src", "ip.dst", "udp.srcport", "udp.dstport", "udp.length", "stun.type",
          "rtp.ssrc", "rtp.seq", "rtp.timestamp")  # fmt: skip


def make(path: Path, packets: int = PACKETS) -> None:
    """Calls at the same time, each with audio both ways (50 packets a second) and a check of ICE now and then."""
    writer = Writer(link_type=LinkType.ETHERNET)
    with path.open("wb") as file:
        file.write(writer.file_header())
        for number in range(packets):
            round_number, call = divmod(number, CALLS)
            turn, step = divmod(round_number, 2)
            client = (f"198.51.100.{call + 1}", 50_000)
            ends = (client, SERVER) if step == 0 else (SERVER, client)
            at_ns = START_NS + turn * 20_000_000 + step * 3_000_000 + call * 1_000
            if turn % 100 == 0:
                identity = number.to_bytes(12, "big")[:12] if step == 0 else (number - CALLS).to_bytes(12, "big")
                payload = (
                    stun.binding_request(
                        username=f"srvu{call}:cliu{call}", key=b"x" * 24, transaction_id=identity, priority=1,
                        controlling=1, use_candidate=True,
                    )
                    if step == 0
                    else stun.binding_response(identity, client, b"x" * 24)
                )  # fmt: skip
            else:
                header = RtpHeader(111, turn & 0xFFFF, turn * 960 & 0xFFFFFFFF, 1000 + 2 * call + step)
                payload = header.build() + bytes(100)
            file.write(writer.record(at_ns, *ends, payload))


def replayed(path: Path) -> int:
    """Read, fold and judge; how many calls there were."""
    events: list[Event] = read_recording(path).events
    return len([explain(found, final=True) for found in split(events).values()])


def _best(work: object, *arguments: object) -> float:
    assert callable(work)
    fastest = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work(*arguments)
        fastest = min(fastest, time.perf_counter() - began)
    return fastest


def _tshark(path: Path) -> None:
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *(part for field in FIELDS for part in ("-e", field))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _command(path: Path) -> None:
    command = [sys.executable, "-m", "appliance", "replay", "--json", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _peak(path: Path) -> int:
    tracemalloc.start()
    replayed(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> list[Figure]:
    """Every figure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.pcap"
        make(path)
        assert replayed(path) == CALLS
        ours = _best(replayed, path)
        if shutil.which("tshark") is None:
            ratios = [Figure("replay: beside tshark", 0.0, "x", "", "tshark is not installed: not measured")]
        else:
            few = Path(folder) / "few.pcap"
            make(few, CALLS)
            whole = _best(_tshark, path)
            theirs = whole - _best(_tshark, few)
            typed = _best(_command, path)
            note = (
                f"tshark {PACKETS / theirs / 1000:.0f} k packets/s, ours {PACKETS / ours / 1000:.0f} k; starts left out"
            )
            ratios = [
                Figure("replay: faster than tshark -T fields", theirs / ours, "x", ">= 5", note),
                Figure(
                    "replay: the same as typed, with start", whole / typed, "x", ">= 5", f"{whole:.2f} s, {typed:.2f} s"
                ),
            ]
        size = path.stat().st_size
        peak = _peak(path)
    return [
        *ratios,
        Figure("replay: 100,000 packets into judged timelines", ours, "s"),
        Figure(
            "replay: memory",
            peak / 2**20,
            "MiB",
            "",
            f"Python's own, of a file of {size / 2**20:.0f} MiB, {CALLS} calls",
        ),
    ]


if __name__ == "__main__":
    print(table(main()))
