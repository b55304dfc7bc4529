"""The way between an aiortc client and the network, as a test wants it: it loses, changes and delays datagrams.

It stands in the client's own sockets, so that whatever it does happens on the way for the gateway, by direction, by
kind and by size, and nothing around a gateway has to be set up for it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiortc import RTCPeerConnection

Change = Callable[[bytes], bytes | None]
"""A datagram in, what goes on of it out; ``None``: it is lost."""


def is_stun(data: bytes) -> bool:
    return data[:1] < b"\x04"


def is_stun_request(data: bytes) -> bool:
    return data[:2] == b"\x00\x01"


def is_dtls(data: bytes) -> bool:
    return b"\x13" < data[:1] < b"\x40"


def is_rtp(data: bytes) -> bool:
    """RFC 7983 and RFC 5761: not RTCP."""
    return len(data) > 11 and 128 <= data[0] < 192 and not 192 <= data[1] < 224


def whole(data: bytes) -> bytes | None:
    return data


def nothing(_data: bytes) -> bytes | None:
    return None


def without(kind: Callable[[bytes], bool]) -> Change:
    """Lose what is of that kind."""
    return lambda data: None if kind(data) else data


def losing(every: int) -> Change:
    """Lose every ``every``-th RTP packet."""
    seen = 0

    def change(data: bytes) -> bytes | None:
        nonlocal seen
        if not is_rtp(data):
            return data
        seen += 1
        return None if seen % every == 0 else data

    return change


def damaged(data: bytes) -> bytes | None:
    """Break the authentication of RTP."""
    return data[:-1] + bytes((data[-1] ^ 0xFF,)) if is_rtp(data) else data


def losing_first_frame(payload_types: tuple[int, ...]) -> Change:
    """Lose every packet of those that has the timestamp of the first, again and again."""
    first: bytes | None = None

    def change(data: bytes) -> bytes | None:
        nonlocal first
        if not is_rtp(data) or data[1] & 0x7F not in payload_types:
            return data
        first = first or data[4:8]
        return None if data[4:8] == first else data

    return change


class Bottleneck:
    """A link of so many bytes a second with a buffer that takes everything: how long a datagram waits in it.

    STUN passes by: on a busy machine the client would lose its consent before its estimate has fallen.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    def __call__(self, data: bytes) -> float:
        if data[0] < 4:
            return 0.0
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + len(data) / self._bytes_per_s
        return self._free_at - now


class Way:
    """Of one PeerConnection, from :meth:`lay` on. Both directions may be changed at any time."""

    def __init__(self, *, to_server: Change = whole, to_client: Change = whole) -> None:
        self.to_server = to_server
        self.to_client = to_client
        self.delay_s: Callable[[bytes], float] = lambda _data: 0.0
        """Of what the client sends."""
        self.delay_to_client_s: Callable[[bytes], float] = lambda _data: 0.0

    def cut(self) -> None:
        """Nothing goes through any more."""
        self.to_server = self.to_client = nothing

    def mend(self) -> None:
        """Everything does."""
        self.to_server = self.to_client = whole

    def lay(self, pc: RTCPeerConnection) -> None:
        """Between the sockets that it has gathered and the rest of it."""
        for ice in pc._RTCPeerConnection__iceTransports:
            for protocol in ice.iceGatherer._connection._protocols:
                arrived = protocol.datagram_received
                protocol.datagram_received = self._receiver(arrived)
                protocol.transport = _Sender(protocol.transport, self)

    def _receiver(self, arrived: Callable[[bytes, Any], None]) -> Callable[[bytes, Any], None]:
        def receive(data: bytes, address: Any) -> None:
            kept = self.to_client(data)
            if kept is None:
                return
            delay_s = self.delay_to_client_s(kept)
            if delay_s:
                asyncio.get_running_loop().call_later(delay_s, arrived, kept, address)
            else:
                arrived(kept, address)

        return receive


class _Sender:
    """Stands for a datagram transport."""

    def __init__(self, transport: Any, way: Way) -> None:
        self._transport = transport
        self._way = way

    def sendto(self, data: bytes, address: Any = None) -> None:
        kept = self._way.to_server(data)
        if kept is None:
            return
        delay_s = self._way.delay_s(kept)
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._late, kept, address)
        else:
            self._transport.sendto(kept, address)

    def _late(self, data: bytes, address: Any) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
