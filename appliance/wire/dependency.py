"""The dependency descriptor, the header extension that tells a frame's layers (AV1 RTP payload format, appendix A).

Read as far as layers go: which templates there are and what layers they stand for, not what depends on what.
"""

from typing import NamedTuple

Buffer = bytes | bytearray | memoryview

EXTENSION = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
NUMBER_AT = 1
"""Where in it the frame's number is."""
_TEMPLATES = 64
_MANDATORY_BYTES = 3
_STRUCTURE_AT = 29
"""Bits before it: the mandatory fields and five flags."""


class Structure(NamedTuple):
    """What templates of frames stand for, until there is another; told with key frames."""

    offset: int
    """The number of the first template, 0..63."""
    layers: tuple[tuple[int, int], ...]
    """Spatial and temporal layer of each template."""

    def layers_of(self, template: int) -> tuple[int, int] | None:
        """Spatial and temporal layer; ``None``: there is no such template."""
        index = (template - self.offset) % _TEMPLATES
        return self.layers[index] if index < len(self.layers) else None


class Dependency(NamedTuple):
    """What one packet's says."""

    begins: bool
    """The packet is the first of a frame, which is of one spatial layer."""
    ends: bool
    """It is the last."""
    template: int
    number: int
    """The frame's, 0..65535."""
    structure: Structure | None
    """Of a key frame's first packet."""


def read(data: Buffer, start: int, end: int) -> Dependency | None:
    """Read ``data[start:end]``; ``None`` where it is cut short, or has more templates than there are numbers."""
    if end - start < _MANDATORY_BYTES:
        return None
    first = data[start]
    structure = None
    if end - start > _MANDATORY_BYTES and data[start + 3] & 0x80:
        structure = _structure(int.from_bytes(data[start:end], "big"), 8 * (end - start))
        if structure is None:
            return None
    number = data[start + 1] << 8 | data[start + 2]
    return Dependency(bool(first & 0x80), bool(first & 0x40), first & 0x3F, number, structure)


def _structure(bits: int, size: int) -> Structure | None:
    # template_id_offset (6 bits), dt_cnt_minus_one (5), then two bits after each template of what the next one is.
    at = _STRUCTURE_AT + 11
    if size < at:
        return None
    offset = bits >> size - _STRUCTURE_AT - 6 & 0x3F
    spatial = temporal = 0
    layers = [(0, 0)]
    while at + 2 <= size and len(layers) <= _TEMPLATES:
        at += 2
        match bits >> size - at & 3:
            case 1:
                temporal += 1
            case 2:
                temporal, spatial = 0, spatial + 1
            case 3:
                return Structure(offset, tuple(layers))
        layers.append((spatial, temporal))
    return None
