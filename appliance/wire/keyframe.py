"""Where a key frame begins, in the payloads of H.264 (RFC 6184), H.265 (RFC 7798) and AV1 (its RTP specification).

What is in :data:`STARTS` says of VP8 and VP9 as well which packets begin a frame at all, for who counts key frames.
"""

from collections.abc import Callable

from appliance.wire import vp8, vp9

Buffer = bytes | bytearray | memoryview

_H264_IDR, _H264_SPS = 5, 7
_H264_FIRST_SLICE, _H264_LAST_SLICE = 1, 5
_H264_STAP_A, _H264_FU_A = 24, 28
_H265_FIRST_IRAP, _H265_LAST_IRAP, _H265_VPS, _H265_SPS = 16, 21, 32, 33
_H265_AP, _H265_FU = 48, 49


def h264(data: Buffer, start: int, end: int) -> bool:
    """An IDR slice or the parameters before it, alone, in a STAP-A, or at the start of an FU-A."""
    if start >= end:
        return False
    kind = data[start] & 0x1F
    if kind == _H264_FU_A:
        return start + 1 < end and bool(data[start + 1] & 0x80) and data[start + 1] & 0x1F in {_H264_IDR, _H264_SPS}
    if kind != _H264_STAP_A:
        return kind in {_H264_IDR, _H264_SPS}
    at = start + 1
    while at + 2 < end:
        if data[at + 2] & 0x1F in {_H264_IDR, _H264_SPS}:
            return True
        at += 2 + (data[at] << 8 | data[at + 1])
    return False


def h265(data: Buffer, start: int, end: int) -> bool:
    """A picture that can be decoded alone (IRAP) or the parameters before it, also first in an AP or an FU."""
    if start + 2 >= end:
        return False
    kind = data[start] >> 1 & 0x3F
    if kind == _H265_FU:
        return bool(data[start + 2] & 0x80) and _is_irap(data[start + 2] & 0x3F)
    if kind == _H265_AP:
        return start + 4 < end and _is_irap(data[start + 4] >> 1 & 0x3F)
    return _is_irap(kind)


def _is_irap(kind: int) -> bool:
    return _H265_FIRST_IRAP <= kind <= _H265_LAST_IRAP or kind in {_H265_VPS, _H265_SPS}


def av1(data: Buffer, start: int, end: int) -> bool:
    """N of the aggregation header: the packet is the first of a coded video sequence."""
    return start < end and bool(data[start] & 0x08)


BY_CODEC: dict[str, Callable[[Buffer, int, int], bool]] = {"h264": h264, "h265": h265, "av1": av1}
"""By the codec's name in lower case; those of VP8 and VP9 are told by their descriptors."""


def _vp9_start(data: Buffer, start: int, end: int) -> bool | None:
    found = vp9.read(data, start, end)
    return found.keyframe if found is not None and found.begins and found.spatial == 0 else None


def _h264_start(data: Buffer, start: int, end: int) -> bool | None:
    if h264(data, start, end):
        return True
    if start >= end:
        return None
    kind = data[start] & 0x1F
    if kind == _H264_FU_A:
        return False if start + 1 < end and data[start + 1] & 0x80 else None
    # A delimiter, SEI or a picture's parameters alone stand before what tells.
    return False if _H264_FIRST_SLICE <= kind <= _H264_LAST_SLICE else None


def _h265_start(data: Buffer, start: int, end: int) -> bool | None:
    if h265(data, start, end):
        return True
    if start + 2 >= end:
        return None
    kind = data[start] >> 1 & 0x3F
    if kind == _H265_FU:
        return False if data[start + 2] & 0x80 else None
    return False if kind < _H265_FIRST_IRAP else None


def _av1_start(data: Buffer, start: int, end: int) -> bool | None:
    # Z: its first element goes on from the packet before.
    return None if start >= end or data[start] & 0x80 else av1(data, start, end)


STARTS: dict[str, Callable[[Buffer, int, int], bool | None]] = {
    "vp8": vp8.begins_keyframe,
    "vp9": _vp9_start,
    "h264": _h264_start,
    "h265": _h265_start,
    "av1": _av1_start,
}
"""By the codec's name in lower case, of the payload in ``data[start:end]``: ``True``, a key frame begins; ``False``,
another frame does; ``None``: neither can be told from this packet."""
