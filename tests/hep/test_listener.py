import asyncio
import contextlib
import random
import socket
import tracemalloc

import pytest

from appliance.hep.listener import HepListener
from appliance.hep.message import HepMessage
from tests.hep.captured import captured, sample
from tests.hep.inbox import Inbox

LOG = sample("log")
GOOD = [packet.data for packet in captured() if packet.name != "samples.evt1000_16bit"]


def udp(port: int) -> socket.socket:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(("127.0.0.1", port))
    return client


async def test_takes_every_captured_packet_over_udp() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        with udp(listener.port) as client:
            for packet in captured():
                client.send(packet.data)
            got = await inbox.have(len(GOOD))
    assert len(got) == len(GOOD)
    assert listener.tally.packets == {"udp": len(GOOD), "tcp": 0, "tls": 0}
    assert listener.tally.malformed == {"udp": 1, "tcp": 0, "tls": 0}
    assert "protocol_type" in listener.tally.last_error
    assert listener.tally.by_type[1] == 4 + 5, "samples, and the call"


async def test_two_packets_in_a_datagram_are_refused_as_capture_servers_do() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        with udp(listener.port) as client:
            client.send(LOG + LOG)
            client.send(LOG)
            await inbox.have(1)
    assert listener.tally.malformed["udp"] == 1
    assert listener.tally.last_error == f"packet: its length says {len(LOG)} bytes, {2 * len(LOG)} came"


async def test_takes_a_stream_over_tcp_and_keeps_going_after_a_bad_magic() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        for packet in (*GOOD, b"XXXX" + LOG[4:], LOG):
            writer.write(packet)
        await inbox.have(len(GOOD) + 1)
        writer.close()
        await writer.wait_closed()
    assert listener.tally.packets["tcp"] == len(GOOD) + 1
    assert listener.tally.malformed["tcp"] == 1


@pytest.mark.parametrize("length", [5, 65_508])
async def test_closes_a_stream_that_lost_its_frame(length: int) -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(LOG + b"HEP3" + length.to_bytes(2, "big"))
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
    assert listener.tally.packets["tcp"] == 1
    assert listener.tally.malformed["tcp"] == 1


async def test_connections_are_bounded() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0, max_connections=1) as listener:
        _, first = await asyncio.open_connection("127.0.0.1", listener.port)
        first.write(LOG)
        await inbox.have(1)
        reader, second = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert listener.tally.refused_connections == 1
        first.write(LOG)
        await inbox.have(2)
        first.close()
        second.close()


async def test_a_function_that_raises_harms_nobody() -> None:
    calls: list[HepMessage] = []

    def fails(message: HepMessage) -> None:
        calls.append(message)
        raise RuntimeError("no")

    listener = HepListener(fails, port=0)
    listener.take(LOG, "udp")
    listener.take(LOG, "tcp")
    assert len(calls) == listener.tally.failed == 2


async def test_a_taken_port_is_said() -> None:
    async with HepListener(Inbox(), port=0) as listener:
        with pytest.raises(OSError, match=r"."):
            await HepListener(Inbox(), port=listener.port).start()


def test_ten_megabytes_of_noise_leave_nothing_behind() -> None:
    chance = random.Random(3)
    listener = HepListener(Inbox(), port=0)
    noise = [chance.randbytes(1000) for _ in range(1000)]
    framed = [b"HEP3" + (1006).to_bytes(2, "big") + one for one in noise]
    for one in noise + framed:
        listener.take(one, "udp")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(4):
        for one in noise + framed:
            listener.take(one, "udp")
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert listener.tally.bytes >= 10_000_000
    assert listener.tally.malformed["udp"] == 10_000
    assert after - before < 10_000
