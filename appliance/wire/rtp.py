"""RTP headers (RFC 3550 section 5.1) and their extensions (RFC 8285)."""

import struct

from msgspec import Struct

HEADER_SIZE = 12
ONE_BYTE = 0xBEDE
TWO_BYTE = 0x1000
"""The low four bits of the profile are "appbits" and may be anything."""

_FIXED = struct.Struct("!BBHII")
_PROFILE = struct.Struct("!HH")

Buffer = bytes | bytearray | memoryview


class RtpDecodeError(ValueError):
    """A malformed RTP packet; says which field, its value, and what was wanted."""


class RtpHeader(Struct, frozen=True):
    """The header of one packet; version is always 2."""

    payload_type: int
    """0..127."""
    sequence_number: int
    timestamp: int
    """In units of the codec's clock rate."""
    ssrc: int
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension_profile: int | None = None
    """:data:`ONE_BYTE`, :data:`TWO_BYTE` with appbits, or another profile's; ``None`` without an extension."""
    extension: bytes = b""
    """The extension's data after profile and length; for :func:`parse_extensions`."""
    padding_size: int = 0
    """Bytes at the end of the packet, the count byte included."""

    @property
    def size(self) -> int:
        """Bytes before the payload."""
        extension = 0 if self.extension_profile is None else 4 + len(self.extension)
        return HEADER_SIZE + 4 * len(self.csrcs) + extension

    def build(self) -> bytes:
        """The header's bytes; padding is the caller's to append.

        :raises ValueError: ``extension`` is not a multiple of 4 bytes, or there are more than 15 CSRCs.
        """
        if len(self.csrcs) > 15:
            raise ValueError(f"csrcs has {len(self.csrcs)} entries, wanted at most 15")
        if len(self.extension) % 4:
            raise ValueError(f"extension has {len(self.extension)} bytes, wanted a multiple of 4")
        has_extension = self.extension_profile is not None
        first = 0x80 | bool(self.padding_size) << 5 | has_extension << 4 | len(self.csrcs)
        second = self.marker << 7 | self.payload_type
        data = _FIXED.pack(first, second, self.sequence_number, self.timestamp, self.ssrc)
        data += struct.pack(f"!{len(self.csrcs)}I", *self.csrcs)
        if self.extension_profile is not None:
            data += _PROFILE.pack(self.extension_profile, len(self.extension) // 4) + self.extension
        return data


def is_rtcp(data: Buffer) -> bool:
    """Whether a datagram of the RTP range is RTCP (RFC 5761 section 4: second byte 192..223)."""
    return len(data) >= 2 and 191 < data[1] < 224


def header_length(data: Buffer) -> int:
    """Bytes before the payload. :raises RtpDecodeError: no RTP header fits ``data``."""
    total = len(data)
    if total < HEADER_SIZE:
        raise RtpDecodeError(f"packet is {total} bytes, wanted at least {HEADER_SIZE}")
    first = data[0]
    if first >> 6 != 2:
        raise RtpDecodeError(f"version is {first >> 6}, wanted 2")
    size = HEADER_SIZE + 4 * (first & 0x0F)
    if first & 0x10:
        if total < size + 4:
            raise RtpDecodeError(f"packet is {total} bytes, wanted at least {size + 4} for the extension's header")
        size += 4 + 4 * (data[size + 2] << 8 | data[size + 3])
    if total < size:
        raise RtpDecodeError(f"packet is {total} bytes, wanted at least {size} for CSRCs and extension")
    return size


def parse_header(data: Buffer, *, encrypted: bool = False) -> RtpHeader:
    """Read the header of a packet.

    Of SRTP everything but the padding's size is in clear: say ``encrypted`` and it is not looked for.

    :raises RtpDecodeError: the header is malformed or cut short.
    """
    size = header_length(data)
    first, second, sequence_number, timestamp, ssrc = _FIXED.unpack_from(data)
    padding_size = 0
    if first & 0x20 and not encrypted:
        padding_size = data[-1]
        if not 0 < padding_size <= len(data) - size:
            raise RtpDecodeError(f"padding is {padding_size} bytes, wanted 1..{len(data) - size}")
    count = first & 0x0F
    csrcs = struct.unpack_from(f"!{count}I", data, HEADER_SIZE) if count else ()
    profile: int | None = None
    extension = b""
    if first & 0x10:
        start = HEADER_SIZE + 4 * count
        profile = data[start] << 8 | data[start + 1]
        extension = bytes(data[start + 4 : size])
    return RtpHeader(
        second & 0x7F, sequence_number, timestamp, ssrc, second > 127, csrcs, profile, extension, padding_size
    )


def parse_extensions(profile: int | None, data: Buffer) -> dict[int, bytes]:
    """Elements by their local id, from :attr:`RtpHeader.extension_profile` and :attr:`RtpHeader.extension`.

    Empty for another profile. Of an id that comes twice the first counts.

    :raises RtpDecodeError: an element overruns the extension.
    """
    if profile == ONE_BYTE:
        return _one_byte(data)
    if profile is not None and profile & 0xFFF0 == TWO_BYTE:
        return _two_byte(data)
    return {}


def build_extensions(elements: dict[int, bytes]) -> tuple[int, bytes]:
    """Profile and padded data, in the one-byte form where every element fits it.

    :raises ValueError: an id is not 1..255 or a value longer than 255 bytes.
    """
    one_byte = all(number <= 14 and 1 <= len(value) <= 16 for number, value in elements.items())
    parts: list[bytes] = []
    for number, value in elements.items():
        if not 1 <= number <= 255:
            raise ValueError(f"extension id is {number}, wanted 1..255")
        if len(value) > 255:
            raise ValueError(f"extension {number} has {len(value)} bytes, wanted at most 255")
        head = bytes((number << 4 | len(value) - 1,)) if one_byte else bytes((number, len(value)))
        parts.append(head + value)
    data = b"".join(parts)
    return (ONE_BYTE if one_byte else TWO_BYTE), data + bytes(-len(data) & 3)


def _one_byte(data: Buffer) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    offset, total = 0, len(data)
    while offset < total:
        number, size = data[offset] >> 4, (data[offset] & 0x0F) + 1
        if data[offset] == 0:
            offset += 1
            continue
        # RFC 8285 section 4.2: id 15, and id 0 with a length, end the processing; what came before counts.
        if number in {0, 15}:
            break
        _take(elements, data, number, offset + 1, size)
        offset += 1 + size
    return elements


def _two_byte(data: Buffer) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    offset, total = 0, len(data)
    while offset < total:
        number = data[offset]
        if number == 0:
            offset += 1
            continue
        if offset + 1 == total:
            raise RtpDecodeError(f"extension element {number} ends before its length, wanted one more byte")
        size = data[offset + 1]
        _take(elements, data, number, offset + 2, size)
        offset += 2 + size
    return elements


def _take(elements: dict[int, bytes], data: Buffer, number: int, start: int, size: int) -> None:
    left = len(data) - start
    if size > left:
        raise RtpDecodeError(f"extension element {number} has {size} bytes, wanted at most {left}")
    elements.setdefault(number, bytes(data[start : start + size]))
