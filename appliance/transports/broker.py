"""What the transports over message brokers have in common: one logical client, whoever is behind the broker."""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

import msgspec

from appliance.core.events import Counter
from appliance.core.transport import AdminApi, Api
from appliance.net.cancellation import heed_cancellation
from appliance.net.keeper import Keeper
from appliance.transports.exchange import Exchange, Outgoing

MAX_QUEUED_BYTES = 16 * 2**20
"""That wait for the broker; what comes beyond is lost and counted."""

T = TypeVar("T")
"""What is known of a request that its reply needs; ``None`` for what is no reply."""
L = TypeVar("L")
"""A connection to the broker."""


class BrokerClient:
    """Whoever is behind the broker: Janus knows one client only, whose sessions end by time-out."""

    def __init__(self, owner: "BrokerTransport[Any, Any]") -> None:
        self.transport = owner.name
        self.id = str(secrets.randbits(64))
        self._owner = owner

    def session_began(self, session_id: int) -> None:
        """Nothing to do."""

    def session_over(self, session_id: int, *, timeout: bool) -> None:
        """Nothing to do."""

    def push(self, session_id: int, message: dict[str, Any]) -> None:
        """Queue a notification."""
        self._owner.put(msgspec.json.encode(message), None, admin=False)


class BrokerTransport(ABC, Generic[T, L]):
    """Takes requests, queues replies and notifications, and sends them in order while the broker is there."""

    name: str
    short_name: str
    """In metrics."""

    def __init__(self, where: str, *, max_message_bytes: int, tells: bool, admin: bool) -> None:
        """``where``: which API, over what, at which address; for logs."""
        self.tells = tells
        self.exposes_admin = admin
        """Whether others than this machine could come in by the Admin API."""
        self.exchange = Exchange(max_message_bytes)
        self.client = BrokerClient(self)
        self.line: L | None = None
        """The connection, while requests can come by it."""
        self._outgoing: Outgoing[tuple[T | None, bool]] = Outgoing(MAX_QUEUED_BYTES)
        self._keeper: Keeper[L] = Keeper(where, self._dial, self._use)

    @abstractmethod
    def _dial(self) -> AbstractAsyncContextManager[L]:
        """A connection to the broker. :raises OSError: it can't be had."""

    @abstractmethod
    async def _use(self, line: L) -> None:
        """Serve by a new connection until it is lost."""

    @abstractmethod
    async def publish(self, data: bytes, about: T | None, *, admin: bool) -> None:
        """Send one message. :raises OSError: the broker is gone."""

    def serve_admin(self, api: AdminApi) -> None:
        """From the start on serve the Admin API too, where the settings want it."""
        if self.exposes_admin:
            self.exchange.admin_api = api

    async def start(self, api: Api) -> None:
        """Begin to connect; the broker need not be there yet."""
        self.exchange.api = api
        self._keeper.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._keeper.stop()
        await self.exchange.stop()

    @property
    def connected(self) -> bool:
        """Whether requests can come."""
        return self.line is not None

    def received(self, data: bytes, about: T, *, admin: bool) -> None:
        """Serve a request."""
        if admin:
            self.exchange.serve_admin(data, lambda reply: self.put(reply, about, admin=True))
        else:
            self.put(self.exchange.serve(data, self.client), about, admin=False)

    def put(self, data: bytes, about: T | None, *, admin: bool) -> None:
        """Queue a reply to what ``about`` came with, or a notification."""
        if not self._outgoing.put(data, (about, admin)):
            self.exchange.limits["queue_full"] += 1

    async def pump(self) -> None:
        """Send what is queued. :raises OSError: the broker is gone; what was not sent stays."""
        while True:
            data, (about, admin) = await self._outgoing.next()
            await self.publish(data, about, admin=admin)
            self._outgoing.done()
            heed_cancellation()

    async def pump_while(self, other: "asyncio.Future[Any]") -> None:
        """Send what is queued until ``other`` is done, and raise what ended either."""
        heed_cancellation()
        pump = asyncio.ensure_future(self.pump())
        try:
            await asyncio.wait((pump, other), return_when=asyncio.FIRST_COMPLETED)
            if other.done():
                await other
            else:
                await pump
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    def tell(self, event: str, **more: Any) -> None:
        """Publish a transport event."""
        if self.tells and self.exchange.api is not None:
            self.exchange.api.transport_event(self.name, self.client.id, {"event": event} | more)

    def connections(self) -> dict[str, Any]:
        """For ``query_transport``."""
        return {"connections": int(self.connected)}

    def measure(self) -> Iterable[Counter]:
        """What limits cost, and whether the broker is there."""
        yield from self.exchange.counts(self.short_name, int(self.connected))
