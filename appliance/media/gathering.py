"""What a gateway with full ICE finds out about its own addresses: STUN and TURN servers, asked all the time.

Everything is known before the first call comes: a description is never late because a server is slow.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from appliance.core.clock import Clock
from appliance.core.events import Counter
from appliance.media.config import MediaConfig
from appliance.media.lender import Lender
from appliance.media.local import RELAY_PREFERENCE, host_candidates, priority, tcp_candidates
from appliance.media.port import Port
from appliance.media.reflexive import Reflexive
from appliance.media.servers import stun_server
from appliance.media.tcp import TcpPort
from appliance.media.turn import RelayPort
from appliance.media.udp import UdpPort
from appliance.wire.candidate import Candidate

logger = logging.getLogger(__name__)

GATHER_SECONDS = 3.0
"""The start waits so long for the first answers; what comes later is in the descriptions after it."""


class Gathering:
    """Our candidates: of ``ports``, and of what the servers in ``config`` make of them.

    ``take`` gets what comes through TURN servers. :raises ValueError: a file with a password can't be read.
    """

    def __init__(
        self,
        config: MediaConfig,
        ports: Sequence[UdpPort],
        clock: Clock,
        take: Callable[[RelayPort, bytes, bytes], None],
        tcp_ports: Sequence[TcpPort] = (),
    ) -> None:
        self.reflexive: Reflexive | None = None
        self._config = config
        self._ports = ports
        self._tcp_ports = tcp_ports
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self._lenders = [
            Lender(f"turn_servers[{index}]", server, clock, take) for index, server in enumerate(config.turn_servers)
        ]

    @property
    def relays(self) -> list[RelayPort]:
        """What TURN servers lend now, in the configuration's order."""
        return [relay for lender in self._lenders for _, relay in sorted(lender.relays.items())]

    @property
    def ports(self) -> list[Port]:
        """Everything that a check can be sent from; over TCP only where the peer has connected."""
        return [*self._ports, *self.relays]

    def candidates(self) -> Iterator[Candidate]:
        """As they are now, best first."""
        yield from host_candidates(self._ports, announce_private=self._config.announce_private)
        if self.reflexive is not None:
            yield from self.reflexive.candidates()
        yield from tcp_candidates(self._tcp_ports, announce_private=self._config.announce_private)
        for index, relay in enumerate(self.relays):
            yield Candidate(
                foundation=f"r{index + 1}",
                component=1,
                transport="udp",
                priority=priority(RELAY_PREFERENCE, 65_535 - index),
                address=relay.host,
                port=relay.port,
                type="relay",
                related_address=relay.related[0],
                related_port=relay.related[1],
            )

    async def start(self) -> None:
        """Ask, and wait a little for answers."""
        config, settled = self._config, []
        if config.ice == "full" and config.stun_servers:
            self.reflexive = Reflexive([stun_server(text) for text in config.stun_servers], self._ports)
            self._tasks.append(asyncio.create_task(self.reflexive.run(), name="stun servers"))
            settled.append(self.reflexive.settled.wait())
        for lender in self._lenders:
            self._tasks.append(asyncio.create_task(lender.run(), name=f"turn server {lender.name}"))
            settled.append(lender.settled.wait())
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await asyncio.gather(*settled)
        except TimeoutError:
            logger.warning("not every STUN and TURN server has answered yet; calls go on without them")

    async def stop(self) -> None:
        """Give back what was lent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(lender.stop() for lender in self._lenders))

    def relayed(self, count: str) -> int:
        """Datagrams ``received``, ``sent`` or ``dropped`` through TURN servers since the start."""
        return sum(lender.relayed(count) for lender in self._lenders)

    def measure(self) -> Iterator[Counter]:
        """What TURN servers lend, and how often they did not."""
        for lender in self._lenders:
            yield from lender.measure()
