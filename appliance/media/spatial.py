"""The spatial layers of SVC: one picture in several sizes in one stream, of which a receiver gets those up to one.

What passes changes between pictures: down at the next one, up at the next key picture, since only there no frame of a
layer needs an earlier one of its own. A layer that its sender leaves out for a while and takes up again goes on as it
comes: receivers have all that it builds upon.
"""

from collections.abc import Container

from appliance.wire import dependency

_IN_THE_PAYLOAD = frozenset({"vp9"})
_IN_AN_EXTENSION = frozenset({"av1"})
"""Codecs whose layers the dependency descriptor alone tells."""
HIGHEST = 2
"""Which a receiver gets that asks for none; WebRTC knows no higher."""
FALLBACK_SECONDS = 0.25
"""Of silence, after which a lower layer is what flows."""


def layers_are_told(codec: str | None, extensions: Container[str]) -> bool:
    """Whether packets of that codec, with those header extensions (URIs), tell what layers they are of."""
    return codec in _IN_THE_PAYLOAD or (codec in _IN_AN_EXTENSION and dependency.EXTENSION in extensions)


class SpatialLayers:
    """Of one source, for one receiver. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.target = HIGHEST
        """The highest that is wanted."""
        self.limit = HIGHEST
        """The highest that passes of the picture at hand."""
        self.flows = -1
        """The highest that comes and passes; -1 before the first picture is over."""
        self.waits = False
        """What is wanted comes, and needs a key picture to begin with."""
        self.fallback = FALLBACK_SECONDS
        self._top = -1
        self._latest = self._flowed = 0.0

    def begin(self) -> None:
        """Another source follows, or the same from a key picture on."""
        self.limit = self.target
        self.flows = self._top = -1
        self.waits = False

    def picture(self, *, key: bool) -> None:
        """A picture begins; ``key``: it needs no other."""
        if key or self.target < self.limit:
            self.limit = self.target
        if self.limit == self.target:
            self.waits = False
        if self._top >= 0:
            # Between two pictures everything is silent, however long: what counts is that others of it came.
            if self._top >= self.flows or self._latest - self._flowed >= self.fallback:
                self.flows, self._flowed = self._top, self._latest
            self._top = -1
        self.flows = min(self.flows, self.limit)

    def passed(self, layer: int, now: float) -> None:
        """A packet of that layer goes on."""
        self._latest = now
        self._top = max(self._top, layer)

    def left_out(self, layer: int) -> None:
        """A packet of that layer does not, though its picture does."""
        if layer <= self.target:
            self.waits = True
