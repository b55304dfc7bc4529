"""What a NAT makes of our media sockets: asked of STUN servers, and kept open by asking again (RFC 8489).

The sockets are shared by all PeerConnections, so that one question answers for all of them.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from appliance.media.local import SRFLX_PREFERENCE, priority
from appliance.media.port import Port
from appliance.media.servers import Server
from appliance.media.udp import sockaddr
from appliance.wire import stun
from appliance.wire.candidate import Candidate

logger = logging.getLogger(__name__)

WAITS = (0.5, 1.0, 2.0)
"""Seconds that each request of a round waits for answers (RFC 8489 section 6.2.1, cut short)."""
KEEPALIVE = 15.0
"""Seconds between rounds: a NAT forgets a UDP mapping after 30 s at the earliest, as a rule."""
RETRY = 5.0
"""Seconds after a round in which nobody answered for some socket."""
MISSES = 3
"""Rounds without an answer after which an address is not offered any more."""
RESOLVE_SECONDS = 5.0


class Reflexive:
    """Asks ``servers`` from each of ``ports``, until :meth:`run` is cancelled."""

    def __init__(self, servers: Sequence[Server], ports: Sequence[Port]) -> None:
        self.tag = secrets.token_bytes(4)
        """Begins the transaction ids of its requests."""
        self.mapped: dict[Port, tuple[str, int]] = {}
        """What the first server that answers sees of each socket."""
        self.settled = asyncio.Event()
        """Set once the first round is over."""
        self.unpredictable = False
        """Two servers saw one socket come from different ports: what they say is of no use to anybody else."""
        self._servers = servers
        self._ports = ports
        self._asked: dict[bytes, tuple[Port, bytes]] = {}
        self._seen: dict[tuple[Port, bytes], tuple[str, int]] = {}
        self._all_answered = asyncio.Event()
        self._misses: dict[Port, int] = {}
        self._unknown: set[str] = set()

    async def run(self) -> None:
        """Ask, and ask again, for ever."""
        while True:
            done = await self._round()
            self.settled.set()
            await asyncio.sleep(KEEPALIVE if done else RETRY)

    def response(self, port: Port, key: bytes, message: stun.StunMessage) -> bool:
        """The answer to a request of ours; false when it is none."""
        if self._asked.get(message.transaction_id) != (port, key):
            return False
        del self._asked[message.transaction_id]
        seen = message.xor_mapped_address
        if message.message_class is stun.Class.SUCCESS and seen is not None:
            self._seen[port, key] = seen
        if not self._asked:
            self._all_answered.set()
        return True

    def candidates(self) -> Iterator[Candidate]:
        """One for each socket that looks different from outside."""
        for index, (port, (host, number)) in enumerate(self.mapped.items(), 1):
            if (host, number) in {(port.host, port.port), (port.announced, port.port)}:
                continue
            yield Candidate(
                foundation=f"s{index}",
                component=1,
                transport="udp",
                priority=priority(SRFLX_PREFERENCE, 65_536 - index),
                address=host,
                port=number,
                type="srflx",
                related_address=port.host,
                related_port=port.port,
            )

    async def _round(self) -> bool:
        """Ask every server from every socket that may reach it; true when each socket has an answer."""
        wanted = [(port, key) for key in await self._resolve() for port in self._ports if _reaches(port, key)]
        self._seen.clear()
        for wait in WAITS:
            self._asked.clear()
            self._all_answered.clear()
            for port, key in wanted:
                if (port, key) not in self._seen:
                    transaction = self.tag + secrets.token_bytes(8)
                    self._asked[transaction] = port, key
                    port.send(stun.build(stun.BINDING, stun.Class.REQUEST, transaction, [], None), key)
            if not self._asked:
                break
            try:
                async with asyncio.timeout(wait):
                    await self._all_answered.wait()
                break
            except TimeoutError:
                continue
        self._asked.clear()
        return self._take(wanted)

    def _take(self, wanted: Sequence[tuple[Port, bytes]]) -> bool:
        asking = dict.fromkeys(port for port, _ in wanted)
        for port in asking:
            answers = [self._seen[port, key] for other, key in wanted if other is port and (port, key) in self._seen]
            if answers:
                self._misses[port] = 0
                self.mapped[port] = answers[0]
                if len(set(answers)) > 1 and not self.unpredictable:
                    self.unpredictable = True
                    logger.warning(
                        "STUN servers see %s port %d as %s: this NAT gives each destination another port, and clients"
                        " reach the gateway through TURN only, or when they are reached first",
                        port.host, port.port, " and ".join(f"{host}:{number}" for host, number in answers),
                    )  # fmt: skip
                continue
            self._misses[port] = self._misses.get(port, 0) + 1
            if self._misses[port] == MISSES:
                self.mapped.pop(port, None)
                logger.warning("no STUN server answers %s port %d", port.host, port.port)
        return bool(asking) and not any(self._misses.get(port) for port in asking)

    async def _resolve(self) -> list[bytes]:
        found: dict[bytes, None] = {}
        for server in self._servers:
            try:
                async with asyncio.timeout(RESOLVE_SECONDS):
                    entries = await asyncio.get_running_loop().getaddrinfo(
                        server.host, server.port, type=socket.SOCK_DGRAM
                    )
            except (OSError, UnicodeError) as problem:
                if server.host not in self._unknown:
                    self._unknown.add(server.host)
                    logger.warning("STUN server %s: %s", server.host, getattr(problem, "strerror", None) or problem)
                continue
            first: dict[int, bytes] = {}
            for family, _, _, _, address in entries:
                first.setdefault(family, sockaddr(str(address[0]).partition("%")[0], server.port))
            found |= dict.fromkeys(first.values())
        return list(found)


def _reaches(port: Port, key: bytes) -> bool:
    is_ipv6 = len(key) > 16
    loopback = key[8:24] == bytes(15) + b"\x01" if is_ipv6 else key[4] == 127
    return (":" in port.host) is is_ipv6 and ip_address(port.host).is_loopback is loopback
