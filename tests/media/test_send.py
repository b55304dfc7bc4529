"""Numbers of what is sent: without a gap, whatever the source does."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.config import MediaConfig
from appliance.media.send import extension_table, renumber_extensions
from appliance.wire import rtcp
from appliance.wire.rtp import RtpHeader, build_extensions, parse_extensions, parse_header
from tests.clock import FakeClock
from tests.media.conftest import Call


def steps(headers: list[RtpHeader]) -> list[int]:
    numbers = [header.sequence_number for header in headers]
    return [(after - before) & 0xFFFF for before, after in pairwise(numbers)]


async def test_a_pause_leaves_no_gap_in_numbers_and_asks_for_a_key_frame(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    for index in range(20):
        if index == 5:
            handle.peer.set_sending("1", active=False)
        if index == 15:
            client.reports.clear()
            handle.peer.set_sending("1", active=True)
        client.send_rtp("video", 65_530 + index, 3000 * index)
        client.pump()
        clock.advance(1 / 30)
    headers = [header for header, _ in client.packets]
    assert len(headers) == 10
    assert steps(headers) == [1] * 9
    # Time goes on: the pause is in the timestamps.
    gap = (headers[5].timestamp - headers[4].timestamp) & 0xFFFFFFFF
    assert 30_000 <= gap <= 36_000
    # Throttled after the one that the stream's beginning caused, but not forgotten.
    clock.advance(0.5)
    client.pump()
    assert [report for report in client.reports if isinstance(report, rtcp.Pli)]


async def test_a_new_source_continues_the_old_ones_numbers(call: Call) -> None:
    client, _ = call()
    for index in range(3):
        client.send_rtp("audio", 100 + index, 960 * index)
    for index in range(3):
        client.send_rtp("audio", 50_000 + index, 77 + 960 * index, ssrc=4242)
    client.pump()
    headers = [header for header, _ in client.packets]
    assert steps(headers) == [1] * 5
    assert {header.ssrc for header in headers} == {client.ssrc_of("audio")}


async def test_a_loss_on_the_way_in_stays_a_gap_on_the_way_out(call: Call) -> None:
    client, _ = call()
    for number in (10, 11, 14, 15):
        client.send_rtp("audio", number, 960 * number)
    client.pump()
    assert steps([header for header, _ in client.packets]) == [1, 3, 1]


async def test_what_is_asked_for_again_comes_as_it_was(call: Call) -> None:
    client, handle = call()
    for number in range(20):
        client.send_rtp("video", number, 3000 * number, bytes([number]) * 30)
    client.pump()
    first = client.packets[0][0].sequence_number
    # A client that lost two packets: forget them, then ask.
    sent: list[bytes] = []

    def watch(data: bytes) -> bool:
        sent.append(data)
        return True

    client.listener = watch
    wanted = ((first + 3) & 0xFFFF, (first + 7) & 0xFFFF, (first + 5000) & 0xFFFF)
    client.send_rtcp(rtcp.Nack(sender_ssrc=1, media_ssrc=client.ssrc_of("video"), lost=wanted))
    client.pump()
    again = [parse_header(data).sequence_number for data in sent if 127 < data[0] < 192 and not 191 < data[1] < 224]
    assert again == [(first + 3) & 0xFFFF, (first + 7) & 0xFFFF]
    line = handle.peer.lines[1]
    assert line.tx is not None
    assert (line.nacks_received, line.tx.retransmissions) == (3, 2)


@pytest.mark.parametrize("rtx", [False, True])
@pytest.mark.parametrize("size", [20, 1100, 1450])
async def test_history_is_bounded(call: Call, size: int, rtx: bool) -> None:
    again = ["a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"] if rtx else []
    client, handle = call(extra={"video": again}, formats={"video": " 97" if rtx else ""})
    for number in range(600):
        client.send_rtp("video", number, 3000 * number, bytes(size))
        if number % 50 == 0:
            client.pump()
    client.pump()
    tx, audio = handle.peer.lines[1].tx, handle.peer.lines[0].tx
    assert tx is not None
    history = tx._history
    assert history is not None
    assert (tx._rtx_payload_type >= 0) is rtx
    kept = [item for item in history if item is not None]
    assert len(kept) == 128
    # With all that Python has beside the bytes, not only the bytes.
    memory = sum(sys.getsizeof(item) + sum(sys.getsizeof(part) for part in item) for item in kept)
    assert 128 * size < memory + sys.getsizeof(history) + sys.getsizeof(tx._repeated_at) <= 262_144
    assert MediaConfig().nack_history_bytes == 262_144
    # Audio has no NACK here, and keeps nothing.
    assert audio is not None
    assert audio._history is None
    handle.peer.close(None)
    assert tx._history is None


async def test_two_clients_can_be_routed_to_each_other(call: Call) -> None:
    alice, from_alice = call(kinds=("audio",))
    bob, from_bob = call(kinds=("audio",))
    carol, from_carol = call(kinds=("audio",))
    from_alice.peer.forward("0", from_bob.peer, "0")
    from_alice.peer.forward("0", from_carol.peer, "0")
    alice.send_rtp("audio", 1, 960, b"to all")
    for client in (alice, bob, carol):
        client.pump()
    assert [payload for client in (alice, bob, carol) for _, payload in client.packets] == [b"to all"] * 3
    assert bob.packets[0][0].ssrc == bob.ssrc_of("audio")
    # Who leaves is routed to no more, and takes nothing along.
    from_bob.peer.close(None)
    alice.send_rtp("audio", 2, 1920, b"again")
    for client in (alice, carol):
        client.pump()
    assert [len(client.packets) for client in (alice, carol)] == [2, 2]


async def test_who_listens_hears_what_came_and_the_route_goes_on(call: Call) -> None:
    client, handle = call(kinds=("audio",))
    heard: list[bytes] = []
    handle.peer.listen("0", lambda packet: heard.append(bytes(packet)))
    client.send_rtp("audio", 7, 960, b"listen")
    client.pump()
    handle.peer.listen("0", None)
    client.send_rtp("audio", 8, 1920, b"unheard")
    client.pump()
    assert [(parse_header(packet).sequence_number, packet[-6:]) for packet in heard] == [(7, b"listen")]
    assert [payload for _, payload in client.packets] == [b"listen", b"unheard"]


def test_extensions_get_the_receivers_ids_in_place() -> None:
    for elements in ({1: b"0", 3: b"abc", 5: b"x"}, {1: b"0", 3: bytes(20), 5: b"x"}):
        profile, data = build_extensions(elements)
        header = RtpHeader(96, 7, 8, 9, marker=True, csrcs=(5,), extension_profile=profile, extension=data)
        packet = header.build() + b"payload"
        buffer = memoryview(bytearray(packet + bytes(20)))
        table = extension_table({"one": 1, "three": 3, "five": 5}, {"three": 7, "five": 5})
        assert table is not None
        renumber_extensions(buffer, len(packet), table)
        found = parse_header(buffer[: len(packet)])
        assert parse_extensions(found.extension_profile, found.extension) == {7: elements[3], 5: b"x"}
        assert bytes(buffer[found.size : len(packet)]) == b"payload"
    assert extension_table({"one": 1}, {"one": 1, "two": 2}) is None


@given(st.binary(max_size=60), st.sampled_from([0xBEDE, 0x1000, 0x1234]))
def test_no_extension_reaches_beyond_itself(data: bytes, profile: int) -> None:
    data += bytes(-len(data) & 3)
    packet = RtpHeader(96, 7, 8, 9, extension_profile=profile, extension=data).build() + b"payload"
    buffer = memoryview(bytearray(packet + bytes(20)))
    renumber_extensions(buffer, len(packet), bytes(range(15)) + bytes(241))
    assert bytes(buffer[:16]) == packet[:16]
    assert bytes(buffer[16 + len(data) :]) == b"payload" + bytes(20)
