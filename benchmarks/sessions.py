"""Sessions by the hundred: what one costs before media flows, a thousand at once, and what a thousand leave behind.

Each is an EchoTest call whose offer is a browser's, ICE and DTLS done, over HTTP without a poll waiting. Memory is the
proportional share (PSS) of the gateway's process, and of Janus's in the same run; ours has its events on and a
collector beside, Janus no event handler.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.callers import Callers
from benchmarks.figures import Figure
from benchmarks.load import cpu_seconds
from benchmarks.servers import Server, ours
from tests.peers import namespace
from tests.peers.janus import Janus, janus

COMPARED = 200
AT_A_TURN = 25
ROUNDS = 3
MANY = 1000
TURNS = 3
KEEP_ALIVE_EACH = 250
"""Sessions that are set up between two looks at the others: a session times out after a minute."""
PACKETS_PER_SECOND = 2500
"""Of all sessions together."""
SECONDS = 10.0
SETTLE_SECONDS = 3.0
"""Statistics are told, and what is to be freed is freed."""
_PAYLOAD = bytes(160)


def pss_kib(pid: int) -> int:
    """The memory of a process, what it shares with others counted in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError(f"no Pss in /proc/{pid}/smaps_rollup")


def _set_up(servers: dict[str, Server | Janus]) -> dict[str, dict[str, float]]:
    """Connect some calls to each; what one takes of memory and of CPU. One before them has loaded what is loaded once.

    They take turns: what else the machine does meanwhile, and how fast it runs, is then the same for all.
    """
    callers = {name: Callers(server.url, namespace.ADDRESS) for name, server in servers.items()}
    for calls in callers.values():
        calls.echo()
    memory = {name: pss_kib(server.pid) for name, server in servers.items()}
    cpu = dict.fromkeys(servers, 0.0)
    for _ in range(COMPARED // AT_A_TURN):
        for name, server in servers.items():
            before = cpu_seconds(server.pid)
            for _ in range(AT_A_TURN):
                callers[name].echo()
            cpu[name] += cpu_seconds(server.pid) - before
    found = {}
    for name, server in servers.items():
        callers[name].attend(1.0)
        kib = (pss_kib(server.pid) - memory[name]) / COMPARED
        found[name] = {"kib": kib, "setup_ms": 1000 * cpu[name] / COMPARED}
    for calls in callers.values():
        calls.close()
    return found


def _many(server: Server) -> dict[str, Any]:
    """A thousand calls, some times: at first a process keeps some of what it frees, to use it again."""
    found: list[dict[str, Any]] = []
    for turn in range(TURNS):
        callers = Callers(server.url, namespace.ADDRESS)
        for number in range(MANY):
            callers.echo()
            if number % KEEP_ALIVE_EACH == KEEP_ALIVE_EACH - 1:
                callers.keep_alive()
        seconds = SECONDS if turn == 0 else 1.0
        cpu = cpu_seconds(server.pid)
        sent = callers.pump(PACKETS_PER_SECOND, _PAYLOAD, seconds)
        callers.attend(0.2)
        share = (cpu_seconds(server.pid) - cpu) / seconds
        connected = pss_kib(server.pid)
        callers.close()
        time.sleep(SETTLE_SECONDS)
        open_files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        found.append(
            {"sent": sent, "came": callers.packets_received, "share": share, "connected_kib": connected,
             "left_kib": pss_kib(server.pid), "fd": open_files}
        )  # fmt: skip
        print(f"  {found[-1]}", file=sys.stderr)
    return {"turns": found}


async def _compare() -> dict[str, Any]:
    """Each pair with processes of its own: in one that has freed memory, new sessions seem to need none."""
    pairs: list[dict[str, dict[str, float]]] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder)
            async with ours(data / "ours", namespace.ADDRESS) as gateway, janus(data / "janus") as peer:
                pairs.append(_set_up({"ours": gateway, "janus": peer}))
                print(f"  {pairs[-1]}", file=sys.stderr)
    return {"pairs": pairs}


async def _run(what: str) -> dict[str, Any]:
    if what == "compare":
        return await _compare()
    with tempfile.TemporaryDirectory() as folder:
        async with ours(Path(folder), namespace.ADDRESS) as gateway:
            return _many(gateway)


def _measured(what: str) -> dict[str, Any]:
    done = namespace.run_inside(["-m", "benchmarks.sessions", what], timeout=400)
    if done.returncode:
        raise RuntimeError(f"the measured run failed:\n{done.stdout}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _ratio(pairs: list[dict[str, dict[str, float]]], what: str, name: str, unit: str, wanted: str) -> Figure:
    mine, theirs = ([pair[side][name] for pair in pairs] for side in ("ours", "janus"))
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    note = f"ours {statistics.median(mine):.3g} {unit}, Janus {statistics.median(theirs):.3g} {unit}"
    span = f"{len(ratios)} pairs {min(ratios):.2f}-{max(ratios):.2f}"
    return Figure(f"{what} / Janus", statistics.median(ratios), "x", wanted, f"{note}; {span}")


def main() -> list[Figure]:
    """Memory and set-up beside Janus's; a thousand at once, and what they leave."""
    pairs = _measured("compare")["pairs"]
    turns = _measured("many")["turns"]
    first, last, before = turns[0], turns[-1], turns[-2]
    each = (last["left_kib"] - before["left_kib"]) / MANY
    return [
        _ratio(pairs, "memory of a connected session before media", "kib", "KiB", "<= 0.75"),
        _ratio(pairs, "CPU to set a session up", "setup_ms", "ms", "<= 0.6"),
        Figure(f"{MANY} sessions at once: packets that came back", 100 * first["came"] / first["sent"], "%", ">= 99",
               f"{PACKETS_PER_SECOND}/s in all, {100 * first['share']:.0f} % of a core"),
        Figure(f"{MANY} more sessions leave, each", each, "KiB", "<= 10",
               f"the process has {last['left_kib'] / 1024:.0f} MiB, {last['connected_kib'] / 1024:.0f} with them"),
        Figure(f"{MANY} more sessions leave open", last["fd"] - before["fd"], "files", "<= 0"),
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["compare", "many"])
    print(json.dumps(asyncio.run(_run(parser.parse_args().what))))
