"""HEP on the way: shipping over TCP, taking in over TCP, and what a dead capture server costs.

Shipping is held against the floor of any sender: the same bytes in blocking writes, to the same reader, which throws
them away. The listener is ``appliance listen`` as a process, its lines thrown away; at the end it tells that it has
decoded all of them.
"""

import asyncio
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from ipaddress import ip_address
from pathlib import Path

from appliance.hep.endpoint import Endpoint
from appliance.hep.tcp_client import TcpClient
from appliance.hep.template import HepTemplate
from appliance.net.spool import Spool
from benchmarks.figures import Figure, table

NUMBER = 100_000
DEAD_RATE = 500
"""Messages a second to a dead server: some hundred calls."""
READER = "import socket,sys\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\n" + (
    "while True:\n    c,_=s.accept()\n    while c.recv(1<<20): pass\n"
)


def packets(number: int) -> list[bytes]:
    template = HepTemplate(
        src=ip_address("198.51.100.20"), dst=ip_address("203.0.113.5"), src_port=10000, dst_port=50000, agent_id=2001,
        node_name="gw-1", correlation_id="6720542861340463-3145832598425959-1@gw-1",
    )  # fmt: skip
    payload = b'{"name":"ice-state","event":{"ice":"connected","stream_id":1,"component_id":1},"emitter":"gw-1"}'
    return [template.render(1_795_227_419_104_859 + index, 100, payload) for index in range(number)]


async def ship(port: int, data: list[bytes]) -> float:
    """Messages a second, until the peer's kernel has the last."""
    client = TcpClient(Endpoint("tcp", "127.0.0.1", port), max_queued=len(data) + 1, max_queued_bytes=2**30)
    await client.start()
    while not client.tally.connected:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    began = time.perf_counter()
    for start in range(0, len(data), 500):
        for packet in data[start : start + 500]:
            client.send(packet, 100)
        await asyncio.sleep(0)
    while sum(client.tally.sent.values()) < len(data):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    took = time.perf_counter() - began
    await client.stop()
    assert client.tally.dropped == {}
    return len(data) / took


def write_all(port: int, data: list[bytes]) -> float:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        began = time.perf_counter()
        for start in range(0, len(data), 100):
            connection.sendall(b"".join(data[start : start + 100]))
        return len(data) / (time.perf_counter() - began)


def shipping() -> list[Figure]:
    data = packets(NUMBER)
    reader = subprocess.Popen([sys.executable, "-c", READER], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    port = int(reader.stdout.readline())
    try:
        rates = [(asyncio.run(ship(port, data)), write_all(port, data)) for _ in range(5)]
    finally:
        reader.kill()
        reader.wait()
    ours, floor = max(rate[0] for rate in rates), max(rate[1] for rate in rates)
    note = f"{len(data[0])} bytes each; blocking writes of the same without acknowledgements {floor:,.0f}"
    return [Figure("HEP: ship over TCP, each batch acknowledged", ours, "messages/s", ">= 100000", note)]


def listening() -> list[Figure]:
    data = packets(NUMBER)
    figures = []
    for name, options in (("lines", []), ("JSON", ["--json"]), ("one call of many", ["--correlation", "other"])):
        best = 0.0
        for _ in range(3):
            command = [
                sys.executable,
                "-c",
                "from appliance.cli import main; main()",
                "listen",
                "--port",
                "0",
                *options,
            ]
            listener = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            assert listener.stderr is not None
            port = int(listener.stderr.readline().partition("127.0.0.1:")[2].partition(";")[0])
            began = time.perf_counter()
            with socket.create_connection(("127.0.0.1", port)) as connection:
                for start in range(0, len(data), 100):
                    connection.sendall(b"".join(data[start : start + 100]))
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # it closes once it has read the last
            took = time.perf_counter() - began
            listener.send_signal(signal.SIGINT)
            told = listener.stderr.read()
            listener.wait()
            assert told.startswith(f"decoded: {NUMBER} of type 100; malformed: 0"), told
            best = max(best, NUMBER / took)
        figures.append(Figure(f"HEP: `appliance listen` over TCP, {name}", best, "messages/s", ">= 50000"))
    return figures


async def _dead(folder: Path, seconds: float) -> tuple[float, float, int]:
    """Share of a CPU beyond that of the loop which sends, KiB of memory that grew, packets spooled."""
    data = packets(1)[0]
    client = TcpClient(Endpoint("tcp", "127.0.0.1", 9), spool=Spool(folder))
    await client.start()
    period = 0.02
    each = int(DEAD_RATE * period)

    async def turns(send: bool) -> float:
        cpu, end = time.process_time(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            if send:
                for _ in range(each):
                    client.send(data, 100)
            await asyncio.sleep(period)
        return (time.process_time() - cpu) / seconds

    await turns(True)
    idle = await turns(False)
    tracemalloc.start()
    await turns(True)
    before, _ = tracemalloc.get_traced_memory()
    await turns(True)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    busy = await turns(True)
    spooled = client.outbox.spooled
    await client.stop()
    return busy - idle, (after - before) / 1024, spooled


def dead_server() -> list[Figure]:
    logging.getLogger("appliance").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        share, grown, spooled = asyncio.run(_dead(Path(folder) / "spool", 4.0))
    return [
        Figure("HEP: a dead server's cost, 500 messages/s to the spool", share * 100, "% CPU", "<= 1"),
        Figure("HEP: memory that grows meanwhile", grown, "KiB", "<= 64", f"{spooled} messages on disk"),
    ]


def main() -> list[Figure]:
    """Every figure."""
    return [*shipping(), *listening(), *dead_server()]


if __name__ == "__main__":
    print(table(main()))
