"""Key frames of one video source, counted as they come and as they go out.

A packet is looked at until the beginning of its frame has been seen: of a frame that comes whole, the first alone. A
beginning may be lost and come late, when it has been asked for again.
"""

from typing import TYPE_CHECKING

from appliance.wire import keyframe

if TYPE_CHECKING:
    from appliance.media.line import Line
    from appliance.media.send import TxStream


class Pictures:
    """Of one :class:`~appliance.media.receive.RxStream`."""

    __slots__ = ("_counted", "_line", "keyframes", "started")

    def __init__(self, line: "Line") -> None:
        self._line = line
        self.started = -1
        """Timestamp of the frame whose beginning was seen last: the others of its packets need no :meth:`look`."""
        self.keyframes = 0
        self._counted = -1

    def look(self, view: memoryview, length: int, timestamp: int) -> "list[tuple[TxStream, int]] | None":
        """Look at a plain packet; where a key frame begins, what :func:`passed` has to be told once it is sent on."""
        starts = keyframe.STARTS.get(self._line.medium.codec or "")
        if starts is None:
            self.started = timestamp
            return None
        first = view[0]
        start = 12 + 4 * (first & 15)
        if first & 0x10 and start + 4 <= length:
            start += 4 + 4 * (view[start + 2] << 8 | view[start + 3])
        begins = starts(view, start, length - view[length - 1] if first & 0x20 else length)
        if begins is None:
            return None
        self.started = timestamp
        if not begins or timestamp == self._counted:
            return None
        self._counted = timestamp
        self.keyframes += 1
        return [(tx, tx.packets) for tx in self._line.sinks]


def passed(routes: "list[tuple[TxStream, int]]") -> None:
    """A packet that begins a key frame went its ways: count it for those who got it."""
    for tx, packets in routes:
        tx.keyframes += tx.packets > packets
