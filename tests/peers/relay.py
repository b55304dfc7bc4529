"""A lossy way between a client and the media port: drops RTP by count, so that each run loses the same share."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

Address = tuple[str, int]
_CANDIDATE = re.compile(r"^(a=candidate:\S+ \d+ udp \d+ (\S+) )(\d+)", re.IGNORECASE | re.MULTILINE)


def ssrc_of_rtp(data: bytes) -> int | None:
    """The SSRC of an RTP packet; ``None`` for STUN, DTLS and RTCP (RFC 7983, RFC 5761 section 4)."""
    if len(data) < 12 or not 128 <= data[0] <= 191 or 192 <= data[1] <= 223:
        return None
    return int.from_bytes(data[8:12], "big")


class Relay(asyncio.DatagramProtocol):
    """Loses every ``every_in``-th RTP packet to the server and every ``every_out``-th to the client; 0 is none."""

    def __init__(self, *, every_in: int, every_out: int) -> None:
        self.port = 0
        self.dropped_in: Counter[int] = Counter()
        """By SSRC."""
        self.dropped_out: Counter[int] = Counter()
        self.carried_in: Counter[int] = Counter()
        """By SSRC: what did arrive."""
        self.carried_out: Counter[int] = Counter()
        self._server: Address | None = None
        self._every = {"in": every_in, "out": every_out}
        self._seen = Counter[str]()
        self._transport: asyncio.DatagramTransport | None = None
        self._towards: dict[Address, asyncio.Task[asyncio.DatagramTransport]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, client: Address) -> None:
        if self._is_lost("in", data):
            return
        towards = self._towards.get(client)
        if towards is None:
            towards = self._towards[client] = asyncio.create_task(self._connect(client), name="relay")
        if towards.done():
            towards.result().sendto(data)
        else:
            towards.add_done_callback(lambda ready: ready.result().sendto(data))

    async def _connect(self, client: Address) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Back(self, client), remote_addr=self._server)
        return transport

    def answer(self, data: bytes, client: Address) -> None:
        """From the server to a client."""
        if not self._is_lost("out", data) and self._transport is not None:
            self._transport.sendto(data, client)

    def _is_lost(self, direction: str, data: bytes) -> bool:
        ssrc = ssrc_of_rtp(data)
        if ssrc is None:
            return False
        self._seen[direction] += 1
        every = self._every[direction]
        lost = bool(every) and self._seen[direction] % every == 0
        dropped, carried = (
            (self.dropped_in, self.carried_in) if direction == "in" else (self.dropped_out, self.carried_out)
        )
        (dropped if lost else carried)[ssrc] += 1
        return lost

    def divert(self, sdp: str) -> str:
        """The server's answer, with candidates that lead here."""
        found = _CANDIDATE.search(sdp)
        assert found is not None, sdp
        self._server = (found[2], int(found[3]))
        return _CANDIDATE.sub(rf"\g<1>{self.port}", sdp)

    @staticmethod
    def hide(sdp: str) -> str:
        """The client's offer without candidates: the server would look for a way past."""
        return re.sub(r"^a=(candidate|end-of-candidates).*\r\n", "", sdp, flags=re.MULTILINE)

    async def close(self) -> None:
        """Close every socket."""
        for towards in self._towards.values():
            (await towards).close()
        if self._transport is not None:
            self._transport.close()


class _Back(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay, client: Address) -> None:
        self._relay = relay
        self._client = client

    def datagram_received(self, data: bytes, _server: Address) -> None:
        self._relay.answer(data, self._client)


@asynccontextmanager
async def relay(*, every_in: int = 0, every_out: int = 0) -> AsyncIterator[Relay]:
    """Relay on a free port of loopback until the block ends."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(
        lambda: Relay(every_in=every_in, every_out=every_out), local_addr=("127.0.0.1", 0)
    )
    try:
        yield made
    finally:
        await made.close()
