"""Both ends of a link in one process, and peers that misbehave."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from appliance.core.events import Connection, Event, MediaStats, event
from appliance.handlers.link import LinkHandler
from appliance.intake.stream import StreamConfig, StreamIntake
from appliance.net.link import FrameDecoder, Message, pack, unpack
from tests.clock import FakeClock


@contextlib.contextmanager
def socket_address() -> Iterator[str]:
    """A Unix address in a folder whose path is short."""
    with tempfile.TemporaryDirectory(prefix="link", dir="/tmp") as folder:
        yield f"unix:{folder}/s"


@contextlib.asynccontextmanager
async def collector(
    address: str, deliver: Callable[[Event], None], clock: FakeClock | None = None, token: str = ""
) -> AsyncIterator[StreamIntake]:
    intake = StreamIntake(StreamConfig(), clock or FakeClock())
    intake.listen_on(address, token=token)
    await intake.start(deliver)
    try:
        yield intake
    finally:
        await intake.stop()


@contextlib.asynccontextmanager
async def gateway(
    address: str,
    clock: FakeClock | None = None,
    *,
    boot: str = "",
    token: str = "",
    depth: int = 50_000,
) -> AsyncIterator[LinkHandler]:
    handler = LinkHandler(address, server_name="gw", clock=clock or FakeClock(), boot=boot, token=token, depth=depth)
    await handler.start()
    try:
        yield handler
    finally:
        await handler.stop()


class RawPeer:
    """Speaks frames by hand; what it does not read stays unread."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = FrameDecoder()
        self._messages: list[Message] = []

    @classmethod
    async def dial(cls, address: str) -> "RawPeer":
        return cls(*await asyncio.open_unix_connection(address.removeprefix("unix:")))

    def send(self, *messages: Message) -> None:
        self.writer.write(b"".join(map(pack, messages)))

    async def receive(self) -> Message | None:
        """The next message; ``None`` at the end."""
        async with asyncio.timeout(10):
            while not self._messages:
                try:
                    data = await self.reader.read(65536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self._messages += [unpack(body) for body in self._decoder.feed(data)]
        return self._messages.pop(0)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def raw_collector(address: str) -> AsyncIterator["asyncio.Queue[RawPeer]"]:
    """Accepts, and leaves the rest to the test."""
    arrived: asyncio.Queue[RawPeer] = asyncio.Queue()
    path = address.removeprefix("unix:")
    server = await asyncio.start_unix_server(lambda r, w: arrived.put_nowait(RawPeer(r, w)), path)
    accepted: list[RawPeer] = []
    try:
        yield arrived
    finally:
        server.close()
        while not arrived.empty():
            accepted.append(arrived.get_nowait())
        for peer in accepted:
            await peer.close()
        _remove(path)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until it is so."""
    try:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - what is waited for is deep inside, on a socket
                await asyncio.sleep(0)
    except TimeoutError:
        pytest.fail("it never came to that")


def stats(n: int, handle: int = 2) -> Event:
    return event(MediaStats(media="audio", mid="0"), emitter="gw", timestamp=n, session_id=1, handle_id=handle)


def state(n: int, handle: int = 2) -> Event:
    return event(Connection(connection="webrtcup"), emitter="gw", timestamp=n, session_id=1, handle_id=handle)


def times(items: list[Event]) -> list[int]:
    return [item.timestamp for item in items]
