"""Janus's recordings, as Janus's own tools write them."""

import pytest

from appliance.wire import mjr

REFERENCE = bytes.fromhex(
    # pcap2mjr 1.1.2 of three Opus packets, 20 ms apart.
    "4d4a52303030303200457b2274223a202261222c202263223a20226f707573222c202273223a20313730303030303030303030303030302c20"
    "2275223a20313730303030303030303030303030307d4d45455400000000000f806f00640000000001020304f8fffe4d45455400000014000f"
    "806f0065000003c001020304f8fffe4d45455400000028000f806f00660000078001020304f8fffe"
)
CREATED_US = 1_700_000_000_000_000


def opus(index: int) -> bytes:
    head = b"\x80\x6f" + (100 + index).to_bytes(2, "big") + (960 * index).to_bytes(4, "big")
    return head + b"\x01\x02\x03\x04\xf8\xff\xfe"


def test_a_file_is_what_janus_makes_of_the_same_packets() -> None:
    made = mjr.header("audio", "opus", created_us=CREATED_US, first_us=CREATED_US)
    made += b"".join(mjr.packet(20 * index, memoryview(opus(index))) for index in range(3))
    assert made == REFERENCE


def test_header_extensions_are_named() -> None:
    made = mjr.header("video", "vp8", created_us=1, first_us=2, extensions={13: "urn:3gpp:video-orientation"})
    text = b'{"t": "v", "c": "vp8", "x": {"13": "urn:3gpp:video-orientation"}, "s": 1, "u": 2}'
    assert made == b"MJR00002" + len(text).to_bytes(2, "big") + text


def test_a_message_has_its_time_before_it() -> None:
    assert mjr.message(5, CREATED_US, b"hi") == b"MEET\0\0\0\x05\0\x0a" + CREATED_US.to_bytes(8, "big") + b"hi"


@pytest.mark.parametrize("size", [65_535, 65_536])
def test_a_length_has_two_bytes(size: int) -> None:
    if size < 65_536:
        assert len(mjr.packet(0, bytes(size))) == size + 10
    else:
        with pytest.raises(ValueError, match="data: 65536 bytes, wanted at most 65535"):
            mjr.packet(0, bytes(size))
