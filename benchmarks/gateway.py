"""CPU per echoed RTP packet: this gateway and Debian's Janus, in turn, by the same load, in the same run.

EchoTest: 10 video calls, 50 audio calls, and one alone. Each gateway is measured as a whole process (user and system
time). Ours runs with its events on and a collector beside; Janus without any event handler, which favours Janus.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from pathlib import Path

import aiohttp

from benchmarks.figures import Figure
from benchmarks.load import Echoes, Load, cpu_seconds
from benchmarks.servers import Server, ours
from tests.peers import namespace
from tests.peers.janus import Janus, janus

ROUNDS = 3


async def _measure(server: Server | Janus, echoes: Echoes, options: argparse.Namespace) -> dict[str, float]:
    connector = aiohttp.TCPConnector(limit=400)
    async with aiohttp.ClientSession(connector=connector) as http:
        load, pid = Load(server.url, http), server.pid
        for _ in range(options.sessions):
            await load.call()
        await load.pump(options.rate, options.size, 1.0)  # caches, key frames of nothing, first statistics
        count, cpu = echoes.count, cpu_seconds(pid)
        sent = await load.pump(options.rate, options.size, options.seconds)
        await asyncio.sleep(0.2)
        used, echoed = cpu_seconds(pid) - cpu, echoes.count - count
        await load.close()
    return {"us": 1e6 * used / max(1, echoed), "sent": sent, "echoed": echoed}


async def _run(options: argparse.Namespace) -> None:
    echoes = Echoes()
    echoes.install(namespace.ADDRESS)
    mine: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        async with ours(data / "ours", namespace.ADDRESS) as gateway, janus(data / "janus") as peer:
            for _ in range(options.rounds):
                mine.append(await _measure(gateway, echoes, options))
                theirs.append(await _measure(peer, echoes, options))
                print(f"  ours {mine[-1]}\n  janus {theirs[-1]}", file=sys.stderr)
    print(json.dumps({"ours": mine, "janus": theirs}))


def main() -> list[Figure]:
    """Measure in a namespace of our own."""
    # One call's packets are few for a clock that ticks each 10 ms.
    return _pair(10, 250, 1100, 8, "<= 0.6") + _pair(50, 50, 160, 8, "<= 0.6") + _pair(1, 50, 160, 20, "<= 0.8")


def _pair(sessions: int, rate: int, size: int, seconds: int, wanted: str) -> list[Figure]:
    arguments = ["--sessions", str(sessions), "--rate", str(rate), "--size", str(size), "--seconds", str(seconds)]
    done = namespace.run_inside(["-m", "benchmarks.gateway", *arguments], timeout=540)
    if done.returncode:
        raise RuntimeError(f"the measured run failed:\n{done.stdout}")
    both = json.loads(done.stdout.splitlines()[-1])
    ratios = [a["us"] / b["us"] for a, b in zip(both["ours"], both["janus"], strict=True)]
    us = statistics.median(a["us"] for a in both["ours"])
    theirs = statistics.median(b["us"] for b in both["janus"])
    case = f"{sessions} sessions x {rate}/s x {size} B"
    return [
        Figure(f"CPU per echoed packet / Janus, {case}", statistics.median(ratios), "x", wanted,
               f"ours {us:.1f} us, Janus {theirs:.1f} us; {len(ratios)} pairs {min(ratios):.2f}-{max(ratios):.2f}"),
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--rate", type=float, default=250)
    parser.add_argument("--size", type=int, default=1100)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asyncio.run(_run(parser.parse_args()))
