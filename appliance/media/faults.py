"""Datagrams of a proven address that were of no use: how many of each kind, told as events."""

from collections.abc import Callable

from appliance.core.events import Body, MediaFault
from appliance.media.config import MAX_STREAMS

_DROPPED = {
    "srtp_auth": "srtp",
    "srtp_replay": "srtp",
    "malformed": "malformed",
    "ssrc_limit": "unknown_ssrc",
    "unknown_ssrc": "unknown_ssrc",
    "unknown_payload_type": "unknown_ssrc",
}
"""The engine's count for each kind of fault."""


class Faults:
    """Of one path. ``dropped`` counts for the whole engine."""

    def __init__(self, emit: Callable[[Body], None], dropped: Callable[[str], None]) -> None:
        self._emit = emit
        self._dropped = dropped
        self._counts: dict[tuple[str, int | None], int] = {}
        """By kind and SSRC, since they were told last; at most MAX_STREAMS SSRCs apart, further ones together."""

    def refuse(self, kind: str, ssrc: int | None = None) -> None:
        """Count a datagram that is dropped. ``kind`` is one of MediaFault's; without ``ssrc`` it is not known whose."""
        self.note(kind, ssrc)
        self._dropped(_DROPPED[kind])

    def note(self, kind: str, ssrc: int | None = None) -> None:
        """Count what costs no datagram."""
        key = (kind, ssrc)
        if key not in self._counts and len(self._counts) >= MAX_STREAMS:
            key = (kind, None)
        self._counts[key] = self._counts.get(key, 0) + 1

    def tell(self) -> None:
        """Emit what was counted since the last call."""
        counts, self._counts = self._counts, {}
        for (kind, ssrc), count in counts.items():
            self._emit(MediaFault(kind=kind, count=count, ssrc=ssrc))

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after the path's end."""
        del self._emit
