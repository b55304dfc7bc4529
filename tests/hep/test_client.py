"""Clients against real sockets on loopback; only the waiting between attempts is the test's."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.hep import udp_client as udp_module
from appliance.hep.client import TcpClient, UdpClient, make_client
from appliance.hep.endpoint import Endpoint
from appliance.hep.listener import HepListener
from appliance.hep.message import decode
from appliance.hep.template import encode
from appliance.net.backoff import Backoff
from tests.hep.captured import sample
from tests.hep.certificates import certificate
from tests.hep.inbox import Inbox, Pauses
from tests.peers.janus import free_port

LOG = sample("log")
SIP = sample("invite")
LARGE = encode(replace(decode(LOG), payload=b"x" * 60_000))


def steady() -> Backoff:
    return Backoff(chance=lambda: 0.5)


@contextlib.asynccontextmanager
async def tcp_client(port: int, pauses: Pauses, **options: int | float) -> AsyncIterator[TcpClient]:
    client = TcpClient(
        Endpoint("tcp", "127.0.0.1", port),
        sleep=pauses,
        backoff=steady(),
        **options,  # type: ignore[arg-type]  # each by its name
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def test_tcp_delivers_in_order_and_counts() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener, tcp_client(listener.port, Pauses()) as client:
        for number in range(500):
            assert client.send(SIP if number % 5 == 0 else LOG, 1 if number % 5 == 0 else 100)
        got = await inbox.have(500)
    assert [message.payload_type for message in got] == [1 if number % 5 == 0 else 100 for number in range(500)]
    counts = {(count.name, count.labels.get("proto_type", "")): count.value for count in client.counts()}
    assert counts["hep_packets_sent_total", "sip"] == 100
    assert counts["hep_packets_sent_total", "log"] == 400
    assert counts["hep_bytes_sent_total", ""] == 100 * len(SIP) + 400 * len(LOG)
    assert counts["hep_send_errors_total", ""] == 0
    assert counts["hep_queue_length", ""] == 0
    assert client.tally.dropped == {}


async def test_tcp_dials_with_back_off_and_then_delivers_what_was_queued() -> None:
    port, pauses, inbox = free_port(), Pauses(), Inbox()
    async with tcp_client(port, pauses) as client:
        client.send(SIP, 1)
        for wanted in (1, 2, 4, 8, 16, 30, 30):
            assert await pauses.next() == wanted
            pauses.end()
        await pauses.next()
        assert client.tally.errors["connect"] == 8
        async with HepListener(inbox, port=port):
            pauses.end()
            await inbox.have(1)
            assert client.tally.connected
    assert client.tally.sent == {1: 1}


async def test_tcp_redials_when_the_peer_closes_though_nothing_is_sent() -> None:
    pauses, inbox = Pauses(), Inbox()
    async with HepListener(inbox, port=0) as first:
        port = first.port
        async with tcp_client(port, pauses) as client:
            client.send(LOG, 100)
            await inbox.have(1)
            await first.stop()
            assert await pauses.next() == 1
            assert client.tally.errors in ({"closed": 1}, {"write": 1})
            assert not client.tally.connected
            client.send(SIP, 1)
            async with HepListener(inbox, port=port):
                pauses.end()
                # What came in the very moment of the end is in doubt, and is sent again.
                assert [message.payload_type for message in await inbox.have(3)] == [100, 100, 1]
                assert client.tally.resent == 1


async def test_tcp_lets_go_of_a_peer_that_accepts_and_never_reads() -> None:
    """And gives the next one all that it may have left unread."""
    pauses, inbox = Pauses(), Inbox()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = deaf.getsockname()[1]
        async with tcp_client(port, pauses, write_timeout=0.2) as client:
            number = 0
            while not client.tally.errors:
                # Until the kernel's buffers are full.
                for _ in range(20):
                    number += client.send(LARGE, 100)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await pauses.wanted.get()
                        break
            assert client.tally.errors == {"timeout": 1}
            deaf.close()
            async with HepListener(inbox, port=port):
                pauses.end()
                await inbox.have(number)
                assert len(client.outbox) == 0
    assert client.tally.dropped == {}
    assert number - 1 <= client.tally.sent[100] - client.tally.resent <= number


async def test_a_full_queue_refuses_statistics_first_and_gives_up_its_oldest_last() -> None:
    client = TcpClient(Endpoint("tcp", "127.0.0.1", 9), max_queued=8)
    assert [client.send(LOG, 100, expendable=True) for _ in range(8)] == [True] * 6 + [False] * 2
    assert [client.send(SIP, 1) for _ in range(4)] == [True] * 4
    assert client.tally.dropped == {"queue_full": 2 + 2}
    await client.stop()


async def test_the_queue_is_bounded_in_bytes() -> None:
    client = TcpClient(Endpoint("tcp", "127.0.0.1", 9), max_queued_bytes=10 * len(LOG))
    for _ in range(1000):
        client.send(LOG, 100)
    assert client.tally.dropped == {"queue_full": 990}
    assert {count.name: count.value for count in client.counts()}["hep_queue_bytes"] == 10 * len(LOG)


async def test_what_is_still_queued_at_the_end_is_counted() -> None:
    pauses = Pauses()
    async with tcp_client(free_port(), pauses) as client:
        client.send(LOG, 100)
        client.send(LOG, 100)
        await pauses.next()
    assert client.tally.dropped == {"disconnected": 2}


async def test_stop_sends_what_is_queued() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        async with tcp_client(listener.port, Pauses()) as client:
            client.send(SIP, 1)
            await inbox.have(1)
            for _ in range(2000):
                client.send(LOG, 100)
        await inbox.have(2001)
    assert client.tally.dropped == {}


async def test_udp_delivers_and_counts() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        client = UdpClient(Endpoint("udp", "127.0.0.1", listener.port))
        await client.start()
        assert client.send(SIP, 1)
        assert client.send(LOG, 100)
        await inbox.have(2)
        await client.stop()
    assert client.tally.sent == {1: 1, 100: 1}
    assert not client.send(LOG, 100)
    assert client.tally.dropped == {"disconnected": 1}


async def test_udp_notices_that_nobody_listens_and_goes_on() -> None:
    port, inbox = free_port(), Inbox()
    client = UdpClient(Endpoint("udp", "127.0.0.1", port))
    await client.start()
    assert client.send(LOG, 100)
    # On loopback the ICMP error is there as soon as send() returns; the next packet hears of it and goes out itself.
    assert client.send(LOG, 100)
    assert client.tally.errors == {"refused": 1}
    async with HepListener(inbox, port=port, tcp=False):
        assert client.send(SIP, 1)
        assert (await inbox.have(1))[0].payload_type == 1
    await client.stop()


async def test_udp_tries_the_other_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:

        async def two(*_: object) -> list[udp_module.Address]:
            return [(socket.AF_INET, ("127.0.0.1", free_port())), (socket.AF_INET, ("127.0.0.1", listener.port))]

        monkeypatch.setattr(udp_module, "resolve", two)
        client = UdpClient(Endpoint("udp", "localhost", 9060))
        await client.start()
        client.send(LOG, 100)
        client.send(SIP, 1)
        assert (await inbox.have(1))[0].payload_type == 1
        await client.stop()


async def test_udp_goes_on_looking_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, pauses = Inbox(), Pauses()
    answers: list[list[udp_module.Address]] = []

    async def look_up(*_: object) -> list[udp_module.Address]:
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers[-1]

    monkeypatch.setattr(udp_module, "resolve", look_up)
    client = UdpClient(Endpoint("udp", "homer.invalid", 9060), sleep=pauses, backoff=steady())
    await client.start()
    assert not client.send(LOG, 100)
    assert await pauses.next() == 1
    pauses.end()
    assert await pauses.next() == 2
    assert client.tally.errors == {"resolve": 2}
    async with HepListener(inbox, port=0) as first, HepListener(inbox, port=0) as second:
        answers.append([(socket.AF_INET, ("127.0.0.1", first.port))])
        pauses.end()
        assert await pauses.next() == udp_module.RESOLVE_EVERY
        client.send(LOG, 100)
        await inbox.have(1)
        # The name has moved.
        answers.append([(socket.AF_INET, ("127.0.0.1", second.port))])
        pauses.end()
        await pauses.next()
        client.send(SIP, 1)
        await inbox.have(2)
        assert second.tally.packets["udp"] == 1
    await client.stop()


async def test_udp_counts_what_no_datagram_carries() -> None:
    client = UdpClient(Endpoint("udp", "127.0.0.1", free_port()))
    await client.start()
    assert not client.send(b"x" * 65_508, 100)
    assert client.tally.dropped == {"oversize": 1}
    await client.stop()


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_delivers_to_a_server_whose_certificate_is_trusted(tmp_path: Path, trusted: bool) -> None:
    pem, key_pem = certificate(tmp_path, "homer")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem, key_pem)
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.readexactly(len(LOG)))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    url = f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    trust = ssl.create_default_context(cafile=str(pem) if trusted else None)
    client = make_client(url, tls=trust)
    assert isinstance(client, TcpClient)
    pauses = Pauses()
    client._sleep = pauses
    await client.start()
    client.send(LOG, 100)
    if trusted:
        async with asyncio.timeout(5):
            assert await got == LOG
    else:
        await pauses.next()
        assert client.tally.errors == {"connect": 1}
    await client.stop()
    server.close()
    await server.wait_closed()


async def test_tls_delivers_many_in_order(tmp_path: Path) -> None:
    pem, key_pem = certificate(tmp_path, "homer")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem, key_pem)
    inbox = Inbox()
    async with HepListener(inbox, port=0, udp=False, tls=server_side) as listener:
        url = f"tls://127.0.0.1:{listener.port}"
        client = make_client(url, tls=ssl.create_default_context(cafile=str(pem)))
        await client.start()
        for number in range(3000):
            assert client.send(SIP if number % 5 == 0 else LOG, 1 if number % 5 == 0 else 100)
            if number % 500 == 0:
                await inbox.have(number // 2)
        got = await inbox.have(3000)
        await client.stop()
    assert [message.payload_type for message in got] == [1 if number % 5 == 0 else 100 for number in range(3000)]
    assert client.tally.errors == {}
