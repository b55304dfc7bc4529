"""STUN messages as ICE uses them (RFC 8489, RFC 8445 section 16.1).

:func:`parse` refuses whatever is malformed, so that the typed properties of a :class:`StunMessage` never raise. It
checks the FINGERPRINT where there is one; MESSAGE-INTEGRITY needs a key and is checked by
:meth:`StunMessage.verify_integrity`.
"""

import hmac
import struct
from binascii import crc32
from collections.abc import Iterator
from enum import IntEnum
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from msgspec import Struct

MAGIC = 0x2112A442
HEADER_SIZE = 20
MAX_ATTRIBUTES = 64
"""Attributes of one message; ICE uses seven."""

BINDING = 1

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
MESSAGE_INTEGRITY_SHA256 = 0x001C
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
SOFTWARE = 0x8022
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
ICE_CONTROLLING = 0x802A

_MAGIC_BYTES = MAGIC.to_bytes(4, "big")
_FINGERPRINT_XOR = 0x5354554E
_HEADER = struct.Struct("!HHI12s")
_TYPE_AND_LENGTH = struct.Struct("!HH")
_USERNAME_BYTES = 508
_REASON_BYTES = 763
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

_FIXED_SIZES = {
    MESSAGE_INTEGRITY: 20,
    PRIORITY: 4,
    USE_CANDIDATE: 0,
    FINGERPRINT: 4,
    ICE_CONTROLLED: 8,
    ICE_CONTROLLING: 8,
}


class StunDecodeError(ValueError):
    """Not a STUN message, or a malformed one; says which field, its value, and what was wanted."""


class Class(IntEnum):
    """RFC 8489 section 5."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


_CLASSES = tuple(Class)


class StunMessage(Struct, frozen=True):
    """One message. Of an attribute that comes twice the first counts (RFC 8489 section 14)."""

    method: int
    """12 bits; 1 is Binding."""
    message_class: Class
    transaction_id: bytes
    """12 bytes."""
    attributes: tuple[tuple[int, bytes], ...]
    """Type and value in order, up to MESSAGE-INTEGRITY or FINGERPRINT, both left out."""
    integrity: bytes | None = None
    """The 20 bytes of MESSAGE-INTEGRITY; ``None`` when the message has none."""
    integrity_offset: int = 0
    """Where in the datagram the MESSAGE-INTEGRITY attribute starts; 0 without one."""
    has_fingerprint: bool = False
    """A FINGERPRINT was there, and right."""

    def attribute(self, number: int) -> bytes | None:
        """The first value of that type; ``None`` when absent."""
        for kind, value in self.attributes:
            if kind == number:
                return value
        return None

    @property
    def username(self) -> str | None:
        """In ICE ``<ufrag of the receiver>:<ufrag of the sender>``."""
        value = self.attribute(USERNAME)
        return None if value is None else value.decode()

    @property
    def priority(self) -> int | None:
        """That a peer-reflexive candidate learnt from this request would have."""
        return _integer(self.attribute(PRIORITY))

    @property
    def use_candidate(self) -> bool:
        """The controlling agent nominates this pair."""
        return self.attribute(USE_CANDIDATE) is not None

    @property
    def controlling(self) -> int | None:
        """Tie breaker of a sender that thinks it controls."""
        return _integer(self.attribute(ICE_CONTROLLING))

    @property
    def controlled(self) -> int | None:
        """Tie breaker of a sender that thinks it is controlled."""
        return _integer(self.attribute(ICE_CONTROLLED))

    @property
    def xor_mapped_address(self) -> tuple[str, int] | None:
        """Where the responder saw the request come from."""
        value = self.attribute(XOR_MAPPED_ADDRESS)
        return None if value is None else read_xor_address(value, self.transaction_id)

    @property
    def error_code(self) -> tuple[int, str] | None:
        """Code 300..699 and reason of an error response."""
        value = self.attribute(ERROR_CODE)
        if value is None:
            return None
        return (value[2] & 7) * 100 + value[3], value[4:].decode(errors="replace")

    def verify_integrity(self, data: bytes | bytearray | memoryview, key: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY is there and made with ``key``, in constant time.

        ``data`` is the datagram that this message was parsed from; ``key`` the short-term password in UTF-8
        (RFC 8489 section 14.5).
        """
        if self.integrity is None:
            return False
        return hmac.compare_digest(self.integrity, _integrity(bytes(data[: self.integrity_offset]), key))


def is_stun(data: bytes | bytearray | memoryview) -> bool:
    """Whether a datagram is for :func:`parse`: cheap, for the demultiplexer (RFC 7983)."""
    return len(data) >= HEADER_SIZE and data[0] < 4 and data[4:8] == _MAGIC_BYTES


def is_binding(data: bytes) -> bool:
    """Whether a message of any class has ICE's own method, and not one of TURN's."""
    return data[0] < 2 and data[1] & 0xEF == BINDING


def parse(data: bytes | bytearray | memoryview) -> StunMessage:
    """Read one datagram. :raises StunDecodeError: it is malformed, or its FINGERPRINT is wrong."""
    data = bytes(data)
    total = len(data)
    if total < HEADER_SIZE:
        raise StunDecodeError(f"message is {total} bytes, wanted at least {HEADER_SIZE}")
    word, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if word & 0xC000:
        raise StunDecodeError(f"message type is 0x{word:04x}, wanted its two top bits zero")
    if cookie != MAGIC:
        raise StunDecodeError(f"magic cookie is 0x{cookie:08x}, wanted 0x{MAGIC:08x}")
    if length & 3:
        raise StunDecodeError(f"message length is {length}, wanted a multiple of 4")
    if length != total - HEADER_SIZE:
        raise StunDecodeError(f"message length is {length}, wanted {total - HEADER_SIZE} as the datagram has")

    attributes: list[tuple[int, bytes]] = []
    integrity: bytes | None = None
    integrity_offset = 0
    has_fingerprint = False
    offset = HEADER_SIZE
    count = 0
    while offset < total:
        count += 1
        if has_fingerprint:
            raise StunDecodeError(f"an attribute at byte {offset} follows FINGERPRINT, wanted FINGERPRINT last")
        if count > MAX_ATTRIBUTES:
            raise StunDecodeError(f"message has more than {MAX_ATTRIBUTES} attributes")
        kind, size = _TYPE_AND_LENGTH.unpack_from(data, offset)
        start = offset + 4
        end = start + size
        if end > total:
            raise StunDecodeError(
                f"attribute 0x{kind:04x} at byte {offset} has length {size}, wanted at most {total - start}"
            )
        if _FIXED_SIZES.get(kind, size) != size:
            raise StunDecodeError(f"attribute 0x{kind:04x} has length {size}, wanted {_FIXED_SIZES[kind]}")
        if kind == FINGERPRINT:
            _check_fingerprint(data, offset)
            has_fingerprint = True
        elif integrity is not None:
            pass  # RFC 8489 section 14.5: what follows MESSAGE-INTEGRITY is not protected and is ignored
        elif kind == MESSAGE_INTEGRITY:
            integrity, integrity_offset = data[start:end], offset
        else:
            value = data[start:end]
            if kind in _CHECKS:
                _CHECKS[kind](value)
            attributes.append((kind, value))
        offset = end + (-size & 3)
    return StunMessage(
        *method_and_class(data),
        transaction_id,
        tuple(attributes),
        integrity,
        integrity_offset,
        has_fingerprint,
    )


def parse_cut(data: bytes) -> StunMessage:
    """Read what a capture has left of a message: at least its header, and the attributes that are whole."""
    attributes = []
    for kind, value, size in attributes_as_far(data):
        try:
            if len(value) == size == _FIXED_SIZES.get(kind, size):
                _CHECKS.get(kind, len)(value)
                attributes.append((kind, value))
        except StunDecodeError:
            continue
    return StunMessage(*method_and_class(data), data[8:HEADER_SIZE], tuple(attributes))


def method_and_class(data: bytes) -> tuple[int, Class]:
    """What the first two bytes say. RFC 8489 figure 3: the two class bits stand between the method's."""
    word = data[0] << 8 | data[1]
    method = (word & 0x000F) | (word & 0x00E0) >> 1 | (word & 0x3E00) >> 2
    return method, _CLASSES[(word & 0x0010) >> 4 | (word & 0x0100) >> 7]


def attributes_as_far(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Types, values and lengths of a message that a capture may have cut: of the last one perhaps a part."""
    at = HEADER_SIZE
    for _ in range(MAX_ATTRIBUTES):
        if at + 4 > len(data):
            return
        kind, size = _TYPE_AND_LENGTH.unpack_from(data, at)
        yield kind, data[at + 4 : at + 4 + size], size
        at += 4 + size + (-size & 3)


def build(
    method: int,
    message_class: Class,
    transaction_id: bytes,
    attributes: list[tuple[int, bytes]],
    key: bytes | None,
    *,
    fingerprint: bool = True,
) -> bytes:
    """Write any message; with MESSAGE-INTEGRITY where there is a ``key``.

    :raises ValueError: the transaction id is not 12 bytes or the method not 12 bits.
    """
    if len(transaction_id) != 12:
        raise ValueError(f"transaction_id is {len(transaction_id)} bytes, wanted 12")
    if not 0 <= method < 0x1000:
        raise ValueError(f"method is {method}, wanted 0..4095")
    word = (method & 0x000F) | (method & 0x0070) << 1 | (method & 0x0F80) << 2
    word |= (message_class & 1) << 4 | (message_class & 2) << 7
    body = b"".join(
        [_TYPE_AND_LENGTH.pack(kind, len(value)) + value + _PADDING[len(value) & 3] for kind, value in attributes]
    )
    data = _HEADER.pack(word, len(body), MAGIC, transaction_id) + body
    if key is not None:
        data += _TYPE_AND_LENGTH.pack(MESSAGE_INTEGRITY, 20) + _integrity(data, key)
    size = len(data) - HEADER_SIZE
    if not fingerprint:
        return data[:2] + size.to_bytes(2, "big") + data[4:]
    data = data[:2] + (size + 8).to_bytes(2, "big") + data[4:]
    return data + struct.pack("!HHI", FINGERPRINT, 4, crc32(data) ^ _FINGERPRINT_XOR)


def binding_request(
    transaction_id: bytes,
    username: str,
    priority: int,
    key: bytes,
    *,
    controlling: int | None = None,
    controlled: int | None = None,
    use_candidate: bool = False,
) -> bytes:
    """A connectivity check (RFC 8445 section 7.2.4); ``controlling`` or ``controlled`` is our tie breaker."""
    attributes = [(USERNAME, username.encode()), (PRIORITY, priority.to_bytes(4, "big"))]
    if controlling is not None:
        attributes.append((ICE_CONTROLLING, controlling.to_bytes(8, "big")))
    if controlled is not None:
        attributes.append((ICE_CONTROLLED, controlled.to_bytes(8, "big")))
    if use_candidate:
        attributes.append((USE_CANDIDATE, b""))
    return build(BINDING, Class.REQUEST, transaction_id, attributes, key)


def binding_response(transaction_id: bytes, address: tuple[str, int], key: bytes) -> bytes:
    """The answer to a check: ``address`` (IPv4 or IPv6, numeric) is where it came from."""
    value = xor_address(address, transaction_id)
    return build(BINDING, Class.SUCCESS, transaction_id, [(XOR_MAPPED_ADDRESS, value)], key)


def binding_error(
    transaction_id: bytes, code: int, reason: str, key: bytes | None, *, unknown: tuple[int, ...] = ()
) -> bytes:
    """A refusal; ``code`` 300..699; ``unknown`` are the attribute types of a 420."""
    if not 300 <= code <= 699:
        raise ValueError(f"code is {code}, wanted 300..699")
    attributes = [(ERROR_CODE, struct.pack("!HBB", 0, code // 100, code % 100) + reason.encode()[:_REASON_BYTES])]
    if unknown:
        attributes.append((UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(unknown)}H", *unknown)))
    return build(BINDING, Class.ERROR, transaction_id, attributes, key)


def xor_address(address: tuple[str, int], transaction_id: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS (RFC 8489 section 14.2). :raises OSError: the host is no IP address."""
    host, port = address
    if ":" in host:
        family, packed = 2, inet_pton(AF_INET6, host.partition("%")[0])
    else:
        family, packed = 1, inet_pton(AF_INET, host)
    size = len(packed)
    mask = int.from_bytes((_MAGIC_BYTES + transaction_id)[:size], "big")
    masked = (int.from_bytes(packed, "big") ^ mask).to_bytes(size, "big")
    return struct.pack("!BBH", 0, family, port ^ (MAGIC >> 16)) + masked


def read_xor_address(value: bytes, transaction_id: bytes) -> tuple[str, int] | None:
    """The reverse of :func:`xor_address`; ``None`` where it is too short for an address."""
    size = len(value) - 4
    if size not in {4, 16}:
        return None
    port = int.from_bytes(value[2:4], "big") ^ (MAGIC >> 16)
    packed = int.from_bytes(value[4:], "big") ^ int.from_bytes((_MAGIC_BYTES + transaction_id)[:size], "big")
    return inet_ntop(AF_INET if size == 4 else AF_INET6, packed.to_bytes(size, "big")), port


def _integer(value: bytes | None) -> int | None:
    return None if value is None else int.from_bytes(value, "big")


def _integrity(protected: bytes, key: bytes) -> bytes:
    # The length in the header counts MESSAGE-INTEGRITY itself and nothing after it.
    length = len(protected) - HEADER_SIZE + 24
    return hmac.digest(key, protected[:2] + length.to_bytes(2, "big") + protected[4:], "sha1")


def _check_fingerprint(data: bytes, offset: int) -> None:
    found = int.from_bytes(data[offset + 4 : offset + 8], "big")
    wanted = crc32(data[:offset]) ^ _FINGERPRINT_XOR
    if found != wanted:
        raise StunDecodeError(f"FINGERPRINT is 0x{found:08x}, wanted 0x{wanted:08x}")


def _check_username(value: bytes) -> None:
    if len(value) > _USERNAME_BYTES:
        raise StunDecodeError(f"USERNAME has {len(value)} bytes, wanted at most {_USERNAME_BYTES}")
    try:
        value.decode()
    except UnicodeDecodeError as problem:
        raise StunDecodeError(f"USERNAME is {value!r}, wanted UTF-8: {problem.reason}") from None


def _check_xor_mapped_address(value: bytes) -> None:
    family = value[1] if len(value) > 1 else 0
    wanted = {1: 8, 2: 20}.get(family)
    if wanted is None:
        raise StunDecodeError(f"XOR-MAPPED-ADDRESS has family {family}, wanted 1 (IPv4) or 2 (IPv6)")
    if len(value) != wanted:
        raise StunDecodeError(f"XOR-MAPPED-ADDRESS of family {family} has {len(value)} bytes, wanted {wanted}")


def _check_error_code(value: bytes) -> None:
    if len(value) < 4:
        raise StunDecodeError(f"ERROR-CODE has {len(value)} bytes, wanted at least 4")
    if not 3 <= value[2] & 7 <= 6 or value[3] > 99:
        raise StunDecodeError(f"ERROR-CODE is class {value[2] & 7} number {value[3]}, wanted 3..6 and 0..99")


_CHECKS = {
    USERNAME: _check_username,
    XOR_MAPPED_ADDRESS: _check_xor_mapped_address,
    ERROR_CODE: _check_error_code,
}
