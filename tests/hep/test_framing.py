import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.hep.framing import Framer, HepFramingError
from appliance.hep.message import HepDecodeError, decode
from tests.hep.captured import captured, sample

PACKETS = [packet.data for packet in captured()]
STREAM = b"".join(PACKETS)


def test_one_byte_at_a_time() -> None:
    framer = Framer()
    assert [packet for at in range(len(STREAM)) for packet in framer.feed(STREAM[at : at + 1])] == PACKETS
    assert framer.waiting == 0


def test_split_at_every_byte() -> None:
    stream = PACKETS[0] + PACKETS[1]
    for at in range(len(stream) + 1):
        framer = Framer()
        assert [*framer.feed(stream[:at]), *framer.feed(stream[at:])] == PACKETS[:2]


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM))))
def test_any_splits(cuts: list[int]) -> None:
    framer = Framer()
    edges = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[a:b] for a, b in pairwise(edges)]
    assert [packet for part in parts for packet in framer.feed(part)] == PACKETS


def test_a_bad_magic_with_a_right_length_costs_one_packet() -> None:
    log = sample("log")
    frames = list(Framer().feed(log + b"XXXX" + log[4:] + log))
    assert frames == [log, b"XXXX" + log[4:], log]
    with pytest.raises(HepDecodeError):
        decode(frames[1])


@pytest.mark.parametrize("length", [0, 5, 65_508, 65_535])
def test_a_length_that_no_packet_has_ends_the_stream(length: int) -> None:
    log = sample("log")
    given_packets = []
    with pytest.raises(HepFramingError, match=f"packet length: {length} came, wanted 6 to 65507"):
        for packet in Framer().feed(log + b"HEP3" + length.to_bytes(2, "big")):
            given_packets.append(packet)
    assert given_packets == [log]


def test_noise_ends_or_waits_but_never_grows() -> None:
    chance = random.Random(7)
    framer = Framer()
    for _ in range(10_000):
        try:
            for _ in framer.feed(chance.randbytes(1024)):
                pass
        except HepFramingError:
            framer = Framer()
        assert framer.waiting <= 65_507
