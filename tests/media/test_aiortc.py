"""aiortc as a real client, over loopback: codecs, SCTP and congestion control that are not ours."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.rtcsctptransport import DataChunk
from msgspec import to_builtins

from appliance.core.events import MediaFault, MediaStats
from appliance.core.peer import OfferLine
from appliance.media.engine import Engine
from appliance.media.full import FullIceAgent
from tests.media.harness import Handle, aiortc_client, engine, until


async def negotiate(connection: Any, handle: Handle) -> None:
    await connection.setLocalDescription(await connection.createOffer())
    answer = handle.answer(connection.localDescription.sdp)
    await connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))


def fields_of_janus() -> dict[str, set[str]]:
    """By medium, what a real Janus 1.4 told of a client of this kind."""
    told: dict[str, set[str]] = {}
    recording = Path(__file__).parent.parent / "data" / "janus-1.4" / "aiortc_echo.jsonl"
    for line in recording.read_text().splitlines():
        event = json.loads(line)["event"]
        if (event["type"], event.get("subtype")) == (32, 3):
            told.setdefault(event["event"]["media"], set()).update(event["event"])
    return told


async def test_audio_video_and_data_come_back(live: Engine) -> None:
    handle, connection = Handle(live), aiortc_client()
    got: list[str | bytes] = []
    answered = asyncio.Event()
    tracks: dict[str, Any] = {}
    connection.addTrack(AudioStreamTrack())
    connection.addTrack(VideoStreamTrack())
    channel = connection.createDataChannel("chat")
    large = bytes(range(256)) * 400

    def send() -> None:
        for message in ("hello", b"\x00\x01", large, ""):
            channel.send(message)

    def take(message: str | bytes) -> None:
        got.append(message)
        if len(got) == 4:
            answered.set()

    channel.on("open", send)
    channel.on("message", take)
    connection.on("track", lambda track: tracks.update({track.kind: track}))
    await negotiate(connection, handle)
    async with asyncio.timeout(20):
        frames = [await tracks["video"].recv() for _ in range(5)]
        sound = await tracks["audio"].recv()
        await answered.wait()
    assert (frames[0].width, frames[0].height) == (640, 480)
    assert sound.sample_rate == 48_000
    assert got == ["echo: hello", b"\x00\x01", large, "echo: "]
    assert handle.opened == [("chat", "")]

    def both_report() -> bool:
        latest = {stats.media: stats for stats in handle.all(MediaStats)}
        return len(latest) == 3 and all(
            latest[kind].has_reports and latest[kind].rtt_us is not None for kind in ("audio", "video")
        )

    await until(handle, both_report)
    shown = {stats.media: stats for stats in handle.all(MediaStats)}
    for kind in ("audio", "video"):
        assert shown[kind].lost == 0
        assert shown[kind].packets_received == shown[kind].packets_sent
        assert shown[kind].packets_received
    told = {(one.type, one.kind): one for one in (await connection.getStats()).values() if hasattr(one, "kind")}
    for kind in ("audio", "video"):
        # The client was asked later, and had gone on.
        received, sent = shown[kind].packets_received or 0, told["outbound-rtp", kind].packetsSent
        assert 0 < received <= sent < 2 * received + 200
        assert told["remote-inbound-rtp", kind].packetsLost == shown[kind].lost == 0
        assert told["inbound-rtp", kind].packetsLost == shown[kind].lost_by_remote == 0
        # Less what was on its way back.
        assert received - 20 <= told["inbound-rtp", kind].packetsReceived <= sent
    for kind, fields in fields_of_janus().items():
        missing = fields - {name for name, value in to_builtins(shown[kind]).items() if value is not None}
        # Of the receiver's estimate the client need not have told in so short a life, and the values of a round trip
        # are told of one that takes a millisecond or more: tests/media/test_reports.py.
        missing -= {"remb-bitrate", "rtt-values"}
        assert not missing, f"{kind}: {missing}"
    await connection.close()
    await until(handle, lambda: handle.hangup() is not None)
    assert handle.hangup() == "DTLS alert"


async def test_data_alone_needs_no_media_keys(live: Engine) -> None:
    handle, connection = Handle(live), aiortc_client()
    got: asyncio.Queue[str] = asyncio.Queue()
    channel = connection.createDataChannel("only", protocol="words")
    channel.on("open", lambda: channel.send("hi"))
    channel.on("message", got.put_nowait)
    await negotiate(connection, handle)
    async with asyncio.timeout(20):
        assert await got.get() == "echo: hi"
    assert handle.opened == [("only", "words")]
    # Without a partner the gateway's own end closes it.
    closed = asyncio.Event()
    connection.on("connectionstatechange", lambda: closed.set() if connection.connectionState == "closed" else None)
    handle.peer.close("Janus API")
    async with asyncio.timeout(20):
        await closed.wait()
    await connection.close()


async def test_hostile_data_is_dropped_and_the_channel_lives(live: Engine) -> None:
    handle, connection = Handle(live), aiortc_client()
    got: asyncio.Queue[str] = asyncio.Queue()
    channel = connection.createDataChannel("chat")
    channel.on("open", lambda: channel.send("first"))
    channel.on("message", got.put_nowait)
    await negotiate(connection, handle)
    async with asyncio.timeout(20):
        assert await got.get() == "echo: first"
        # What any authenticated peer may send inside DTLS: no SCTP, SCTP cut short, a chunk that aiortc asserts about.
        dtls = connection.sctp.transport
        for junk in (b"", b"x", bytes(12), bytes(40)):
            await dtls._send_data(junk) if junk else None
        association = connection.sctp
        await association._send(1, 51, b"\xff\xfe not UTF-8")  # as text, on the open channel's stream
        await association._send(1, 50, b"\x02 acknowledges what nobody asked")
        channel.send("second")
        assert await got.get() == "echo: second"
    channels = handle.peer.channels
    assert channels is not None
    assert channels.messages_received == 2
    assert channels.send("no such channel", "", "x") is False
    assert channels.errors["closed"] == 1
    assert channels.errors["packet"] >= 1
    handle.peer.association.tell_faults()
    told = handle.all(MediaFault)
    assert {fault.kind: fault.count for fault in told} == {
        f"data_{why}": count for why, count in channels.errors.items()
    }
    handle.peer.association.tell_faults()
    assert handle.all(MediaFault) == told
    await connection.close()


async def test_a_message_that_never_ends_costs_the_association(live: Engine) -> None:
    handle, connection = Handle(live), aiortc_client()
    opened = asyncio.Event()
    connection.createDataChannel("chat").on("open", opened.set)
    await negotiate(connection, handle)
    association = connection.sctp
    async with asyncio.timeout(20):
        await opened.wait()
        while handle.peer.channels is None or "overflow" not in handle.peer.channels.errors:
            fragment = DataChunk(flags=0)
            fragment.tsn, fragment.protocol, fragment.user_data = association._local_tsn, 51, b"x"
            fragment.stream_id = 1
            association._local_tsn += 1
            await association._send_chunk(fragment)
            await asyncio.sleep(0)
    assert handle.peer.channels.errors["overflow"] == 1
    await connection.close()


@pytest.mark.parametrize("offers", [False, True], ids=["aiortc offers", "the gateway offers"])
async def test_full_ice_connects_in_either_role(monkeypatch: pytest.MonkeyPatch, offers: bool) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    server, connection = await engine(ice="full"), aiortc_client()
    handle = Handle(server)
    if offers:
        lines = [OfferLine(mid="data", kind="application")]
        offer = handle.peer.create_offer(lines)
        await connection.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        handle.peer.set_remote_answer(connection.localDescription.sdp)
        handle.peer.gather(trickle=False)
    else:
        connection.createDataChannel("chat")
        await negotiate(connection, handle)
    await until(handle, lambda: handle.peer.up)
    assert isinstance(handle.peer.ice, FullIceAgent)
    assert handle.peer.ice.controlling is offers
    assert handle.peer.ice.selected is not None
    assert handle.peer.ice.selected.local == server.addresses[0]
    await connection.close()
    await server.stop()
