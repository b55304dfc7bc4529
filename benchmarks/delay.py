"""How long a packet is inside the gateway when half a core is busy: EchoTest, and a room.

From kernel to kernel: the sender notes the time right before it sends, and on loopback the packet is in the gateway's
socket when that call returns; the receiving socket's timestamp (SO_TIMESTAMPNS) is taken while the gateway sends. So
waiting in the gateway's socket is in it, and when the clients get to run is not. Load comes evenly, from packets that
were encrypted before; a sender that was held up leaves packets out instead of sending a burst that no clients would.

The gateway runs with real-time priority where that may be had, so that what else this machine does is not counted; a
last run is without.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.callers import Call, Callers
from benchmarks.figures import Figure
from benchmarks.load import cpu_seconds
from benchmarks.servers import Server, ours
from tests.media.client import Client
from tests.peers import namespace

CALLS = 10
SECONDS = 6.0
ROUNDS = 3
WARM_UP_SECONDS = 2.0
LOAD = 0.5
"""Of one core, which is all that a gateway can use."""
PACKETS_PER_SECOND = {"echo": 10_000.0, "room": 2_000.0}
"""From all senders, to begin with: what makes half load is found from what these cost."""
_PAYLOAD = b"\x10" + bytes(1099)
"""Begins as a VP8 key frame does (RFC 7741 section 4.2)."""
_SO_TIMESTAMPNS = 35
"""Linux; Python's socket module does not name it."""
_TIMESPEC = struct.Struct("@qq")
_LATE_SECONDS = 0.002
"""What a sender has missed by more is left out."""


class Line:
    """Everybody sends; for what one of them sends to one socket, the time on the way is taken."""

    def __init__(self, senders: list[Call], watched: Client, ssrc: int) -> None:
        """``watched`` receives what the first sender sends, as ``ssrc``."""
        self._senders = senders
        self._watched = watched
        self._ssrc = ssrc
        self._sent_ns: dict[int, int] = {}
        self._offset: int | None = None
        self._delays_us: list[float] = []
        watched.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        watched.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_194_304)

    def run(self, packets_per_second: float, seconds: float) -> tuple[list[float], int]:
        """The delays in microseconds, and how many packets were sent by all."""
        ready = list(self._packets(int(packets_per_second * seconds)))
        self._delays_us = []
        # One packet alone tells what the gateway's numbers are, which go on in step with ours.
        self._send(*ready[0])
        time.sleep(0.1)
        self._take()
        began, sent, left_out = time.monotonic(), 1, 0
        while (elapsed := time.monotonic() - began) < seconds:
            due = int(elapsed * packets_per_second)
            left_out = max(left_out, int((elapsed - _LATE_SECONDS) * packets_per_second) - sent)
            while sent + left_out < due and sent < len(ready):
                self._send(*ready[sent])
                sent += 1
            self._take()
            time.sleep(0.0001)
        time.sleep(0.2)
        self._take()
        return self._delays_us, sent

    def _packets(self, count: int) -> Iterator[tuple[Call, int, bytes]]:
        for index in range(max(1, count)):
            call = self._senders[index % len(self._senders)]
            kind = call.client.kinds[0]
            yield call, call.sequence, call.client.rtp(kind, call.sequence, 960 * call.sequence, _PAYLOAD)
            call.sequence += 1

    def _send(self, call: Call, sequence: int, packet: bytes) -> None:
        if call is self._senders[0]:
            self._sent_ns[sequence & 0xFFFF] = time.clock_gettime_ns(time.CLOCK_REALTIME)
        call.client.send(packet)

    def _take(self) -> None:
        receive = self._watched.socket.recvmsg
        with contextlib.suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = receive(2048, 64)
                if len(data) < len(_PAYLOAD) or int.from_bytes(data[8:12], "big") != self._ssrc:
                    continue
                number = int.from_bytes(data[2:4], "big")
                if self._offset is None:
                    (first,) = self._sent_ns
                    self._offset = number - first
                sent_ns = self._sent_ns.pop((number - self._offset) & 0xFFFF, None)
                if sent_ns is not None:
                    seconds, ns = _TIMESPEC.unpack(ancillary[0][2])
                    self._delays_us.append((seconds * 1_000_000_000 + ns - sent_ns) / 1000)


def _echo(callers: Callers) -> Line:
    calls = [callers.echo() for _ in range(CALLS)]
    return Line(calls, calls[0].client, calls[0].client.ssrc_of("audio"))


def _room(callers: Callers) -> Line:
    """Everybody publishes, and is subscribed to everybody else."""
    publishers: list[Call] = []
    feeds: list[int] = []
    session, manager = callers.session("janus.plugin.videoroom")
    create = {"request": "create", "publishers": CALLS, "videocodec": "vp8"}
    room = callers.api.ask(session, manager, janus="message", body=create)["plugindata"]["data"]["room"]
    for _ in range(CALLS):
        call, feed = callers.publish(room)
        publishers.append(call)
        feeds.append(feed)
    subscribers = [callers.subscribe(room, [other for other in feeds if other != feed]) for feed in feeds]
    watched = subscribers[-1].client
    assert watched.answer is not None
    return Line(publishers, watched, watched.answer.media[0].ssrcs[0].ssrc)


def _prefer(pid: int, policy: int, priority: int) -> bool:
    """Schedule all threads of a process so; false where that is not allowed."""
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))
    except PermissionError:
        return False
    return True


def _measure(server: Server, kind: str) -> dict[str, Any]:
    callers = Callers(server.url, namespace.ADDRESS)
    line = {"echo": _echo, "room": _room}[kind](callers)
    rate = PACKETS_PER_SECOND[kind]

    def once(seconds: float) -> dict[str, float]:
        nonlocal rate
        callers.check()
        cpu = cpu_seconds(server.pid)
        delays, sent = line.run(rate, seconds)
        share = (cpu_seconds(server.pid) - cpu) / seconds
        cuts = statistics.quantiles(delays, n=100)
        found = {"p50_ms": cuts[49] / 1000, "p99_ms": cuts[98] / 1000, "share": share, "rate": sent / seconds}
        print(f"  {kind} {found}", file=sys.stderr)
        rate = found["rate"] * LOAD / share
        return found

    preferred = _prefer(server.pid, os.SCHED_RR, 1)
    once(WARM_UP_SECONDS)
    runs = [once(SECONDS) for _ in range(ROUNDS)]
    _prefer(server.pid, os.SCHED_OTHER, 0)
    shared = once(SECONDS)
    callers.close()
    return {"runs": runs, "shared": shared, "preferred": preferred}


async def _run(kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with ours(Path(folder), namespace.ADDRESS) as server:
            print(json.dumps(_measure(server, kind)))


def _figures(kind: str, what: str) -> list[Figure]:
    done = namespace.run_inside(["-m", "benchmarks.delay", kind], timeout=120)
    if done.returncode:
        raise RuntimeError(f"the measured run failed:\n{done.stdout}")
    found = json.loads(done.stdout.splitlines()[-1])
    p50, p99, share, rate = (
        [run[name] for run in found["runs"]] for name in ("p50_ms", "p99_ms", "share", "rate")
    )  # fmt: skip
    load = f"{statistics.median(rate):.0f} packets/s in, {100 * statistics.median(share):.0f} % of a core"
    own = "" if found["preferred"] else ", without priority"
    return [
        Figure(f"inside the gateway, {what}, p50", statistics.median(p50), "ms", "", load + own),
        Figure(f"inside the gateway, {what}, p99", statistics.median(p99), "ms", "<= 5",
               f"{load}{own}; {len(p99)} runs {min(p99):.2f}-{max(p99):.2f}, "
               f"among this machine's other programs {found['shared']['p99_ms']:.2f}"),
    ]  # fmt: skip


def main() -> list[Figure]:
    """p50 and p99 of both."""
    return _figures("echo", f"{CALLS} echoes") + _figures("room", f"room of {CALLS}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=PACKETS_PER_SECOND)
    asyncio.run(_run(parser.parse_args().kind))
