"""The payload descriptor of VP9 (RFC 9628 section 4.2); the picture itself is not read."""

from typing import NamedTuple

Buffer = bytes | bytearray | memoryview


class Vp9Descriptor(NamedTuple):
    """What the descriptor of one packet says."""

    begins: bool
    """B: the packet is the first of a layer's frame."""
    ends: bool
    """E: it is the last."""
    keyframe: bool
    """It begins a picture that needs no other."""
    picture_id: int
    """-1: there is none."""
    temporal: int
    """TID, 0..7; -1: there are no layers."""
    spatial: int
    """SID, 0..7."""
    switching_up: bool
    """U: pictures of higher temporal layers that follow need none of these layers from before it."""
    predicted: bool
    """P: its layer's frame needs one of a picture before."""


def read(data: Buffer, start: int, end: int) -> Vp9Descriptor | None:
    """Read the descriptor of the payload in ``data[start:end]``; ``None`` where it is cut short."""
    if start >= end:
        return None
    first = data[start]
    at = start + 1
    picture_id, temporal, spatial, switching_up = -1, -1, 0, False
    if first & 0x80:
        if at >= end:
            return None
        picture_id = data[at]
        at += 1
        if picture_id & 0x80:
            if at >= end:
                return None
            picture_id = (picture_id & 0x7F) << 8 | data[at]
            at += 1
    if first & 0x20:
        if at >= end:
            return None
        layers = data[at]
        temporal, switching_up, spatial = layers >> 5, bool(layers & 0x10), layers >> 1 & 7
    begins = bool(first & 0x08)
    # A higher spatial layer of a key picture is predicted from the lower one of the same picture.
    predicted = bool(first & 0x40)
    keyframe = begins and not predicted and spatial == 0
    return Vp9Descriptor(begins, bool(first & 0x04), keyframe, picture_id, temporal, spatial, switching_up, predicted)
