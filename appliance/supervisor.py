"""``appliance run``: gateway and collector as two processes, looked after.

A child tells through a pipe that it is ready and where it listens. A child that dies is started again with growing
pauses; calls go on while the collector is away, and the gateway marks the gap. On the way out the gateway ends first,
so that its last events (hangups, destroyed sessions) still reach the collector.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

logger = logging.getLogger(__name__)

READY_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
RESTART_PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0)
STEADY_AFTER = 30.0
"""Seconds of life after which a death counts as the first again."""
TOLD_CODE = 1
"""With which a child ends that has said in words why it can't run."""
READY_FD_VARIABLE = "APPLIANCE_READY_FD"


class StartError(RuntimeError):
    """A process did not come up."""

    def __init__(self, text: str, *, told: bool = False) -> None:
        """``told``: the process itself has printed why, to standard error; nothing needs to be added."""
        super().__init__(text)
        self.told = told


class Ready(msgspec.Struct, kw_only=True):
    """What a child says once it serves: its addresses by name (``http``, ``websocket``, ``web``, ``hep``)."""

    role: str
    addresses: dict[str, str]


def announce(ready: Ready) -> None:
    """Called by a child: tell the supervisor, if there is one."""
    number = os.environ.get(READY_FD_VARIABLE)
    if number is None:
        return
    # It may have ended meanwhile: until_signalled() sees that and ends this process too.
    with contextlib.suppress(BrokenPipeError), os.fdopen(int(number), "wb") as pipe:
        pipe.write(msgspec.json.encode(ready))


class Child:
    """One process of the appliance."""

    def __init__(self, role: str, arguments: Sequence[str]) -> None:
        self.role = role
        self.arguments = list(arguments)
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0

    async def start(self) -> Ready:
        """Start and wait until it is ready. :raises StartError: it ended or took too long instead."""
        reading, writing = os.pipe()
        try:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "appliance",
                *self.arguments,
                # Open as long as the supervisor lives: its end is the child's sign to end too.
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(writing,),
                env={**os.environ, READY_FD_VARIABLE: str(writing)},
                # A terminal's Ctrl-C goes to the whole group; the supervisor alone decides the order of the end.
                start_new_session=True,
            )
        finally:
            os.close(writing)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading))
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                text = await reader.read()
        except TimeoutError:
            await self.stop()
            raise StartError(f"the {self.role} was not ready after {READY_TIMEOUT:.0f} s") from None
        finally:
            transport.close()
        if not text:
            code = await self.process.wait()
            raise StartError(f"the {self.role} ended with code {code} before it was ready", told=code == TOLD_CODE)
        return msgspec.json.decode(text, type=Ready)

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that takes too long."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            logger.warning("the %s did not end in %.0f s and is killed", self.role, STOP_TIMEOUT)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Supervisor:
    """Gateway and collector together."""

    def __init__(self, arguments: Sequence[str] = (), *, on_restart: Callable[[str, Ready], Any] | None = None) -> None:
        """``arguments`` are the configuration options that both children get."""
        self.collector = Child("collector", [*arguments, "collect", "--with-listener"])
        self.gateway = Child("gateway", [*arguments, "gateway"])
        self._on_restart = on_restart
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self) -> dict[str, str]:
        """Start both at once and return every address. :raises StartError: one of them did not come up."""
        results = await asyncio.gather(self.collector.start(), self.gateway.start(), return_exceptions=True)
        problems = [result for result in results if isinstance(result, BaseException)]
        if problems:
            await self.stop()
            # One that has not been told yet, if there is one, says more.
            raise next((each for each in problems if not getattr(each, "told", False)), problems[0])
        addresses: dict[str, str] = {}
        for ready in results:
            assert isinstance(ready, Ready)
            addresses |= ready.addresses
        for child in (self.collector, self.gateway):
            self._watchers.append(asyncio.create_task(self._watch(child), name=f"watch {child.role}"))
        return addresses

    async def start_unless(self, signalled: "asyncio.Task[int]") -> dict[str, str] | None:
        """As :meth:`start`; ``None`` when the sign to end came first: then everything is ended again."""
        starting = asyncio.create_task(self.start(), name="start")
        await asyncio.wait((starting, signalled), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            return await starting
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await self.stop()
        return None

    async def _watch(self, child: Child) -> None:
        deaths = 0
        while True:
            assert child.process is not None
            loop = asyncio.get_running_loop()
            began = loop.time()
            code = await child.process.wait()
            deaths = 1 if loop.time() - began > STEADY_AFTER else deaths + 1
            while True:
                pause = RESTART_PAUSES[min(deaths, len(RESTART_PAUSES)) - 1]
                logger.error("the %s ended with code %s; starting it again in %.1f s", child.role, code, pause)
                await asyncio.sleep(pause)
                child.restarts += 1
                try:
                    ready = await child.start()
                except (StartError, OSError) as problem:
                    logger.error("%s", problem)
                    deaths += 1
                    continue
                break
            logger.warning("the %s is back", child.role)
            if self._on_restart is not None:
                self._on_restart(child.role, ready)

    async def stop(self) -> None:
        """End the gateway, then the collector."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await self.gateway.stop()
        await self.collector.stop()


async def until_signalled() -> int:
    """Wait for SIGINT or SIGTERM and return its number."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[int] = loop.create_future()

    def note(number: int) -> None:
        if not arrived.done():
            arrived.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, note, number)
    supervised = READY_FD_VARIABLE in os.environ
    if supervised:
        loop.add_reader(sys.stdin, note, signal.SIGTERM)
    try:
        return await arrived
    finally:
        if supervised:
            loop.remove_reader(sys.stdin)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
