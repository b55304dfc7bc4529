"""ICE over TCP: the candidate, a call over it, changes to UDP and back, and the bounds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from appliance.core.events import LocalCandidate, PairCounters, RemoteCandidate, SelectedPair
from appliance.media import tcp
from appliance.media.engine import Engine
from appliance.metrics import kept
from appliance.wire.candidate import Candidate
from appliance.wire.framing import framed
from tests.clock import FakeClock
from tests.media.harness import Handle, engine
from tests.media.tcp_client import Stream, TcpClient


@pytest_asyncio.fixture
async def server(clock: FakeClock) -> AsyncIterator[Engine]:
    found = await engine(clock, ice_tcp=True)
    for port in found.ports:
        asyncio.get_running_loop().remove_reader(port.fd)
    yield found
    await found.stop()


Place = Callable[[], tuple[TcpClient, Handle]]


@pytest.fixture
def place(server: Engine, clock: FakeClock) -> Iterator[Place]:
    """Offer and answer, and a connection to the TCP port."""
    clients: list[TcpClient] = []

    def placed() -> tuple[TcpClient, Handle]:
        client, handle = TcpClient(server, clock), Handle(server)
        clients.append(client)
        client.take(handle.answer(client.offer()))
        return client, handle

    yield placed
    for client in clients:
        client.close()


def ended(stream: Stream) -> str | None:
    """How the engine closed it; ``None``: it has not."""
    return stream.wire.closed


def came(client: TcpClient) -> list[int]:
    """The first byte of each packet's payload."""
    return [payload[0] for _, payload in client.packets]


async def test_off_by_default_and_the_number_of_the_udp_port_where_on(clock: FakeClock) -> None:
    found = await engine(clock)
    assert not found.tcp_ports
    await found.stop()
    found = await engine(clock, ice_tcp=True)
    assert [port.port for port in found.tcp_ports] == [port.port for port in found.ports]
    await found.stop()


async def test_the_passive_candidate_stands_behind_those_for_udp(
    server: Engine, clock: FakeClock, place: Place
) -> None:
    client, handle = place()
    udp, over_tcp = [Candidate.parse(fact.candidate) for fact in handle.all(LocalCandidate)]
    assert (over_tcp.transport, over_tcp.tcp_type, over_tcp.type) == ("tcp", "passive", "host")
    assert over_tcp.port == udp.port == server.tcp_ports[0].port
    # RFC 6544 section 4.2: type, then 4 for passive times 2^13 and the other preference, then the component.
    assert over_tcp.priority == 90 << 24 | ((4 << 13) + 8191) << 8 | 255 < udp.priority
    assert client.answer is not None
    assert [candidate.transport for candidate in client.answer.media[0].candidates] == ["udp", "tcp"]


async def test_a_call_over_tcp(server: Engine, clock: FakeClock, place: Place) -> None:
    client, handle = place()
    client.connect()
    assert client.connected and handle.peer.up
    client.send_rtp("audio", 1, 0, bytes([1]))
    client.pump()
    assert came(client) == [1]
    (selected,) = handle.all(SelectedPair)
    port = server.tcp_ports[0].port
    assert selected.pair == f"127.0.0.1:{port} [host,tcp] <-> 192.0.2.9:40000 [prflx,tcp]"
    assert selected.candidates is not None
    assert (selected.candidates.local.transport, selected.candidates.remote.transport) == ("tcp", "tcp")
    assert handle.peer.describe()["ice"]["selected-pair"] == selected.pair
    remote = Candidate.parse(handle.all(RemoteCandidate)[-1].candidate)
    assert (remote.transport, remote.tcp_type, remote.type) == ("tcp", "active", "prflx")
    assert handle.all(PairCounters)[-1].pairs[0].remote.transport == "tcp"
    handle.peer.close("done")
    assert client.stream is not None
    assert ended(client.stream) == "close" and not len(server.tcp_ports[0])


async def test_a_call_over_tcp_with_full_ice(clock: FakeClock) -> None:
    full = await engine(clock, ice_tcp=True, ice="full")
    client, handle = TcpClient(full, clock), Handle(full)
    client.take(handle.answer(client.offer()))
    client.connect()
    assert handle.peer.up and client.probes, "it checks the connection that the client made"
    assert handle.peer.describe()["ice"]["selected-pair"].endswith("[prflx,tcp]")
    client.close()
    await full.stop()


async def test_nomination_moves_a_call_to_udp_and_back(server: Engine, clock: FakeClock, place: Place) -> None:
    client, handle = place()
    client.connect()
    stream, client.stream = client.stream, None
    for number, way in enumerate((None, stream, None), 1):
        client.stream = way
        clock.advance(2.0)
        client.check(priority=2_000_000_000 if way is None else 1_000_000_000)
        client.pump()
        client.send_rtp("audio", number, 0, bytes([number]))
        client.pump()
        assert came(client) == list(range(1, number + 1))
    assert [pair.pair.count(",udp]") for pair in handle.all(SelectedPair)] == [0, 2, 0, 2]


async def test_where_udp_becomes_blocked_a_restart_of_ice_goes_on_over_tcp(server: Engine, place: Place) -> None:
    client, handle = place()
    stream, client.stream = client.stream, None
    client.connect()
    assert handle.all(SelectedPair)[-1].pair.endswith("udp]")
    client.stream = stream
    client.ufrag, client.pwd = "restarted", "0123456789012345678901234"
    client.take(handle.answer(client.offer()))
    client.check()
    client.pump()
    assert handle.all(SelectedPair)[-1].pair.endswith("tcp]")
    client.send_rtp("audio", 1, 0, bytes([1]))
    client.pump()
    assert came(client) == [1]


async def test_after_a_lost_connection_a_new_one_takes_the_call_over(
    server: Engine, clock: FakeClock, place: Place
) -> None:
    client, _ = place()
    client.connect()
    assert client.stream is not None
    client.stream.wire.abort()
    client.stream = Stream(server, ("192.0.2.9", 40_000))  # by chance the same port: it has to prove itself anew
    client.send_rtp("audio", 1, 0, bytes([1]))
    client.pump()
    assert not client.packets and server.dropped["unknown_source"] == 1
    client.check()
    client.pump()
    client.send_rtp("audio", 2, 0, bytes([2]))
    client.pump()
    assert came(client) == [2]


async def test_who_does_not_read_loses_media_and_nobody_waits(server: Engine, clock: FakeClock, place: Place) -> None:
    client, _ = place()
    client.connect()
    assert client.stream is not None
    port = server.tcp_ports[0]
    client.stream.wire.unread = tcp.MAX_BACKLOG_BYTES + 1
    client.send_rtp("audio", 1, 0, bytes([1]))
    client.pump()
    assert not client.packets and port.dropped == 1
    client.stream.wire.unread = 0
    client.send_rtp("audio", 2, 0, bytes([2]))
    client.pump()
    assert came(client) == [2]
    dropped = {(one.name, one.labels.get("reason")): one.value for one in server.measure()}
    assert dropped["media_datagrams_dropped_total", "send_buffer"] == 1
    assert dropped["media_tcp_connections", None] == 1
    # A rate sees the first of each reason.
    declared = next(label for label in kept.TCP_REFUSED.labels if label.name == "reason").values
    closed = {reason: count for (name, reason), count in dropped.items() if name == kept.TCP_REFUSED.name}
    assert closed == dict.fromkeys(declared or (), 0)


async def test_connections_that_prove_nothing_are_closed(server: Engine, clock: FakeClock) -> None:
    silent, loud, broken = (Stream(server, ("192.0.2.7", number)) for number in (1, 2, 3))
    loud.feed(framed(b"\x80" * 1500) * 11)
    broken.feed(b"\xff\xff")
    assert (ended(loud), ended(broken)) == ("abort", "abort")
    clock.advance(tcp.PROVE_S - 0.5)
    assert ended(silent) is None
    clock.advance(1.0)
    assert ended(silent) == "abort"
    assert server.tcp_ports[0].refused == {"unproven": 2, "framing": 1}


async def test_a_proven_connection_stays_until_it_says_nothing_any_more(
    server: Engine, clock: FakeClock, place: Place
) -> None:
    client, _ = place()
    client.connect()
    assert client.stream is not None
    for number in range(3):
        clock.advance(tcp.PROVE_S)
        client.send_rtp("audio", number, 0, bytes([number]))
    client.answers_probes = False
    stream, client.stream = client.stream, None
    client.check()
    client.pump()
    for _ in range(4):  # the call goes on over UDP
        client.check()
        client.pump()
        clock.advance(tcp.IDLE_S / 4 - 1)
    assert ended(stream) is None
    client.check()
    client.pump()
    clock.advance(5.0)
    assert ended(stream) == "abort" and server.tcp_ports[0].refused == {"idle": 1}


async def test_the_number_of_connections_is_bounded(server: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_UNPROVEN_OF_ADDRESS", 2)
    monkeypatch.setattr(tcp, "MAX_UNPROVEN", 3)
    port = server.tcp_ports[0]
    streams = [Stream(server, (f"192.0.2.{host}", number)) for host, number in ((1, 1), (1, 2), (1, 3), (2, 1), (3, 1))]
    assert [ended(stream) for stream in streams] == [None, None, "abort", None, "abort"]
    assert port.refused == {"limit": 2} and len(port) == 3
    streams[0].wire.abort()
    assert ended(Stream(server, ("192.0.2.3", 2))) is None
    monkeypatch.undo()
    monkeypatch.setattr(port, "_most", len(port))
    assert ended(Stream(server, ("192.0.2.9", 9))) == "abort"
    monkeypatch.undo()
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS_OF_ADDRESS", 1)
    assert ended(Stream(server, ("192.0.2.1", 9))) == "abort"
    assert ended(Stream(server, ("192.0.2.9", 9))) is None


async def test_one_ipv6_network_is_one_client(server: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_UNPROVEN_OF_ADDRESS", 2)
    hosts = ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
    streams = [Stream(server, (host, 1)) for host in hosts]
    assert [ended(stream) for stream in streams] == [None, None, "abort", None]
    streams[0].wire.abort()
    assert ended(Stream(server, ("2001:db8::4", 1))) is None


async def test_few_files_are_few_connections(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.media.tcp.resource.getrlimit", lambda _what: (8, 8))
    found = await engine(clock, ice_tcp=True)
    streams = [Stream(found, ("192.0.2.1", number)) for number in range(3)]
    assert [ended(stream) for stream in streams] == [None, None, "abort"]
    await found.stop()


async def test_over_a_real_connection(live_tcp: Engine) -> None:
    port = live_tcp.tcp_ports[0]
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(framed(b"\x00\x01 no STUN") + b"\xff\xff")
    assert await reader.read() == b""
    assert live_tcp.dropped == {"malformed": 1} and port.refused == {"framing": 1} and not len(port)
    writer.close()
    await writer.wait_closed()


@pytest_asyncio.fixture
async def live_tcp() -> AsyncIterator[Engine]:
    found = await engine(ice_tcp=True)
    yield found
    await found.stop()
