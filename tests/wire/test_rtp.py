import aiortc.rtp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import rtp
from appliance.wire.rtp import RtpDecodeError, RtpHeader

WORD = st.integers(0, 2**32 - 1)
HEADERS = st.builds(
    RtpHeader,
    payload_type=st.integers(0, 127),
    sequence_number=st.integers(0, 65535),
    timestamp=WORD,
    ssrc=WORD,
    marker=st.booleans(),
    csrcs=st.lists(WORD, max_size=15).map(tuple),
)
ELEMENTS = st.dictionaries(st.integers(1, 255), st.binary(max_size=255), max_size=6)


def packet(header: RtpHeader, payload: bytes = b"payload") -> bytes:
    padding = bytes(header.padding_size - 1) + bytes((header.padding_size,)) if header.padding_size else b""
    return header.build() + payload + padding


@given(HEADERS, st.none() | ELEMENTS, st.integers(0, 255))
def test_what_is_built_reads_the_same(header: RtpHeader, elements: dict[int, bytes] | None, padding: int) -> None:
    profile, extension = (None, b"") if elements is None else rtp.build_extensions(elements)
    header = RtpHeader(
        header.payload_type,
        header.sequence_number,
        header.timestamp,
        header.ssrc,
        header.marker,
        header.csrcs,
        profile,
        extension,
        padding,
    )
    data = packet(header)
    assert rtp.parse_header(data) == header
    assert rtp.header_length(data) == header.size == len(data) - 7 - padding
    assert rtp.parse_extensions(profile, extension) == (elements or {})


@given(HEADERS, st.binary(max_size=50), st.booleans())
def test_aiortc_reads_the_same(header: RtpHeader, payload: bytes, extended: bool) -> None:
    if extended:
        profile, extension = rtp.build_extensions({1: b"0", 3: b"\x01\x02\x03", 14: bytes(16)})
        header = RtpHeader(
            header.payload_type, header.sequence_number, header.timestamp, header.ssrc, header.marker, header.csrcs,
            profile, extension,
        )  # fmt: skip
    theirs = aiortc.rtp.RtpPacket.parse(header.build() + payload)
    ours = rtp.parse_header(header.build() + payload)
    assert (theirs.payload_type, theirs.sequence_number, theirs.timestamp, theirs.ssrc, bool(theirs.marker)) == (
        ours.payload_type,
        ours.sequence_number,
        ours.timestamp,
        ours.ssrc,
        ours.marker,
    )
    assert tuple(theirs.csrc) == ours.csrcs
    assert theirs.payload == payload


@pytest.mark.parametrize("elements", [{1: b"a", 14: bytes(16)}, {1: b"a", 200: bytes(40), 7: b""}])
def test_aiortc_reads_our_extensions(elements: dict[int, bytes]) -> None:
    profile, data = rtp.build_extensions(elements)
    assert dict(aiortc.rtp.unpack_header_extensions(profile, data)) == elements


def test_every_truncation_of_a_header_is_refused() -> None:
    profile, extension = rtp.build_extensions({1: b"abc"})
    header = RtpHeader(96, 1, 2, 3, True, (4, 5), profile, extension)
    for size in range(header.size):
        with pytest.raises(RtpDecodeError):
            rtp.parse_header(header.build()[:size])


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", "packet is 0 bytes, wanted at least 12"),
        (b"\x40" + bytes(11), "version is 1, wanted 2"),
        (b"\x81" + bytes(11), "packet is 12 bytes, wanted at least 16 for CSRCs and extension"),
        (b"\x90" + bytes(11), "packet is 12 bytes, wanted at least 16 for the extension's header"),
        (b"\x90" + bytes(13) + b"\0\1", "packet is 16 bytes, wanted at least 20 for CSRCs and extension"),
        (b"\xa0" + bytes(11) + b"\x05", "padding is 5 bytes, wanted 1..1"),
        (b"\xa0" + bytes(12), "padding is 0 bytes, wanted 1..1"),
    ],
)
def test_a_refusal_names_field_value_and_what_was_wanted(data: bytes, wanted: str) -> None:
    with pytest.raises(RtpDecodeError) as caught:
        rtp.parse_header(data)
    assert str(caught.value) == wanted


def test_padding_of_an_encrypted_packet_is_not_looked_for() -> None:
    header = rtp.parse_header(b"\xa0" + bytes(11) + b"\xff", encrypted=True)
    assert header.padding_size == 0


@pytest.mark.parametrize(
    ("profile", "data", "elements"),
    [
        # RFC 8285 section 4.2's own example: a one-byte, an empty-padded and a four-byte element
        (0xBEDE, "10aa2101020000330a0b0c0d", {1: b"\xaa", 2: b"\x01\x02", 3: b"\x0a\x0b\x0c\x0d"}),
        (0xBEDE, "10aaf010bb000000", {1: b"\xaa"}),  # id 15 ends it
        (0xBEDE, "10aa03001020bb00", {1: b"\xaa"}),  # id 0 with a length ends it
        (0xBEDE, "10aa10bb", {1: b"\xaa"}),  # the first of an id counts
        (0x1000, "0100020101 0000 c8020102".replace(" ", ""), {1: b"", 2: b"\x01", 200: b"\x01\x02"}),
        (0x1007, "01000000", {1: b""}),  # appbits
        (0xABAC, "01020304", {}),  # another profile
        (None, "", {}),
    ],
)
def test_extension_elements(profile: int | None, data: str, elements: dict[int, bytes]) -> None:
    assert rtp.parse_extensions(profile, bytes.fromhex(data)) == elements


@pytest.mark.parametrize(
    ("profile", "data", "wanted"),
    [
        (0xBEDE, "13aabbcc", "extension element 1 has 4 bytes, wanted at most 3"),
        (0x1000, "0103aabb", "extension element 1 has 3 bytes, wanted at most 2"),
        (0x1000, "00000001", "extension element 1 ends before its length, wanted one more byte"),
    ],
)
def test_an_element_that_overruns_is_refused(profile: int, data: str, wanted: str) -> None:
    with pytest.raises(RtpDecodeError) as caught:
        rtp.parse_extensions(profile, bytes.fromhex(data))
    assert str(caught.value) == wanted


def test_builders_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="extension id is 256"):
        rtp.build_extensions({256: b""})
    with pytest.raises(ValueError, match="extension 1 has 256 bytes"):
        rtp.build_extensions({1: bytes(256)})
    with pytest.raises(ValueError, match="csrcs has 16 entries"):
        RtpHeader(0, 0, 0, 0, csrcs=(0,) * 16).build()
    with pytest.raises(ValueError, match="extension has 3 bytes"):
        RtpHeader(0, 0, 0, 0, extension_profile=0xBEDE, extension=b"abc").build()


@given(st.binary(max_size=120), st.booleans())
def test_arbitrary_bytes_raise_nothing_else(data: bytes, versioned: bool) -> None:
    if versioned and data:
        data = bytes((0x80 | data[0] & 0x3F,)) + data[1:]
    rtp.is_rtcp(data)
    try:
        header = rtp.parse_header(memoryview(data))
        rtp.parse_extensions(header.extension_profile, header.extension)
    except RtpDecodeError:
        pass
    for profile in (0xBEDE, 0x1000):
        try:
            rtp.parse_extensions(profile, data)
        except RtpDecodeError:
            pass


def test_rtcp_is_told_from_rtp_by_the_second_byte() -> None:
    assert rtp.is_rtcp(b"\x80\xc8")
    assert rtp.is_rtcp(b"\x80\xcf")
    assert not rtp.is_rtcp(b"\x80\x60")
    assert not rtp.is_rtcp(b"\x80\xe0")  # marker and payload type 96
    assert not rtp.is_rtcp(b"\x80")
