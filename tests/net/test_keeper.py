"""A connection that is kept up, against one that is made of futures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.net.backoff import Backoff
from appliance.net.keeper import Keeper


class Line:
    """What can be dialled: it refuses while ``refusals`` last, and is cut by :meth:`cut`."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.dialled = 0
        self.closed = 0
        self.up = asyncio.Event()
        self.end: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["Line"]:
        self.dialled += 1
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError("nobody listens")
        self.end = asyncio.get_running_loop().create_future()
        self.up.set()
        try:
            yield self
        finally:
            self.closed += 1
            self.up.clear()

    async def use(self, line: "Line") -> None:
        assert line.end is not None
        await line.end

    async def cut(self, problem: Exception | None) -> None:
        await self.up.wait()
        assert self.end is not None
        if problem is None:
            self.end.set_result(None)
        else:
            self.end.set_exception(problem)
        while self.closed < 1:  # noqa: ASYNC110  # a turn of the loop at a time
            await asyncio.sleep(0)


def keeper(line: Line) -> Keeper[Line]:
    return Keeper("line", line.connect, line.use, backoff=Backoff(0.0, 0.0))


async def test_it_dials_until_somebody_answers() -> None:
    line = Line(refusals=4)
    kept = keeper(line)
    kept.start()
    assert await kept.current() is line
    assert (line.dialled, kept.connected, kept.connections, kept.problem) == (5, True, 1, "")
    await kept.stop()
    assert not kept.connected
    assert line.closed == 1


async def test_a_lost_connection_is_made_again_and_says_why_it_was_lost() -> None:
    for problem, words in (
        (ConnectionResetError("cut"), "cut"),
        (None, "closed by the other side"),
        (ValueError(), "an error of ours"),
    ):
        line = Line()
        kept = keeper(line)
        kept.start()
        await kept.current()
        line.refusals = 1
        await line.cut(problem)
        assert kept.problem in {words, "nobody listens"}
        await kept.current()
        assert kept.connections == 2
        await kept.stop()


async def test_stopping_twice_or_while_nobody_answers_is_fine() -> None:
    line = Line(refusals=10**9)
    kept = keeper(line)
    kept.start()
    while kept.problem != "nobody listens":  # noqa: ASYNC110  # a turn of the loop at a time
        await asyncio.sleep(0)
    await kept.stop()
    await kept.stop()
    assert not kept.connected
