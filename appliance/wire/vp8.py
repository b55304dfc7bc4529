"""The payload descriptor of VP8 (RFC 7741 section 4.2), read and renumbered in place; the picture is not read."""

from typing import NamedTuple

Buffer = bytes | bytearray | memoryview


class Vp8Descriptor(NamedTuple):
    """What the descriptor of one packet says. Offsets count from the start of the buffer that was read."""

    begins: bool
    """The packet is the first of its frame."""
    keyframe: bool
    """It begins a key frame."""
    picture_id: int
    """-1: there is none."""
    picture_at: int
    """Where the picture id is; 0: nowhere."""
    picture_bits: int
    """7 or 15; 0: there is none."""
    tl0_index: int
    """TL0PICIDX, of the base layer's frame that it follows or is; -1: there is none."""
    tl0_at: int
    temporal: int
    """TID, 0..3; -1: there are no temporal layers."""
    sync: bool
    """Y: it depends on the base layer alone."""


def read(data: Buffer, start: int, end: int) -> Vp8Descriptor | None:
    """Read the descriptor of the payload in ``data[start:end]``; ``None`` where it is cut short."""
    if start >= end:
        return None
    first = data[start]
    at = start + 1
    begins = first & 0x17 == 0x10
    picture_id, picture_at, picture_bits = -1, 0, 0
    tl0_index, tl0_at, temporal, sync = -1, 0, -1, False
    if first & 0x80:
        if at >= end:
            return None
        present = data[at]
        at += 1
        if present & 0x80:
            if at >= end:
                return None
            picture_at, picture_id, picture_bits = at, data[at], 7
            at += 1
            if picture_id & 0x80:
                if at >= end:
                    return None
                picture_id, picture_bits = (picture_id & 0x7F) << 8 | data[at], 15
                at += 1
        if present & 0x40:
            if at >= end:
                return None
            tl0_at, tl0_index = at, data[at]
            at += 1
        if present & 0x30:
            if at >= end:
                return None
            if present & 0x20:
                temporal, sync = data[at] >> 6, bool(data[at] & 0x20)
            at += 1
    # P, the inverse key frame flag, is the lowest bit of a frame's first byte (RFC 6386 section 9.1).
    keyframe = begins and at < end and not data[at] & 1
    return Vp8Descriptor(begins, keyframe, picture_id, picture_at, picture_bits, tl0_index, tl0_at, temporal, sync)


def begins_keyframe(data: Buffer, start: int, end: int) -> bool | None:
    """``keyframe`` as :func:`read` has it, ``None`` where no frame begins; quick, since each frame is asked."""
    if start >= end or data[start] & 0x17 != 0x10:
        return None
    at = start + 1
    if data[start] & 0x80:
        if at >= end:
            return None
        present = data[at]
        at += 1
        if present & 0x80:
            at += 2 if at < end and data[at] & 0x80 else 1
        at += (present >> 6 & 1) + (present & 0x30 > 0)
    return not data[at] & 1 if at < end else None


def renumber(data: bytearray | memoryview, descriptor: Vp8Descriptor, picture_id: int, tl0_index: int) -> None:
    """Write other numbers, cut to the width that theirs have, where there are any."""
    at = descriptor.picture_at
    if descriptor.picture_bits == 15:
        data[at] = 0x80 | picture_id >> 8 & 0x7F
        data[at + 1] = picture_id & 0xFF
    elif at:
        data[at] = picture_id & 0x7F
    if descriptor.tl0_at:
        data[descriptor.tl0_at] = tl0_index & 0xFF
