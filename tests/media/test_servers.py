"""What settings say of STUN and TURN servers, and what is done with what these say."""

import asyncio
import logging
from typing import Any, cast

import pytest
from aioice import stun as aioice_stun

from appliance.media import reflexive as reflexive_module
from appliance.media import turn as turn_module
from appliance.media.config import MediaConfig
from appliance.media.port import Port
from appliance.media.reflexive import MISSES, Reflexive
from appliance.media.servers import Server, stun_server, turn_server
from appliance.media.turn import MAX_WAITING, REBIND, REST, RelayPort
from appliance.media.udp import pinned, sockaddr
from appliance.wire import stun
from tests.clock import FakeClock


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("stun.example", Server("stun.example", 3478)),
        ("stun.example:19302", Server("stun.example", 19302)),
        ("stun:192.0.2.1:3479", Server("192.0.2.1", 3479)),
        ("[2001:db8::1]:3478", Server("2001:db8::1", 3478)),
    ],
)
def test_stun_servers(text: str, server: Server) -> None:
    assert stun_server(text) == server


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("turn:turn.example", Server("turn.example", 3478)),
        ("turn:turn.example:443?transport=tcp", Server("turn.example", 443, "tcp")),
        ("turns:turn.example", Server("turn.example", 5349, "tls")),
        ("turns:turn.example:443?transport=tcp", Server("turn.example", 443, "tls")),
        ("192.0.2.1:3478", Server("192.0.2.1", 3478)),
    ],
)
def test_turn_servers(text: str, server: Server) -> None:
    assert turn_server(text) == server


@pytest.mark.parametrize(
    "settings",
    [
        {"stun_servers": ["http://stun.example"]},
        {"stun_servers": ["stun.example:99999"]},
        {"stun_servers": ["user@stun.example"]},
        {"stun_servers": [""]},
        {"turn_server": "turn:turn.example?transport=sctp"},
        {"turn_server": "turns:turn.example?transport=udp"},
        {"turn_server": "turn:"},
    ],
)
def test_what_names_no_server_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(stun_servers|turn_server): '.*' came, wanted"):
        MediaConfig(ice="full", **settings)
    with pytest.raises(ValueError, match='wanted "full"'):
        MediaConfig(stun_servers=["stun.example"])


# --- STUN


class Socket:
    """A media socket that nobody listens on."""

    def __init__(self, host: str = "192.0.2.2") -> None:
        self.host = self.announced = host
        self.port = 10_000
        self.sent: list[tuple[bytes, bytes]] = []
        self.asked = asyncio.Event()

    def send(self, data: bytes, key: bytes) -> None:
        self.sent.append((data, key))
        self.asked.set()


def asker(*servers: str, ports: list[Socket]) -> Reflexive:
    return Reflexive([stun_server(text) for text in servers], cast(list[Port], ports))


def answers(asking: Reflexive, port: Socket, seen: dict[str, tuple[str, int]]) -> None:
    """Each server answers what is under its host."""
    sent, port.sent = port.sent, []
    port.asked.clear()
    for data, key in sent:
        address = seen.get(".".join(map(str, key[4:8])))
        if address is not None:
            reply = stun.binding_response(stun.parse(data).transaction_id, address, b"")
            assert asking.response(cast(Port, port), key, stun.parse(reply))


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflexive_module, "WAITS", (0.01,))
    monkeypatch.setattr(reflexive_module, "RETRY", 0.0)
    monkeypatch.setattr(reflexive_module, "KEEPALIVE", 0.0)


async def rounds(asking: Reflexive, port: Socket, *seen: dict[str, tuple[str, int]]) -> None:
    """As many rounds as there are answers."""
    for answer in seen:
        task = asyncio.create_task(asking._round())
        await port.asked.wait()
        answers(asking, port, answer)
        await task


async def test_a_mapped_address_becomes_a_candidate(fast: None) -> None:
    port = Socket()
    asking = asker("198.51.100.1", ports=[port, Socket("127.0.0.1"), Socket("2001:db8::1")])
    await rounds(asking, port, {"198.51.100.1": ("203.0.113.7", 41_000)})
    (candidate,) = asking.candidates()
    assert candidate.to_sdp() == (
        "candidate:s1 1 udp 1694498815 203.0.113.7 41000 typ srflx raddr 192.0.2.2 rport 10000"
    )
    assert not asking.unpredictable
    await rounds(asking, port, {"198.51.100.1": ("192.0.2.2", 10_000)})
    assert not list(asking.candidates())


async def test_an_address_that_nobody_confirms_is_not_offered_any_more(
    fast: None, caplog: pytest.LogCaptureFixture
) -> None:
    port = Socket()
    asking = asker("198.51.100.1", ports=[port])
    await rounds(asking, port, {"198.51.100.1": ("203.0.113.7", 41_000)})
    await rounds(asking, port, *[{}] * (MISSES - 1))
    assert list(asking.candidates())
    await rounds(asking, port, {})
    assert not list(asking.candidates())
    assert "no STUN server answers 192.0.2.2 port 10000" in caplog.text


async def test_servers_that_disagree_tell_of_a_nat_that_stun_does_not_help(
    fast: None, caplog: pytest.LogCaptureFixture
) -> None:
    port = Socket()
    asking = asker("198.51.100.1", "198.51.100.2", ports=[port])
    await rounds(asking, port, {"198.51.100.1": ("203.0.113.7", 41_000), "198.51.100.2": ("203.0.113.7", 41_001)})
    assert asking.unpredictable
    assert "203.0.113.7:41000 and 203.0.113.7:41001" in caplog.text


async def test_an_answer_from_elsewhere_is_none(fast: None) -> None:
    port = Socket()
    asking = asker("198.51.100.1", ports=[port])
    task = asyncio.create_task(asking._round())
    await port.asked.wait()
    ((data, key),) = port.sent
    reply = stun.parse(stun.binding_response(stun.parse(data).transaction_id, ("203.0.113.7", 1), b""))
    assert not asking.response(cast(Port, port), sockaddr("198.51.100.9", 3478), reply)
    assert not asking.response(cast(Port, Socket()), key, reply)
    assert not await task
    assert not asking.mapped


async def test_a_name_that_is_unknown_is_told_once(fast: None, caplog: pytest.LogCaptureFixture) -> None:
    asking = asker("stun.invalid", ports=[Socket()])
    assert not await asking._round()
    assert not await asking._round()
    assert caplog.text.count("STUN server stun.invalid") == 1


# --- TURN


class TurnClient:
    """aioice's, as far as it is used: binds what it is asked to, or refuses with ``code``."""

    def __init__(self) -> None:
        self.relayed_address, self.mapped_address = ("203.0.113.5", 50_000), ("203.0.113.7", 41_000)
        self.channel_to_peer: dict[int, tuple[str, int]] = {}
        self.peer_to_channel: dict[tuple[str, int], int] = {}
        self.receiver: Any = None
        self.transport = self
        self.bound: list[int] = []
        self.written: list[bytes] = []
        self.code = 0
        self.knows = True
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def _send(self, data: bytes) -> None:
        self.written.append(data)

    async def channel_bind(self, number: int, _address: tuple[str, int]) -> None:
        self.bound.append(number)
        if self.code:
            self._refuse(self.code)

    async def request_with_retry(self, _request: aioice_stun.Message) -> None:
        if not self.knows:
            self._refuse(437)

    def _refuse(self, code: int) -> None:
        response = aioice_stun.Message(aioice_stun.Method.CHANNEL_BIND, aioice_stun.Class.ERROR)
        response.attributes["ERROR-CODE"] = (code, "no")
        raise aioice_stun.TransactionFailed(response)


class Lent:
    def __init__(self, clock: FakeClock) -> None:
        self.client = TurnClient()
        self.taken: list[tuple[bytes, bytes]] = []
        self.losses: list[bool] = []
        self.port = RelayPort(
            cast(Any, self.client), clock, lambda _port, key, data: self.taken.append((key, data)), self._lose
        )

    def _lose(self) -> None:
        self.losses.append(self.port.closed)

    async def settle(self) -> None:
        await asyncio.gather(*self.port._tasks)


KEY = sockaddr("198.51.100.9", 5000)


async def test_what_is_relayed_waits_for_its_channel(clock: FakeClock) -> None:
    lent = Lent(clock)
    for number in range(MAX_WAITING + 2):
        lent.port.send(bytes([number]) * 5, KEY)
    assert not lent.client.written
    await lent.settle()
    assert lent.client.written == [b"\x40\x00\x00\x05" + bytes([number]) * 5 for number in range(MAX_WAITING)]
    assert (lent.port.sent, lent.port.dropped) == (MAX_WAITING, 2)
    slot = lent.port.spare()
    slot[0][:3] = b"abc"
    lent.port.queue(slot[2], 3, pinned(KEY))
    assert lent.client.written[-1] == b"\x40\x00\x00\x03abc"
    lent.client.receiver.datagram_received(b"back", ("198.51.100.9", 5000))
    assert lent.taken == [(KEY, b"back")]
    lent.port.send(b"x", sockaddr("2001:db8::1", 1))
    assert lent.port.dropped == 3


async def test_a_channel_in_use_is_bound_again(clock: FakeClock) -> None:
    lent = Lent(clock)
    lent.port.send(b"one", KEY)
    await lent.settle()
    clock.advance(REBIND + 1)
    lent.port.send(b"two", KEY)
    lent.port.send(b"three", KEY)
    assert len(lent.client.written) == 3  # not held up
    await lent.settle()
    assert lent.client.bound == [0x4000, 0x4000]


async def test_channels_are_used_again_once_they_have_rested(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_module, "CHANNEL_NUMBER_MAX", 0x4001)
    lent = Lent(clock)
    keys = [sockaddr("198.51.100.9", port) for port in range(1, 6)]
    for key in keys[:3]:
        lent.port.send(b"data", key)
        await lent.settle()
    assert lent.client.bound == [0x4000, 0x4001]
    assert lent.port.dropped == 1
    clock.advance(REBIND + 1)
    lent.port.send(b"data", keys[3])
    assert lent.port.dropped == 2
    assert not lent.client.channel_to_peer
    clock.advance(REST)
    lent.port.send(b"data", keys[4])
    await lent.settle()
    assert lent.client.bound == [0x4000, 0x4001, 0x4000]
    assert list(lent.client.peer_to_channel) == [("198.51.100.9", 5)]


async def test_an_address_that_is_refused_is_not_asked_for_again(clock: FakeClock) -> None:
    lent = Lent(clock)
    lent.client.code = 403
    for _ in range(3):
        lent.port.send(b"data", KEY)
        await lent.settle()
    assert len(lent.client.bound) == 1
    assert not lent.losses
    assert not lent.client.channel_to_peer


async def test_a_server_that_forgot_us_is_given_up(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    lent = Lent(clock)
    lent.client.code, lent.client.knows = 400, True
    lent.port.send(b"data", KEY)
    await lent.settle()
    assert not lent.losses
    lent.client.knows = False
    lent.port.send(b"data", KEY)
    await asyncio.gather(*lent.port._tasks, return_exceptions=True)
    assert lent.losses == [True]
    assert lent.client.closed
    lent.port.send(b"data", KEY)
    lent.client.receiver.connection_lost(None)
    assert len(lent.losses) == 1
    assert caplog.records[-1].levelno == logging.WARNING
    assert "TURN address 203.0.113.5 port 50000 is lost" in caplog.text
