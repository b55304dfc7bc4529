"""A connection to a peer that never says anything, and what its TCP tells of it all the same.

Whoever reads a stream tells nobody, but its kernel acknowledges, and when it does so tells more than that. A small
write is acknowledged as soon as the peer's program has read everything, or by a timer 40 ms later. So an
acknowledgement that came sooner says that all was read; and since a program reads again once it has dealt with what it
read before, the next such one says that this has been dealt with. Larger segments tell nothing: Linux acknowledges them
at once while its receive window grows.
"""

import asyncio
import contextlib
import sys
from enum import Enum
from itertools import count

from appliance.net.tcp import established, keep_alive, round_trip, unacknowledged

PROMPT = 0.02
"""Seconds beyond the shortest round trip in which a peer that reads acknowledges; TCP's timer is 0.04."""
WARM_UP = 20
"""Writes with which a connection begins, and begins again when it was idle: TCP acknowledges the first 16 segments at
once, read or not, so that they tell nothing."""
IDLE = 0.15
"""Seconds from one write to the next; TCP's own measure is 0.2 or more."""
SILENT_AFTER = 15
"""Late answers, with no prompt one ever before, of a peer whose TCP does not tell when it reads: a proxy may be one."""
TELLING = 64
"""Bytes of a write that tells: with TLS around it less than the 128 from which a segment lets the window grow."""
MAX_SECURE_WRITE = 32 * 1024
"""Bytes of one write over TLS: as many as an empty kernel takes at once, for what waits below asyncio's TLS can't
be seen."""
SPINS = 20
"""Turns of the loop in which a near peer answers."""


class Answer(Enum):
    """What an acknowledgement tells."""

    READ = "the peer's program has read everything"
    LATE = "it has not, or only just"
    TAKEN = "the peer's kernel has it; whether it was read can't be told"


class Connection:
    """Writes one piece after the other, each after the acknowledgement of the one before."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, write_timeout: float) -> None:
        """:param write_timeout: seconds in which the peer must acknowledge a piece."""
        self._writer = writer
        self._timeout = write_timeout
        self._raw = writer.get_extra_info("socket")
        keep_alive(self._raw)
        secure = writer.get_extra_info("ssl_object") is not None
        # drain() then waits until the kernel has everything. asyncio's TLS pauses at its limit, not above it, and would
        # never go on from 0.
        writer.transport.set_write_buffer_limits(high=1 if secure else 0)
        self.max_bytes = MAX_SECURE_WRITE if secure else sys.maxsize
        """Of one write."""
        self._cold = WARM_UP
        self._wrote_at = 0.0
        self._late = 0
        self._tells: bool | None = None if sys.platform == "linux" else False
        """Not known until it has answered promptly, or late often enough."""
        self.closed = asyncio.create_task(_until_closed(reader), name="hep closed")
        """Done when the peer has closed its side."""

    @property
    def tells(self) -> bool:
        """Its answers tell whether it reads, as far as is known."""
        return self._tells is not False

    @property
    def cold(self) -> bool:
        """The next answers will tell nothing yet."""
        self._note_idle()
        return self._cold > 0

    def _note_idle(self) -> None:
        if asyncio.get_running_loop().time() - self._wrote_at > IDLE:
            self._cold = WARM_UP

    @property
    def nearest(self) -> float:
        """The shortest round trip so far, seconds."""
        return round_trip(self._raw)

    async def write(self, data: bytes) -> Answer:
        """Until the peer's kernel has it. :raises OSError, TimeoutError: it never will, or not in time."""
        loop = asyncio.get_running_loop()
        nearest = self.nearest
        began = loop.time()
        self._writer.write(data)
        # After it: on a busy machine the write itself may have waited.
        self._note_idle()
        self._wrote_at = began
        async with asyncio.timeout(self._timeout):
            await self._writer.drain()
            await self._until_acknowledged()
        now = loop.time()
        if self._cold:
            self._cold -= 1
            return Answer.TAKEN
        if now - began > nearest + PROMPT:
            self._late += 1
            if self._tells is None and self._late >= SILENT_AFTER:
                self._tells = False
            return Answer.LATE if self.tells else Answer.TAKEN
        if len(data) > TELLING or sys.platform != "linux":
            return Answer.TAKEN
        self._tells = True
        return Answer.READ

    async def _until_acknowledged(self) -> None:
        for turn in count():
            waits = unacknowledged(self._raw)
            # In this order: of a connection that was reset, the kernel tells that nothing waits.
            if self.closed.done() or self._writer.is_closing() or not established(self._raw):
                raise ConnectionResetError("the connection was closed while packets were on their way")
            if not waits:
                return
            # A near peer needs a few turns of the loop; one that is busy or far is looked at ever more seldom.
            await asyncio.sleep(0 if turn < SPINS else min(0.02, 0.001 * 1.1 ** (turn - SPINS)))

    async def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()
        self.closed.cancel()
        await asyncio.gather(self.closed, return_exceptions=True)


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """A capture server says nothing; whatever it says is thrown away."""
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass
