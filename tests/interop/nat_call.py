"""Three networks: the internet (a client, coturn), a NAT, and the gateway behind it. Run in a namespace of its own.

Prints one line of JSON for each case: what the gateway told, and whether an echo came back.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aioice.ice
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.peers.coturn import PASSWORD, USER, coturn

SERVER, PUBLIC, CLIENT = "198.51.100.10", "198.51.100.20", "198.51.100.30"
ROUTER, GATEWAY = "10.0.0.1", "10.0.0.2"
STUN = f"{SERVER}:3478"
CREDENTIALS = {"username": USER, "password": PASSWORD}

MASQUERADE = ["-t nat -A POSTROUTING -o outside -j MASQUERADE"]
ONLY_TURN = [*MASQUERADE, f"-A FORWARD -i lan -p udp ! -d {SERVER} -j DROP"]
"""To the server's address and to nowhere else."""
ONLY_TCP = [*MASQUERADE, "-A FORWARD -p udp -j DROP"]
MAPPED = [
    f"-t nat -A PREROUTING -i outside -j DNAT --to {GATEWAY}",
    f"-t nat -A POSTROUTING -o outside -j SNAT --to {PUBLIC}",
]

CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "mapped": (MAPPED, {"announced": {GATEWAY: PUBLIC}}),
    "stun": (MASQUERADE, {"ice": "full", "stun_servers": [STUN]}),
    "turn": (ONLY_TURN, {"ice": "full", "turn_servers": [{"url": f"turn:{STUN}", **CREDENTIALS}]}),
    "turn over tcp": (
        ONLY_TCP,
        {"ice": "full", "turn_servers": [{"url": f"turn:{STUN}?transport=tcp", **CREDENTIALS}]},
    ),
}


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL, timeout=20)


@contextmanager
def network() -> Iterator[int]:
    """A namespace that lives as long as the block; known by the id of a process in it."""
    command = ["unshare", "-n", "sh", "-c", "echo up; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        try:
            yield holder.pid
        finally:
            holder.stdin.close()


def wire(nat: int, gateway: int) -> None:
    """The cables, addresses and routes; :func:`rules` makes the NAT."""
    run(f"ip link add internet type veth peer name outside netns {nat}")
    for address in (SERVER, CLIENT):
        run(f"ip addr add {address}/24 dev internet")
    run("ip link set internet up")
    inside(nat, f"ip addr add {PUBLIC}/24 dev outside")
    inside(nat, "ip link set outside up")
    inside(nat, f"ip link add lan type veth peer name eth0 netns {gateway}")
    inside(nat, f"ip addr add {ROUTER}/24 dev lan")
    inside(nat, "ip link set lan up")
    inside(nat, "sysctl -qw net.ipv4.ip_forward=1")
    inside(gateway, f"ip addr add {GATEWAY}/24 dev eth0")
    inside(gateway, "ip link set eth0 up")
    inside(gateway, "ip link set lo up")
    inside(gateway, f"ip route add default via {ROUTER}")


def inside(where: int, command: str) -> None:
    run(f"nsenter -t {where} -n {command}")


async def place_call(settings: dict[str, Any], gateway: int) -> dict[str, Any]:
    told: dict[str, Any] = {"candidates": [], "pairs": [], "echo": None, "hangup": None}
    process = await asyncio.create_subprocess_exec(
        "nsenter", "-t", str(gateway), "-n", sys.executable, "-m", "tests.interop.nat_gateway",
        json.dumps({"addresses": ["eth*"], "port": 40_000, **settings}),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("chat")
    echoed = asyncio.Event()

    def take(message: str) -> None:
        told["echo"] = message
        echoed.set()

    channel.on("open", lambda: channel.send("hello"))
    channel.on("message", take)

    async def listen() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            what = json.loads(line)
            if "answer" in what:
                await connection.setRemoteDescription(RTCSessionDescription(sdp=what["answer"], type="answer"))
            told["candidates"] += [what["candidate"]] if "candidate" in what else []
            told["pairs"] += [what["pair"]] if "pair" in what else []

    try:
        await asyncio.wait_for(process.stdout.readline(), 20)
        await connection.setLocalDescription(await connection.createOffer())
        process.stdin.write(json.dumps({"offer": connection.localDescription.sdp}).encode() + b"\n")
        listening = asyncio.create_task(listen())
        async with asyncio.timeout(15):
            await echoed.wait()
        await connection.close()
    except TimeoutError:
        told["echo"] = "timed out"
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)
    await listening
    return told


async def main(folder: Path) -> None:
    with ExitStack() as stack:
        nat, gateway = stack.enter_context(network()), stack.enter_context(network())
        wire(nat, gateway)
        stack.enter_context(coturn(folder, host=SERVER, port=3478))
        for name, (rules, settings) in CASES.items():
            for table in ("nat", "filter"):
                inside(nat, f"iptables -t {table} -F")
            for rule in rules:
                inside(nat, f"iptables {rule}")
            told = await place_call(settings, gateway)
            print(json.dumps({"case": name, **told}), flush=True)


if __name__ == "__main__":
    os.environ["PYTHONWARNINGS"] = "ignore"
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [CLIENT]
    asyncio.run(main(Path(sys.argv[1])))
