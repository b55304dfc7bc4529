"""A real call through the two processes, sent over UDP to sngrep, Kamailio's sipcapture and hep-js at once.

Each receiver's values are held against the datagrams that a fourth one got, decoded by us.
"""

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from scapy.all import IP, UDP

from appliance.demo.client import EchoCall
from appliance.hep.message import HepMessage, decode
from tests.handlers.test_hep_interop import (
    as_kamailio,
    hep_js,
    kamailio_configuration,
    packets_in,
    queued_bytes,
    until,
)
from tests.hep.test_message import as_hep_js
from tests.peers.appliance import appliance
from tests.peers.janus import free_port
from tests.programs import need

__all__ = ["hep_js"]

RECEIVE = """
const hep = require(process.argv[1]), socket = require('dgram').createSocket('udp4');
socket.on('message', data => console.log(JSON.stringify(hep.decapsulate(data))));
socket.bind(Number(process.argv[2]), '127.0.0.1');
"""


class Datagrams(asyncio.DatagramProtocol):
    """What was sent, as it was sent."""

    def __init__(self) -> None:
        self.messages: list[HepMessage] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.messages.append(decode(data))

    @property
    def ended(self) -> bool:
        return any(message.payload.startswith(b"BYE ") for message in self.messages)


@asynccontextmanager
async def receiver(output: Path, port: int, *command: str) -> AsyncIterator[None]:
    """A program that takes HEP on a UDP port; what it writes goes to a file."""
    with output.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=written, stderr=written
        )
    try:
        await until(lambda: bool(queued_bytes(port)))
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def place_call(folder: Path, ports: list[int], sent: Datagrams) -> None:
    """With audio, video and data, until the BYE is out."""
    servers = [f"udp://127.0.0.1:{port}" for port in ports]
    options = [
        "handlers.hep.enabled=true",
        f"handlers.hep.server={servers[0]}",
        f"handlers.hep.also={json.dumps(servers[1:])}",
    ]
    async with appliance(folder, options) as running:
        async with EchoCall(running.janus) as call:
            await call.place()
            await call.wait_for_data()
            await call.wait_for_frames("video", 30)
            await call.hang_up()
        await until(lambda: sent.ended)


@pytest.mark.interop
async def test_three_receivers_read_in_a_real_call_what_we_wrote(tmp_path: Path, hep_js: Path) -> None:
    sent = Datagrams()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: sent, local_addr=("127.0.0.1", 0))
    ports = [transport.get_extra_info("sockname")[1], free_port(), free_port(), free_port()]
    pcap, log, lines = tmp_path / "sngrep.pcap", tmp_path / "kamailio.log", tmp_path / "hep-js.jsonl"
    configuration = kamailio_configuration(tmp_path, ports[2])
    (tmp_path / "appliance").mkdir()
    async with AsyncExitStack() as stack:
        for output, port, command in (
            (tmp_path / "sngrep.log", ports[1],
             (need("sngrep"), "-L", f"udp:127.0.0.1:{ports[1]}", "-N", "-O", str(pcap))),
            (log, ports[2], (need("kamailio"), "-f", str(configuration), "-DD", "-E", "-Y", str(tmp_path))),
            (lines, ports[3], (need("node"), "-e", RECEIVE, str(hep_js), str(ports[3]))),
        ):  # fmt: skip
            await stack.enter_async_context(receiver(output, port, *command))
        await place_call(tmp_path / "appliance", ports, sent)
        await until(lambda: lines.read_bytes().count(b"\n") >= len(sent.messages))
        await until(lambda: log.read_bytes().count(b">: HEP ") >= len(sent.messages))
        await until(lambda: not any(queued_bytes(ports[1])))
    transport.close()
    assert {message.payload_type for message in sent.messages} == {1, 5, 100}

    read = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert [one["rcinfo"] for one in read] == [as_hep_js(message) for message in sent.messages]
    assert [one["payload"].encode() for one in read] == [message.payload for message in sent.messages]

    found = re.findall(rb">: HEP ([^\n]+)", log.read_bytes())
    assert Counter(line.decode() for line in found) == Counter(
        " ".join(as_kamailio(message)) for message in sent.messages
    )

    inner = [(packet, bytes(packet[UDP].payload)) for packet in packets_in(pcap)]
    ladder = [message for message in sent.messages if message.payload_type == 1]
    assert len(ladder) >= 5
    for message in ladder:
        packet = next(packet for packet, payload in inner if payload == message.payload)
        assert (packet[IP].src, packet[UDP].sport) == (str(message.src), message.src_port)
        assert (packet[IP].dst, packet[UDP].dport) == (str(message.dst), message.dst_port)
        assert round(float(packet.time) * 1e6) == message.timestamp_us
