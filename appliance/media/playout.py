"""How long a receiver is told to hold media before it plays them: the playout delay header extension.

webrtc.org/experiments/rtp-hdrext/playout-delay: three bytes, 12 bits each of minimum and maximum, in units of 10 ms.
"""

import struct

from appliance.wire.extensions import extension_at

EXTENSION = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
MAX_MS = 40_950
_MAX_PACKET = 1400
"""Larger ones would not fit a datagram everywhere with the extension added."""
_ONE_BYTE = 0xBEDE
_HEAD = struct.Struct("!HH")
_VALUE_BYTES = 3


class PlayoutDelay:
    """One delay, to be written into each packet of a stream. Both ends are milliseconds, 0..40,950."""

    __slots__ = ("maximum_ms", "minimum_ms", "value")

    def __init__(self, minimum_ms: int, maximum_ms: int) -> None:
        self.minimum_ms = min(max(0, minimum_ms), MAX_MS)
        self.maximum_ms = min(max(self.minimum_ms, maximum_ms), MAX_MS)
        self.value = (self.minimum_ms // 10 << 12 | self.maximum_ms // 10).to_bytes(_VALUE_BYTES, "big")
        """As it stands in the extension."""

    def write(self, view: memoryview, length: int, number: int) -> int:
        """Put it into an RTP packet under the extension id ``number``; the packet's length then.

        A packet that has no room for it, or a header extension of another kind, stays as it is.
        """
        at, size = extension_at(view, length, number)
        if size == _VALUE_BYTES:
            view[at : at + size] = self.value
            return length
        start = 12 + 4 * (view[0] & 15)
        if length > _MAX_PACKET or start > length or size:
            return length
        if not view[0] & 0x10:
            if number > 14:
                return length
            element = bytes([number << 4 | _VALUE_BYTES - 1]) + self.value
            view[0] |= 0x10
            return _insert(view, start, length, _HEAD.pack(_ONE_BYTE, 1) + element)
        if start + 4 > length:
            return length
        profile, words = _HEAD.unpack_from(view, start)
        end = start + 4 + 4 * words
        if end > length:
            return length
        if profile == _ONE_BYTE:
            if number > 14:
                return length
            element = bytes([number << 4 | _VALUE_BYTES - 1]) + self.value
        elif profile & 0xFFF0 == 0x1000:
            element = bytes([number, _VALUE_BYTES]) + self.value + bytes(3)
        else:
            return length
        _HEAD.pack_into(view, start, profile, words + len(element) // 4)
        return _insert(view, end, length, element)


def _insert(view: memoryview, at: int, length: int, data: bytes) -> int:
    rest = view[at:length].tobytes()
    after = at + len(data)
    view[at:after] = data
    view[after : after + len(rest)] = rest
    return length + len(data)
