"""What a packet's payload says of its frame, by codec: enough to switch between sources and to leave layers out."""

from collections.abc import Callable
from typing import NamedTuple

from appliance.wire import dependency, keyframe, vp8, vp9
from appliance.wire.extensions import extension_at
from appliance.wire.vp8 import Vp8Descriptor


class Frame(NamedTuple):
    """Of one packet."""

    keyframe: bool
    """A key frame begins here."""
    temporal: int = -1
    """Temporal layer; -1: there are none."""
    sync: bool = False
    """Higher temporal layers can be decoded from here on, up to this one."""
    picture_id: int = -1
    """To be renumbered; -1: there is none, or it may stay as it is."""
    tl0_index: int = -1
    vp8: Vp8Descriptor | None = None
    begins: bool = False
    """The picture begins here."""
    number: int = -1
    """The picture's own; -1: there is none."""
    switches_up: bool = False
    """Higher temporal layers can be decoded once this picture is there, all of them."""
    spatial: int = 0
    """Spatial layer, of which a picture has a frame each; 0 where there are none."""
    ends: bool = False
    """The layer's frame ends here."""
    intra: bool = False
    """Of the base layer of a key picture, be it its first packet or another."""
    frame_number_at: int = 0
    """Where the frame has a number of two bytes in the packet; 0: nowhere."""


Reader = Callable[[memoryview, int, int], Frame | None]
"""Reads the payload in ``view[start:end]``; ``None``: it holds none."""


def _vp8(view: memoryview, start: int, end: int) -> Frame | None:
    found = vp8.read(view, start, end)
    if found is None:
        return None
    keyframe, picture_id, temporal, tl0_index = found.keyframe, found.picture_id, found.temporal, found.tl0_index
    return Frame(keyframe, temporal, found.sync, picture_id, tl0_index, found, found.begins, picture_id)


def _vp9(view: memoryview, start: int, end: int) -> Frame | None:
    # Picture ids stay as they are: those of left out pictures are told by their references (RFC 9628 section 4.2).
    found = vp9.read(view, start, end)
    if found is None:
        return None
    begins, ends, keyframe, number, temporal, spatial, up, predicted = found
    base = spatial == 0
    intra = base and not predicted
    # By position: this is done for every packet.
    return Frame(keyframe, temporal, False, -1, -1, None, begins and base, number, up, spatial, ends, intra)


class _Described:
    """Of frames whose layers a header extension tells."""

    def __init__(self, extension: int, begins: Callable[[memoryview, int, int], bool]) -> None:
        self._extension = extension
        self._begins = begins
        self._structure: dependency.Structure | None = None

    def __call__(self, view: memoryview, start: int, end: int) -> Frame | None:
        if start >= end:
            return None
        at, size = extension_at(view, end, self._extension)
        found = dependency.read(view, at, at + size) if at else None
        if found is None:
            return Frame(self._begins(view, start, end))
        key = found.structure is not None
        self._structure = found.structure or self._structure
        layers = None if self._structure is None else self._structure.layers_of(found.template)
        if layers is None:
            return Frame(keyframe=False, frame_number_at=at + dependency.NUMBER_AT)
        spatial, temporal = layers
        begins = found.begins and spatial == 0
        return Frame(
            key and begins,
            temporal,
            begins=begins,
            spatial=spatial,
            ends=found.ends,
            intra=key,
            frame_number_at=at + dependency.NUMBER_AT,
        )


def _telling(begins: Callable[[memoryview, int, int], bool]) -> Reader:
    return lambda view, start, end: Frame(begins(view, start, end)) if start < end else None


def _opaque(view: memoryview, start: int, end: int) -> Frame | None:
    # Nothing is known of it: any packet is as good as another.
    return Frame(keyframe=True) if start < end else None


_READERS: dict[str, Reader] = {"vp8": _vp8, "vp9": _vp9} | {
    codec: _telling(begins) for codec, begins in keyframe.BY_CODEC.items()
}


def reader(codec: str | None, dependency_id: int = 0) -> Reader:
    """For one stream of a codec, by its name in lower case; ``dependency_id``: its descriptor's, 0 without one."""
    if dependency_id and codec in keyframe.BY_CODEC:
        return _Described(dependency_id, keyframe.BY_CODEC[codec])
    return _READERS.get(codec or "", _opaque)
