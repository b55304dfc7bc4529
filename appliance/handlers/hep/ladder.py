"""What a ladder shows between offer and end: candidates that came after their description, ICE and DTLS states."""

import re
from typing import NamedTuple

from appliance.core.events import Body, DtlsState, EndOfCandidates, IceState, LocalCandidate, RemoteCandidate
from appliance.handlers.hep.sip import LOCAL, REMOTE

MAX_CANDIDATES = 200
"""Candidates of each side that are remembered; further ones are not shown."""
SHOWN_ICE = {"connected", "disconnected", "failed"}
SHOWN_DTLS = {"connected", "failed"}

_CANDIDATE = re.compile(r"^a=candidate:([^\r\n]+)", re.MULTILINE)


class Rung(NamedTuple):
    """One message of the ladder."""

    owner: str
    subject: str
    fragment: str = ""
    """SDP of a trickled candidate (RFC 8840)."""


class Ladder:
    """Which candidates have been seen, so that each is shown once, and none that a description had."""

    __slots__ = ("_known", "_state")

    def __init__(self) -> None:
        self._known: dict[str, set[tuple[str, ...]]] = {REMOTE: set(), LOCAL: set()}
        self._state: dict[str, str] = {}

    def described(self, owner: str, sdp: str) -> None:
        """A description came, with candidates perhaps."""
        known = self._known[owner]
        for found in _CANDIDATE.finditer(sdp):
            if len(known) >= MAX_CANDIDATES:
                break
            known.add(_place(found[1]))

    def rung(self, body: Body) -> Rung | None:
        """What to show of an event, if anything."""
        if isinstance(body, RemoteCandidate):
            return self._candidate(REMOTE, body.candidate)
        if isinstance(body, LocalCandidate):
            # What we gather before our answer is told in it.
            return self._candidate(LOCAL, body.candidate) if self._known[LOCAL] else None
        if isinstance(body, EndOfCandidates):
            return Rung(REMOTE, "end of candidates", "a=end-of-candidates\r\n")
        if isinstance(body, IceState) and body.ice in SHOWN_ICE:
            return self._changed("ICE", body.ice)
        if isinstance(body, DtlsState) and body.dtls in SHOWN_DTLS:
            return self._changed("DTLS", body.dtls)
        return None

    def _candidate(self, owner: str, text: str) -> Rung | None:
        text = " ".join(text.removeprefix("a=").removeprefix("candidate:").split())
        place, known = _place(text), self._known[owner]
        # A peer-reflexive candidate was heard, not told.
        if not text or place in known or " typ prflx" in text or len(known) >= MAX_CANDIDATES:
            return None
        known.add(place)
        return Rung(owner, "trickled candidate", f"a=candidate:{text}\r\n")

    def _changed(self, what: str, state: str) -> Rung | None:
        if self._state.get(what) == state:
            return None
        self._state[what] = state
        return Rung(LOCAL, f"{what} {state}")


def _place(text: str) -> tuple[str, ...]:
    """Component, transport, address and port: what makes two candidates the same."""
    words = text.split()
    return tuple(word.lower() for word in (*words[1:3], *words[4:6]))
