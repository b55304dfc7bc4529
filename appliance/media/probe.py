"""A look around from where the gateway is: names, and how a STUN server sees us."""

import asyncio
import secrets
import socket

from appliance.wire import stun

RESOLVE_SECONDS = 5.0
RETRANSMISSIONS = (0.5, 1.0, 2.0)
"""Seconds that each of the requests waits for an answer (RFC 8489 section 6.2.1, cut short)."""


class NetworkProbe:
    """Implements :class:`appliance.core.admin_tools.Network`."""

    async def resolve(self, address: str) -> str:
        """The first IP address of a name. :raises OSError: there is none."""
        return (await _look_up(address, 0))[1]

    async def test_stun(self, address: str, port: int, local_port: int) -> tuple[str, int]:
        """Our public address, as the server says. :raises OSError: it can't be asked, or does not answer."""
        family, ip = await _look_up(address, port)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[tuple[str, int]] = loop.create_future()
        transaction_id = secrets.token_bytes(12)
        anywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104  # a source to send from
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answer(answered, transaction_id),
            local_addr=(anywhere, local_port) if local_port else None,
            remote_addr=(ip, port),
            family=family,
        )
        request = stun.build(stun.BINDING, stun.Class.REQUEST, transaction_id, [], None)
        try:
            for seconds in RETRANSMISSIONS:
                transport.sendto(request)
                await asyncio.wait([answered], timeout=seconds)
                if answered.done():
                    return answered.result()
            raise TimeoutError(f"{ip}:{port} did not answer in {sum(RETRANSMISSIONS)} s")
        finally:
            transport.close()
            answered.cancel()


async def _look_up(address: str, port: int) -> tuple[int, str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.getaddrinfo(address, port, type=socket.SOCK_DGRAM)
    except UnicodeError as problem:
        raise OSError(f"{address!r} is no host name: {problem}") from None
    family, _, _, _, where = found[0]
    return family, str(where[0])


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, answered: "asyncio.Future[tuple[str, int]]", transaction_id: bytes) -> None:
        self._answered = answered
        self._transaction_id = transaction_id

    def datagram_received(self, data: bytes, _address: object) -> None:
        try:
            message = stun.parse(data)
        except stun.StunDecodeError:
            return
        if message.transaction_id != self._transaction_id or self._answered.done():
            return
        if message.message_class is stun.Class.ERROR:
            self._answered.set_exception(OSError(f"the server refuses: {message.error_code}"))
        elif message.xor_mapped_address is not None:
            self._answered.set_result(message.xor_mapped_address)

    def error_received(self, problem: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(problem)
