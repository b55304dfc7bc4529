"""Sends HEPv3 packets over TCP or TLS, without ever holding up whoever has them, and without losing them.

A capture server answers nothing: a connection that died shows in a write that fails, one that hangs in an
acknowledgement that does not come. Every such sign leads to a new connection, to the next server if there are
several, and what the old one may have lost is sent again; see :mod:`appliance.hep.outbox`.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable

from appliance.hep.connection import TELLING, Answer, Connection
from appliance.hep.endpoint import Endpoint
from appliance.hep.outbox import CONFIRMED_AFTER, MAX_QUEUED, MAX_QUEUED_BYTES, Outbox, Packet
from appliance.hep.tally import Count, Tally
from appliance.net.backoff import Backoff
from appliance.net.spool import Spool

logger = logging.getLogger(__name__)

MIN_FLIGHT = 8 * 1024
MAX_FLIGHT = 256 * 1024
"""Bytes sent and not yet known to be dealt with: as few as a near server allows, more for one that is far away. They
are what comes twice when a server dies."""
BYTES_PER_S = 32 * 2**20
"""What a server is to be sent at least, as long as :data:`MAX_FLIGHT` allows it: 100,000 messages."""
ROUND_TRIPS = 4
"""In which as much is sent and dealt with as may be in flight."""
CONNECT_TIMEOUT = 10.0
WRITE_TIMEOUT = 20.0
"""Seconds in which the peer must acknowledge a batch, and have read the one before; one that accepts and never reads is
let go."""
MAX_PAUSE = 0.05
"""Seconds between two looks whether a busy server reads again; less than makes a connection idle."""
NEAR = 0.005
"""Seconds of a round trip, twenty of which delay a message less than anybody sees."""
STEADY_AFTER = 5.0
"""Seconds of a connection after which the back-off starts from the beginning."""
DRAIN_TIMEOUT = 2.0
DRAIN_PER_S = 5000.0
"""Packets a second from the spool, on top of as many as come in: a server that comes back is not flooded."""
BURST = 0.1
"""Seconds of that which may come at once."""
SPILL_DELAY = 0.2
"""Seconds between a packet that can't be sent and its way to the disk."""
RETURN_EVERY = 30.0
"""Seconds between looks at the first server, while another stands in."""

Sleep = Callable[[float], Awaitable[None]]


class TcpClient:
    """Queues, joins and writes; dials again after any error, with back-off."""

    def __init__(
        self,
        *endpoints: Endpoint,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        spool: Spool | None = None,
        drain_per_s: float = DRAIN_PER_S,
        max_queued: int = MAX_QUEUED,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        write_timeout: float = WRITE_TIMEOUT,
        sleep: Sleep = asyncio.sleep,
        backoff: Backoff | None = None,
    ) -> None:
        """
        :param endpoints: the first is used while it can be had, the others stand in, in this order.
        :param server_name: whom a TLS server's certificate must name; empty: its host.
        :param spool: not open yet; without one, the queue in memory is all there is.
        """
        self.endpoint = endpoints[0]
        self.tally = Tally(self.endpoint.transport)
        self._endpoints = endpoints
        secure = any(endpoint.transport == "tls" for endpoint in endpoints)
        self._tls = ssl.create_default_context() if secure and tls is None else tls
        self._server_name = server_name
        self._spool = spool
        self._drain_per_s = drain_per_s
        self._write_timeout = write_timeout
        self._sleep = sleep
        self._backoff = backoff or Backoff()
        self.outbox = Outbox(self.tally, max_queued=max_queued, max_queued_bytes=max_queued_bytes)
        self._max = max_queued, max_queued_bytes
        self._wake: asyncio.Future[None] | None = None
        self._resting = False
        """It waits before it dials again."""
        self.available = True
        """A server is connected, or may be soon: none has been tried in vain since."""
        self._settled = asyncio.Event()
        """Nothing will be sent for now: all is sent, or it rests."""
        self._settled.set()
        self._task: asyncio.Task[None] | None = None
        self._spill_timer: asyncio.TimerHandle | None = None
        self._allowance = 0.0
        """Packets that may leave the spool now."""
        self._allowed_at = 0.0

    async def start(self) -> None:
        """Look into the spool and begin to dial."""
        if self._spool is not None:
            try:
                await asyncio.to_thread(self._spool.open)
            except OSError as error:
                self.tally.fail("spool")
                logger.warning("capture server %s: no spool: %s", self.endpoint, error)
            else:
                queue, queue_bytes = self._max
                self.outbox = Outbox(self.tally, spool=self._spool, max_queued=queue, max_queued_bytes=queue_bytes)
                if self._spool.unread:
                    logger.info("capture server %s: %d packets in the spool", self.endpoint, self._spool.unread)
                    self._settled.clear()
        self._task = asyncio.create_task(self._run(), name=f"hep {self.endpoint}")

    def send(self, packet: bytes, payload_type: int, *, expendable: bool = False) -> bool:
        """Queue one packet. A full queue refuses what is expendable, and gives up its oldest for the rest."""
        if not self.outbox.put(Packet(packet, payload_type), expendable=expendable):
            return False
        self._allowance += 1
        if self.outbox.overflows:
            self.outbox.spill()
        elif self._spill_timer is None and not self.tally.connected and self._spool is not None:
            with contextlib.suppress(RuntimeError):
                self._spill_timer = asyncio.get_running_loop().call_later(SPILL_DELAY, self._spill)
        if not self._resting:
            self._settled.clear()
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        return True

    def _spill(self) -> None:
        self._spill_timer = None
        if not self.tally.connected:
            self.outbox.spill()

    # --- connections -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        index = failures = 0
        while True:
            endpoint = self._endpoints[index]
            began = asyncio.get_running_loop().time()
            if await self._visit(endpoint, first=index == 0):
                # The first server is back.
                index = failures = 0
                continue
            if asyncio.get_running_loop().time() - began > STEADY_AFTER + CONNECT_TIMEOUT:
                self._backoff.reset()
                failures = 0
            index = (index + 1) % len(self._endpoints)
            failures += 1
            if failures % len(self._endpoints) == 0:
                self.available = False
                await self._rest()
                index = 0

    async def _visit(self, endpoint: Endpoint, *, first: bool) -> bool:
        """Dial and stay as long as it works; whether it is the first server's turn again."""
        try:
            connection = await self._dial(endpoint)
        except (OSError, TimeoutError, UnicodeError) as error:
            self.tally.fail("connect")
            logger.warning("capture server %s can't be reached: %s", endpoint, error or "time-out")
            return False
        home = None if first else asyncio.create_task(self._look_home(), name=f"hep {self.endpoint} back")
        self.tally.connected = self.available = True
        loop = asyncio.get_running_loop()
        try:
            await self._pump(connection, home)
        except TimeoutError:
            self.tally.fail("timeout")
            logger.warning("capture server %s accepts and does not read", endpoint)
            self.outbox.failed(loop.time(), deaf=True)
        except OSError as error:
            self.tally.fail("closed" if isinstance(error, ConnectionAbortedError) else "write")
            logger.warning("capture server %s is gone: %s", endpoint, error)
            self.outbox.failed(loop.time())
        else:
            self.outbox.delivered()
            return True
        finally:
            self.tally.connected = False
            await connection.abort()
            if home is not None:
                home.cancel()
                await asyncio.gather(home, return_exceptions=True)
        if self._spool is not None:
            self.outbox.spill()
        return False

    async def _dial(self, endpoint: Endpoint) -> Connection:
        secure = endpoint.transport == "tls"
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(
                endpoint.host,
                endpoint.port,
                ssl=self._tls if secure else None,
                server_hostname=(self._server_name or endpoint.host) if secure else None,
            )
        return Connection(reader, writer, write_timeout=self._write_timeout)

    async def _look_home(self) -> None:
        """Until the first server can be had again."""
        while True:
            await self._sleep(RETURN_EVERY)
            with contextlib.suppress(OSError, TimeoutError, UnicodeError):
                await (await self._dial(self.endpoint)).abort()
                return

    async def _rest(self) -> None:
        self._resting = True
        self._settled.set()
        await self._sleep(self._backoff.next())
        self._resting = False
        if len(self.outbox):
            self._settled.clear()

    # --- packets ---------------------------------------------------------------------------------------------

    async def _pump(self, connection: Connection, home: asyncio.Task[None] | None) -> None:
        """Write until something fails, or the first server is back. :raises OSError, TimeoutError: it failed."""
        while True:
            await self._something(connection.closed, home)
            if connection.closed.done():
                raise ConnectionAbortedError("it closed the connection")
            if home is not None and home.done():
                return
            limit = MAX_FLIGHT
            if connection.tells:
                limit = min(MAX_FLIGHT, max(MIN_FLIGHT, int(connection.nearest * ROUND_TRIPS * BYTES_PER_S)))
            small = connection.cold and connection.nearest > NEAR
            packets, spooled = self.outbox.take(1 if small else min(limit, connection.max_bytes))
            if not packets:
                continue
            await self._write(connection, packets, limit)
            for packet in packets:
                self.tally.count_sent(packet.kind, len(packet.data))
            if spooled:
                await self._pace(len(packets), connection.closed)

    async def _write(self, connection: Connection, packets: list[Packet], limit: int) -> None:
        """Send a batch, its end only when the peer reads, and what was sent before leaves room for it in flight.

        Until then its first packet goes out in single bytes, the last one not: each makes the peer's TCP tell whether
        its program reads, and is nothing that could come twice. So a near connection is warmed up too.

        :raises TimeoutError: it does not read.
        """
        loop = asyncio.get_running_loop()
        data = b"".join([packet.data for packet in packets])
        tail = max(0, len(data) - TELLING)
        sent, spare, pause = 0, len(packets[0].data) - 1, 0.001
        async with asyncio.timeout(self._write_timeout):
            while connection.tells and sent < spare:
                crowded = 0 < self.outbox.doubtful_bytes > limit - len(data)
                if not (crowded or self.outbox.late) and not (connection.cold and connection.nearest <= NEAR):
                    break
                answer = await connection.write(data[sent : sent + 1])
                sent += 1
                self.outbox.heard(answer)
                if answer is Answer.LATE:
                    await asyncio.sleep(pause)
                    pause = min(MAX_PAUSE, 2 * pause)
        if sent < tail:
            self.outbox.heard(await connection.write(data[sent:tail]))
            sent = tail
        answer = await connection.write(data[sent:])
        self.outbox.acknowledged(loop.time(), answer)
        if not connection.tells:
            self.outbox.trust()

    async def _something(self, gone: asyncio.Task[None], home: asyncio.Task[None] | None) -> None:
        """Until there is a packet to send, or a reason to stop."""
        events: list[asyncio.Future[None]] = [gone] if home is None else [gone, home]
        while not len(self.outbox) and not any(event.done() for event in events):
            self._settled.set()
            loop = asyncio.get_running_loop()
            self._wake = loop.create_future()
            timeout = CONFIRMED_AFTER if self.outbox.doubts else None
            await asyncio.wait((*events, self._wake), return_when=asyncio.FIRST_COMPLETED, timeout=timeout)
            self._wake = None
            self.outbox.settle(loop.time())

    async def _pace(self, number: int, gone: asyncio.Task[None]) -> None:
        now = asyncio.get_running_loop().time()
        earned = (now - self._allowed_at) * self._drain_per_s
        self._allowance = min(self._allowance + earned, self._drain_per_s * BURST) - number
        self._allowed_at = now
        if self._allowance < 0:
            await asyncio.wait((gone,), timeout=-self._allowance / self._drain_per_s)

    async def stop(self) -> None:
        """Send what is queued if the connection stands or is being made, close, and leave the rest in the spool."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await self._settled.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self._spill_timer is not None:
            self._spill_timer.cancel()
        self.outbox.close()

    def counts(self) -> Iterable[Count]:
        """The tally and the queue."""
        yield from self.tally.counts()
        yield from self.outbox.counts()


__all__ = ["DRAIN_PER_S", "TcpClient"]
