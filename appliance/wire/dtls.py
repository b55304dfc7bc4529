"""What can be read of DTLS from outside (RFC 6347, RFC 9147): records, handshake headers, alerts.

OpenSSL does the handshake; this tells what travelled, for counters, events and captures. Nothing here refuses: what is
cut or is no DTLS is read as far as it goes, as a bystander has to.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum

from msgspec import Struct

RECORD_HEADER_SIZE = 13
HANDSHAKE_HEADER_SIZE = 12

_RECORD = struct.Struct("!BHHIHH")
_MAJOR = 0xFE
"""Of every version that has this header."""


class ContentType(IntEnum):
    """RFC 5246 section 6.2.1, RFC 9147 section 4."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    HEARTBEAT = 24
    TLS12_CID = 25
    ACK = 26


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


def content_name(content_type: int) -> str:
    """Such as ``change_cipher_spec``, of the four that DTLS 1.2 has; ``other``."""
    return _CONTENT_NAMES.get(content_type, "other")


_CONTENT_NAMES = {int(kind): kind.name.lower() for kind in list(ContentType)[:4]}


def alert_name(code: int) -> str:
    """The registered name, or ``alert_<code>``."""
    return ALERT_NAMES.get(code, f"alert_{code}")


class Record(Struct, frozen=True):
    """One record with the plaintext header of DTLS 1.2, which DTLS 1.3 uses for its hellos too."""

    content_type: int
    version: int
    """0xfefd is DTLS 1.2; a first ClientHello says 0xfeff or 0xfefd."""
    epoch: int
    """0 until ChangeCipherSpec: only such a record's fragment can be read."""
    sequence_number: int
    """48 bits, counted from 0 in each epoch."""
    length: int
    """Of the fragment, as the header says it."""
    fragment: bytes
    """Shorter where the datagram ends before."""


class Handshake(Struct, frozen=True):
    """One fragment of a handshake message (RFC 6347 section 4.2.2)."""

    type: int
    length: int
    """Of the whole message."""
    message_sequence: int
    """The same in a retransmission."""
    fragment_offset: int
    fragment: bytes
    """Shorter where the record ends before."""

    @property
    def name(self) -> str:
        """Such as ``client_hello``; empty where it is none of TLS 1.2 or 1.3."""
        return HANDSHAKE_NAMES.get(self.type, "")


def records(data: bytes) -> Iterator[Record]:
    """The records of a datagram, up to one that is none or has DTLS 1.3's unified header (RFC 9147 section 4)."""
    offset = 0
    while offset + RECORD_HEADER_SIZE <= len(data) and data[offset + 1] == _MAJOR:
        kind, version, epoch, high, low, length = _RECORD.unpack_from(data, offset)
        offset += RECORD_HEADER_SIZE
        yield Record(kind, version, epoch, high << 32 | low, length, data[offset : offset + length])
        offset += length


def split_records(data: bytes) -> list[bytes]:
    """The whole records of a datagram, or of what OpenSSL wrote into a memory BIO, as they are on the wire."""
    found: list[bytes] = []
    offset = 0
    while offset + RECORD_HEADER_SIZE <= len(data):
        end = offset + RECORD_HEADER_SIZE + (data[offset + 11] << 8 | data[offset + 12])
        if end > len(data):
            break
        found.append(data[offset:end])
        offset = end
    return found


def handshakes(fragment: bytes) -> Iterator[Handshake]:
    """The messages, or parts of them, in the fragment of a handshake record of epoch 0."""
    offset = 0
    while offset + HANDSHAKE_HEADER_SIZE <= len(fragment):
        kind, length = fragment[offset], int.from_bytes(fragment[offset + 1 : offset + 4], "big")
        sequence = int.from_bytes(fragment[offset + 4 : offset + 6], "big")
        place = int.from_bytes(fragment[offset + 6 : offset + 9], "big")
        size = int.from_bytes(fragment[offset + 9 : offset + 12], "big")
        offset += HANDSHAKE_HEADER_SIZE
        yield Handshake(kind, length, sequence, place, fragment[offset : offset + size])
        offset += size
