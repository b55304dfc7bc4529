"""A relayed address as a port: channels are bound, kept, used again, and refused; what is lost is given up."""

import asyncio
import logging
from typing import Any, cast

import pytest
from aioice import stun as aioice_stun

from appliance.media import turn as turn_module
from appliance.media.turn import MAX_WAITING, REBIND, REST, RelayPort
from appliance.media.udp import pinned, sockaddr
from tests.clock import FakeClock


class TurnClient:
    """aioice's, as far as it is used: binds what it is asked to, or refuses with ``code``."""

    def __init__(self, host: str = "203.0.113.5") -> None:
        self.relayed_address, self.mapped_address = (host, 50_000), ("203.0.113.7", 41_000)
        self.channel_to_peer: dict[int, tuple[str, int]] = {}
        self.peer_to_channel: dict[tuple[str, int], int] = {}
        self.receiver: Any = None
        self.transport = self
        self.bound: list[int] = []
        self.written: list[bytes] = []
        self.code = 0
        self.knows = True
        self.closed = False

    def abandon(self) -> None:
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
    def __init__(self, clock: FakeClock, host: str = "203.0.113.5") -> None:
        self.client = TurnClient(host)
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


async def test_an_ipv6_address_reaches_ipv6(clock: FakeClock) -> None:
    lent = Lent(clock, "2001:db8::5")
    there = sockaddr("2001:db8::9", 5000)
    lent.port.send(b"hello", there)
    lent.port.send(b"x", KEY)
    await lent.settle()
    lent.port.queue(lent.port.spare()[2], 0, pinned(there))
    assert lent.client.written == [b"\x40\x00\x00\x05hello", b"\x40\x00\x00\x00"]
    assert lent.port.dropped == 1
    lent.client.receiver.datagram_received(b"back", ("2001:db8::9", 5000))
    assert lent.taken == [(there, b"back")]


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
