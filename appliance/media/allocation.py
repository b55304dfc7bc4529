"""Asking a TURN server for an address (RFC 8656 section 7), over UDP, TCP or TLS, by IPv4 or IPv6.

aioice does the transactions, the signing, and the answer to a nonce that went stale. It can't ask for an IPv6 address,
which is added here.
"""

import asyncio
import logging
import socket
import ssl
from typing import Any, Literal

from aioice import stun
from aioice.turn import TurnClientMixin, TurnClientTcpProtocol, TurnClientUdpProtocol

from appliance.media.access import Access
from appliance.media.servers import Login, Server

logger = logging.getLogger(__name__)

Family = Literal[4, 6]
LIFETIME = 600
"""Seconds that an allocation is asked for; it is refreshed in time."""
ANSWER_SECONDS = 5.0
"""For each address of a server: after that it is not there."""
_REASON_CHARACTERS = 80
_HEADER_BYTES = 20
_IPV6_WANTED = b"\x00\x17\x00\x04\x02\x00\x00\x00"
"""REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.5)."""


class TurnRefusedError(ConnectionError):
    """The server is there and says no. ``code``: of RFC 8656 section 19 or RFC 8489 section 14.8; 0: none came."""

    def __init__(self, response: stun.Message) -> None:
        self.code, reason = response.attributes.get("ERROR-CODE", (0, ""))
        super().__init__(f"refused with {self.code} {reason[:_REASON_CHARACTERS]!r}")


class _Ipv6Request(stun.Message):
    def __bytes__(self) -> bytes:
        data = super().__bytes__()
        length = len(data) - _HEADER_BYTES + len(_IPV6_WANTED)
        return stun.set_body_length(data[:_HEADER_BYTES], length) + _IPV6_WANTED + data[_HEADER_BYTES:]


class _Client(TurnClientMixin):
    family: Family = 4

    def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
        try:
            super().datagram_received(data, addr)
        except Exception:
            logger.debug("a message of the TURN server was dropped", exc_info=True)

    async def request_with_retry(self, request: stun.Message) -> tuple[stun.Message, tuple[str, int]]:
        if self.family == 6 and request.message_method is stun.Method.ALLOCATE:
            request = _Ipv6Request(
                request.message_method, request.message_class, request.transaction_id, request.attributes
            )
        return await super().request_with_retry(request)

    async def give_back(self, seconds: float) -> None:
        """Tell the server that the address is free, if it answers in time."""
        try:
            async with asyncio.timeout(seconds):
                await self.delete()
        except OSError:
            self.abandon()

    def abandon(self) -> None:
        """Close the socket; the server keeps the address until its lifetime is over."""
        if self.refresh_task is not None:
            self.refresh_task.cancel()
            self.refresh_task = None
        self.transport.close()


class UdpTurnClient(_Client, TurnClientUdpProtocol):
    """A socket of its own, which nothing but the server's datagrams come to."""


class TcpTurnClient(_Client, TurnClientTcpProtocol):
    """Over TCP, or TLS upon it."""


TurnClient = UdpTurnClient | TcpTurnClient


async def allocated(access: Access, family: Family, context: ssl.SSLContext | None) -> TurnClient:
    """A client with an address of that family; each server is tried in turn, and each address of its name.

    ``context`` is for TLS. :raises OSError: none is there, answers, or lends it (:class:`TurnRefusedError`).
    """
    failure: OSError = ConnectionError("its name has no address")
    for server in access.servers:
        try:
            for address in await _resolve(server):
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        return await _allocated_at(address, server, access.login, family, context)
                except TimeoutError:
                    failure = ConnectionError(f"no answer within {ANSWER_SECONDS:.0f} s")
                except TurnRefusedError:
                    raise
                except OSError as problem:
                    failure = problem
        except OSError as problem:
            failure = problem
    raise failure


async def _resolve(server: Server) -> list[str]:
    kind = socket.SOCK_DGRAM if server.transport == "udp" else socket.SOCK_STREAM
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            entries = await asyncio.get_running_loop().getaddrinfo(server.host, server.port, type=kind)
    except TimeoutError:
        raise ConnectionError(f"its name is not resolved within {ANSWER_SECONDS:.0f} s") from None
    except UnicodeError as problem:
        raise ConnectionError(f"its name can't be resolved: {problem}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


async def _allocated_at(
    host: str, server: Server, login: Login, family: Family, context: ssl.SSLContext | None
) -> TurnClient:
    loop, where = asyncio.get_running_loop(), (host, server.port)
    kind = UdpTurnClient if server.transport == "udp" else TcpTurnClient

    def client() -> TurnClient:
        made = kind(
            where, username=login.username, password=login.password, lifetime=LIFETIME, channel_refresh_time=LIFETIME
        )
        made.family = family
        return made

    protocol: Any
    if server.transport == "udp":
        _, protocol = await loop.create_datagram_endpoint(client, remote_addr=where)
    elif server.transport == "tls":
        _, protocol = await loop.create_connection(client, *where, ssl=context, server_hostname=server.host)
    else:
        _, protocol = await loop.create_connection(client, *where)
    try:
        await protocol.connect()
        relayed = protocol.relayed_address
        if (":" in relayed[0]) is not (family == 6):
            raise ConnectionError(f"lends {relayed[0]}, wanted IPv{family}")
    except BaseException as problem:
        protocol.abandon()
        if isinstance(problem, stun.TransactionFailed):
            raise TurnRefusedError(problem.response) from None
        if isinstance(problem, stun.TransactionError):
            raise ConnectionError("does not answer") from None
        raise
    made: TurnClient = protocol
    return made
