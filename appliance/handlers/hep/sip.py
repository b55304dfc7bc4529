"""JSEP in the shape of SIP, because that is what makes Homer show a ladder and attach the rest of the call to it.

No SIP was spoken: the ``User-Agent`` says so, and so does an ``X-Synthetic`` header. An offer is an INVITE, an answer
its 200 OK, the end a BYE with a Reason (RFC 3326), and what happens in between an INFO: a trickled candidate as in
RFC 8840, a state as a ``Subject``. Each message has what RFC 3261 section 8.1.1 asks for.
"""

import re
import zlib
from typing import NamedTuple

from appliance.handlers.hep.addresses import Path, Place
from appliance.handlers.hep.legs import Leg

USER_AGENT = "webrtc-appliance (synthetic SIP, made from WebRTC signalling)"
REMOTE = "remote"
"""The client, as in an event's ``owner``."""
LOCAL = "local"
"""The gateway."""
CUT_RESERVE = 64
"""Bytes for the header that says that a description was cut."""

NORMAL_CLEARING = 16
TEMPORARY_FAILURE = 41
CAUSES = {
    "udp_blocked_or_firewall": 3,  # no route to destination
    "no_remote_candidates": 3,
    "mdns_only": 3,
    "turn_unreachable": 3,
    "network_lost": 27,  # destination out of order
    "session_timeout": 102,  # recovery on timer expiry
    "dtls_no_response": 102,
    "fingerprint_mismatch": 57,  # bearer capability not authorised
    "server_shutdown": TEMPORARY_FAILURE,
    # Hangup reasons of Janus, for calls without a verdict.
    "Janus API": NORMAL_CLEARING,
    "Admin API": NORMAL_CLEARING,
    "Close PC": NORMAL_CLEARING,
    "Detach": NORMAL_CLEARING,
    "DTLS alert": NORMAL_CLEARING,
    "Server shutdown": TEMPORARY_FAILURE,
    "ICE failed": 3,
    "DTLS timeout": 102,
    "Session timeout": 102,
    "Session destroyed": NORMAL_CLEARING,
}
"""Verdicts that are no clearing, and hangup reasons for calls without one, to the nearest cause of ITU-T Q.850."""


class End(NamedTuple):
    """Why and by whom a call ended."""

    owner: str
    """REMOTE or LOCAL: who sends the BYE."""
    reason: str
    """Janus's words."""
    verdict_code: str = ""
    verdict_text: str = ""
    good: bool = False
    """The verdict finds no fault."""

    def cause(self) -> int:
        """Of ITU-T Q.850."""
        if self.verdict_code:
            return CAUSES.get(self.verdict_code, NORMAL_CLEARING if self.good else TEMPORARY_FAILURE)
        return CAUSES.get(self.reason, TEMPORARY_FAILURE)


def uri_user(text: str) -> str:
    """The user part of a URI: what is not unreserved becomes a hyphen, so that no name can add a header."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:64] or "anonymous"


def quoted(text: str, limit: int = 300) -> str:
    """A quoted string (RFC 3261 section 25.1) on one line."""
    flat = "".join(letter if letter.isprintable() else " " for letter in text)[:limit]
    return '"' + flat.replace("\\", "\\\\").replace('"', "'") + '"'


def _host(place: Place) -> str:
    host = f"[{place.address}]" if place.address.version == 6 else str(place.address)
    return f"{host}:{place.port}" if place.port else host


class Dialog:
    """The SIP dialogue that a PeerConnection is shown as.

    From and To stay what they were at its first message, as a dialogue's do; the ``X-`` headers tell what is known by
    now, since some plugins tell the room only after the offer.
    """

    def __init__(
        self, call_id: str, api: Path, leg: Leg, *, handle: str, server_name: str, ids: dict[str, str]
    ) -> None:
        """``handle`` stands for the user where no name is known; ``ids`` are further headers, always the same."""
        self.call_id = call_id
        self.ended = False
        self._via = api.via
        self._leg = leg
        self._ids = ids
        user = uri_user(leg.user or leg.display or handle)
        client_host = _host(Place(api.client.address, 0))
        self._uri = {
            REMOTE: f"sip:{user}@{client_host}",
            LOCAL: f"sip:{uri_user(leg.room or leg.service)}@{server_name}",
        }
        names = {REMOTE: leg.display, LOCAL: leg.service if leg.room else ""}
        self._name = {owner: f"{quoted(name, 100)} " if name else "" for owner, name in names.items()}
        self._at = {REMOTE: _host(api.client), LOCAL: _host(api.server)}
        self._tag = {REMOTE: "client", LOCAL: "gateway"}
        self._cseq = {REMOTE: 0, LOCAL: 0}
        self._invite = {REMOTE: 0, LOCAL: 0}
        """Number of each side's last INVITE, which an answer has too."""
        self._fragments: dict[str, str] = {}
        """The ICE user name of each side's last description."""
        self._established = False

    def offer(self, owner: str, sdp: bytes, room: int, link: str) -> bytes:
        """An INVITE; in an established dialogue it is a re-INVITE, whose Subject says whether ICE begins anew."""
        self._cseq[owner] += 1
        self._invite[owner] = self._cseq[owner]
        marks = f"X-Synthetic: offer from {owner}\r\n"
        restart = self._restarts(owner, sdp)
        if self._established:
            marks = f"Subject: {'ICE restart' if restart else 'renegotiation'}\r\n" + marks
        head = self._request("INVITE", owner, marks, link)
        return _with_body(head, sdp, room)

    def answer(self, owner: str, sdp: bytes, room: int, link: str, *, status: str = "200 OK") -> bytes:
        """The answer to the other side's last INVITE, which is taken as sent where it was not seen."""
        asker = LOCAL if owner == REMOTE else REMOTE
        if not self._invite[asker]:
            self._cseq[asker] += 1
            self._invite[asker] = self._cseq[asker]
        self._restarts(owner, sdp)
        self._established = True
        head = (
            f"SIP/2.0 {status}\r\n"
            + self._routing("INVITE", asker, self._invite[asker])
            + f"Contact: <{self._contact(owner)}>\r\n"
            + self._marks(f"X-Synthetic: answer from {owner}\r\n", link)
        )
        return _with_body(head, sdp, room)

    def _restarts(self, owner: str, sdp: bytes) -> bool:
        """Whether the ICE user name is another one than before (RFC 8839 section 4.4.1.1.1)."""
        found = re.search(rb"^a=ice-ufrag:(\S{1,256})", sdp, re.MULTILINE)
        if found is None:
            return False
        fragment = found[1].decode("utf-8", "replace")
        before = self._fragments.get(owner)
        self._fragments[owner] = fragment
        return before is not None and before != fragment

    def info(self, owner: str, subject: str, link: str, *, fragment: str = "") -> bytes:
        """Something between offer and end; with ``fragment`` in the form of trickled ICE (RFC 8840 section 4.4)."""
        self._cseq[owner] += 1
        marks = f"Subject: {_flat(subject)}\r\nX-Synthetic: state told by {owner}\r\n"
        if fragment:
            marks = "Info-Package: trickle-ice\r\nContent-Disposition: Info-Package\r\n" + marks
        body = fragment.encode("utf-8", "replace")
        start = self._request("INFO", owner, marks, link).encode("utf-8", "replace")
        if body:
            start += b"Content-Type: application/trickle-ice-sdpfrag\r\n"
        return start + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

    def bye(self, end: End, link: str) -> bytes:
        """The end. Nothing follows."""
        self.ended = True
        self._established = True
        self._cseq[end.owner] += 1
        words = "; ".join(filter(None, (end.reason, end.verdict_code, end.verdict_text)))
        lines = f"Reason: Q.850;cause={end.cause()};text={quoted(words or 'hangup')}\r\n"
        if end.verdict_code:
            lines += f"X-Verdict: {uri_user(end.verdict_code)}\r\n"
        lines += f"X-Synthetic: hangup by {end.owner}\r\n"
        return self._request("BYE", end.owner, lines, link).encode("utf-8", "replace") + b"Content-Length: 0\r\n\r\n"

    def _request(self, method: str, owner: str, marks: str, link: str) -> str:
        other = LOCAL if owner == REMOTE else REMOTE
        return (
            f"{method} {self._uri[other]} SIP/2.0\r\n"
            + self._routing(method, owner, self._cseq[owner])
            + "Max-Forwards: 70\r\n"
            + f"Contact: <{self._contact(owner)}>\r\n"
            + self._marks(marks, link)
        )

    def _routing(self, method: str, owner: str, number: int) -> str:
        """What request and response have in common."""
        other = LOCAL if owner == REMOTE else REMOTE
        branch = f"z9hG4bK-{zlib.crc32(self.call_id.encode()):08x}-{self._tag[owner]}-{number}"
        to_tag = f";tag={self._tag[other]}" if self._established else ""
        return (
            f"Via: SIP/2.0/{self._via} {self._at[owner]};branch={branch}\r\n"
            f"From: {self._name[owner]}<{self._uri[owner]}>;tag={self._tag[owner]}\r\n"
            f"To: {self._name[other]}<{self._uri[other]}>{to_tag}\r\n"
            f"Call-ID: {self.call_id}\r\n"
            f"CSeq: {number} {method}\r\n"
        )

    def _contact(self, owner: str) -> str:
        user = self._uri[owner].removeprefix("sip:").partition("@")[0]
        if owner == REMOTE and self._leg.display:
            user = uri_user(self._leg.display)
        return f"sip:{user}@{self._at[owner]}"

    def _marks(self, more: str, link: str) -> str:
        leg = self._leg
        known = {
            **self._ids,
            "X-CID": link,
            "X-User": leg.user,
            "X-Display-Name": leg.display,
            "X-Room": leg.room,
            "X-Plugin": leg.plugin,
        }
        extra = "".join(f"{name}: {flat}\r\n" for name, value in known.items() if (flat := _flat(value)))
        return f"User-Agent: {USER_AGENT}\r\n" + extra + more


def _flat(value: str) -> str:
    """A header value on one line."""
    return "".join(letter if letter.isprintable() else " " for letter in value)[:200].strip()


def _with_body(head: str, sdp: bytes, room: int) -> bytes:
    """Add the description, cut at the end of a line where it would be longer than a packet carries."""
    start = head.encode("utf-8", "replace")
    if sdp:
        start += b"Content-Type: application/sdp\r\n"
    budget = room - len(start) - CUT_RESERVE
    if len(sdp) > budget:
        start += f"X-Truncated: {len(sdp)}\r\n".encode()
        sdp = sdp[: sdp.rfind(b"\n", 0, budget) + 1]
    return start + f"Content-Length: {len(sdp)}\r\n\r\n".encode() + sdp
