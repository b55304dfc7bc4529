"""What somebody hears who listens to simulcast: one encoding at a time, as one stream.

Stands behind a :class:`~appliance.media.selection.Selection` in the place of a stream to a client, so that a listener
gets the highest encoding there is, changes begin with a key frame, and the numbers go on.
"""

from typing import TYPE_CHECKING

from appliance.core.peer import Listener
from appliance.media.receive import RxStream
from appliance.media.udp import Slot

if TYPE_CHECKING:
    from appliance.media.line import Line
    from appliance.media.path import MediaPath


class Heard:
    """The stream that ``listener`` is shown: under the first encoding's SSRC and numbers."""

    held = False
    context = True
    """It needs no keys."""

    def __init__(self, path: "MediaPath", line: "Line", listener: Listener) -> None:
        self.path = path
        self.line = line
        self.listener = listener
        self.source: RxStream | None = None
        """What was heard last."""
        self._ssrc = 0
        self._sequence = self._timestamp = 0
        """Those heard last."""
        self._heard_at = 0.0
        self._sequence_offset = self._timestamp_offset = 0

    @property
    def starts_anew(self) -> bool:
        """Nothing has been heard yet."""
        return self.source is None

    def skip(self, count: int = 1) -> None:
        """Packets of the source are left out."""
        self._sequence_offset -= count

    def forward(self, slot: Slot, length: int, second: int, sequence: int, timestamp: int, source: RxStream) -> None:
        """Show the packet in ``slot``, changing it there."""
        if source is not self.source:
            if self.source is None:
                self._ssrc = source.ssrc
            else:
                self._sequence_offset = self._sequence + 1 - sequence
                ticks = max(1, int((source.arrived - self._heard_at) * source.clock_rate))
                self._timestamp_offset = self._timestamp + ticks - timestamp
            self.source = source
        sequence = (sequence + self._sequence_offset) & 0xFFFF
        timestamp = (timestamp + self._timestamp_offset) & 0xFFFFFFFF
        view = slot[0]
        view[2:4] = sequence.to_bytes(2, "big")
        view[4:8] = timestamp.to_bytes(4, "big")
        view[8:12] = self._ssrc.to_bytes(4, "big")
        if (sequence - self._sequence) & 0xFFFF < 0x8000:
            # What comes late, out of its turn, is not the end.
            self._sequence, self._timestamp, self._heard_at = sequence, timestamp, source.arrived
        self.listener(view[:length])
