"""The phases of setting up one PeerConnection, timed by the events' own clock.

Pure: each event in, each decided phase out through a callback, once.
"""

from collections.abc import Callable

from appliance.core.events import UNTOLD

FIRST_MEDIA_S = 5.0
"""After so long without audio or video from a client that negotiated to send some, it is taken for missing."""

Observe = Callable[[str, str, float], None]
"""Takes phase, outcome (:data:`appliance.metrics.names.OUTCOME`) and seconds."""


def directions(sdp: str) -> list[str]:
    """The direction of each m-line; inactive for those that are refused or neither audio nor video (RFC 8866)."""
    found: list[str] = []
    session = "sendrecv"
    bundle_only = refused = other = False
    direction = session

    def close() -> None:
        if started:
            found.append("inactive" if other or (refused and not bundle_only) else direction)

    started = False
    for line in sdp.splitlines():
        if line.startswith("m="):
            close()
            started = True
            media, _, rest = line[2:].partition(" ")
            other = media not in {"audio", "video"}
            refused = rest.partition(" ")[0] == "0"
            bundle_only = False
            direction = session
        elif line in {"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"}:
            direction = line[2:]
            if not started:
                session = direction
        elif line == "a=bundle-only":
            bundle_only = True
    close()
    return found


class Setup:
    """What has been seen of one PeerConnection's beginning."""

    __slots__ = ("_done", "_first_owner", "_ice_failed_us", "_local", "_observe", "_open", "_remote")

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._open: dict[str, int] = {}
        self._done: set[str] = set()
        self._first_owner: str | None = None
        self._ice_failed_us: int | None = None
        self._local: list[str] = []
        self._remote: list[str] = []

    def _begin(self, phase: str, us: int) -> None:
        if phase not in self._done:
            self._open.setdefault(phase, us)

    def _end(self, phase: str, outcome: str, us: int) -> None:
        began = self._open.pop(phase, None)
        if began is not None:
            self._done.add(phase)
            # A wall clock may step back; a phase never takes less than no time.
            self._observe(phase, outcome, max(0.0, (us - began) / 1e6))

    @property
    def expects_media(self) -> bool:
        """Whether the client negotiated to send audio or video."""
        return any(
            theirs in {"sendrecv", "sendonly"} and ours in {"sendrecv", "recvonly"}
            for theirs, ours in zip(self._remote, self._local, strict=False)
        )

    def described(self, owner: str, sdp: str, us: int) -> None:
        """A description: the first begins, the first of the other side ends the signalling."""
        if owner == "local":
            self._local = directions(sdp)
            self._end("gathering", "ok", us)
        else:
            self._remote = directions(sdp)
        if self._first_owner is None:
            self._first_owner = owner
            self._begin("signalling", us)
        elif owner != self._first_owner:
            self._end("signalling", "ok", us)

    def ice(self, state: str, us: int) -> None:
        """An ICE state."""
        if state == "gathering":
            self._begin("gathering", us)
        elif state == "connecting":
            self._end("gathering", "ok", us)
            self._begin("ice", us)
        elif state in {"connected", "ready"}:
            self._end("ice", "ok", us)
        elif state == "failed" and "ice" in self._open:
            # Not the last word: a late candidate can still connect.
            self._ice_failed_us = us

    def dtls(self, state: str, us: int) -> None:
        """A DTLS state."""
        if state == "trying":
            self._begin("dtls", us)
        elif state in {"connected", "failed"}:
            self._end("dtls", "ok" if state == "connected" else "failed", us)

    def up(self, us: int) -> None:
        """ICE and DTLS are done."""
        if self.expects_media:
            self._begin("first_media", us)

    def media(self, us: int) -> None:
        """Audio or video arrives."""
        self._end("first_media", "ok", us)

    def end(self, reason: str | None, us: int) -> None:
        """The PeerConnection has ended: whatever is open is decided."""
        text = reason or ""
        if text == UNTOLD:
            # Long ago, perhaps: nobody knows what had become of it.
            self._open.clear()
        for phase, began in list(self._open.items()):
            outcome, at = "abandoned", us
            if phase == "ice" and (self._ice_failed_us is not None or text == "ICE failed"):
                outcome, at = "failed", self._ice_failed_us or us
            elif phase == "gathering" and text in {"Gathering error", "ICE gathering error"}:
                outcome = "failed"
            elif phase == "dtls" and text.startswith("DTLS"):
                outcome = "timeout" if text == "DTLS timeout" else "failed"
            elif phase == "first_media" and us - began >= FIRST_MEDIA_S * 1e6:
                outcome = "timeout"
            self._end(phase, outcome, at)
