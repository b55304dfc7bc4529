"""Payload descriptors and key frames, against aiortc's encoders, and bit by bit as the RFCs draw them."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder, VpxPayloadDescriptor
from av import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import keyframe, vp8, vp9

PICTURES = st.none() | st.integers(0, 0x7FFF)
BYTES = st.none() | st.integers(0, 255)


def frame(number: int) -> VideoFrame:
    picture = VideoFrame(width=320, height=240)
    for plane in picture.planes:
        plane.update(bytes([(number * 40 + 7 * index) & 0xFF for index in range(plane.buffer_size)]))
    picture.pts, picture.time_base = number * 3000, Fraction(1, 90_000)
    return picture


@given(
    st.booleans(),
    PICTURES,
    BYTES,
    st.none() | st.tuples(st.integers(0, 3), st.integers(0, 1)),
    st.none() | st.integers(0, 31),
    st.booleans(),
)
def test_vp8_is_read_and_renumbered_as_aiortc_does(
    starts: bool, picture: int | None, tl0: int | None, tid: tuple[int, int] | None, key: int | None, is_inter: bool
) -> None:
    theirs = VpxPayloadDescriptor(int(starts), 0, picture, tl0, tid, key)
    data = bytearray(b"head" + bytes(theirs) + bytes([int(is_inter), 1, 2]))
    found = vp8.read(data, 4, len(data))
    assert found is not None
    assert (found.begins, found.keyframe) == (starts, starts and not is_inter)
    assert found.picture_id == (-1 if picture is None else picture)
    assert found.tl0_index == (-1 if tl0 is None else tl0)
    assert (found.temporal, found.sync) == ((-1, False) if tid is None else (tid[0], bool(tid[1])))
    vp8.renumber(data, found, 0x8123, 0x1FE)
    again, rest = VpxPayloadDescriptor.parse(bytes(data[4:]))
    assert again.picture_id == (None if picture is None else 0x123)
    assert again.tl0picidx == (None if tl0 is None else 0xFE)
    assert (again.tid, again.keyidx, rest) == (tid, key, bytes([int(is_inter), 1, 2]))


def test_a_vp8_picture_id_of_seven_bits_stays_one() -> None:
    data = bytearray(bytes.fromhex("908011" + "00"))
    found = vp8.read(data, 0, 4)
    assert found is not None
    assert (found.picture_id, found.picture_bits, found.keyframe) == (0x11, 7, True)
    vp8.renumber(data, found, 0x1FF, 0)
    assert VpxPayloadDescriptor.parse(bytes(data))[0].picture_id == 0x7F


@pytest.mark.parametrize("text", ["90e0912233a000"])
def test_a_descriptor_cut_short_is_none(text: str) -> None:
    data = bytes.fromhex(text)
    for length in range(6):
        assert vp8.read(data, 0, length) is None
    whole = vp8.read(data, 0, 7)
    assert whole is not None
    assert (whole.picture_id, whole.tl0_index, whole.temporal, whole.sync) == (0x1122, 0x33, 2, True)
    svc = bytes.fromhex("a8912220")
    assert all(vp9.read(svc, 0, length) is None for length in range(4))


def vp8_begins(data: bytes) -> bool:
    found = vp8.read(data, 0, len(data))
    return found is not None and found.keyframe


def h264_begins(data: bytes) -> bool:
    return keyframe.h264(data, 0, len(data))


@pytest.mark.parametrize(("encoder", "begins"), [(Vp8Encoder, vp8_begins), (H264Encoder, h264_begins)])
def test_key_frames_of_real_encoders_are_found(encoder: type[Encoder], begins: Callable[[bytes], bool]) -> None:
    encodes = encoder()
    seen = []
    for number in range(6):
        payloads, _ = encodes.encode(frame(number), force_keyframe=number == 4)
        seen.append(any(map(begins, payloads)))
        assert begins(payloads[0]) is seen[-1]
    assert seen == [True, False, False, False, True, False]


@pytest.mark.parametrize(
    ("codec", "data", "begins"),
    [
        ("vp8", "1000", True),
        ("vp8", "1001", False),
        ("vp8", "0000", None),  # a later packet of the frame
        ("vp8", "1100", None),  # a later partition
        ("vp9", "0882", True),
        ("vp9", "4882", False),
        ("vp9", "0082", None),
        ("vp9", "28022082", None),  # a higher spatial layer's
        ("h264", "6588", True),
        ("h264", "4188", False),
        ("h264", "7c8588", True),
        ("h264", "7c8188", False),
        ("h264", "7c0188", None),
        ("h264", "09f0", None),  # a delimiter
        ("h264", "0605", None),  # SEI
        ("h264", "6888", None),  # PPS
        ("h265", "2601aa", True),
        ("h265", "0201aa", False),
        ("h265", "620113", None),
        ("av1", "18", True),
        ("av1", "10", False),
        ("av1", "90", None),
        *((codec, "", None) for codec in keyframe.STARTS),
    ],
)
def test_the_beginnings_of_frames(codec: str, data: str, begins: bool | None) -> None:
    packet = bytes.fromhex(data)
    assert keyframe.STARTS[codec](packet, 0, len(packet)) is begins


@given(st.sampled_from((0x10, 0x90)), st.binary(max_size=8))
def test_vp8_read_in_short(first: int, rest: bytes) -> None:
    data = bytes((first, *rest))
    found = vp8.read(data, 0, len(data))
    if vp8.begins_keyframe(data, 0, len(data)) is None:
        assert found is None or not found.keyframe
    else:
        assert found is not None
        assert vp8.begins_keyframe(data, 0, len(data)) is found.keyframe


@given(st.sampled_from(sorted(keyframe.STARTS)), st.binary(max_size=40))
def test_no_payload_is_too_odd_to_be_looked_at(codec: str, data: bytes) -> None:
    assert keyframe.STARTS[codec](data, 0, len(data)) in {True, False, None}


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        ("65aa", True),  # IDR
        ("41aa", False),
        ("67aa", True),  # SPS
        ("7c85aa", True),  # FU-A, start of an IDR
        ("7c05aa", False),
        ("7c81aa", False),
        ("78000268aa000265bb", True),  # STAP-A: PPS, IDR
        ("78000241aa000241bb", False),
        ("78", False),
        ("", False),
    ],
)
def test_h264(data: str, begins: bool) -> None:
    packet = bytes.fromhex(data)
    assert keyframe.h264(packet, 0, len(packet)) is begins


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        ("2601aa", True),  # IDR_W_RADL
        ("0201aa", False),
        ("4001aa", True),  # VPS
        ("620193aa", True),  # FU, start of IDR_W_RADL
        ("620113aa", False),
        ("600100044001aabb", True),  # AP that begins with a VPS
        ("6001", False),
    ],
)
def test_h265(data: str, begins: bool) -> None:
    packet = bytes.fromhex(data)
    assert keyframe.h265(packet, 0, len(packet)) is begins


def test_av1() -> None:
    assert keyframe.av1(b"\x18\x0a", 0, 2)
    assert not keyframe.av1(b"\x10\x30", 0, 2)
    assert not keyframe.av1(b"", 0, 0)


@pytest.mark.parametrize(
    ("bits", "wanted"),
    [
        # I P L F B E V Z, picture id (M, 7 or 15 bits), TID U SID D, TL0PICIDX where not flexible.
        ("10001100 00010001", (True, True, True, 0x11, -1, 0, False, False)),
        ("11001000 10010001 10001000", (True, False, False, 0x1188, -1, 0, False, True)),
        ("10101100 10010001 10001000 00000000 00000111", (True, True, True, 0x1188, 0, 0, False, False)),
        ("10101000 00000101 00000011 00000111", (True, False, False, 5, 0, 1, False, False)),
        ("11101100 00000101 01010000 00000111", (True, True, False, 5, 2, 0, True, True)),
        ("00100100 00100100 00000111", (False, True, False, -1, 1, 2, False, False)),
        ("00000000", (False, False, False, -1, -1, 0, False, False)),
    ],
)
def test_vp9(bits: str, wanted: tuple[bool, bool, bool, int, int, int, bool, bool]) -> None:
    data = bytes(int(item, 2) for item in bits.split()) + b"\x82"
    assert vp9.read(data, 0, len(data)) == wanted
