"""What can be read of DTLS from outside (RFC 6347, RFC 9147): records, handshake headers, alerts.

OpenSSL does the handshake; this tells what travelled, for counters, events and captures.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum

from msgspec import Struct

RECORD_HEADER_SIZE = 13
HANDSHAKE_HEADER_SIZE = 12
MAX_RECORD = 2**14 + 2048
"""Bytes of a protected record's fragment (RFC 6347 section 4.1)."""
MAX_RECORDS = 256
"""Records of one datagram, or of one flight that OpenSSL hands over."""

_RECORD = struct.Struct("!BHHIHH")

_VERSIONS = {0xFEFF: "DTLS 1.0", 0xFEFD: "DTLS 1.2", 0xFEFC: "DTLS 1.3"}

Buffer = bytes | bytearray | memoryview


class DtlsDecodeError(ValueError):
    """Malformed DTLS; says which field, its value, and what was wanted."""


class ContentType(IntEnum):
    """RFC 5246 section 6.2.1, RFC 9147 section 4."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    HEARTBEAT = 24
    TLS12_CID = 25
    ACK = 26


_CONTENT_TYPES = {int(kind): kind for kind in ContentType}

HANDSHAKE_NAMES = {
    0: "hello_request",
    1: "client_hello",
    2: "server_hello",
    3: "hello_verify_request",
    4: "new_session_ticket",
    8: "encrypted_extensions",
    11: "certificate",
    12: "server_key_exchange",
    13: "certificate_request",
    14: "server_hello_done",
    15: "certificate_verify",
    16: "client_key_exchange",
    20: "finished",
    24: "key_update",
}
"""IANA's TLS HandshakeType registry."""

ALERT_NAMES = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    52: "too_many_cids_requested",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
"""IANA's TLS Alerts registry."""


class Record(Struct, frozen=True):
    """One record with the plaintext header of DTLS 1.2, which DTLS 1.3 uses for its hellos too."""

    content_type: ContentType
    version: int
    """0xfefd is DTLS 1.2; a first ClientHello says 0xfeff or 0xfefd."""
    epoch: int
    """0 until ChangeCipherSpec: only such a record's fragment can be read."""
    sequence_number: int
    """48 bits, counted from 0 in each epoch."""
    fragment: bytes

    @property
    def is_plaintext(self) -> bool:
        """:func:`handshakes` and :func:`alert` can read it."""
        return self.epoch == 0

    @property
    def version_name(self) -> str:
        """Such as ``DTLS 1.2``."""
        return _VERSIONS.get(self.version, f"0x{self.version:04x}")


class Handshake(Struct, frozen=True):
    """One fragment of a handshake message (RFC 6347 section 4.2.2)."""

    type: int
    length: int
    """Of the whole message."""
    message_sequence: int
    """The same in a retransmission."""
    fragment_offset: int
    fragment: bytes

    @property
    def name(self) -> str:
        """Such as ``client_hello``."""
        return HANDSHAKE_NAMES.get(self.type, f"handshake_{self.type}")

    @property
    def is_whole(self) -> bool:
        """The message is in one fragment."""
        return len(self.fragment) == self.length


class Alert(Struct, frozen=True):
    """RFC 5246 section 7.2."""

    level: int
    """1 warning, 2 fatal."""
    code: int

    @property
    def is_fatal(self) -> bool:
        """The connection is over."""
        return self.level == 2

    @property
    def level_name(self) -> str:
        """Warning or fatal, in lower case."""
        return {1: "warning", 2: "fatal"}.get(self.level, f"level_{self.level}")

    @property
    def name(self) -> str:
        """Such as ``certificate_unknown``."""
        return alert_name(self.code)


def alert_name(code: int) -> str:
    """The registered name, or ``alert_<code>``."""
    return ALERT_NAMES.get(code, f"alert_{code}")


def is_dtls(data: Buffer) -> bool:
    """Whether a datagram is in DTLS's range (RFC 7983 section 7)."""
    return len(data) > 0 and 19 < data[0] < 64


def records(data: Buffer) -> list[Record]:
    """Every record of a datagram.

    :raises DtlsDecodeError: one is malformed, cut short, or has the unified header of DTLS 1.3 (RFC 9147 section 4),
        of which nothing can be read from outside.
    """
    found: list[Record] = []
    for start, end in _bounds(data):
        kind, version, epoch, high, low, _ = _RECORD.unpack_from(data, start)
        fragment = bytes(data[start + RECORD_HEADER_SIZE : end])
        found.append(Record(_CONTENT_TYPES[kind], version, epoch, high << 32 | low, fragment))
    return found


def split_records(data: Buffer, limit: int = 0) -> list[bytes]:
    """Cut what OpenSSL wrote into a memory BIO, which forgets the boundaries of datagrams, at records.

    With a ``limit`` consecutive records share a datagram of at most so many bytes; a longer record stands alone.

    :raises DtlsDecodeError: ``data`` is no sequence of whole records.
    """
    datagrams: list[bytes] = []
    first = last = 0
    for start, end in _bounds(data):
        if start > first and end - first > limit:
            datagrams.append(bytes(data[first:start]))
            first = start
        last = end
    if last > first:
        datagrams.append(bytes(data[first:last]))
    return datagrams


def handshakes(record: Record) -> list[Handshake]:
    """Handshake headers in a record. :raises DtlsDecodeError: it is not a plaintext handshake, or malformed."""
    if record.content_type is not ContentType.HANDSHAKE:
        raise DtlsDecodeError(f"content type is {record.content_type.value}, wanted 22 (handshake)")
    if not record.is_plaintext:
        raise DtlsDecodeError(f"epoch is {record.epoch}, wanted 0: the record is encrypted")
    data = record.fragment
    found: list[Handshake] = []
    offset = 0
    while offset < len(data):
        left = len(data) - offset
        if left < HANDSHAKE_HEADER_SIZE:
            raise DtlsDecodeError(f"handshake at byte {offset} has {left} bytes, wanted {HANDSHAKE_HEADER_SIZE}")
        kind = data[offset]
        length = int.from_bytes(data[offset + 1 : offset + 4], "big")
        sequence = int.from_bytes(data[offset + 4 : offset + 6], "big")
        fragment_offset = int.from_bytes(data[offset + 6 : offset + 9], "big")
        size = int.from_bytes(data[offset + 9 : offset + 12], "big")
        if size > left - HANDSHAKE_HEADER_SIZE:
            raise DtlsDecodeError(f"handshake fragment length is {size}, wanted at most {left - HANDSHAKE_HEADER_SIZE}")
        if fragment_offset + size > length:
            raise DtlsDecodeError(
                f"handshake fragment ends at {fragment_offset + size}, wanted at most the message's {length}"
            )
        start = offset + HANDSHAKE_HEADER_SIZE
        found.append(Handshake(kind, length, sequence, fragment_offset, data[start : start + size]))
        offset = start + size
    return found


def alert(record: Record) -> Alert:
    """The alert in a record. :raises DtlsDecodeError: it is not a plaintext alert, or not two bytes."""
    if record.content_type is not ContentType.ALERT:
        raise DtlsDecodeError(f"content type is {record.content_type.value}, wanted 21 (alert)")
    if not record.is_plaintext:
        raise DtlsDecodeError(f"epoch is {record.epoch}, wanted 0: the record is encrypted")
    return parse_alert(record.fragment)


def parse_alert(data: Buffer) -> Alert:
    """Level and code, as OpenSSL's message callback hands them over in clear. :raises DtlsDecodeError: not 2 bytes."""
    if len(data) != 2:
        raise DtlsDecodeError(f"alert has {len(data)} bytes, wanted 2")
    return Alert(data[0], data[1])


def _bounds(data: Buffer) -> Iterator[tuple[int, int]]:
    total = len(data)
    offset = 0
    for _ in range(MAX_RECORDS):
        if offset == total:
            return
        if data[offset] not in _CONTENT_TYPES:
            raise DtlsDecodeError(f"content type at byte {offset} is {data[offset]}, wanted 20..26")
        if total - offset < RECORD_HEADER_SIZE:
            raise DtlsDecodeError(
                f"record at byte {offset} has {total - offset} bytes, wanted at least {RECORD_HEADER_SIZE}"
            )
        if data[offset + 1] != 0xFE:
            raise DtlsDecodeError(f"version at byte {offset + 1} is 0x{data[offset + 1]:02x}.., wanted 0xfe..")
        length = data[offset + 11] << 8 | data[offset + 12]
        if length > MAX_RECORD:
            raise DtlsDecodeError(f"record length at byte {offset + 11} is {length}, wanted at most {MAX_RECORD}")
        end = offset + RECORD_HEADER_SIZE + length
        if end > total:
            raise DtlsDecodeError(f"record at byte {offset} has {end - offset} bytes, wanted at most {total - offset}")
        yield offset, end
        offset = end
    if offset != total:
        raise DtlsDecodeError(f"more than {MAX_RECORDS} records")
