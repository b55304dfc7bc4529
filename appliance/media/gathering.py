"""What a gateway with full ICE finds out about its own addresses: STUN servers and a TURN server, asked all the time.

Everything is known before the first call comes: a description is never late because a server is slow.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from appliance.core.auth import secret_of
from appliance.core.clock import Clock
from appliance.media.config import MediaConfig
from appliance.media.local import RELAY_PREFERENCE, host_candidates, priority, tcp_candidates
from appliance.media.port import Port
from appliance.media.reflexive import KEEPALIVE, Reflexive
from appliance.media.servers import Server, stun_server, turn_server
from appliance.media.tcp import TcpPort
from appliance.media.turn import RelayPort, allocate
from appliance.media.udp import UdpPort
from appliance.wire.candidate import Candidate

logger = logging.getLogger(__name__)

GATHER_SECONDS = 3.0
"""The start waits so long for the first answers; what comes later is in the descriptions after it."""
ALLOCATE_SECONDS = 40.0
CLOSE_SECONDS = 1.0
RETRY_SECONDS = (1.0, 60.0)
"""The first and the longest pause between attempts to be lent an address."""


class Gathering:
    """Our candidates: of ``ports``, and of what the servers in ``config`` make of them.

    ``take`` gets what comes through the TURN server. :raises ValueError: the TURN password can't be read.
    """

    def __init__(
        self,
        config: MediaConfig,
        ports: Sequence[UdpPort],
        clock: Clock,
        take: Callable[[RelayPort, bytes, bytes], None],
        tcp_ports: Sequence[TcpPort] = (),
    ) -> None:
        self.relay: RelayPort | None = None
        self.reflexive: Reflexive | None = None
        self._config = config
        self._ports = ports
        self._tcp_ports = tcp_ports
        self._clock = clock
        self._take = take
        self._tasks: list[asyncio.Task[None]] = []
        self._relay_settled = asyncio.Event()
        self._relay_lost = asyncio.Event()
        self._password = secret_of("turn_password", config.turn_password, config.turn_password_file)
        self._relayed_before = {"received": 0, "sent": 0, "dropped": 0}

    @property
    def ports(self) -> list[Port]:
        """Everything that a check can be sent from; over TCP only where the peer has connected."""
        return [*self._ports] if self.relay is None else [*self._ports, self.relay]

    def candidates(self) -> Iterator[Candidate]:
        """As they are now, best first."""
        yield from host_candidates(self._ports, announce_private=self._config.announce_private)
        if self.reflexive is not None:
            yield from self.reflexive.candidates()
        yield from tcp_candidates(self._tcp_ports, announce_private=self._config.announce_private)
        if self.relay is not None:
            yield Candidate(
                foundation="r1",
                component=1,
                transport="udp",
                priority=priority(RELAY_PREFERENCE),
                address=self.relay.host,
                port=self.relay.port,
                type="relay",
                related_address=self.relay.related[0],
                related_port=self.relay.related[1],
            )

    async def start(self) -> None:
        """Ask, and wait a little for answers."""
        config, settled = self._config, []
        if config.ice == "full" and config.stun_servers:
            self.reflexive = Reflexive([stun_server(text) for text in config.stun_servers], self._ports)
            self._tasks.append(asyncio.create_task(self.reflexive.run(), name="stun servers"))
            settled.append(self.reflexive.settled.wait())
        if config.ice == "full" and config.turn_server:
            self._tasks.append(asyncio.create_task(self._keep(turn_server(config.turn_server)), name="turn server"))
            settled.append(self._relay_settled.wait())
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
        if self.relay is not None:
            await self.relay.close(CLOSE_SECONDS)

    def relayed(self, count: str) -> int:
        """Datagrams ``received``, ``sent`` or ``dropped`` through the TURN server, of every address it ever lent."""
        now = 0 if self.relay is None else int(getattr(self.relay, count))
        return self._relayed_before[count] + now

    async def _keep(self, server: Server) -> None:
        """Have an address as long as the server lends one."""
        pause, longest = RETRY_SECONDS
        while True:
            try:
                async with asyncio.timeout(ALLOCATE_SECONDS):
                    relay = await allocate(
                        server, self._config.turn_username, self._password, self._clock, self._take, self._lose
                    )
            except (OSError, TimeoutError) as problem:
                logger.warning("TURN server %s port %d: %s", server.host, server.port, problem or "no answer")
                self._relay_settled.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)
                continue
            self.relay = relay
            self._relay_settled.set()
            pause = RETRY_SECONDS[0]
            while not self._relay_lost.is_set():
                try:
                    async with asyncio.timeout(KEEPALIVE):
                        await self._relay_lost.wait()
                except TimeoutError:
                    await relay.refresh()
            self._relay_lost.clear()

    def _lose(self) -> None:
        for name in self._relayed_before:
            self._relayed_before[name] = self.relayed(name)
        self.relay = None
        self._relay_lost.set()
