"""Temporal layers left out of a stream, with the numbers closed up behind them.

Whole frames are left out, never a part of one. A packet that is late takes the numbers that were kept for it.
"""

from collections import deque
from typing import NamedTuple

from appliance.media.frames import Frame
from appliance.media.receive import MAX_DROPOUT

_WINDOW = 512
"""Packets back to which a late one still finds its numbers; a power of two."""
_PICTURES_REMEMBERED = 16


class Numbers(NamedTuple):
    """Of a packet that passes."""

    shift: int
    """What to add to its sequence number for having been kept a place before others were left out."""
    picture_id: int
    tl0_index: int


class _Place(NamedTuple):
    sequence: int
    skipped: int
    pictures: int


class Thinning:
    """One run of numbers after another: :meth:`begin` joins a new source's to where those before ended."""

    def __init__(self) -> None:
        self.target = 2
        """The highest temporal layer that is wanted."""
        self.temporal = -1
        """The highest that passes; -1: there are none."""
        self.skipped = 0
        """Packets left out in this run."""
        self._limit = 2
        self._highest = 0
        self._timestamp = -1
        self._passes = True
        self._places: list[_Place | None] = [None] * _WINDOW
        self._left_out: deque[int] = deque(maxlen=_PICTURES_REMEMBERED)
        self._pictures = self._tl0s = 0
        self._last_picture = self._last_tl0 = -1

    def continue_from(self, picture_id: int, tl0_index: int) -> None:
        """These numbers were sent last, by somebody else."""
        self._last_picture, self._last_tl0 = picture_id, tl0_index

    def begin(self, sequence: int, frame: Frame) -> None:
        """Another source's packets follow, from this one on."""
        self._highest = (sequence - 1) & 0xFFFF
        self._restart()
        self._timestamp, self._limit, self.temporal = -1, self.target, -1
        self._pictures = 0 if self._last_picture < 0 else self._last_picture + 1 - frame.picture_id
        self._tl0s = 0 if self._last_tl0 < 0 else self._last_tl0 + 1 - frame.tl0_index

    def _restart(self) -> None:
        self.skipped = 0
        self._places = [None] * _WINDOW
        self._left_out.clear()

    def take(self, sequence: int, timestamp: int, frame: Frame | None) -> Numbers | None:
        """The numbers of a packet; ``None`` leaves it out. A payload that is empty or cut short is left out."""
        step = (sequence - self._highest) & 0xFFFF
        if not 0 < step < MAX_DROPOUT:
            if step == 0 or step > 0x10000 - _WINDOW:
                return self._late(sequence, frame)
            # The source began anew under the same SSRC.
            self._restart()
            step = 1
        place = _Place(sequence, self.skipped, self._pictures)
        for back in range(1, min(step, _WINDOW)):
            missing = (sequence - back) & 0xFFFF
            self._places[missing % _WINDOW] = place._replace(sequence=missing)
        self._highest = sequence
        if frame is not None and timestamp != self._timestamp:
            self._timestamp = timestamp
            self._passes = self._admits(frame)
            if not self._passes:
                self._pictures -= 1
                if frame.picture_id >= 0:
                    self._left_out.append(frame.picture_id)
        if frame is None or not self._passes:
            self.skipped += 1
            self._places[sequence % _WINDOW] = None
            return None
        self._places[sequence % _WINDOW] = place
        if frame.picture_id >= 0:
            self._last_picture = (frame.picture_id + self._pictures) & 0x7FFF
        if frame.tl0_index >= 0:
            self._last_tl0 = (frame.tl0_index + self._tl0s) & 0xFF
        return Numbers(0, self._last_picture, self._last_tl0)

    def _late(self, sequence: int, frame: Frame | None) -> Numbers | None:
        place = self._places[sequence % _WINDOW]
        if frame is None or place is None or place.sequence != sequence or frame.picture_id in self._left_out:
            return None
        pictures, tl0s = frame.picture_id + place.pictures, frame.tl0_index + self._tl0s
        return Numbers(self.skipped - place.skipped, pictures & 0x7FFF, tl0s & 0xFF)

    def _admits(self, frame: Frame) -> bool:
        layer = frame.temporal
        if frame.keyframe:
            self._limit = self.target
        if layer < 0:
            return True
        if self._limit < layer <= self.target and frame.sync:
            self._limit = layer
        self._limit = min(self._limit, self.target)
        passes = layer <= self._limit
        self.temporal = max(self.temporal, layer) if passes else min(self.temporal, self._limit)
        return passes
