"""What waits for a connection, in order: what may be lost on the way, what lies on disk, what is in memory.

A capture server acknowledges nothing, but its kernel does. So packets go out a small batch at a time, each after the
acknowledgement of the one before, and what was acknowledged is kept for as long as the peer may die with it unread, as
far as its TCP tells (:mod:`appliance.hep.connection`): what was read is dealt with when the peer reads again.

Packets are taken from the spool while it holds any, then from memory; memory overflows into the spool. So the order
is kept whatever happens.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from appliance.hep.connection import Answer
from appliance.hep.tally import Count, Tally
from appliance.net.segments import Record
from appliance.net.spool import Spool

MAX_QUEUED = 20_000
"""Packets in memory."""
MAX_QUEUED_BYTES = 32 * 2**20
RESERVE = 0.25
"""Share of queue and spool kept free of what is expendable."""
SPILL_BYTES = 2**20
"""In memory, before a spool is used though the connection stands."""
MAX_DOUBTFUL_BYTES = 8 * 2**20
"""Of what was acknowledged by a peer that does not tell what it reads; more than this it seldom holds unread."""
CONFIRMED_AFTER = 2.0
"""Seconds in which a peer that lives has read what its kernel acknowledged."""


class Packet(NamedTuple):
    """A rendered packet and its payload type."""

    data: bytes
    kind: int


class _Batch:
    __slots__ = ("acknowledged_at", "late", "packets", "read", "size", "spooled")

    def __init__(self, packets: list[Packet], *, spooled: bool) -> None:
        self.packets = packets
        self.size = sum(len(packet.data) for packet in packets)
        self.spooled = spooled
        """They lie in the spool too, taken and not committed."""
        self.acknowledged_at: float | None = None
        self.read = False
        """The peer's program has it; that it has dealt with it shows when it reads again."""
        self.late = False
        """The peer was seen not to read since; time alone says nothing then."""


class Outbox:
    """Bounded in memory and on disk; what falls to a bound is counted in the tally."""

    def __init__(
        self,
        tally: Tally,
        *,
        spool: Spool | None = None,
        max_queued: int = MAX_QUEUED,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        self._tally = tally
        self._spool = spool
        self.max_queued = max_queued
        self._max_bytes = max_queued_bytes
        self._queue: deque[Packet] = deque()
        self._queued_bytes = 0
        self._flight: deque[_Batch] = deque()
        """Sent, oldest first; only the last may wait for its acknowledgement."""
        self._flight_bytes = 0
        self._spool_lost: dict[str, int] = {}

    def __len__(self) -> int:
        """Packets that wait to be sent."""
        return len(self._queue) + self.spooled

    @property
    def spooled(self) -> int:
        """Of them, those on disk."""
        return self._spool.unread if self._spool is not None else 0

    def waiting(self) -> Iterable[Packet]:
        """Those in memory, oldest first."""
        return iter(self._queue)

    def put(self, packet: Packet, *, expendable: bool = False) -> bool:
        """Take one in; ``False``: it was dropped. What is expendable is refused early; for the rest the oldest go."""
        size = len(packet.data)
        share = 1 - RESERVE if expendable else 1.0
        if expendable and self._spool is not None and self._spool.bytes > self._spool.max_bytes * share:
            self._tally.drop("spool_full")
            return False
        while self._queue and (
            len(self._queue) >= self.max_queued * share or self._queued_bytes + size > self._max_bytes * share
        ):
            self._tally.drop("queue_full")
            if expendable:
                return False
            self._queued_bytes -= len(self._queue.popleft().data)
        self._queue.append(packet)
        self._queued_bytes += size
        return True

    @property
    def overflows(self) -> bool:
        """It is time to :meth:`spill`."""
        return self._queued_bytes > SPILL_BYTES or len(self._queue) * 2 > self.max_queued

    def spill(self) -> None:
        """Move what is in memory to the spool, behind what is there."""
        if self._spool is None or not (self._queue or self._flight):
            return
        try:
            self._spool_flight()
            self._spool.append([Record(packet.kind, packet.data) for packet in self._queue])
        except OSError:
            # It stays in memory, within the queue's bounds, until the disk takes it.
            self._tally.fail("spool")
        else:
            self._queue.clear()
            self._queued_bytes = 0
        self._note_losses()

    def _spool_flight(self) -> None:
        """What is behind it is about to get there, so what is in flight has to be there first."""
        assert self._spool is not None
        for batch in self._flight:
            if not batch.spooled:
                self._spool.append([Record(packet.kind, packet.data) for packet in batch.packets], taken=True)
                batch.spooled = True

    def take(self, max_bytes: int) -> tuple[list[Packet], bool]:
        """The next batch, in flight from now on, and whether it comes from disk. At least one packet, if any waits."""
        packets: list[Packet] = []
        spooled = False
        if self._spool is not None and self._spool.unread:
            packets = [Packet(record.data, record.tag) for record in self._spool.take(max_bytes)]
            spooled = bool(packets)
            self._note_losses()
        size = 0
        if not packets:
            queue = self._queue
            while queue and (not packets or size + len(queue[0].data) <= max_bytes):
                packet = queue.popleft()
                size += len(packet.data)
                packets.append(packet)
            self._queued_bytes -= size
        if packets:
            batch = _Batch(packets, spooled=spooled)
            self._flight.append(batch)
            self._flight_bytes += batch.size
        return packets, spooled

    @property
    def doubtful_bytes(self) -> int:
        """Of what was acknowledged, and is not known to be dealt with."""
        waits = bool(self._flight) and self._flight[-1].acknowledged_at is None
        return self._flight_bytes - (self._flight[-1].size if waits else 0)

    def acknowledged(self, now: float, answer: Answer) -> None:
        """The last batch has reached the peer's kernel."""
        self._flight[-1].acknowledged_at = now
        self.heard(answer)
        while len(self._flight) > 1 and self._flight_bytes - self._flight[0].size >= MAX_DOUBTFUL_BYTES:
            self._confirm_oldest()

    def heard(self, answer: Answer) -> None:
        """Something was acknowledged that was sent after the batches which are acknowledged, or with the last."""
        if answer is Answer.TAKEN:
            return
        if answer is Answer.READ:
            while self._flight and self._flight[0].read:
                self._confirm_oldest()
        for batch in self._flight:
            if batch.acknowledged_at is None:
                break
            batch.late = answer is Answer.LATE
            batch.read |= answer is Answer.READ

    @property
    def late(self) -> bool:
        """The peer was seen not to read."""
        return any(batch.late for batch in self._flight)

    def trust(self) -> None:
        """The peer's answers never tell whether it reads, so that late ones say nothing either."""
        for batch in self._flight:
            batch.late = False

    def _confirm_oldest(self) -> None:
        batch = self._flight.popleft()
        self._flight_bytes -= batch.size
        if batch.spooled and self._spool is not None:
            self._spool.commit(len(batch.packets))

    def failed(self, now: float, *, deaf: bool = False) -> None:
        """The connection is over: send again, first of all, what the peer may have lost with it.

        :param deaf: the peer took nothing for long, so that it may have read nothing of what it was given.
        """
        if not deaf:
            self.settle(now)
        self._tally.resent += sum(len(batch.packets) for batch in self._flight if batch.acknowledged_at is not None)
        self._give_back()

    def _give_back(self) -> None:
        if self._spool is not None and (self._spool.unread or any(batch.spooled for batch in self._flight)):
            try:
                self._spool_flight()
            except OSError:
                self._tally.fail("spool")
        for batch in reversed(self._flight):
            if not batch.spooled:
                self._queue.extendleft(reversed(batch.packets))
                self._queued_bytes += batch.size
        if self._spool is not None:
            self._spool.rewind()
        self._flight.clear()
        self._flight_bytes = 0

    @property
    def doubts(self) -> bool:
        """Something may turn out to be lost, see :meth:`settle`."""
        return bool(self._flight)

    def settle(self, now: float) -> None:
        """A while has passed on a connection that stands: what was acknowledged is delivered."""
        while self._flight:
            oldest = self._flight[0]
            if oldest.acknowledged_at is None or oldest.late or now - oldest.acknowledged_at <= CONFIRMED_AFTER:
                break
            self._confirm_oldest()

    def delivered(self) -> None:
        """We close the connection, and the peer lives: it reads what it has acknowledged."""
        while self._flight and self._flight[0].acknowledged_at is not None:
            self._confirm_oldest()

    def close(self) -> None:
        """Leave for the next run what is not sent, or count it."""
        self.delivered()
        self._give_back()
        self.spill()
        self._tally.drop("disconnected", len(self._queue))
        self._queue.clear()
        self._queued_bytes = 0
        if self._spool is not None:
            self._spool.close()

    def _note_losses(self) -> None:
        assert self._spool is not None
        for reason, number in self._spool.lost.items():
            self._tally.drop(f"spool_{reason}", number - self._spool_lost.get(reason, 0))
        self._spool_lost = dict(self._spool.lost)

    def counts(self) -> Iterable[Count]:
        """What waits."""
        transport = {"transport": self._tally.transport}
        yield Count("hep_queue_length", transport, len(self._queue))
        yield Count("hep_queue_bytes", transport, self._queued_bytes)
        if self._spool is not None:
            yield Count("hep_spool_packets", transport, self._spool.unread)
            yield Count("hep_spool_bytes", transport, self._spool.bytes)
            yield Count("hep_spool_errors_total", transport, self._tally.errors.get("spool", 0))
