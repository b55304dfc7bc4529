"""Header extensions of RTP where they lie (RFC 8285), both forms: nothing is built, as every packet is asked."""

import struct

_EXTENSION_HEAD = struct.Struct("!HH")
_NOWHERE = (0, 0)


def extension(packet: memoryview, length: int, wanted: int) -> bytes | None:
    """The value of a header extension (RFC 8285), without building anything else; ``None`` where there is none."""
    offset, size = extension_at(packet, length, wanted)
    return bytes(packet[offset : offset + size]) if offset else None


def two_bytes_at(packet: memoryview, length: int, wanted: int) -> int:
    """Where a header extension of two bytes has them, 0 where there is none; quick, since each packet is asked."""
    offset = 16 + 4 * (packet[0] & 15)
    if packet[offset - 4] == 0xBE and packet[offset - 3] == 0xDE:
        tag = wanted << 4 | 1
        end = min(length, offset + 4 * (packet[offset - 2] << 8 | packet[offset - 1])) - 2
        while offset < end:
            first = packet[offset]
            if first == tag:
                return offset + 1
            offset += 2 + (first & 15) if first else 1
            if first > 239:
                return 0
        return 0
    offset, size = extension_at(packet, length, wanted)
    return offset if size == 2 else 0


def extension_at(packet: memoryview, length: int, wanted: int) -> tuple[int, int]:
    """Where a header extension's value is, and its bytes; (0, 0) where there is none."""
    if not packet[0] & 0x10:
        return _NOWHERE
    start = 12 + 4 * (packet[0] & 15)
    if start + 4 > length:
        return _NOWHERE
    profile, words = _EXTENSION_HEAD.unpack_from(packet, start)
    offset = start + 4
    end = min(length, offset + 4 * words)
    one_byte = profile == 0xBEDE
    if not one_byte and profile & 0xFFF0 != 0x1000:
        return _NOWHERE
    while offset + 1 < end:
        first = packet[offset]
        if first == 0:
            offset += 1
            continue
        if one_byte:
            number, size, head = first >> 4, (first & 15) + 1, 1
            if number == 15:
                return _NOWHERE
        else:
            number, size, head = first, packet[offset + 1], 2
        offset += head
        if number == wanted:
            return (offset, size) if offset + size <= end else _NOWHERE
        offset += size
    return _NOWHERE
