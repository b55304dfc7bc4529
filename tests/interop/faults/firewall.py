"""Run inside a namespace: calls through a firewall and a NAT, each with rules of its own; fails where a verdict does.

``python -m tests.interop.faults.firewall FOLDER``
"""

import asyncio
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.interop.faults.case import Case, Line, Play, check, run, stay
from tests.interop.faults.house import house
from tests.interop.faults.phone import Voice
from tests.peers.namespace import ADDRESS

TALK_S = 6.0
NAT_PORT = 61_000
FROM_CLIENT = ("--sport",)
TO_CLIENT = ("--dport",)
LARGE = ("-m", "length", "--length", "200:")
"""Bytes with the IP header: more than a STUN check or a ClientHello has, less than a certificate or noise."""
EIGHTH = ("-m", "statistic", "--mode", "nth", "--every", "8", "--packet", "0")


def rule(action: str, port: int, direction: tuple[str, ...], *more: str) -> None:
    """Add (-A) or delete (-D) the dropping of what comes from or goes to a client's port."""
    command = ["iptables", action, "INPUT", "-p", "udp", *direction, str(port), *more, "-j", "DROP"]
    subprocess.run(command, check=True)


def translate(port: int) -> None:
    """Give what the client sends another port, as a NAT does."""
    what = ["-p", "udp", "--sport", str(port), "-j", "SNAT", "--to-source", f"{ADDRESS}:{NAT_PORT}"]
    subprocess.run(["iptables", "-t", "nat", "-A", "POSTROUTING", *what], check=True)


async def call(line: Line, prepare: Callable[[int], None], *, hidden: bool = False) -> int:
    """Place it once its port is prepared."""
    ports: list[int] = []

    def offer(sdp: str) -> str:
        ports.extend(int(port) for port in re.findall(r"a=candidate:\S+ 1 udp \d+ [\d.]+ (\d+)", sdp))
        prepare(ports[0])
        return re.sub(r"a=(candidate|end-of-candidates).*\r\n", "", sdp) if hidden else sdp

    await line.phone(Voice()).call(line.api, offer=offer)
    return ports[0]


def dropping(*rules: tuple[str, ...]) -> Play:
    def prepare(port: int) -> None:
        for direction, *more in rules:
            rule("-A", port, (direction,), *more)

    async def play(line: Line) -> None:
        await call(line, prepare)

    return play


async def lossy(line: Line) -> None:
    port = await call(line, lambda _port: None)
    await line.up()
    rule("-A", port, FROM_CLIENT, *LARGE, *EIGHTH)


async def blacked_out(line: Line) -> None:
    port = await call(line, lambda _port: None)
    await line.up()
    await asyncio.sleep(2.5)
    for direction in (FROM_CLIENT, TO_CLIENT):
        rule("-A", port, direction)
    await asyncio.sleep(6.5)
    for direction in (FROM_CLIENT, TO_CLIENT):
        rule("-D", port, direction)


async def behind_nat(line: Line) -> None:
    await call(line, translate, hidden=True)
    await line.up()
    await asyncio.sleep(TALK_S)
    (pair,) = [pair for pair in line.house.gateway.sessions[line.session_id].handles.values() if pair.peer is not None]
    assert str(NAT_PORT) in str(pair.peer and pair.peer.describe())


CASES = [
    Case(
        name="all dropped",
        wire="udp_blocked_or_firewall",
        play=dropping(FROM_CLIENT, TO_CLIENT),
        code="udp_blocked_or_firewall",
        live="udp_blocked_or_firewall",
    ),
    Case(
        name="way back dropped",
        wire="one_way_network",
        play=dropping(TO_CLIENT),
        code="one_way_network",
        live="one_way_network",
    ),
    Case(name="large dropped", wire="dtls_mtu", play=dropping((*FROM_CLIENT, *LARGE)), code="dtls_mtu", end=stay),
    Case(name="an eighth dropped", wire="uplink_loss", play=lossy, code="uplink_loss", live="uplink_loss"),
    Case(
        name="black-out",
        wire="network_interrupted",
        play=blacked_out,
        code="network_interrupted",
        live="network_interrupted",
    ),
    Case(name="behind a NAT", play=behind_nat, code="ended_by_app", live="healthy"),
]


async def main(folder: Path) -> None:
    async with house(folder, addresses=[ADDRESS]) as gateway:
        outcomes = await run(gateway, CASES)
    check(CASES, outcomes)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("tests").setLevel(logging.INFO)
    asyncio.run(main(Path(sys.argv[1])))
