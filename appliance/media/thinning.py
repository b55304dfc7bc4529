"""Layers left out of a stream, with the numbers closed up behind them.

Whole frames are left out, never a part of one. A packet that is late takes the numbers that were kept for it.
"""

from collections import deque
from typing import NamedTuple

from appliance.media.frames import Frame
from appliance.media.receive import MAX_DROPOUT
from appliance.media.spatial import SpatialLayers

_WINDOW = 512
"""Packets back to which a late one still finds its numbers; a power of two."""
_PICTURES_REMEMBERED = 16


class Numbers(NamedTuple):
    """Of a packet that passes."""

    shift: int
    """What to add to its sequence number for having been kept a place before others were left out."""
    picture_id: int
    tl0_index: int
    ends: bool = False
    """The picture ends here, because what follows of it is left out."""
    empty: bool = False
    """What came late is left out, and only its number goes on, since nobody else has it."""


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
        self.spatial = SpatialLayers()
        self.skipped = 0
        """Packets left out in this run."""
        self.closed = 0
        """Of them, those that the last packet told of: itself, and such before it as did not come."""
        self.switches_up = False
        """Higher temporal layers begin without a key frame, as the source says."""
        self._limit = 2
        self._highest = 0
        self._timestamp = self._number = -1
        self._passing = -1
        """The highest spatial layer that passes of the picture at hand; -1: it is left out."""
        self._rest_left_out = False
        """Whatever follows of the picture at hand is left out."""
        self._places: list[_Place | None] = [None] * _WINDOW
        self._known: deque[tuple[int, int]] = deque(maxlen=_PICTURES_REMEMBERED)
        """Timestamp and what passed of the last pictures."""
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
        self.spatial.begin()
        self.switches_up = False
        self._pictures = 0 if self._last_picture < 0 else self._last_picture + 1 - frame.picture_id
        self._tl0s = 0 if self._last_tl0 < 0 else self._last_tl0 + 1 - frame.tl0_index

    def join(self, sequence: int, timestamp: int, frame: Frame) -> None:
        """A source that went on unthinned goes on from this packet: its picture passes as a whole."""
        self.begin(sequence, frame)
        self._begin_picture(timestamp, frame, 7)

    def _restart(self) -> None:
        self.skipped = 0
        self._places = [None] * _WINDOW
        self._known.clear()
        self._rest_left_out = False

    def take(self, sequence: int, timestamp: int, frame: Frame | None, now: float = 0.0) -> Numbers | None:
        """The numbers of a packet; ``None`` leaves it out. A payload that is empty or cut short is left out.

        ``now``, in seconds, tells when a spatial layer has fallen silent.
        """
        self.closed = 0
        step = (sequence - self._highest) & 0xFFFF
        if not 0 < step < MAX_DROPOUT:
            if step == 0 or step > 0x10000 - _WINDOW:
                return self._late(sequence, timestamp, frame)
            # The source began anew under the same SSRC.
            self._restart()
            step = 1
        pictures, follows = self._pictures, False
        if frame is not None and timestamp != self._timestamp:
            follows = frame.begins and _follows(frame.number, self._number)
            self.spatial.picture(key=frame.intra)
            self._begin_picture(timestamp, frame, self.spatial.limit if self._admits(frame) else -1)
        elif frame is not None:
            follows = frame.spatial > self._passing
        if step > 1:
            # What is missing between two packets that are left out is left out as well: nobody is to wait for it.
            self._pass_over(sequence, step, pictures, closes=follows and self._rest_left_out)
        self._highest = sequence
        if frame is None or frame.spatial > self._passing:
            self._close(sequence)
            if frame is not None:
                self._rest_left_out = True
                if self._passing >= 0:
                    self.spatial.left_out(frame.spatial)
            return None
        ends = frame.ends and frame.spatial == self._passing
        self._rest_left_out = ends
        self.spatial.passed(frame.spatial, now)
        self._places[sequence % _WINDOW] = _Place(sequence, self.skipped, pictures)
        if frame.picture_id >= 0:
            self._last_picture = (frame.picture_id + self._pictures) & 0x7FFF
        if frame.tl0_index >= 0:
            self._last_tl0 = (frame.tl0_index + self._tl0s) & 0xFF
        return Numbers(0, self._last_picture, self._last_tl0, ends)

    def _begin_picture(self, timestamp: int, frame: Frame, passing: int) -> None:
        self._timestamp, self._number, self._passing = timestamp, frame.number, passing
        self._known.append((timestamp, passing))
        if passing < 0:
            self._pictures -= 1

    def _pass_over(self, sequence: int, step: int, pictures: int, *, closes: bool) -> None:
        """Keep numbers for what is missing before a packet, or close up over it."""
        for back in range(min(step, _WINDOW) - 1, 0, -1):
            missing = (sequence - back) & 0xFFFF
            if closes and step <= _WINDOW:
                self._close(missing)
            else:
                self._places[missing % _WINDOW] = _Place(missing, self.skipped, pictures)

    def _close(self, sequence: int) -> None:
        self._places[sequence % _WINDOW] = None
        self.skipped += 1
        self.closed += 1

    def _late(self, sequence: int, timestamp: int, frame: Frame | None) -> Numbers | None:
        place = self._places[sequence % _WINDOW]
        if place is None or place.sequence != sequence:
            return None
        shift = self.skipped - place.skipped
        if frame is None:
            return Numbers(shift, -1, -1, empty=True)
        passing = next((passing for known, passing in self._known if known == timestamp), None)
        if passing is None:
            # All of the picture is late.
            passing = self.spatial.limit if frame.temporal <= self._limit else -1
            self._known.append((timestamp, passing))
        if frame.spatial > passing:
            return Numbers(shift, -1, -1, empty=True)
        pictures, tl0s = frame.picture_id + place.pictures, frame.tl0_index + self._tl0s
        ends = frame.ends and frame.spatial == passing
        return Numbers(shift, pictures & 0x7FFF, tl0s & 0xFF, ends)

    def _admits(self, frame: Frame) -> bool:
        layer = frame.temporal
        if frame.keyframe or frame.intra:
            self._limit = self.target
        if layer < 0:
            return True
        if self._limit < layer <= self.target and frame.sync:
            self._limit = layer
        self._limit = min(self._limit, self.target)
        passes = layer <= self._limit
        self.temporal = max(self.temporal, layer) if passes else min(self.temporal, self._limit)
        if passes and frame.switches_up:
            self._limit = self.target
        if layer == 0:
            self.switches_up = frame.switches_up
        return passes


def _follows(number: int, before: int) -> bool:
    """Two pictures are neighbours; their numbers have 7 or 15 bits."""
    return before >= 0 and (number == before + 1 or (number == 0 and before in {0x7F, 0x7FFF}))
