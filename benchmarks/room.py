"""CPU per forwarded RTP packet in a room: 10 publishers, each seen by 9 others, at the engine itself.

The engine runs in a process of its own, which is what is measured (user and system time); the clients speak ICE, DTLS
and SRTP to it over loopback. Only what the clients really received counts as forwarded.
"""

import asyncio
import contextlib
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

from appliance.core.clock import LoopClock
from appliance.core.peer import AnswerPolicy, OfferLine
from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from benchmarks.figures import Figure, table
from benchmarks.load import cpu_seconds
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.harness import Handle
from tests.media.test_offering import Subscriber

PUBLISHERS = 10
RATE = 100
"""Packets a second of each publisher."""
PAYLOAD_BYTES = 1100
SECONDS = 5.0


async def _serve(pipe: Connection) -> None:
    """Answer the publishers, then offer each subscriber the others' video; the parent says how and when to end."""
    engine = Engine(MediaConfig(port=0), LoopClock())
    await engine.start()
    loop = asyncio.get_running_loop()

    async def told() -> Any:
        return await loop.run_in_executor(None, pipe.recv)

    sources = [Handle(engine) for _ in range(PUBLISHERS)]
    for source in sources:
        source.peer.set_remote_offer(await told())
        source.peer.gather(trickle=False)
        pipe.send(source.peer.create_answer(AnswerPolicy(receive_only=True)))
    for index in range(PUBLISHERS):
        handle = Handle(engine)
        others = [(str(number), source) for number, source in enumerate(sources) if number != index]
        lines = [OfferLine(mid=mid, kind="video", source=source.peer, source_mid="0") for mid, source in others]
        pipe.send(handle.peer.create_offer(lines))
        for mid, source in others:
            source.peer.forward("0", handle.peer, mid)
        handle.peer.set_remote_answer(await told())
        handle.peer.gather(trickle=False)
    await told()
    await engine.stop()


def _gateway(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


def _connect(client: Client) -> None:
    """ICE and DTLS with an engine in another process."""
    client.check()
    deadline = time.monotonic() + 10
    while not client.connected:
        if time.monotonic() > deadline:
            raise TimeoutError("a client did not connect within 10 s")
        client.drain()
        if client.dtls is None and client.responses:
            client.start_dtls()
        time.sleep(0.001)


def _drain(subscribers: list[Subscriber]) -> int:
    count = 0
    for subscriber in subscribers:
        receive = subscriber.socket.recv
        with contextlib.suppress(BlockingIOError):
            while True:
                data = receive(2048)
                count += len(data) > PAYLOAD_BYTES
    return count


def _pump(publishers: list[Client], subscribers: list[Subscriber], seconds: float, first: int) -> tuple[int, int]:
    """Send from every publisher in turn; returns packets received by the others, and packets sent by each."""
    payload = bytes(PAYLOAD_BYTES)
    began, sent, received = time.monotonic(), 0, 0
    while (elapsed := time.monotonic() - began) < seconds:
        while sent < elapsed * RATE:
            for client in publishers:
                client.send_rtp("video", first + sent, 900 * (first + sent), payload)
            sent += 1
        received += _drain(subscribers)
        time.sleep(0.002)
    time.sleep(0.2)
    return received + _drain(subscribers), sent


def measure() -> tuple[float, float]:
    """Microseconds of CPU per forwarded packet, and the share of packets that arrived."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_gateway, args=(theirs,), daemon=True)
    process.start()
    assert process.pid is not None
    # Only its ports would be asked for, by a pump that is not used here.
    engine: Any = None
    # Its timers never fire: handshakes over loopback are done before a flight would be sent again.
    clock = FakeClock()
    publishers: list[Client] = []
    subscribers: list[Subscriber] = []
    try:
        for _ in range(PUBLISHERS):
            client = Client(engine, clock, kinds=("video",))
            publishers.append(client)
            ours.send(client.offer())
            client.take(ours.recv())
            _connect(client)
        for _ in range(PUBLISHERS):
            subscriber = Subscriber(engine, clock)
            subscribers.append(subscriber)
            ours.send(subscriber.reply(ours.recv()))
            _connect(subscriber)
        _, sent = _pump(publishers, subscribers, 1.0, 0)
        before = cpu_seconds(process.pid)
        received, rounds = _pump(publishers, subscribers, SECONDS, sent)
        cpu = cpu_seconds(process.pid) - before
        ours.send("end")
        process.join(10)
    finally:
        process.kill()
        for client in (*publishers, *subscribers):
            client.close()
    return cpu / received * 1_000_000, received / (rounds * PUBLISHERS * (PUBLISHERS - 1))


def main() -> list[Figure]:
    """Both figures."""
    cost, share = measure()
    return [
        Figure("room of 10: CPU per forwarded packet", cost, "us", "<= 15"),
        Figure("room of 10: packets that arrived", 100 * share, "%", ">= 99"),
    ]


if __name__ == "__main__":
    print(table(main()))
