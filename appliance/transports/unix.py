"""The Janus API over Unix sockets (Janus's ``janus.transport.pfunix``): one JSON a packet, both ways.

A packet that is no JSON is answered (454), where Janus says nothing. The sockets are their owner's alone, unless
``mode`` opens them to his group.
"""

import asyncio
import contextlib
import errno
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from appliance.core.events import Counter
from appliance.core.transport import AdminApi, Api, ModuleInfo
from appliance.net.unix import UnixListener
from appliance.transports.exchange import Exchange, Outgoing
from appliance.transports.queries import answer_query

PAUSES = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0)
"""Seconds between attempts to send to a path whose queue is full."""
DEFAULT_NAME = "janus.sock"


class UnixConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[transports.unix]``."""

    enabled: bool = False
    path: str = ""
    """Where the Janus API is served, at most 107 bytes; empty: ``janus.sock`` in data_dir."""
    admin_path: str = ""
    """Where the Admin API is; empty: it is not."""
    type: Literal["SEQPACKET", "DGRAM"] = "SEQPACKET"
    """Of the sockets. A DGRAM client has to bind its own to a path, or nothing can be answered."""
    mode: Literal["600", "660"] = "600"
    """Who may connect: the owner of the process, or his group too."""
    events: bool = True
    """Publish a transport event (type 128) for each connection made and ended."""
    max_message_bytes: int = 131_072
    """Of one request; Janus takes 8192."""
    max_connections: int = 1000
    """At once."""
    max_queued_bytes: int = 4_194_304
    """That wait for one client to read; it is disconnected when there are more."""


class UnixClient:
    """One socket, or with DGRAM one path that spoke to us."""

    transport = "janus.transport.pfunix"

    def __init__(self, max_queued_bytes: int) -> None:
        self.id = str(secrets.randbits(64))
        self.outgoing: Outgoing[None] = Outgoing(max_queued_bytes)
        self.over = asyncio.Event()
        """It reads too slowly, or its session timed out: it has to go."""
        self.sessions: set[int] = set()

    def session_began(self, session_id: int) -> None:
        """One more."""
        self.sessions.add(session_id)

    def session_over(self, session_id: int, *, timeout: bool) -> None:
        """One less; after a time-out Janus ends the connection."""
        self.sessions.discard(session_id)
        if timeout:
            self.over.set()

    def push(self, session_id: int, message: dict[str, Any]) -> None:
        """Queue a notification."""
        self.send(msgspec.json.encode(message))

    def send(self, data: bytes) -> None:
        """Queue a message, in order; a queue that is full is the end of the client."""
        if not self.outgoing.put(data, None):
            self.over.set()


class _Door(ABC):
    """One listening socket, of either API."""

    def __init__(self, owner: "UnixTransport", path: str, *, admin: bool) -> None:
        self._owner = owner
        self._admin = admin
        self.clients: set[UnixClient] = set()
        self.listener = UnixListener(path, kind=self.kind, mode=int(owner.config.mode, 8))
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    @abstractmethod
    def kind(self) -> socket.SocketKind:
        """Of the socket."""

    @abstractmethod
    async def _serve(self, bound: socket.socket) -> None:
        """Until cancelled."""

    def start(self) -> None:
        """Listen. :raises OSError: the path can't be had; the message names it."""
        try:
            self._bound = self.listener.bind()
        except OSError as problem:
            what = f"Janus API over Unix sockets can't listen on {self._path}: {problem.strerror or problem}"
            raise OSError(problem.errno, what) from None
        if self.kind is socket.SOCK_SEQPACKET:
            self._bound.listen(128)
        self._spawn(self._serve(self._bound))

    async def stop(self) -> None:
        """Stop listening, end the connections, remove the path."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._bound.close()
        self.listener.remove()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"unix {self._path}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _take(self, data: bytes, client: UnixClient) -> None:
        if self._admin:
            self._owner.exchange.serve_admin(data, client.send)
        else:
            client.send(self._owner.exchange.serve(data, client))

    def _came(self, client: UnixClient, **more: Any) -> None:
        self.clients.add(client)
        self._owner.tell(client, {"event": "connected", "admin_api": self._admin} | more)

    def _gone(self, client: UnixClient) -> None:
        self.clients.discard(client)
        self._owner.tell(client, {"event": "disconnected"})
        if not self._admin and self._owner.exchange.api is not None:
            self._owner.exchange.api.gone(client)

    @property
    def _is_full(self) -> bool:
        full = len(self.clients) >= self._owner.config.max_connections
        if full:
            self._owner.exchange.limits["connections"] += 1
        return full


class _PacketDoor(_Door):
    """SOCK_SEQPACKET: a connection for each client."""

    kind = socket.SOCK_SEQPACKET

    async def _serve(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(bound)
            except OSError:
                # No descriptors left: those who wait are served once there are.
                await asyncio.sleep(0.1)
                continue
            if self._is_full:
                connection.close()
                continue
            connection.setblocking(False)
            self._spawn(self._connection(connection))

    async def _connection(self, connection: socket.socket) -> None:
        client = UnixClient(self._owner.config.max_queued_bytes)
        self._came(client, fd=connection.fileno())
        tasks = [
            asyncio.create_task(work, name=f"unix client {client.id}")
            for work in (self._read(connection, client), self._write(connection, client), client.over.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # What was said before the end, as far as the client's buffer holds it.
            with contextlib.suppress(OSError):
                while client.outgoing.waiting:
                    connection.send(client.outgoing.oldest)
                    client.outgoing.done()
            connection.close()
            self._gone(client)

    async def _read(self, connection: socket.socket, client: UnixClient) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(connection, self._owner.config.max_message_bytes + 1):
            self._take(data, client)
            # One client's burst leaves the others their turn.
            await asyncio.sleep(0)

    async def _write(self, connection: socket.socket, client: UnixClient) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data, _ = await client.outgoing.next()
            try:
                await loop.sock_sendall(connection, data)
            except OSError as problem:
                if not _too_long(problem):
                    return
                self._owner.exchange.limits["message_bytes"] += 1
            client.outgoing.done()


class _DatagramDoor(_Door):
    """SOCK_DGRAM: a client is the path that it sends from."""

    kind = socket.SOCK_DGRAM

    async def _serve(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        by_path: dict[str, UnixClient] = {}
        while True:
            try:
                data, sender = await loop.sock_recvfrom(bound, self._owner.config.max_message_bytes + 1)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            if not sender:
                # It can't be answered.
                self._owner.exchange.limits["bad_frame"] += 1
                continue
            client = by_path.get(sender)
            if client is None:
                if self._is_full:
                    continue
                client = by_path[sender] = UnixClient(self._owner.config.max_queued_bytes)
                self._came(client, fd=bound.fileno(), type="SOCK_DGRAM")
                self._spawn(self._write(bound, sender, client, by_path))
            self._take(data, client)

    async def _write(self, bound: socket.socket, path: str, client: UnixClient, by_path: dict[str, UnixClient]) -> None:
        """Send what is queued for a path, until nobody is there any more or it has nothing left to hear."""
        try:
            while True:
                data, _ = await client.outgoing.next()
                try:
                    await _send_to(bound, data, path)
                except OSError as problem:
                    if not _too_long(problem):
                        return
                    self._owner.exchange.limits["message_bytes"] += 1
                client.outgoing.done()
                if client.over.is_set() or not (client.sessions or client.outgoing.waiting):
                    return
        finally:
            by_path.pop(path, None)
            self._gone(client)


class UnixTransport:
    """Serves the Janus API on a path, and the Admin API on another."""

    Config = UnixConfig
    name = "janus.transport.pfunix"
    info = ModuleInfo(
        "Unix sockets transport", "The appliance's authors", "The Janus API over Unix sockets.", "0.0.1", 1
    )

    def __init__(self, config: UnixConfig) -> None:
        """:raises ValueError: both paths are the same."""
        if config.path and config.path == config.admin_path:
            raise ValueError(f"path, admin_path: {config.path!r}, {config.admin_path!r}: wanted two, or one")
        self.config = config
        self._path = config.path or DEFAULT_NAME
        self.tells = config.events
        self.exchange = Exchange(config.max_message_bytes)
        self._doors: list[_Door] = []

    @property
    def url(self) -> str:
        """The path."""
        return f"unix:{self._path}"

    exposes_admin = False
    """Whether others than the owner could come in by the Admin API."""

    def serve_admin(self, api: AdminApi) -> None:
        """From the start on serve the Admin API too."""
        self.exchange.admin_api = api

    def open(self, folder: Path) -> None:
        """Where the socket is, unless the settings say it."""
        if not self.config.path:
            self._path = str(folder / DEFAULT_NAME)

    async def start(self, api: Api) -> None:
        """Listen. :raises OSError: a path can't be had."""
        self.exchange.api = api
        door = _PacketDoor if self.config.type == "SEQPACKET" else _DatagramDoor
        paths = [(self._path, False)]
        if self.config.admin_path and self.exchange.admin_api is not None:
            paths.append((self.config.admin_path, True))
        for path, admin in paths:
            made = door(self, path, admin=admin)
            made.start()
            self._doors.append(made)

    async def stop(self) -> None:
        """Stop listening, end the connections."""
        for door in self._doors:
            await door.stop()
        self._doors.clear()
        await self.exchange.stop()

    def tell(self, client: UnixClient, data: dict[str, Any]) -> None:
        """Publish a transport event."""
        if self.tells and self.exchange.api is not None:
            self.exchange.api.transport_event(self.name, client.id, data)

    def connections(self) -> dict[str, Any]:
        """For ``query_transport``."""
        return {"connections": sum(len(door.clients) for door in self._doors)}

    def query(self, request: dict[str, Any]) -> dict[str, Any]:
        """``query_transport``."""
        return answer_query(self, request)

    def measure(self) -> Iterable[Counter]:
        """What limits cost, and connections."""
        yield from self.exchange.counts("unix", sum(len(door.clients) for door in self._doors))


async def _send_to(bound: socket.socket, data: bytes, path: str) -> None:
    """:raises OSError: nobody is there, or nobody reads."""
    # A socket without a peer is always writable, so the loop would ask without end whether the other's queue has room.
    for pause in PAUSES:
        try:
            bound.sendto(data, path)
        except BlockingIOError:
            await asyncio.sleep(pause)
        else:
            return
    raise TimeoutError(f"{path}: nobody reads")


def _too_long(problem: OSError) -> bool:
    """Whether the packet, not the peer, is the trouble."""
    return problem.errno == errno.EMSGSIZE
