"""Who hears what a participant sends: the meter of who talks, recordings, RTP forwarders. None costs where none is."""

from collections.abc import Callable

from appliance.core.peer import Listener, MediaSource, PeerConnection
from appliance.wire.extensions import extension_at

MAX_LEVEL = 127
"""RFC 6464: dBov below the loudest; 127 is silence."""


Heard = tuple[str, int | None]
"""A mid, and of simulcast one encoding; ``None``: the best of them, as one stream."""


class Ears:
    """Listeners by what they hear, put onto each PeerConnection of a participant."""

    def __init__(self) -> None:
        self._listeners: dict[Heard, tuple[Listener, ...]] = {}
        self._peer: PeerConnection | MediaSource | None = None

    def on(self, peer: PeerConnection | MediaSource | None) -> None:
        """Listen on this one from now on."""
        self._peer = peer
        for heard in self._listeners:
            self._tell(heard)

    def add(self, mid: str, listener: Listener, substream: int | None = None) -> None:
        """One more."""
        heard = mid, substream
        self._listeners[heard] = (*self._listeners.get(heard, ()), listener)
        self._tell(heard)

    def remove(self, mid: str, listener: Listener, substream: int | None = None) -> None:
        """One fewer; nothing happens where it isn't there."""
        heard = mid, substream
        left = tuple(one for one in self._listeners.get(heard, ()) if one != listener)
        self._listeners[heard] = left
        self._tell(heard)
        if not left:
            del self._listeners[heard]

    def clear(self) -> None:
        """None."""
        for heard in list(self._listeners):
            self._listeners[heard] = ()
            self._tell(heard)
        self._listeners.clear()

    def _tell(self, heard: Heard) -> None:
        if self._peer is None:
            return
        mid, substream = heard
        listeners = self._listeners[heard]
        if len(listeners) < 2:
            self._peer.listen(mid, listeners[0] if listeners else None, substream=substream)
            return

        def all_of_them(packet: memoryview) -> None:
            for listener in listeners:
                listener(packet)

        self._peer.listen(mid, all_of_them, substream=substream)


class TalkMeter:
    """Says when somebody begins and stops to talk, by the audio levels of their packets (RFC 6464).

    As Janus: the mean of so many packets, below ``average`` dBov is talking. ``changed(talks, mean)`` is told of each
    change; a packet without a level, or longer than a word, counts as silence.
    """

    def __init__(self, extension_id: int, packets: int, average: int, changed: Callable[[bool, float], None]) -> None:
        self.talking = False
        self._extension_id = extension_id
        self._packets = packets
        self._average = average
        self._changed = changed
        self._sum = self._count = 0

    def configure(self, packets: int | None, average: int | None) -> None:
        """Other thresholds, from the next packet on."""
        self._packets = packets or self._packets
        self._average = average if average is not None else self._average

    def __call__(self, packet: memoryview) -> None:
        """Take one packet."""
        offset, size = extension_at(packet, len(packet), self._extension_id)
        self._sum += packet[offset] & 0x7F if size else MAX_LEVEL
        self._count += 1
        if self._count < self._packets:
            return
        mean = self._sum / self._count
        self._sum = self._count = 0
        talks = mean < self._average
        if talks is not self.talking:
            self.talking = talks
            self._changed(talks, mean)
