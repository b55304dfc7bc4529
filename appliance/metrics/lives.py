"""Handles and PeerConnections that are alive, as far as their events tell. Everything is bounded."""

from collections import OrderedDict
from typing import NamedTuple

from appliance.metrics.setup import Setup
from appliance.metrics.text import clean
from appliance.metrics.track import Track, kind_of

MAX_TRACKS = 256
"""Of one handle."""
QUIET_S = 30.0
"""How long a handle may go on after its session ended (the last statistics come after the end), or a handle shown may
be quiet before another takes its place."""


class HandleKey(NamedTuple):
    """What names a handle; ids of different servers may meet."""

    emitter: str
    session_id: int
    handle_id: int


class Peer:
    """One PeerConnection."""

    __slots__ = ("detail", "dtls", "retransmissions", "seen_media", "setup", "state", "up_at")

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.state = "setup"
        self.up_at: float | None = None
        """Monotonic seconds."""
        self.seen_media = False
        self.dtls: str | None = None
        """The last state; ``None`` also once the handshake is counted."""
        self.detail: str | None = None
        """The outcome that a DTLS detail told."""
        self.retransmissions = 0


class Life:
    """One handle."""

    __slots__ = (
        "attached", "ended_peers", "key", "known", "labels", "last_shown", "opaque_id", "peer", "plugin", "room",
        "round_trip", "seen_at", "server", "stalled", "tracks",
    )  # fmt: skip

    def __init__(self, key: HandleKey, server: str, *, known: bool, now: float) -> None:
        self.key = key
        self.server = server
        """As a label."""
        self.known = known
        """Its beginning was seen as it happened, so its counts begin at 0."""
        self.attached = False
        """Its beginning was told, be it again."""
        self.plugin = ""
        self.room = ""
        self.opaque_id: str | None = None
        self.peer: Peer | None = None
        self.ended_peers = 0
        self.tracks: dict[str, Track] = {}
        self.stalled: set[str] = set()
        """Keys of the media that have stopped arriving."""
        self.round_trip: float | None = None
        """Seconds; the newest of any track of this PeerConnection."""
        self.seen_at = now
        self.last_shown = False
        """The tracks of an ended PeerConnection have been shown once more."""
        self.labels: str | None = None
        """Text of the handle's info, made when first shown; ``None`` again when it has changed."""

    def track(self, media: str, mid: str) -> Track | None:
        """The track of that name, made if need be; ``None`` when there are too many."""
        found = self.tracks.get(mid)
        if found is None:
            mid = clean(mid)
            found = self.tracks.get(mid)
        if found is None and len(self.tracks) < MAX_TRACKS:
            found = self.tracks[mid] = Track(mid, kind_of(media), from_zero=self.known)
        return found

    def next_peer(self, peer: Peer) -> None:
        """A PeerConnection begins: its counts start anew."""
        self.peer = peer
        self.stalled.clear()
        self.last_shown = False
        self.round_trip = None
        if self.ended_peers:
            self.tracks = {}
            self.known = True


class Recent:
    """Keys of what ended lately, so that a late event does not bring it back to life."""

    def __init__(self, size: int = 10_000) -> None:
        self._keys: OrderedDict[object, None] = OrderedDict()
        self._size = size

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def add(self, key: object) -> None:
        """Remember it; the oldest is forgotten."""
        self._keys[key] = None
        if len(self._keys) > self._size:
            self._keys.popitem(last=False)

    def discard(self, key: object) -> None:
        """It is alive again."""
        self._keys.pop(key, None)
