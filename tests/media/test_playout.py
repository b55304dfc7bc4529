"""Expected packets are what aiortc and the RFC's own layout make of the same header extensions."""

import pytest
from aiortc.rtp import RtpPacket, pack_header_extensions, unpack_header_extensions

from appliance.media.playout import PlayoutDelay
from appliance.wire.rtp import header_length, parse_header

DELAY = PlayoutDelay(500, 1000)
VALUE = bytes.fromhex("032064")  # 50 and 100 times 10 ms, 12 bits each


def packet(extensions: list[tuple[int, bytes]], payload: bytes = b"picture") -> bytes:
    plain: bytes = RtpPacket(payload_type=96, sequence_number=7, timestamp=9, ssrc=5, payload=payload).serialize()
    if not extensions:
        return plain
    profile, value = pack_header_extensions(extensions)
    head = bytes([plain[0] | 0x10]) + plain[1:12]
    extension: bytes = profile.to_bytes(2, "big") + (len(value) // 4).to_bytes(2, "big") + value
    return head + extension + plain[12:]


def written(data: bytes, number: int = 6) -> bytes:
    room = memoryview(bytearray(data + bytes(16)))
    return room[: DELAY.write(room, len(data), number)].tobytes()


def extensions_of(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    header = parse_header(data)
    return unpack_header_extensions(header.extension_profile, header.extension), data[header_length(data) :]


@pytest.mark.parametrize(
    "before",
    [
        [],
        [(3, b"0")],
        [(3, b"0"), (7, b"\0\x01")],
        [(6, b"\0\0\0")],
        [(3, b"0"), (6, b"\1\1\1"), (7, b"\0\x01")],
        [(3, b"a name of more than sixteen bytes")],  # in the two-byte form
    ],
)
def test_the_delay_stands_beside_what_was_there(before: list[tuple[int, bytes]]) -> None:
    after, payload = extensions_of(written(packet(before)))
    assert payload == b"picture"
    assert dict(after) == dict(before) | {6: VALUE}


@pytest.mark.parametrize(
    "data",
    [
        packet([], bytes(1395)),  # would not fit everywhere any more
        packet([(6, b"0")]),  # an extension of that number, of another size
        b"\x90" + packet([])[1:12] + b"\xab\xcd\0\1" + bytes(4) + b"picture",  # a profile that we don't know
        b"\x90" + packet([])[1:12] + b"\xbe\xde\0\x40" + b"picture",  # a length that lies
        b"\x9f" + packet([])[1:12],
    ],
)
def test_what_has_no_room_for_it_stays(data: bytes) -> None:
    assert written(data) == data


def test_an_id_above_fourteen_needs_the_two_byte_form() -> None:
    long = [(3, b"a name of more than sixteen bytes")]
    assert written(packet([(3, b"0")]), 15) == packet([(3, b"0")])
    assert dict(extensions_of(written(packet(long), 200))[0]) == dict(long) | {200: VALUE}


@pytest.mark.parametrize(
    ("asked", "told"),
    [((0, 0), (0, 0)), ((-5, 90), (0, 90)), ((900, 100), (900, 900)), ((10**9, 10**9), (40_950, 40_950))],
)
def test_the_delay_stays_within_what_the_extension_says(asked: tuple[int, int], told: tuple[int, int]) -> None:
    delay = PlayoutDelay(*asked)
    assert (delay.minimum_ms, delay.maximum_ms) == told
