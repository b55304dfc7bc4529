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
from itertools import count

from appliance.hep.endpoint import Endpoint
from appliance.hep.outbox import CONFIRMED_AFTER, MAX_QUEUED, MAX_QUEUED_BYTES, Outbox, Packet
from appliance.hep.tally import Count, Tally
from appliance.net.backoff import Backoff
from appliance.net.spool import Spool
from appliance.net.tcp import established, keep_alive, round_trip, segment_bytes, unacknowledged

logger = logging.getLogger(__name__)

MIN_BATCH = 16 * 1024
MAX_BATCH = 256 * 1024
"""Bytes in one write, and in flight: as few as a near server allows, more for one that is far away."""
BYTES_PER_S = 8 * 2**20
"""What a far server is to be sent at least: with the round trip it makes the size of a batch."""
PROMPT = 0.02
"""Seconds beyond the shortest round trip in which a peer that reads acknowledges; TCP's timer is 0.04."""
WARM_UP = 20
"""Batches of one packet each with which a connection begins, and begins again when it was idle: TCP acknowledges the
first 16 segments at once, read or not, so that they tell nothing."""
IDLE = 0.15
"""Seconds without a write; TCP's own measure is 0.2 or more."""
SPINS = 20
CONNECT_TIMEOUT = 10.0
WRITE_TIMEOUT = 20.0
"""Seconds in which the peer must acknowledge a batch; one that accepts and never reads is let go."""
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
        self._settled = asyncio.Event()
        """Nothing will be sent for now: all is sent, or it rests."""
        self._settled.set()
        self._task: asyncio.Task[None] | None = None
        self._spill_timer: asyncio.TimerHandle | None = None
        self._cold = WARM_UP
        """Batches until an acknowledgement tells something."""
        self._acknowledged_at = 0.0
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
                await self._rest()
                index = 0

    async def _visit(self, endpoint: Endpoint, *, first: bool) -> bool:
        """Dial and stay as long as it works; whether it is the first server's turn again."""
        try:
            reader, writer = await self._dial(endpoint)
        except (OSError, TimeoutError, UnicodeError) as error:
            self.tally.fail("connect")
            logger.warning("capture server %s can't be reached: %s", endpoint, error or "time-out")
            return False
        home = None if first else asyncio.create_task(self._look_home(), name=f"hep {self.endpoint} back")
        self.tally.connected = True
        self._cold = WARM_UP
        loop = asyncio.get_running_loop()
        try:
            await self._pump(reader, writer, home)
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
            writer.transport.abort()
            if home is not None:
                home.cancel()
                await asyncio.gather(home, return_exceptions=True)
        if self._spool is not None:
            self.outbox.spill()
        return False

    async def _dial(self, endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        secure = endpoint.transport == "tls"
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(
                endpoint.host,
                endpoint.port,
                ssl=self._tls if secure else None,
                server_hostname=(self._server_name or endpoint.host) if secure else None,
            )
        keep_alive(writer.get_extra_info("socket"))
        return reader, writer

    async def _look_home(self) -> None:
        """Until the first server can be had again."""
        while True:
            await self._sleep(RETURN_EVERY)
            with contextlib.suppress(OSError, TimeoutError, UnicodeError):
                _, writer = await self._dial(self.endpoint)
                writer.transport.abort()
                return

    async def _rest(self) -> None:
        self._resting = True
        self._settled.set()
        await self._sleep(self._backoff.next())
        self._resting = False
        if len(self.outbox):
            self._settled.clear()

    # --- packets ---------------------------------------------------------------------------------------------

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, home: asyncio.Task[None] | None
    ) -> None:
        """Write until something fails, or the first server is back. :raises OSError, TimeoutError: it failed."""
        loop = asyncio.get_running_loop()
        # drain() then waits until the kernel has everything.
        writer.transport.set_write_buffer_limits(high=0)
        gone = asyncio.create_task(_until_closed(reader), name=f"hep {self.endpoint} closed")
        raw = writer.get_extra_info("socket")
        segment = segment_bytes(raw)
        try:
            while True:
                await self._something(gone, home)
                if gone.done():
                    raise ConnectionAbortedError("it closed the connection")
                if home is not None and home.done():
                    return
                began = loop.time()
                nearest = round_trip(raw)
                packets, spooled = self.outbox.take(self._batch_bytes(began, nearest))
                if not packets:
                    continue
                data = b"".join([packet.data for packet in packets])
                writer.write(data)
                async with asyncio.timeout(self._write_timeout):
                    await writer.drain()
                    await _until_acknowledged(writer, gone)
                self._acknowledged_at = now = loop.time()
                late = now - began > nearest + PROMPT
                # Several segments are acknowledged as they arrive, a single one when it is read.
                self.outbox.acknowledged(now, late=late, read=not (late or self._cold) and len(data) <= segment)
                self._cold -= self._cold > 0
                for packet in packets:
                    self.tally.count_sent(packet.kind, len(packet.data))
                if spooled:
                    await self._pace(len(packets), gone)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    def _batch_bytes(self, now: float, nearest: float) -> int:
        if now - self._acknowledged_at > IDLE:
            self._cold = WARM_UP
        if self._cold:
            return 1
        return min(MAX_BATCH, max(MIN_BATCH, int(nearest * BYTES_PER_S)))

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


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """A capture server says nothing; whatever it says is thrown away."""
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass


async def _until_acknowledged(writer: asyncio.StreamWriter, gone: asyncio.Task[None]) -> None:
    """Until the peer's kernel has everything. :raises ConnectionError: it never will."""
    raw = writer.get_extra_info("socket")
    for turn in count():
        waits = unacknowledged(raw)
        # In this order: of a connection that was reset, the kernel tells that nothing waits.
        if gone.done() or writer.is_closing() or not established(raw):
            raise ConnectionResetError("the connection was closed while packets were on their way")
        if not waits:
            return
        # A near peer needs a few turns of the loop; one that is busy or far is looked at ever more seldom.
        await asyncio.sleep(0 if turn < SPINS else min(0.02, 0.001 * 1.1 ** (turn - SPINS)))


__all__ = ["DRAIN_PER_S", "TcpClient"]
