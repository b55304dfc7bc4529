"""An address that a TURN server lends us (RFC 8656), as a port of the engine like its sockets.

Channels are ours, not aioice's, which never gives one back and would make a task for every packet. One address serves
all PeerConnections; a client of the other IP version has no way to it, and gets no channel.
"""

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from aioice import stun
from aioice.turn import CHANNEL_NUMBER_MAX

from appliance.core.clock import Clock
from appliance.media.allocation import LIFETIME, TurnClient
from appliance.media.udp import MediaReceiver, Slot, Slots, address_of, contents, sockaddr

logger = logging.getLogger(__name__)

REBIND = 240.0
"""Seconds after which a channel that is in use is bound again: its permission lasts for 300 (section 9)."""
REST = 900.0
"""Seconds after its last binding until a channel number may be somebody else's (section 12: 10 and 5 minutes)."""
MAX_WAITING = 8
"""Datagrams to one address that wait for its channel; later ones are dropped."""
MAX_BINDING = 128
"""Addresses whose channel is being bound at a time."""
MAX_REFUSED = 1024
"""Addresses remembered that the server does not relay to."""
MAX_BACKLOG_BYTES = 262_144
"""Waiting to be written to a TCP connection; more is dropped, as a full queue on the way would do."""
_FIRST_CHANNEL = 0x4000
_NOT_THERE = frozenset({403, 443, 446, 447})
"""Error codes that mean: not to that address (sections 9.2 and 19)."""
_CHANNEL_HEADER = struct.Struct("!HH")


class _Channel:
    def __init__(self, number: int, bound_at: float) -> None:
        self.number = number
        self.bound_at = bound_at
        self.used_at = bound_at


class RelayPort:
    """Implements :class:`appliance.media.port.Port`. ``take`` gets every datagram: the port, the sender's sockaddr.

    ``lost`` is called once, when the server has given the allocation up or does not answer any more.
    """

    candidate_type = "relay"
    transport = "udp"

    def __init__(
        self,
        client: TurnClient,
        clock: Clock,
        take: Callable[["RelayPort", bytes, bytes], None],
        lost: Callable[[], None],
    ) -> None:
        assert client.relayed_address is not None, "there is an allocation"
        self.host, self.port = client.relayed_address
        self.announced = self.host
        self.related = client.mapped_address or client.relayed_address
        """Where the server sees us."""
        self.media: dict[bytes, MediaReceiver] = {}
        self.received = self.sent = self.dropped = 0
        self.closed = False
        self._client = client
        self._clock = clock
        self._take = take
        self._lost = lost
        self._channels: dict[bytes, _Channel] = {}
        self._next_number = _FIRST_CHANNEL
        self._resting: deque[tuple[float, int]] = deque()
        self._waiting: dict[bytes, list[bytes]] = {}
        self._refused: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._key_bytes = len(sockaddr(self.host, self.port))
        self._slots = Slots(2, self._key_bytes)
        client.receiver = self  # type: ignore[assignment]  # it calls these three methods of a protocol and no other

    # --- out ---------------------------------------------------------------------------------------------

    def send(self, data: bytes, key: bytes) -> None:
        """Relay one datagram; it waits a little where the address has no channel yet."""
        channel = self._channels.get(key)
        if self.closed or key in self._refused:
            self.dropped += 1
        elif channel is None:
            self._wait(key, data)
        else:
            now = self._clock.monotonic()
            channel.used_at = now
            if now - channel.bound_at > REBIND and key not in self._waiting:
                self._bind(key, channel.number)
            self._write(channel.number, data)

    def queue(self, base: Any, length: int, name: Any) -> None:
        """At once: nothing is gained by waiting."""
        self.send(contents(base, length), contents(name, self._key_bytes))

    def spare(self) -> Slot:
        """Always the same: it is copied when it is queued."""
        return self._slots.slots[1]

    def flush(self) -> None:
        """Nothing is queued."""

    def release(self, key: bytes) -> None:
        """Media from there is nobody's any more."""
        self.media.pop(key, None)

    def _write(self, number: int, data: bytes) -> None:
        transport = self._client.transport
        if isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            self.dropped += 1
            return
        self._client._send(_CHANNEL_HEADER.pack(number, len(data)) + data)
        self.sent += 1

    def _wait(self, key: bytes, data: bytes) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and len(waiting) < MAX_WAITING:
            waiting.append(data)
        elif waiting is None and len(self._waiting) < MAX_BINDING and len(key) == self._key_bytes:
            number = self._free_number()
            if number is not None:
                self._bind(key, number, data)
                return
            self.dropped += 1
        else:
            self.dropped += 1

    def _free_number(self) -> int | None:
        if self._next_number <= CHANNEL_NUMBER_MAX:
            self._next_number += 1
            return self._next_number - 1
        self._release()
        if self._resting and self._resting[0][0] <= self._clock.monotonic():
            return self._resting.popleft()[1]
        return None

    def _release(self) -> None:
        """Let channels go that nobody has used since they would have had to be bound again."""
        now = self._clock.monotonic()
        for key, channel in list(self._channels.items()):
            if now - channel.used_at > REBIND:
                self._forget(key, channel.number)
                self._resting.append((channel.bound_at + REST, channel.number))

    def _forget(self, key: bytes, number: int) -> None:
        self._channels.pop(key, None)
        self._client.channel_to_peer.pop(number, None)
        self._client.peer_to_channel.pop(address_of(key), None)

    def _bind(self, key: bytes, number: int, *first: bytes) -> None:
        self._waiting[key] = list(first)
        task = asyncio.create_task(self._bound(key, number), name="turn channel")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bound(self, key: bytes, number: int) -> None:
        address = address_of(key)
        # Before it is confirmed: what the other side sends at once comes right after the confirmation.
        self._client.channel_to_peer[number] = address
        self._client.peer_to_channel[address] = number
        try:
            await self._client.channel_bind(number, address)
        except stun.TransactionFailed as refusal:
            self._waiting.pop(key, None)
            self._forget(key, number)
            self._resting.append((self._clock.monotonic() + REST, number))
            if refusal.response.error_code not in _NOT_THERE:
                # coturn's answer to a channel for an allocation that it has forgotten is 400 Bad Request.
                await self.refresh()
            elif len(self._refused) < MAX_REFUSED:
                self._refused.add(key)
                logger.info("the TURN server does not relay to %s: %s", address[0], refusal)
        except (stun.TransactionError, ConnectionError) as problem:
            self._waiting.pop(key, None)
            self._gone(str(problem) or "it does not answer")
        else:
            self._channels[key] = _Channel(number, self._clock.monotonic())
            for data in self._waiting.pop(key):
                self.send(data, key)

    async def refresh(self) -> None:
        """Ask whether the address is still ours, which also keeps a NAT between us and the server open."""
        request = stun.Message(message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST)
        request.attributes["LIFETIME"] = LIFETIME
        try:
            await self._client.request_with_retry(request)
        except (stun.TransactionError, ConnectionError) as problem:
            self._gone(str(problem) or "the server does not answer")

    # --- in: what aioice calls ---------------------------------------------------------------------------

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """From ``address`` through the server."""
        self.received += 1
        self._take(self, sockaddr(*address), data)

    def slot_of(self, data: bytes) -> Slot | None:
        """Where media can be handled in place; ``None`` when it is too long. Good until the next datagram."""
        return self._slots.hold(data)

    def connection_lost(self, _problem: Exception | None) -> None:
        """The connection or the allocation is gone."""
        self._gone("the connection was lost")

    def error_received(self, _problem: Exception) -> None:
        """ICMP: the next request that is not answered tells more."""

    # --- the end -----------------------------------------------------------------------------------------

    def _gone(self, why: str) -> None:
        if not self.closed:
            logger.warning("TURN address %s port %d is lost: %s", self.host, self.port, why)
            self._end()
            self._client.abandon()
            self._lost()

    def _end(self) -> None:
        self.closed = True
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    async def close(self, seconds: float) -> None:
        """Give the address back, if the server answers in time."""
        if self.closed:
            return
        self._end()
        await self._client.give_back(seconds)
