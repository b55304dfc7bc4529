"""Full ICE with a real STUN and TURN server, aiortc and Chromium as clients."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from appliance.core.events import LocalCandidate, MediaStats, SelectedPair
from appliance.media import lender
from appliance.media.engine import Engine
from appliance.media.full import FullIceAgent
from appliance.media.servers import TurnServer
from appliance.media.turn import RelayPort
from tests.interop.echo_page import call as browser_call
from tests.interop.echo_page import decoded
from tests.interop.echo_page import until as seen
from tests.media.harness import Handle, engine, until
from tests.peers.coturn import PASSWORD, USER, Coturn, coturn
from tests.peers.relay import relay

pytestmark = pytest.mark.interop


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    monkeypatch.setattr(lender, "RETRY_SECONDS", (0.05, 0.1))


@asynccontextmanager
async def behind(server: Coturn, *, transport: str = "udp", password: str = PASSWORD) -> AsyncIterator[Engine]:
    found = await engine(
        ice="full",
        stun_servers=[server.address],
        turn_servers=[TurnServer(url=f"turn:{server.address}?transport={transport}", username=USER, password=password)],
        stats_period=0.2,
    )
    try:
        yield found
    finally:
        await found.stop()


async def call(handle: Handle) -> Any:
    """aiortc sends sound and opens a channel; it is told of the relayed address alone."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(AudioStreamTrack())
    connection.createDataChannel("chat")
    await connection.setLocalDescription(await connection.createOffer())
    answer = handle.answer(connection.localDescription.sdp)
    answer = re.sub(r"a=candidate:(?!.* relay ).*\r\n", "", answer)
    await connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    return connection


def deafen(found: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves but through the TURN server, as behind a firewall."""
    for port in found.ports:
        monkeypatch.setattr(port, "send", lambda _data, _key: None)


async def changed(found: Engine, *before: list[RelayPort]) -> None:
    """Wait until what the TURN server lends is something else."""
    async with asyncio.timeout(20):
        while found.gathering.relays in before:  # noqa: ASYNC110  # nothing in the engine waits for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_through_the_turn_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    caplog.set_level(logging.INFO)
    with coturn(tmp_path) as server:
        async with behind(server, transport=transport) as found:
            deafen(found, monkeypatch)
            handle = Handle(found)
            connection = await call(handle)

            def flows() -> bool:
                stats = [item for item in handle.all(MediaStats) if item.media == "audio" and item.has_reports]
                return bool(stats) and min(stats[-1].packets_received or 0, stats[-1].packets_sent or 0) > 50

            await until(handle, flows)
            assert handle.opened == [("chat", "")]
            (relay,) = found.gathering.relays
            told = [item.candidate for item in handle.all(LocalCandidate)]
            assert [text.split(" ")[7] for text in told] == ["host", "relay"]
            assert f" {relay.host} {relay.port} typ relay raddr 127.0.0.1 " in told[1]
            pair = handle.all(SelectedPair)[-1]
            assert pair.pair.startswith(f"{relay.host}:{relay.port} [relay,udp] <-> 127.0.0.1:")
            last = next(item for item in reversed(handle.all(MediaStats)) if item.media == "audio")
            assert last.lost == 0
            assert relay.dropped == 0
            counts = {(item.name, *item.labels.values()): item.value for item in found.measure()}
            assert counts["media_datagrams_total", "in"] >= relay.received > 50
            await connection.close()
        assert "TURN allocation deleted" in caplog.text


async def test_a_server_that_went_away_is_asked_again(tmp_path: Path) -> None:
    with coturn(tmp_path) as server:
        async with behind(server, transport="tcp") as found:
            (before,) = found.gathering.relays
            server.kill()
            await changed(found, [before])
            assert before.closed
            assert {candidate.type for candidate in found.gathering.candidates()} == {"host"}
            server.start()
            await changed(found, [])
            assert found.gathering.relayed("sent") == 0


async def test_an_allocation_that_the_server_forgot_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with coturn(tmp_path) as server:
        async with behind(server) as found:
            before = found.gathering.relays
            server.kill()
            server.start()
            deafen(found, monkeypatch)
            handle = Handle(found)
            connection = await call(handle)  # its checks find out
            await changed(found, before, [])
            await connection.close()
            again = Handle(found)
            connection = await call(again)
            await until(again, lambda: again.peer.up)
            await connection.close()


async def test_a_refusal_keeps_nothing_from_working(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with coturn(tmp_path) as server:
        async with behind(server, password="wrong") as found:
            assert [candidate.type for candidate in found.gathering.candidates()] == ["host"]
            handle = Handle(found)
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            connection.createDataChannel("chat")
            await connection.setLocalDescription(await connection.createOffer())
            answer = handle.answer(connection.localDescription.sdp)
            await connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
            await until(handle, lambda: handle.peer.up)
            await connection.close()
    assert f"TURN server {server.address}/udp, for an IPv4 address: refused with 401 " in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_browser_and_a_gateway_with_full_ice() -> None:
    async with relay() as way, browser_call(way, ice="full") as (page, handle):
        await seen(page, lambda stats: decoded(stats) > 30)
        assert isinstance(handle.peer.ice, FullIceAgent)
        assert not handle.peer.ice.controlling
        assert handle.peer.ice.selected is not None
        assert handle.peer.ice.selected.responses_received
