"""Our counters of a call and aiortc's own of the same, once all has come to rest; a tenth is lost each way."""

import asyncio
from typing import Any

import aioice.ice
import pytest

from tests.media.harness import Handle, engine
from tests.media.test_faults import Call
from tests.peers.relay import relay


async def told(connection: Any) -> dict[str, Any]:
    return {one.type: one for one in (await connection.getStats()).values()}


async def test_every_counter_is_aiortc_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    server = await engine(stats_period=0.2)
    try:
        async with relay(every_in=10, every_out=10) as way:
            call = Call(Handle(server), way)
            await call.place()
            await call.flows(100)
            for sender in call.connection.getSenders():
                sender.replaceTrack(None)
            (line, _) = call.handle.peer.lines
            theirs = await told(call.connection)
            async with asyncio.timeout(10):
                while (
                    line.stats().packets_received != way.carried_in[theirs["outbound-rtp"].ssrc]
                    or theirs["outbound-rtp"].packetsSent != sum((way.carried_in + way.dropped_in).values())
                    or theirs["inbound-rtp"].packetsReceived != way.carried_out[line.ssrc]
                    or theirs["remote-inbound-rtp"].packetsLost != line.stats().lost
                    or theirs["inbound-rtp"].packetsLost != line.stats().lost_by_remote
                ):
                    await asyncio.sleep(0.05)
                    theirs = await told(call.connection)
            ours = line.stats()
            await call.connection.close()
    finally:
        await server.stop()
    sent, came, reported = (theirs[kind] for kind in ("outbound-rtp", "inbound-rtp", "remote-inbound-rtp"))
    assert (ours.packets_received or 0) + (ours.lost or 0) in range(sent.packetsSent - 2, sent.packetsSent + 1)
    assert ours.lost
    assert ours.packets_sent == came.packetsReceived + way.dropped_out[line.ssrc]
    assert ours.lost_by_remote in range(
        (ours.lost or 0) + way.dropped_out[line.ssrc] - 2, (ours.lost or 0) + way.dropped_out[line.ssrc] + 1
    )
    # aiortc tells jitter in ticks of the codec's clock, and round trips in seconds.
    assert ours.jitter_local_us == pytest.approx(reported.jitter / 48_000 * 1e6, abs=30_000)
    assert ours.rtt_us is not None
    assert ours.rtt_us == pytest.approx(reported.roundTripTime * 1e6, abs=500_000)
