"""Which m-lines, and which encodings of simulcast, have media coming in just now: Janus's ``media`` events."""

from collections.abc import Callable, Iterable

from appliance.core.events import Body, MediaState
from appliance.media.line import Line
from appliance.media.receive import RxStream


class Activity:
    """Of one path. A packet begins it (:meth:`began`), the clock ends it (:meth:`check_silence`)."""

    def __init__(self, emit: Callable[[Body], None]) -> None:
        self._emit = emit

    def began(self, stream: RxStream) -> None:
        """A packet of a stream that was not live."""
        line = stream.line
        if line.encodings is not None:
            if not any(other.live for other in line.streams if other.substream == stream.substream):
                self._tell(line, receiving=True, substream=stream.substream)
            line.receiving = stream.live = True
            return
        stream.live = True
        if not line.receiving:
            line.receiving = True
            self._tell(line, receiving=True)

    def check_silence(self, lines: Iterable[Line], now: float, limit: float) -> None:
        """Tell of what has sent nothing for ``limit`` seconds."""
        # Janus tells the seconds only where the timer is longer than its default.
        seconds = int(limit) if limit > 1 else None
        for line in lines:
            if not line.receiving:
                continue
            substreams = (None,) if line.encodings is None else (0, *line.higher_substreams)
            for substream in substreams:
                streams = [stream for stream in line.streams if substream in {None, stream.substream}]
                latest = line.latest(substream)
                if latest is None or now - latest.arrived < limit or not any(stream.live for stream in streams):
                    continue
                for stream in streams:
                    stream.live = False
                self._tell(line, receiving=False, substream=substream, seconds=seconds)
            line.receiving = any(stream.live for stream in line.streams)

    def _tell(self, line: Line, *, receiving: bool, substream: int | None = None, seconds: int | None = None) -> None:
        kind, mid = line.medium.kind, line.medium.mid
        self._emit(MediaState(media=kind, mid=mid, substream=substream, receiving=receiving, seconds=seconds))

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after the path's end."""
        del self._emit
