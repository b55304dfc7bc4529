"""A real call through the two processes, into a receiver as strict as heplify-server, over UDP and over TCP."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.demo.client import EchoCall
from tests.hep import strict
from tests.peers.appliance import appliance


class StrictServer(asyncio.DatagramProtocol):
    """Takes one packet a datagram, or frames a stream by the length in each packet's head."""

    def __init__(self) -> None:
        self.rows: list[strict.Stored] = []
        self.refused: list[str] = []
        self._grown = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            row = strict.receive(data)
        except strict.RefusedError as reason:
            self.refused.append(f"{reason}: {data[:200]!r}")
            return
        self.rows.append(row)
        self._grown.set()

    async def until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not found():
                self._grown.clear()
                await self._grown.wait()

    def said_bye(self) -> bool:
        return any(row.payload_type == 1 and row.payload.startswith("BYE ") for row in self.rows)

    def both_report(self) -> bool:
        return len({row.src_port for row in self.rows if row.payload_type == 5}) > 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(6)
                self.datagram_received(head + await reader.readexactly(int.from_bytes(head[4:6], "big") - 6), None)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_every_packet_of_a_real_call_is_stored(tmp_path: Path, scheme: str) -> None:
    received = StrictServer()
    loop = asyncio.get_running_loop()
    if scheme == "udp":
        transport, _ = await loop.create_datagram_endpoint(lambda: received, local_addr=("127.0.0.1", 0))
        port, close = transport.get_extra_info("sockname")[1], transport.close
    else:
        server = await asyncio.start_server(received.serve, "127.0.0.1", 0)
        port, close = server.sockets[0].getsockname()[1], server.close
    options = ["handlers.hep.enabled=true", f"handlers.hep.server={scheme}://127.0.0.1:{port}"]
    async with appliance(tmp_path, options) as running:
        async with EchoCall(running.janus) as call:
            await call.place()
            await call.wait_for_data()
            await call.wait_for_frames("video", 30)
            await received.until(received.both_report)
            await call.hang_up()
        explained = await running.call(call.session_id)
        await received.until(received.said_bye)
        told = await running.get(f"/api/calls/{explained['correlation_id']}/hep")
    close()
    assert received.refused == []
    rows = [row for row in received.rows if row.correlation_id == explained["correlation_id"]]
    # What the console shows as sent is what came.
    assert Counter(row.payload_type for row in rows) == Counter(packet["payload_type"] for packet in told["packets"])
    first_lines = [row.payload.partition("\r\n")[0] for row in rows if row.payload_type == 1]
    assert first_lines[0].startswith("INVITE ")
    assert "SIP/2.0 200 OK" in first_lines
    assert first_lines[-1].startswith("BYE ")
    reports = [(row, json.loads(row.payload)) for row in rows if row.payload_type == 5]
    media = explained["selected_pair"].split(" ")
    for row, report in reports:
        assert report["type"] in {200, 201}
        assert len(report["report_blocks"]) <= 1
        assert f"{row.src}:{row.src_port}" in media
        assert f"{row.dst}:{row.dst_port}" in media
    assert {row.src_port for row, _ in reports} == {int(end.rpartition(":")[2]) for end in (media[0], media[3])}
