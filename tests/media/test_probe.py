"""A look around: a STUN server made with aioice answers, keeps silent, refuses, and lies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aioice import stun

from appliance.media import probe
from appliance.media.probe import NetworkProbe

Answer = Callable[[stun.Message, tuple[str, int]], list[bytes]]


class Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        where = (str(address[0]), int(address[1]))
        self.asked.append(where)
        for answer in self.answer(stun.parse_message(data), where):
            self.transport.sendto(answer, where)


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[tuple[Server, int]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Server(answer), local_addr=("127.0.0.1", 0))
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def success(request: stun.Message, address: tuple[str, int], transaction_id: bytes | None = None) -> bytes:
    message = stun.Message(
        message_method=stun.Method.BINDING,
        message_class=stun.Class.RESPONSE,
        transaction_id=transaction_id or request.transaction_id,
    )
    message.attributes["XOR-MAPPED-ADDRESS"] = address
    return bytes(message)


async def test_how_a_server_sees_us() -> None:
    async with server(lambda request, address: [success(request, address)]) as (asked, port):
        found = await NetworkProbe().test_stun("localhost", port, 0)
        assert [found] == asked.asked
        used = found[1]
        # The port is free again, so it can be asked for.
        assert await NetworkProbe().test_stun("127.0.0.1", port, used) == ("127.0.0.1", used)


async def test_only_the_answer_to_our_own_question_counts() -> None:
    def answer(request: stun.Message, address: tuple[str, int]) -> list[bytes]:
        return [b"noise", success(request, ("192.0.2.9", 9), b"x" * 12), success(request, ("192.0.2.1", 1))]

    async with server(answer) as (_, port):
        assert await NetworkProbe().test_stun("127.0.0.1", port, 0) == ("192.0.2.1", 1)


async def test_a_server_that_refuses_or_is_not_there() -> None:
    def answer(request: stun.Message, address: tuple[str, int]) -> list[bytes]:
        message = stun.Message(
            message_method=stun.Method.BINDING, message_class=stun.Class.ERROR, transaction_id=request.transaction_id
        )
        message.attributes["ERROR-CODE"] = (401, "Unauthorized")
        return [bytes(message)]

    async with server(answer) as (_, port):
        with pytest.raises(OSError, match="401"):
            await NetworkProbe().test_stun("127.0.0.1", port, 0)
    with pytest.raises(OSError, match="refused"):
        await NetworkProbe().test_stun("127.0.0.1", port, 0)


async def test_a_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "RETRANSMISSIONS", (0.01, 0.02))
    async with server(lambda _request, _address: []) as (asked, port):
        with pytest.raises(TimeoutError, match="did not answer"):
            await NetworkProbe().test_stun("127.0.0.1", port, 0)
        assert len(asked.asked) == 2


async def test_names() -> None:
    assert await NetworkProbe().resolve("127.0.0.1") == "127.0.0.1"
    assert await NetworkProbe().resolve("localhost") in {"127.0.0.1", "::1"}
    for wrong in ("a" * 70 + ".example", "..", "\udc80"):
        with pytest.raises(OSError, match=r"."):
            await NetworkProbe().resolve(wrong)
