"""A client that reaches the engine over TCP as well: frames over a connection that exists in memory only."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from appliance.core.clock import Clock
from appliance.media.engine import Engine
from appliance.media.tcp import _Connection
from appliance.wire.framing import Deframer, framed
from tests.media.client import Client


class Wire:
    """An asyncio transport: what is written is there to be read, unless the other side does not read."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.written = bytearray()
        self.unread = 0
        """Bytes that the kernel does not take."""
        self.closed: str | None = None
        self.on_closed: Callable[[], None] = lambda: None

    def get_extra_info(self, name: str) -> Any:
        return self.address if name == "peername" else self

    def setsockopt(self, *_option: int) -> None: ...

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed is not None

    def _close(self, how: str) -> None:
        if self.closed is None:
            self.closed = how
            self.on_closed()

    def close(self) -> None:
        self._close("close")

    def abort(self) -> None:
        self._close("abort")


class Stream:
    """One connection to the engine's first TCP port."""

    def __init__(self, engine: Engine, address: tuple[str, int]) -> None:
        self.wire = Wire(address)
        self.connection = _Connection(engine.tcp_ports[0])
        self.wire.on_closed = lambda: self.connection.connection_lost(None)
        self.deframer = Deframer()
        self.connection.connection_made(cast(asyncio.BaseTransport, self.wire))

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)

    def read(self) -> list[bytes]:
        data, self.wire.written = bytes(self.wire.written), bytearray()
        return list(self.deframer.feed(data))


class TcpClient(Client):
    """Sends over its connection while there is one, over UDP otherwise."""

    def __init__(self, engine: Engine, clock: Clock, *, address: tuple[str, int] = ("192.0.2.9", 40_000)) -> None:
        super().__init__(engine, clock)
        self.stream: Stream | None = Stream(engine, address)

    @property
    def address(self) -> tuple[str, int]:
        return super().address if self.stream is None else self.stream.wire.address

    def send(self, data: bytes) -> None:
        if self.stream is None:
            super().send(data)
        else:
            self.stream.feed(framed(data))

    def drain(self) -> int:
        count = super().drain()
        for data in () if self.stream is None else self.stream.read():
            count += 1
            self._received(data)
        return count
