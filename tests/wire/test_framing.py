"""RFC 4571: the same frames however the stream was cut, and nothing kept that was not asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.framing import Deframer, FramingError, framed

# RFC 4571 section 2, figure 1: LENGTH in network order, then the packet; the third is empty.
STREAM = bytes.fromhex("0003 616263 0001 64 0000 0002 6566".replace(" ", ""))
FRAMES = [b"abc", b"d", b"ef"]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_frames_are_the_same_wherever_the_stream_is_cut(cut: int) -> None:
    found = Deframer()
    assert [*found.feed(STREAM[:cut]), *found.feed(STREAM[cut:])] == FRAMES
    assert (found.pending, found.empty) == (0, 1)


def test_byte_by_byte() -> None:
    found = Deframer()
    assert [frame for byte in STREAM for frame in found.feed(bytes([byte]))] == FRAMES


def test_a_frame_that_is_too_long_ends_it_before_it_is_kept() -> None:
    found = Deframer(limit=4)
    frames = found.feed(framed(b"fits") + b"\x00\x05")
    assert next(frames) == b"fits"
    with pytest.raises(FramingError, match="frame has 5 bytes, wanted at most 4"):
        next(frames)


def test_what_is_not_complete_is_kept_and_no_more() -> None:
    found = Deframer(limit=2000)
    assert list(found.feed(framed(b"x" * 9) + b"\x07\xd0" + b"y" * 1999)) == [b"x" * 9]
    assert found.pending == 2001
    assert list(found.feed(b"y")) == [b"y" * 2000]
    assert found.pending == 0


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 7))
def test_whatever_is_framed_comes_out(frames: list[bytes], step: int) -> None:
    stream = b"".join(map(framed, frames))
    found = Deframer()
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert [frame for piece in pieces for frame in found.feed(piece)] == frames
