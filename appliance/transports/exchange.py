"""One JSON in, one out, for transports that carry messages instead of connections: Unix sockets and brokers."""

import asyncio
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

from appliance.core.errors import ErrorCode, JanusError
from appliance.core.events import Counter
from appliance.core.messages import JsonError, parse
from appliance.core.transport import AdminApi, Api, Client

MAX_ADMIN = 100
"""Admin requests of one transport that are being served at once; a further one is refused."""

T = TypeVar("T")


class Outgoing(Generic[T]):
    """A bounded queue of what is to be sent, and where."""

    def __init__(self, max_bytes: int) -> None:
        self.lost = 0
        """Messages for which there was no room."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._queue: deque[tuple[bytes, T]] = deque()
        self._filled = asyncio.Event()

    def put(self, data: bytes, to: T) -> bool:
        """Queue a message; false: there is no room, and it is lost."""
        if self._bytes + len(data) > self._max_bytes:
            self.lost += 1
            return False
        self._queue.append((data, to))
        self._bytes += len(data)
        self._filled.set()
        return True

    @property
    def waiting(self) -> bool:
        """Whether there is any."""
        return bool(self._queue)

    @property
    def oldest(self) -> bytes:
        """What goes first; there has to be one."""
        return self._queue[0][0]

    async def next(self) -> tuple[bytes, T]:
        """The oldest, which stays until :meth:`done`."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return self._queue[0]

    def done(self) -> None:
        """The oldest is sent."""
        self._bytes -= len(self._queue.popleft()[0])


class Exchange:
    """Serves both APIs to messages; the Admin API only where it was given one."""

    def __init__(self, max_message_bytes: int) -> None:
        self.limits: Tally[str] = Tally()
        """What limits cost, by reason."""
        self.api: Api | None = None
        self.admin_api: AdminApi | None = None
        self._max_bytes = max_message_bytes
        self._admin_tasks: set[asyncio.Task[None]] = set()

    def serve(self, data: bytes, client: Client) -> bytes:
        """Answer one request of the Janus API."""
        assert self.api is not None
        try:
            message = self._read(data)
        except JanusError as problem:
            return msgspec.json.encode(self.api.refuse(problem, client))
        return msgspec.json.encode(self.api.request(message, client))

    def serve_admin(self, data: bytes, answer: Callable[[bytes], object]) -> None:
        """Answer one request of the Admin API, which may take a moment; ``answer`` is called with the reply."""
        if self.admin_api is None or len(self._admin_tasks) >= MAX_ADMIN:
            self.limits["connections"] += 1
            return
        task = asyncio.create_task(self._serve_admin(self.admin_api, data, answer), name="admin request")
        self._admin_tasks.add(task)
        task.add_done_callback(self._admin_tasks.discard)

    async def _serve_admin(self, api: AdminApi, data: bytes, answer: Callable[[bytes], object]) -> None:
        try:
            reply = await api.request(self._read(data))
        except JanusError as problem:
            reply = api.refuse(problem)
        answer(msgspec.json.encode(reply))

    async def stop(self) -> None:
        """Give up what is being served."""
        for task in list(self._admin_tasks):
            task.cancel()
        await asyncio.gather(*self._admin_tasks, return_exceptions=True)

    def _read(self, data: bytes) -> Any:
        """:raises JanusError: it is too long, or no JSON."""
        if len(data) > self._max_bytes:
            self.limits["message_bytes"] += 1
            text = f"A message of {len(data)} bytes: at most {self._max_bytes} are taken"
            raise JanusError(ErrorCode.TRANSPORT_SPECIFIC, text)
        try:
            return parse(data)
        except JsonError as error:
            text = f"Invalid Janus API request - <string>({error.line},{error.column}): {error.detail}"
            raise JanusError(ErrorCode.INVALID_JSON, text) from None

    def counts(self, transport: str, connections: int) -> Iterable[Counter]:
        """What limits cost, and connections."""
        for reason, count in self.limits.items():
            yield Counter("transport_limits_total", count, {"transport": transport, "limit": reason})
        yield Counter("transport_connections", connections, {"transport": transport})
