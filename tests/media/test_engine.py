"""What may come to the media port, and must harm nothing."""

import logging
import random
import struct
from typing import Any

import pytest

from appliance.core.events import Body, Counter, DtlsState, MediaFault, MediaStats
from appliance.core.peer import MediaEngine, PeerConnection
from appliance.media.config import MAX_STUN_SOURCES, MediaConfig
from appliance.media.engine import Engine
from appliance.media.udp import sockaddr
from appliance.metrics import kept
from appliance.wire import rtcp, stun
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call
from tests.media.harness import Handle, engine

FUZZED = 30_000


def fuzz(client: Client, count: int) -> list[bytes]:
    """Datagrams of every kind, most of them nearly right."""
    chance = random.Random(2026)
    transport = client.transport
    good = [
        stun.binding_request(
            bytes(12), f"{transport.ice_ufrag}:x", 1, (transport.ice_pwd or "").encode(), controlling=1
        ),
        stun.binding_response(bytes(12), ("127.0.0.1", 9), b"key"),
        client.rtp("audio", 60_000, 0),
        client.rtp("video", 60_000, 0, b"v" * 1100),
        bytes.fromhex("16feff000000000000000000240100001800000000000000") + bytes(25),
        bytes.fromhex("15fefd0001000000000001") + b"\x00\x1a" + bytes(26),
        bytes.fromhex("17fefd0001000000000001") + b"\x00\x40" + bytes(64),
        b"\x80\xc8\x00\x06" + bytes(60),
        b"",
        b"\x00",
        b"\x80",
    ]
    found = []
    for _ in range(count):
        data = bytearray(chance.choice(good))
        how = chance.randrange(6)
        if how == 0:
            data = bytearray(chance.randbytes(chance.randrange(80)))
        elif how == 1 and data:
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        elif how == 2:
            data = data[: chance.randrange(len(data) + 1)]
        elif how == 3:
            data += chance.randbytes(chance.randrange(600))
        elif how == 4 and data:
            data[0] = chance.choice([0, 1, 3, 20, 22, 23, 63, 64, 127, 128, 191, 192, 255])
        elif data:
            data[chance.randrange(min(4, len(data)))] ^= 1 << chance.randrange(8)
        found.append(bytes(data))
    return found


async def test_thirty_thousand_fuzzed_datagrams_leave_a_call_untouched(
    call: Call, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    client, handle = call()
    stranger = Client(client.engine, clock)
    stranger.server = client.server
    with caplog.at_level(logging.WARNING):
        for index, data in enumerate(fuzz(client, FUZZED)):
            # From an address of the call's own, and from a stranger's.
            (client if index % 2 else stranger).send(data)
            if index % 32 == 0:
                client.pump()
                stranger.drain()
            if index % 3000 == 0:
                clock.advance(1.0)
        client.pump()
    stranger.close()
    assert not caplog.records
    assert handle.hangup() is None
    assert handle.peer.up
    assert client.dtls is not None
    assert client.dtls.send_data(b"still here")
    client.packets.clear()
    for number in range(60_100, 60_110):
        client.send_rtp("audio", number, 0)
    client.pump()
    assert len(client.packets) == 10
    assert len(handle.peer.path.streams) <= 3
    # Some of the stranger's checks are whole, and those prove its address.
    assert len(client.engine._owners) <= 2
    assert sum(count for reason, count in client.engine.dropped.items()) > FUZZED / 4
    clock.advance(1.0)
    assert {fault.kind for fault in handle.all(MediaFault)} <= {"srtp_auth", "srtp_replay", "malformed"}
    assert [state.dtls for state in handle.all(DtlsState)] == ["trying", "connected"]


async def test_fuzzed_handshakes_end_in_a_state(call: Call, clock: FakeClock) -> None:
    for seed in range(40):
        chance = random.Random(seed)
        client, handle = call(connect=False)
        client.check()
        client.pump()
        spoil = chance.randrange(3)

        def send(data: bytes, client: Client = client, chance: random.Random = chance, spoil: int = spoil) -> None:
            if spoil == 0:
                data = data[: chance.randrange(1, len(data) + 1)]
            elif spoil == 1:
                changed = bytearray(data)
                changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                data = bytes(changed)
            else:
                client.send(chance.randbytes(chance.randrange(1, 100)))
            client.send(data)

        client.start_dtls()
        assert client.dtls is not None
        client.dtls._send = send
        client.pump()
        for _ in range(45):
            clock.advance(0.5)
            client.pump()
        assert handle.hangup() in {None, "DTLS alert", "DTLS error", "DTLS timeout"}
        handle.peer.close(None)
    assert not client.engine.peers
    assert not client.engine._owners


async def test_a_bug_in_the_slow_path_is_counted_and_logged_now_and_then(
    call: Call, clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, handle = call()

    def broken(_data: object) -> object:
        raise KeyError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(stun, "parse", broken)
        for _ in range(50):
            client.check()
        client.pump()
    assert len(caplog.records) == 1
    assert client.engine.dropped["malformed"] == 50
    assert handle.peer.up


async def test_a_bug_in_the_hot_path_costs_no_other_call(
    call: Call, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, handle = call()
    other, _ = call()
    with monkeypatch.context() as patch:
        patch.setattr(handle.peer.path, "_rtcp_received", lambda _packets, _now: 1 / 0)
        client.send_rtcp(rtcp.ReceiverReport(ssrc=1))
        client.pump()
    assert len(caplog.records) == 1
    other.send_rtp("audio", 1, 0)
    other.pump()
    assert len(other.packets) == 1


async def test_an_observer_that_fails_leaves_the_engine_in_order(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    client, handle = call()

    def fail(_fact: Body) -> None:
        raise RuntimeError("an observer's bug")

    handle.on_fact = fail
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert len(client.packets) == 1
    handle.peer.close("Janus API")
    assert not client.engine.peers
    assert caplog.records


async def test_the_watch_over_sources_is_bounded(server: Engine) -> None:
    for number in range(MAX_STUN_SOURCES + 100):
        request = stun.binding_request(bytes(12), "nobody:x", 1, b"key")
        server.datagram(server.ports[0], sockaddr("192.0.2.1", 1 + number), request)
    assert len(server._stun_rates) == MAX_STUN_SOURCES
    assert server.dropped == {"unknown_source": MAX_STUN_SOURCES, "rate_limit": 100}


async def test_everything_of_a_call_is_forgotten_at_its_end(call: Call, clock: FakeClock) -> None:
    for _ in range(5):
        client, handle = call(candidates=("candidate:1 1 udp 1 127.0.0.1 9 typ host",))
        client.send_rtp("video", 1, 0)
        client.send_rtp("video", 5, 0)
        client.pump()
        clock.advance(1.0)
        handle.peer.close("Janus API")
    found = client.engine
    assert (found.peers, found._by_ufrag, found._owners, found._by_tag) == (set(), {}, {}, {})
    assert not found.ports[0].media
    facts = len(handle.facts)
    clock.advance(60.0)
    handle.peer.close("again")
    handle.peer.add_remote_candidate("candidate:1 1 udp 1 127.0.0.1 9 typ host")
    handle.peer.end_of_candidates()
    handle.peer.set_bitrate(5)
    handle.peer.request_keyframe("1")
    handle.peer.send_data("x", "", "y")
    assert len(handle.facts) == facts


async def test_media_before_dtls_is_done_are_no_fault(call: Call, clock: FakeClock) -> None:
    """Some clients send as soon as ICE has connected; others' packets only overtake the end of the handshake."""
    client, handle = call(connect=False)
    client.check()
    client.pump()
    for sequence in range(3):
        client.send(struct.pack("!BBHII", 0x80, 111, sequence, 0, 9) + b"x" * 100)
    client.pump()
    assert client.engine.dropped == {"no_keys": 3}
    client.start_dtls()
    client.pump()
    assert client.connected
    clock.advance(1.0)
    assert not handle.all(MediaFault)
    assert client.engine.dropped == {"no_keys": 3}


async def test_counts_have_declared_names_and_labels(call: Call) -> None:
    client, _ = call()
    client.send(b"nonsense")
    client.send(b"\x80")
    client.send_rtp("audio", 1, 0, ssrc=9, payload_type=3)
    client.pump()
    counts = {(item.name, *item.labels.values()): item.value for item in client.engine.measure()}
    assert counts["media_datagrams_dropped_total", "malformed"] == 2
    assert counts["media_datagrams_dropped_total", "unknown_ssrc"] == 1
    reasons = next(label for label in kept.DATAGRAMS_DROPPED.labels if label.name == "reason").values
    for item in client.engine.measure():
        assert isinstance(item, Counter)
        assert item.labels.get("reason", "malformed") in (reasons or ())
        assert item.labels.get("direction", "in") in {"in", "out"}


async def test_a_taken_port_is_refused_and_nothing_stays_open(server: Engine) -> None:
    with pytest.raises(OSError, match=r"media address 127\.0\.0\.1 port \d+: Address already in use"):
        await engine(addresses=["::1", "127.0.0.1"], port=server.addresses[0][1])
    found = await engine(addresses=["::1"], port=server.addresses[0][1])
    await found.stop()
    assert found.addresses == []


async def test_of_a_range_of_ports_the_first_free_one_is_taken(server: Engine) -> None:
    (address,) = server.addresses
    second = await engine(port=address[1], port_last=min(address[1] + 20, 65_535))
    assert address[1] < second.addresses[0][1] <= address[1] + 20
    await second.stop()
    with pytest.raises(OSError, match="Address already in use"):
        await engine(port=address[1], port_last=address[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": 10_000, "port_last": 9_999}, r"port_last: 9999 came, wanted port \(10000\) to 65535, or 0"),
        ({"port": 10_000, "port_last": 65_536}, "port_last: 65536 came"),
        ({"announced": {"eth0": "203.0.113.1"}}, "announced: 'eth0' came, wanted IP addresses"),
        ({"announced": {"10.0.0.1": "media.example"}}, "announced: 'media.example' came"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MediaConfig(**settings)


async def test_the_end_of_the_engine_ends_its_calls(clock: FakeClock) -> None:
    found = await engine(clock)
    client, handle = Client(found, clock), Handle(found)
    client.take(handle.answer(client.offer()))
    await found.stop()
    assert handle.all(MediaStats)
    assert not found.peers
    client.close()


async def test_it_is_what_the_core_asks_for(server: Engine) -> None:
    contract: MediaEngine = server
    connection: PeerConnection = contract.open(Handle(server))
    assert connection.media == ()
    assert not connection.up
    connection.close("never began")
