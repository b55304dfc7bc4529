"""A bad way between a client and the media port: drops RTP by count, so that each run loses the same share; or does to
every datagram, by a seeded chance, what networks do."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

Address = tuple[str, int]
_CANDIDATE = re.compile(r"^(a=candidate:\S+ \d+ udp \d+ (\S+) )(\d+)", re.IGNORECASE | re.MULTILINE)


def ssrc_of_rtp(data: bytes) -> int | None:
    """The SSRC of an RTP packet; ``None`` for STUN, DTLS and RTCP (RFC 7983, RFC 5761 section 4)."""
    if len(data) < 12 or not 128 <= data[0] <= 191 or 192 <= data[1] <= 223:
        return None
    return int.from_bytes(data[8:12], "big")


class Weather(NamedTuple):
    """What happens to any datagram, either way; chances are 0..1."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    """Overtaken by what comes within the next 30 ms."""
    delay: float = 0.0
    """Seconds, of every datagram."""


FAIR = Weather()


class Relay(asyncio.DatagramProtocol):
    """Loses every ``every_in``-th RTP packet to the server and every ``every_out``-th to the client; 0 is none."""

    def __init__(self, *, every_in: int, every_out: int, weather: Weather = FAIR) -> None:
        self.port = 0
        self.dropped_in: Counter[int] = Counter()
        """By SSRC."""
        self.dropped_out: Counter[int] = Counter()
        self.carried_in: Counter[int] = Counter()
        """By SSRC: what did arrive."""
        self.carried_out: Counter[int] = Counter()
        self.dark = False
        """Nothing gets through."""
        self.happened = Counter[str]()
        """To how many datagrams: lost, doubled, late, dark."""
        self.weather = weather
        self._chance = random.Random(7)
        self._server: Address | None = None
        self._every = {"in": every_in, "out": every_out}
        self._seen = Counter[str]()
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = False
        self._towards: dict[Address, asyncio.Task[asyncio.DatagramTransport]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, client: Address) -> None:
        if not self._is_lost("in", data):
            self._suffer(lambda: self._carry(data, client))

    def _suffer(self, go: Callable[[], None]) -> None:
        """Let a datagram go on as the weather is."""
        weather, chance = self.weather, self._chance.random
        if self.dark or (weather.lost and chance() < weather.lost):
            self.happened["dark" if self.dark else "lost"] += 1
            return
        delay = weather.delay
        if weather.late and chance() < weather.late:
            self.happened["late"] += 1
            delay += 0.03
        copies = 1
        if weather.doubled and chance() < weather.doubled:
            self.happened["doubled"] += 1
            copies = 2
        for _ in range(copies):
            if delay:
                asyncio.get_running_loop().call_later(delay, go)
            else:
                go()

    def move(self) -> None:
        """As if a NAT gave every client another port: the server sees them come from elsewhere, and they don't know."""
        before, self._towards = self._towards, {}
        for towards in before.values():
            towards.result().close()

    def _carry(self, data: bytes, client: Address) -> None:
        if self._closed:
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
        if not self._is_lost("out", data):
            self._suffer(lambda: self._answer(data, client))

    def _answer(self, data: bytes, client: Address) -> None:
        if self._transport is not None and not self._closed:
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
        self._closed = True
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
async def relay(*, every_in: int = 0, every_out: int = 0, weather: Weather = FAIR) -> AsyncIterator[Relay]:
    """Relay on a free port of loopback until the block ends."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(
        lambda: Relay(every_in=every_in, every_out=every_out, weather=weather), local_addr=("127.0.0.1", 0)
    )
    try:
        yield made
    finally:
        await made.close()
