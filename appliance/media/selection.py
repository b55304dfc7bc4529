"""Which of a source's streams a receiver gets: an encoding of simulcast, and how much of its layers.

Stands before a :class:`~appliance.media.send.TxStream` where its source sends simulcast or somebody has asked for
layers of SVC, and after a switch from one source to another; streams that need none of this go past it. A change waits
for a key frame of what is wanted, which is asked for; until it comes, what flows goes on.
"""

from typing import TYPE_CHECKING

from appliance.core.peer import LayerListener, Layers
from appliance.media.frames import Frame, reader
from appliance.media.receive import RxStream
from appliance.media.simulcast import MAX_SUBSTREAMS
from appliance.media.spatial import FALLBACK_SECONDS, layers_are_told
from appliance.media.thinning import Thinning
from appliance.media.udp import Slot
from appliance.wire import dependency, vp8
from appliance.wire.rtp import RtpDecodeError, header_length

if TYPE_CHECKING:
    from appliance.media.hearing import Heard
    from appliance.media.line import Line
    from appliance.media.path import MediaPath
    from appliance.media.send import TxStream

_ASK_SECONDS = 1.0
"""Between two requests for the key frame that a change waits for."""
_PATIENCE_SECONDS = 3.0
"""After which a source is taken without a key frame: there may be none that we can tell, as in an encrypted payload."""


class Selection:
    """A sink of packets like the :class:`TxStream` behind it, or what a listener hears."""

    def __init__(self, tx: "TxStream | Heard") -> None:
        self.tx = tx
        self.path: MediaPath = tx.path
        self.substream_target = MAX_SUBSTREAMS - 1
        self.fallback = FALLBACK_SECONDS
        """Seconds of silence, after which the next lower encoding stands in."""
        self.told: LayerListener | None = None
        self.after_switch = False
        """The source is not the first: pictures have to join on."""
        self._by_layer = False
        """Somebody has asked for layers of SVC."""
        self._current: RxStream | None = None
        self._substream_told = self._temporal_told = self._spatial_told = -1
        self._thinning = Thinning()
        self._asked: RxStream | None = None
        self._asked_at = self._waits_since = 0.0
        self._read = reader(None)
        self._last_frame = -1
        self._frames = 0
        """What is added to numbers of frames."""

    # --- what is wanted ----------------------------------------------------------------------------------------

    def serves(self, line: "Line") -> bool:
        """Its packets come through here."""
        return self.after_switch or self.chooses(line)

    def chooses(self, line: "Line") -> bool:
        """There is something to choose from in what that line sends."""
        return line.encodings is not None or (self._by_layer and layers_are_told(line.medium.codec, line.extensions))

    @property
    def layers(self) -> Layers:
        """What flows and what is wanted."""
        return Layers(
            substream=self._substream_told,
            substream_target=self.substream_target,
            temporal=self._temporal_told,
            temporal_target=self._thinning.target,
            spatial=self._spatial_told,
            spatial_target=self._thinning.spatial.target,
        )

    def want(
        self, *, substream: int | None, temporal: int | None, fallback: float | None, spatial: int | None = None
    ) -> None:
        """From the next packet on; ``None`` leaves things as they are."""
        if fallback is not None:
            self.fallback = self._thinning.spatial.fallback = fallback
        if spatial is not None:
            self._by_layer = True
            self._thinning.spatial.target = spatial
            self._asked = None
        if substream is not None:
            self.substream_target = substream
            self._asked = None
        if temporal is not None:
            raises = temporal > self._thinning.target
            self._thinning.target = temporal
            current = self._current
            if raises and current is not None and not (self.tx.starts_anew or self._thinning.switches_up):
                # Where layers are not told apart by their sync bits, a key frame lets the higher ones in.
                current.line.path.request_keyframe(current.line, current)

    def switch(self, packet: bytes | None) -> None:
        """Another source follows, and this plain packet was sent last, where one is kept."""
        known, self.after_switch = self.after_switch, True
        self._substream_told = self._temporal_told = self._spatial_told = -1
        if known or packet is None or self.tx.line.medium.codec != "vp8":
            return
        found = vp8.read(packet, header_length(packet), len(packet))
        if found is not None:
            self._thinning.continue_from(found.picture_id, found.tl0_index)

    # --- every packet ------------------------------------------------------------------------------------------

    def forward(self, slot: Slot, length: int, second: int, sequence: int, timestamp: int, source: RxStream) -> None:
        """Send the plain packet in ``slot`` if it is of what is wanted."""
        tx = self.tx
        if tx.held or tx.context is None:
            return
        view = slot[0]
        try:
            start = header_length(view[:length])
        except RtpDecodeError:
            return
        turns = source is not self._current or tx.starts_anew
        if turns:
            line = source.line
            self._read = reader(line.medium.codec, line.extensions.get(dependency.EXTENSION, 0))
        padding = view[length - 1] if view[0] & 0x20 else 0
        frame = self._read(view, start, length - padding)
        thinning = self._thinning
        if turns and self._current is None and tx.source is source and not tx.starts_anew:
            # It came past us until now, and goes on.
            if frame is None or sequence != source.highest:
                tx.forward(slot, length, second, sequence, timestamp, source)
                return
            self._current = source
            thinning.join(sequence, timestamp, frame)
        elif turns:
            if frame is None or not self._turns_to(source, frame, sequence):
                return
            thinning.begin(sequence, frame)
            if frame.frame_number_at and self._last_frame >= 0:
                self._frames = self._last_frame + 1 - int.from_bytes(view[frame.frame_number_at :][:2], "big")
        numbers = thinning.take(sequence, timestamp, frame, source.arrived)
        if thinning.closed:
            tx.skip(thinning.closed)
        if numbers is not None:
            if numbers.empty:
                # Padding alone (RFC 3550 section 5.1), so that the receiver does not ask for it again and again.
                view[0] |= 0x20
                view[start] = 1
                length, second = start + 1, second & 0x7F
            elif frame is not None and frame.vp8 is not None:
                vp8.renumber(view, frame.vp8, numbers.picture_id, numbers.tl0_index)
            if numbers.ends:
                second |= 0x80
            if frame is not None and frame.frame_number_at:
                self._number_frame(view, frame.frame_number_at)
            tx.forward(slot, length, second, sequence + numbers.shift, timestamp, source)
        if thinning.spatial.waits:
            self._ask(source, source.arrived)
        if thinning.spatial.flows != self._spatial_told:
            self._spatial_told = thinning.spatial.flows
            self._tell("spatial", self._spatial_told)
        if self._thinning.temporal != self._temporal_told:
            self._temporal_told = self._thinning.temporal
            self._tell("temporal", self._temporal_told)
        if turns and source.substream != self._substream_told:
            self._substream_told = source.substream
            self._tell("substream", self._substream_told)

    def _number_frame(self, view: memoryview, at: int) -> None:
        """Join on to the frames of the source before: a receiver drops what seems to be older than the last."""
        number = (view[at] << 8 | view[at + 1]) + self._frames & 0xFFFF
        view[at], view[at + 1] = number >> 8, number & 0xFF
        if self._last_frame < 0 or (number - self._last_frame) & 0xFFFF < 0x8000:
            self._last_frame = number

    def _turns_to(self, source: RxStream, frame: Frame, sequence: int) -> bool:
        """Whether the packet is the first of a source that is to take over."""
        now = source.arrived
        if source.substream != self._best(source.line, now) or sequence != source.highest:
            return False
        if not frame.keyframe:
            self._ask(source, now)
            current = None if self.tx.starts_anew else self._current
            flows = current is not None and now - current.arrived < _PATIENCE_SECONDS
            if flows or now - self._waits_since < _PATIENCE_SECONDS:
                return False
        self._current, self._asked = source, None
        return True

    def _ask(self, source: RxStream, now: float) -> None:
        if source is self._asked and now - self._asked_at < _ASK_SECONDS:
            return
        if source is not self._asked or now - self._asked_at > _PATIENCE_SECONDS:
            self._waits_since = now
        self._asked, self._asked_at = source, now
        source.line.path.request_keyframe(source.line, source)

    def _best(self, line: "Line", now: float) -> int:
        """The wanted encoding, or the next lower one that is not silent; the lowest where all of these are."""
        speaking = [stream.substream for stream in line.streams if now - stream.arrived < self.fallback]
        return max((one for one in speaking if one <= self.substream_target), default=min(speaking, default=0))

    def _tell(self, what: str, layer: int) -> None:
        # What has no layers has nothing to tell, be it here for its switches alone.
        if self.told is None or layer < 0 or self._current is None or not self.chooses(self._current.line):
            return
        if what == "temporal" or (what == "substream") is (self._current.line.encodings is not None):
            self.told(what, layer)
