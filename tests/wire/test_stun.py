import struct

import aioice.stun
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import stun
from appliance.wire.stun import Class, StunDecodeError

# RFC 5769 section 2: sample request, IPv4 response, IPv6 response; all with the same password.
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e7400240004"
    "6e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56"
    "781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RESPONSE_4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147"
    "e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a147"
    "0113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
VECTORS = [REQUEST, RESPONSE_4, RESPONSE_6]


def test_the_sample_request_of_rfc_5769() -> None:
    message = stun.parse(REQUEST)
    assert (message.method, message.message_class) == (stun.BINDING, Class.REQUEST)
    assert message.transaction_id == TRANSACTION
    assert message.username == "evtj:h6vY"
    assert message.priority == 0x6E0001FF
    assert message.controlled == 0x932FF9B151263B36
    assert message.controlling is None
    assert not message.use_candidate
    assert message.attribute(stun.SOFTWARE) == b"STUN test client"
    assert message.has_fingerprint
    assert message.xor_mapped_address is None
    assert message.error_code is None


@pytest.mark.parametrize(
    ("data", "host"), [(RESPONSE_4, "192.0.2.1"), (RESPONSE_6, "2001:db8:1234:5678:11:2233:4455:6677")]
)
def test_the_sample_responses_of_rfc_5769(data: bytes, host: str) -> None:
    message = stun.parse(data)
    assert message.message_class is Class.SUCCESS
    assert message.xor_mapped_address == (host, 32853)


@pytest.mark.parametrize("data", VECTORS)
def test_integrity_holds_with_the_password_alone(data: bytes) -> None:
    message = stun.parse(memoryview(data))
    assert message.verify_integrity(memoryview(data), PASSWORD)
    assert message.verify_integrity(bytearray(data), PASSWORD)
    assert not message.verify_integrity(data, PASSWORD + b"x")
    tampered = bytearray(data)
    tampered[24] ^= 1
    assert not message.verify_integrity(tampered, PASSWORD)


def test_a_message_without_integrity_verifies_with_no_key() -> None:
    data = stun.build(stun.BINDING, Class.REQUEST, TRANSACTION, [], None)
    assert not stun.parse(data).verify_integrity(data, b"")


@pytest.mark.parametrize("data", VECTORS)
def test_every_truncation_is_refused(data: bytes) -> None:
    for size in range(len(data)):
        with pytest.raises(StunDecodeError):
            stun.parse(data[:size])


@pytest.mark.parametrize("data", VECTORS)
def test_no_bit_can_change_unnoticed(data: bytes) -> None:
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 0x40
        if index in (len(data) - 8, len(data) - 7):
            assert not stun.parse(changed).has_fingerprint  # it is no FINGERPRINT any more
            continue
        with pytest.raises(StunDecodeError):
            stun.parse(changed)


def unfingerprinted(attributes: bytes) -> bytes:
    return struct.pack("!HHI12s", 1, len(attributes), stun.MAGIC, TRANSACTION) + attributes


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", "message is 0 bytes, wanted at least 20"),
        (REQUEST + b"\0", "message length is 88, wanted 89 as the datagram has"),
        (b"\x80" + REQUEST[1:], "message type is 0x8001, wanted its two top bits zero"),
        (REQUEST[:4] + b"\0\0\0\0" + REQUEST[8:], "magic cookie is 0x00000000, wanted 0x2112a442"),
        (REQUEST[:3] + b"\x59" + REQUEST[4:], "message length is 89, wanted a multiple of 4"),
        (unfingerprinted(b"\0\x06\0\x05abcd"), "attribute 0x0006 at byte 20 has length 5, wanted at most 4"),
        (unfingerprinted(b"\0\x06\0\x02\xff\xfe\0\0"), "USERNAME is b'\\xff\\xfe', wanted UTF-8: invalid start byte"),
        (unfingerprinted(b"\0\x06\x02\0" + bytes(512)), "USERNAME has 512 bytes, wanted at most 508"),
        (unfingerprinted(b"\0\x24\0\x03\0\0\0\0"), "attribute 0x0024 has length 3, wanted 4"),
        (unfingerprinted(b"\0\x25\0\x04\0\0\0\0"), "attribute 0x0025 has length 4, wanted 0"),
        (unfingerprinted(b"\x80\x29\0\x04\0\0\0\0"), "attribute 0x8029 has length 4, wanted 8"),
        (unfingerprinted(b"\0\x08\0\x04\0\0\0\0"), "attribute 0x0008 has length 4, wanted 20"),
        (unfingerprinted(b"\0\x20\0\0"), "XOR-MAPPED-ADDRESS has family 0, wanted 1 (IPv4) or 2 (IPv6)"),
        (
            unfingerprinted(b"\0\x20\0\x08\0\x02" + bytes(6)),
            "XOR-MAPPED-ADDRESS of family 2 has 8 bytes, wanted 20",
        ),
        (unfingerprinted(b"\0\x09\0\x04\0\0\x07\0"), "ERROR-CODE is class 7 number 0, wanted 3..6 and 0..99"),
        (unfingerprinted(b"\0\x09\0\x02\0\0\0\0"), "ERROR-CODE has 2 bytes, wanted at least 4"),
        (unfingerprinted(b"\x80\x28\0\x04\0\0\0\0"), "FINGERPRINT is 0x00000000, wanted 0x"),
        (unfingerprinted(b"\x7f\0\0\0" * 65), "message has more than 64 attributes"),
    ],
)
def test_a_refusal_names_field_value_and_what_was_wanted(data: bytes, wanted: str) -> None:
    with pytest.raises(StunDecodeError) as caught:
        stun.parse(data)
    assert str(caught.value).startswith(wanted)


def test_nothing_may_follow_the_fingerprint() -> None:
    body = stun.build(stun.BINDING, Class.REQUEST, TRANSACTION, [], None)
    data = body[:3] + b"\x0c" + body[4:] + b"\x7f\0\0\0"
    with pytest.raises(StunDecodeError):
        stun.parse(data)


def test_what_follows_message_integrity_is_ignored() -> None:
    whole = stun.build(stun.BINDING, Class.REQUEST, TRANSACTION, [], PASSWORD, fingerprint=False)
    data = whole[:3] + b"\x1c" + whole[4:] + b"\0\x25\0\0"
    message = stun.parse(data)
    assert not message.use_candidate
    assert message.verify_integrity(data, PASSWORD)


def test_of_an_attribute_that_comes_twice_the_first_counts() -> None:
    attributes = [(stun.PRIORITY, b"\0\0\0\1"), (stun.PRIORITY, b"\0\0\0\2")]
    assert stun.parse(stun.build(1, Class.REQUEST, TRANSACTION, attributes, None)).priority == 1


def read_by_aioice(data: bytes) -> aioice.stun.Message:
    message = aioice.stun.parse_message(data)
    assert message.check_message_integrity(PASSWORD)
    return message


def test_aioice_reads_our_request_and_believes_its_integrity() -> None:
    data = stun.binding_request(TRANSACTION, "ours:théirs", 1234, PASSWORD, controlling=2**63 + 5, use_candidate=True)
    message = read_by_aioice(data)
    assert message.message_class is aioice.stun.Class.REQUEST
    assert message.attributes["USERNAME"] == "ours:théirs"
    assert message.attributes["PRIORITY"] == 1234
    assert message.attributes["ICE-CONTROLLING"] == 2**63 + 5
    assert "USE-CANDIDATE" in message.attributes


@pytest.mark.parametrize("address", [("198.51.100.7", 65535), ("2001:db8::1", 1)])
def test_aioice_reads_our_response(address: tuple[str, int]) -> None:
    data = stun.binding_response(TRANSACTION, address, PASSWORD)
    message = read_by_aioice(data)
    assert message.attributes["XOR-MAPPED-ADDRESS"] == address
    assert message.transaction_id == TRANSACTION


def test_aioice_reads_our_error() -> None:
    data = stun.binding_error(TRANSACTION, 487, "Role Conflict", PASSWORD)
    message = read_by_aioice(data)
    assert message.message_class is aioice.stun.Class.ERROR
    assert message.attributes["ERROR-CODE"] == (487, "Role Conflict")


def test_we_read_what_aioice_writes() -> None:
    message = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
    message.attributes["USERNAME"] = "a:b"
    message.attributes["PRIORITY"] = 7
    message.attributes["ICE-CONTROLLED"] = 9
    message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(PASSWORD)
    data = bytes(message)
    read = stun.parse(data)
    assert read.verify_integrity(data, PASSWORD)
    assert (read.username, read.priority, read.controlled, read.use_candidate) == ("a:b", 7, 9, True)
    assert read.transaction_id == message.transaction_id


def test_an_unknown_attribute_error_lists_the_types() -> None:
    message = stun.parse(stun.binding_error(TRANSACTION, 420, "Unknown", None, unknown=(0x7F00, 0x7F01)))
    assert message.error_code == (420, "Unknown")
    assert message.attribute(stun.UNKNOWN_ATTRIBUTES) == b"\x7f\x00\x7f\x01"


def test_builders_refuse_what_is_no_message() -> None:
    with pytest.raises(ValueError, match="transaction_id is 3 bytes, wanted 12"):
        stun.binding_response(b"abc", ("127.0.0.1", 1), b"")
    with pytest.raises(ValueError, match=r"code is 200, wanted 300\.\.699"):
        stun.binding_error(TRANSACTION, 200, "OK", None)
    with pytest.raises(ValueError, match=r"method is 4096, wanted 0\.\.4095"):
        stun.build(4096, Class.REQUEST, TRANSACTION, [], None)


@given(
    st.integers(0, 0xFFF),
    st.sampled_from(Class),
    st.binary(min_size=12, max_size=12),
    st.lists(st.tuples(st.integers(0x7000, 0x7FFF), st.binary(max_size=40)), max_size=12),
    st.none() | st.binary(min_size=1, max_size=80),
    st.booleans(),
)
def test_what_is_built_reads_the_same(
    method: int,
    message_class: Class,
    transaction_id: bytes,
    attributes: list[tuple[int, bytes]],
    key: bytes | None,
    fingerprint: bool,
) -> None:
    data = stun.build(method, message_class, transaction_id, attributes, key, fingerprint=fingerprint)
    message = stun.parse(data)
    assert (message.method, message.message_class, message.transaction_id) == (method, message_class, transaction_id)
    assert message.attributes == tuple(attributes)
    assert message.has_fingerprint is fingerprint
    assert stun.is_stun(data) is (method < 0x100)  # a higher one is out of the range of RFC 7983
    if key is not None:
        assert message.verify_integrity(data, key)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    stun.is_stun(data)
    for candidate in (data, REQUEST[:8] + data, unfingerprinted(data + bytes(-len(data) & 3))):
        try:
            message = stun.parse(candidate)
        except StunDecodeError:
            continue
        use_every_property(message)


@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255), st.sampled_from(VECTORS))
def test_changed_messages_raise_nothing_else(index: int, value: int, vector: bytes) -> None:
    data = bytearray(vector[:-8])  # without FINGERPRINT, so that changes get past it
    data[3] -= 8
    data[index % len(data)] = value
    try:
        message = stun.parse(data)
    except StunDecodeError:
        return
    use_every_property(message)
    message.verify_integrity(data, PASSWORD)


def use_every_property(message: stun.StunMessage) -> None:
    for name in (
        "username",
        "priority",
        "use_candidate",
        "controlling",
        "controlled",
        "xor_mapped_address",
        "error_code",
    ):
        getattr(message, name)


@pytest.mark.parametrize("first", [4, 20, 63, 128, 191])
def test_other_protocols_are_not_stun(first: int) -> None:
    assert not stun.is_stun(bytes((first,)) + REQUEST[1:])


def test_a_short_or_cookieless_datagram_is_not_stun() -> None:
    assert not stun.is_stun(b"")
    assert not stun.is_stun(REQUEST[:19])
    assert not stun.is_stun(REQUEST[:4] + bytes(16))
