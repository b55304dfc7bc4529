"""RTP statistics against aiortc's, which were written independently by the same RFC."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.clocks import SenderClock
from appliance.media.config import MAX_GAP, MAX_MISSING, NACK_TRIES
from appliance.media.receive import RxStream
from appliance.wire.extensions import extension


def stream(first: int, *, nacks: bool = True, clock_rate: int = 8000) -> RxStream:
    path = SimpleNamespace(mind_losses=lambda: None)
    line = cast(Any, SimpleNamespace(nacks=nacks, path=path))
    return RxStream(1234, 0, clock_rate, line, first)


def feed(found: RxStream, sequences: list[int]) -> list[bool]:
    return [found.received(number & 0xFFFF, 160 * index, 100, index * 0.02) for index, number in enumerate(sequences)]


@given(
    st.integers(0, 65535),
    st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, 50, -1, -2]), min_size=1, max_size=200),
)
def test_loss_and_sequence_numbers_are_those_of_aiortc(first: int, steps: list[int]) -> None:
    ours, theirs = stream(first), StreamStatistics(8000)
    sequence, seen = first, set()
    for index, step in enumerate([0, *steps]):
        sequence += step
        # SRTP's replay check lets no packet come twice.
        if sequence in seen or sequence < first:
            continue
        seen.add(sequence)
        ours.received(sequence & 0xFFFF, 160 * index & 0xFFFFFFFF, 100, index * 0.02)
        packet = RtpPacket(payload_type=0, sequence_number=sequence & 0xFFFF, timestamp=160 * index, ssrc=1234)
        theirs.add(packet)
    assert ours.lost == theirs.packets_lost
    assert ours.expected == theirs.packets_expected
    assert ours.packets == theirs.packets_received
    block = ours.report(100.0)
    assert block.fraction_lost == theirs.fraction_lost
    assert (block.packets_lost, block.highest_sequence) == (
        theirs.packets_lost,
        theirs.cycles + (theirs.max_seq or 0),
    )


@given(st.lists(st.floats(0, 0.2), min_size=2, max_size=100))
def test_jitter_is_that_of_aiortc(delays: list[float]) -> None:
    ours = stream(0, clock_rate=90_000)
    theirs, last = 0.0, None
    for index, delay in enumerate(delays):
        now = index * 0.02 + delay
        ours.received(index, index * 1800, 100, now)
        # aiortc's StreamStatistics.add asks the machine's clock, so its formula is applied here by hand.
        transit = now * 90_000 - index * 1800
        if last is not None:
            theirs += (abs(transit - last) - theirs) / 16
        last = transit
    assert ours.jitter == pytest.approx(theirs, abs=1e-3)


def test_the_packets_of_one_frame_count_once_for_jitter() -> None:
    found = stream(0, clock_rate=90_000)
    for index in range(100):
        frame = index // 5
        found.received(index, frame * 3000, 1000, frame / 30 + (index % 5) * 0.004)
    assert found.jitter == pytest.approx(0, abs=1e-6)


def test_a_source_that_begins_anew_does_not_lose_thousands() -> None:
    found = stream(1000)
    assert feed(found, list(range(1000, 1010))) == [True] * 10
    # The first packet from elsewhere may be a stray one; two in a row are a new beginning.
    assert feed(found, [40000, 40001, 40002]) == [False, True, True]
    assert (found.lost, found.packets, found.highest) == (0, 12, 40002)


def test_a_stray_packet_changes_nothing() -> None:
    found = stream(1000)
    feed(found, [1000, 1001])
    assert feed(found, [30000, 1002, 50000, 1003]) == [False, True, False, True]
    assert (found.lost, found.packets) == (0, 4)


def test_what_is_missing_is_asked_for_until_it_comes() -> None:
    found = stream(10)
    feed(found, [10, 11, 14])
    assert found.to_ask(0.1, 0.0) == [12, 13]
    assert found.to_ask(0.11, 0.0) == []
    found.received(12, 999, 100, 0.12)
    assert found.to_ask(0.16, 0.0) == [13]
    assert (found.retransmissions, found.reordered) == (1, 0)


def test_a_packet_that_was_only_late_is_no_retransmission() -> None:
    found = stream(10)
    feed(found, [10, 12, 11])
    assert (found.retransmissions, found.reordered, found.lost) == (0, 1, 0)
    assert found.missing == {}


def test_asking_again_waits_for_the_round_trip() -> None:
    found = stream(10)
    feed(found, [10, 12])
    assert found.to_ask(0.1, 0.3) == [11]
    assert found.to_ask(0.4, 0.3) == []
    assert found.to_ask(0.47, 0.3) == [11]


def test_asking_ends_in_a_key_frame_request() -> None:
    found = stream(10)
    feed(found, [10, 12])
    asked = sum(len(found.to_ask(0.1 + index * 0.06, 0.0)) for index in range(NACK_TRIES + 3))
    assert asked == NACK_TRIES
    assert found.needs_keyframe
    assert not found.missing


@pytest.mark.parametrize("jump", [MAX_GAP + 1, 2000])
def test_a_large_gap_is_not_asked_for(jump: int) -> None:
    found = stream(10)
    feed(found, [10, 10 + jump])
    assert not found.missing
    assert found.needs_keyframe
    assert found.lost == jump - 1


def test_what_is_waited_for_is_bounded() -> None:
    found = stream(0)
    feed(found, [index * 3 for index in range(200)])
    assert len(found.missing) <= MAX_MISSING


def test_without_nack_nothing_is_kept() -> None:
    found = stream(0, nacks=False)
    feed(found, [0, 5])
    assert not found.missing
    assert not found.needs_keyframe


def test_reports_carry_the_last_sender_report() -> None:
    found = stream(0)
    feed(found, [0, 1])
    assert (found.report(1.0).lsr, found.report(1.0).dlsr) == (0, 0)
    found.sender_report(0x1122334455667788, 5, 2.0)
    block = found.report(2.5)
    assert (block.lsr, block.dlsr) == (0x33445566, 32768)


def test_one_offset_keeps_a_senders_streams_in_step() -> None:
    clock = SenderClock()
    assert clock.local(1000 << 32, 50.0) == 50.0
    # Later reports arrive 30 ms late: that is the path's jitter, not the sender's clock.
    assert clock.local(1001 << 32, 51.03) == 51.0
    assert clock.local(5000 << 32, 52.0) == 52.0


# RFC 8285 section 4.2's example of three elements, and one in the two-byte form.
ONE_BYTE = bytes.fromhex("bede000310aa21bbcc000033ddddeeee")
TWO_BYTE = bytes.fromhex("1000000201 0002 02bbcc 00 00".replace(" ", ""))


def packet(block: bytes) -> tuple[memoryview, int]:
    data = b"\x90\x60" + bytes(10) + block + b"payload"
    return memoryview(data + bytes(100)), len(data)


def test_extensions_are_found_in_place() -> None:
    view, length = packet(ONE_BYTE + bytes(-len(ONE_BYTE) % 4))
    assert [extension(view, length, number) for number in (1, 2, 3, 4)] == [
        b"\xaa",
        b"\xbb\xcc",
        b"\xdd\xdd\xee\xee",
        None,
    ]
    view, length = packet(TWO_BYTE)
    assert [extension(view, length, number) for number in (1, 2, 3)] == [b"", b"\xbb\xcc", None]


@given(st.binary(min_size=12, max_size=60), st.integers(1, 15))
def test_no_extension_overruns_its_packet(data: bytes, wanted: int) -> None:
    found = extension(memoryview(data), len(data), wanted)
    assert found is None or found in data
