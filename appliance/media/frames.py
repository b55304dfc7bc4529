"""What a packet's payload says of its frame, by codec: enough to switch between sources and to leave layers out."""

from collections.abc import Callable
from typing import NamedTuple

from appliance.wire import keyframe, vp8, vp9
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
    """-1: there is none, or it may stay as it is."""
    tl0_index: int = -1
    vp8: Vp8Descriptor | None = None


Reader = Callable[[memoryview, int, int], Frame | None]
"""Reads the payload in ``view[start:end]``; ``None``: it holds none."""


def _vp8(view: memoryview, start: int, end: int) -> Frame | None:
    found = vp8.read(view, start, end)
    if found is None:
        return None
    return Frame(found.keyframe, found.temporal, found.sync, found.picture_id, found.tl0_index, found)


def _vp9(view: memoryview, start: int, end: int) -> Frame | None:
    # Picture ids stay as they are: those of left out pictures are told by their references (RFC 9628 section 4.2).
    found = vp9.read(view, start, end)
    return None if found is None else Frame(found.keyframe, found.temporal, found.switching_up)


def _telling(begins: Callable[[memoryview, int, int], bool]) -> Reader:
    return lambda view, start, end: Frame(begins(view, start, end)) if start < end else None


def _opaque(view: memoryview, start: int, end: int) -> Frame | None:
    # Nothing is known of it: any packet is as good as another.
    return Frame(keyframe=True) if start < end else None


_READERS: dict[str, Reader] = {"vp8": _vp8, "vp9": _vp9} | {
    codec: _telling(begins) for codec, begins in keyframe.BY_CODEC.items()
}


def reader(codec: str | None) -> Reader:
    """For a codec by its name in lower case."""
    return _READERS.get(codec or "", _opaque)
