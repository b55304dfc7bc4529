"""What the Admin API tells of a handle's PeerConnection beside the engine's own description: flags and moments."""

from typing import Any

from appliance.core import events
from appliance.core.clock import Clock
from appliance.core.events import Body, PairAddresses
from appliance.core.peer import Medium

PROFILE = "UDP/TLS/RTP/SAVPF"


class CallFacts:
    """Begins anew with each PeerConnection of a handle."""

    def __init__(self, clock: Clock, *, after: "CallFacts | None" = None) -> None:
        self._clock = clock
        self.created_us: int | None = None
        """Wall clock; ``None`` before the first description."""
        self.started_us: int | None = None
        """When ICE began to connect."""
        self.pair: PairAddresses | None = None
        """The selected pair, ours first."""
        self.sdps: dict[str, str] = {}
        self.trickles = True
        self.has_all_candidates = False
        self.ice = ""
        self.ready = False
        self.alert = after is not None
        """A PeerConnection has ended."""
        self._offers: dict[str, str] = {}

    def described(self, owner: str, kind: str, sdp: str, *, trickle: bool = True) -> None:
        """``owner`` (local or remote) said an offer or an answer."""
        if self.created_us is None:
            self.created_us = self._clock.wall_us()
        self.sdps[owner] = sdp
        self._offers[kind] = owner
        if owner == "remote":
            self.trickles = trickle
            self.has_all_candidates = not trickle

    def fact(self, body: Body) -> None:
        """The engine told something."""
        match body:
            case events.IceState():
                self.ice = body.ice
                if body.ice == "connecting" and self.started_us is None:
                    self.started_us = self._clock.wall_us()
            case events.SelectedPair():
                self.pair = body.candidates
            case events.Connection(connection="webrtcup"):
                self.ready = True
            case _:
                pass

    def flags(self, media: tuple[Medium, ...], *, answer_due: bool, cleaning: bool, e2ee: bool) -> dict[str, bool]:
        """In Janus's order. They are ours to tell, so ``has-audio`` is true where there is audio."""
        live = [medium for medium in media if not medium.rejected]
        has_data = any(medium.kind == "application" for medium in live)
        described = bool(self.sdps)
        return {
            "got-offer": "offer" in self._offers,
            "got-answer": "answer" in self._offers,
            "negotiated": len(self._offers) > 1 and not answer_due,
            "processing-offer": answer_due,
            "starting": self.ice == "connecting",
            "ice-restart": False,
            "ready": self.ready,
            "stopped": False,
            "alert": self.alert,
            "trickle": described and self.trickles,
            "all-trickles": described and self.has_all_candidates,
            "resend-trickles": False,
            "trickle-synced": False,
            "data-channels": has_data,
            "has-audio": any(medium.kind == "audio" for medium in live),
            "has-video": any(medium.kind == "video" for medium in live),
            "new-datachan-sdp": has_data,
            "rfc4588-rtx": all("apt=" in self.sdps.get(owner, "") for owner in ("local", "remote")),
            "cleaning": cleaning,
            "e2ee": e2ee,
        }

    def shown(self) -> dict[str, Any]:
        """``sdps`` of ``handle_info``."""
        if not self.sdps:
            return {}
        return {"profile": PROFILE} | {owner: self.sdps[owner] for owner in ("local", "remote") if owner in self.sdps}
