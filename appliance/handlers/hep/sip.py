"""JSEP in the shape of SIP, because that is what makes Homer show a ladder and attach the rest of the call to it.

No SIP was spoken: the ``User-Agent`` says so, and so does an ``X-Synthetic`` header. An offer is an INVITE, an answer
its 200 OK, the end a BYE with a Reason (RFC 3326); each message has what RFC 3261 section 8.1.1 asks for.
"""

import re
import zlib
from typing import NamedTuple

from appliance.handlers.hep.addresses import Path, Place

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
    "network_lost": 27,  # destination out of order
    "session_timeout": 102,  # recovery on timer expiry
    "dtls_no_response": 102,
    "fingerprint_mismatch": 57,  # bearer capability not authorised
    # Hangup reasons of Janus, for calls without a verdict.
    "Janus API": NORMAL_CLEARING,
    "Admin API": NORMAL_CLEARING,
    "Close PC": NORMAL_CLEARING,
    "Detach": NORMAL_CLEARING,
    "DTLS alert": NORMAL_CLEARING,
    "ICE failed": 3,
    "DTLS timeout": 102,
    "Session timeout": 102,
    "Session destroyed": NORMAL_CLEARING,
}
"""Verdicts of failure, and hangup reasons for calls without one, to the nearest cause of ITU-T Q.850."""


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
    """The SIP dialogue that a PeerConnection is shown as."""

    def __init__(
        self, call_id: str, api: Path, *, client_name: str, server_name: str, service: str, headers: dict[str, str]
    ) -> None:
        self.call_id = call_id
        self.ended = False
        self._via = api.via
        self._extra = "".join(f"{name}: {_flat(value)}\r\n" for name, value in headers.items() if value)
        client_host = _host(Place(api.client.address, 0))
        self._uri = {
            REMOTE: f"sip:{uri_user(client_name)}@{client_host}",
            LOCAL: f"sip:{uri_user(service)}@{server_name}",
        }
        self._at = {REMOTE: _host(api.client), LOCAL: _host(api.server)}
        self._tag = {REMOTE: "client", LOCAL: "gateway"}
        self._cseq = {REMOTE: 0, LOCAL: 0}
        self._established = False

    def offer(self, owner: str, sdp: bytes, room: int) -> bytes:
        """An INVITE; in an established dialogue it is a re-INVITE."""
        self._cseq[owner] += 1
        head = self._request("INVITE", owner, f"X-Synthetic: offer from {owner}\r\n")
        return _with_body(head, sdp, room)

    def answer(self, owner: str, sdp: bytes, room: int, *, status: str = "200 OK") -> bytes:
        """The answer to the other side's last INVITE, which is taken as sent where it was not seen."""
        asker = LOCAL if owner == REMOTE else REMOTE
        self._cseq[asker] = self._cseq[asker] or 1
        self._established = True
        head = (
            f"SIP/2.0 {status}\r\n"
            + self._routing("INVITE", asker)
            + f"Contact: <{self._contact(owner)}>\r\n"
            + self._marks(f"X-Synthetic: answer from {owner}\r\n")
        )
        return _with_body(head, sdp, room)

    def bye(self, end: End) -> bytes:
        """The end. Nothing follows."""
        self.ended = True
        self._established = True
        self._cseq[end.owner] += 1
        words = "; ".join(filter(None, (end.reason, end.verdict_code, end.verdict_text)))
        lines = f"Reason: Q.850;cause={end.cause()};text={quoted(words or 'hangup')}\r\n"
        if end.verdict_code:
            lines += f"X-Verdict: {uri_user(end.verdict_code)}\r\n"
        lines += f"X-Synthetic: hangup by {end.owner}\r\n"
        return self._request("BYE", end.owner, lines).encode("utf-8", "replace") + b"Content-Length: 0\r\n\r\n"

    def _request(self, method: str, owner: str, marks: str) -> str:
        other = LOCAL if owner == REMOTE else REMOTE
        return (
            f"{method} {self._uri[other]} SIP/2.0\r\n"
            + self._routing(method, owner)
            + "Max-Forwards: 70\r\n"
            + f"Contact: <{self._contact(owner)}>\r\n"
            + self._marks(marks)
        )

    def _routing(self, method: str, owner: str) -> str:
        """What request and response have in common."""
        other = LOCAL if owner == REMOTE else REMOTE
        number = self._cseq[owner]
        branch = f"z9hG4bK-{zlib.crc32(self.call_id.encode()):08x}-{self._tag[owner]}-{number}"
        to_tag = f";tag={self._tag[other]}" if self._established else ""
        return (
            f"Via: SIP/2.0/{self._via} {self._at[owner]};branch={branch}\r\n"
            f"From: <{self._uri[owner]}>;tag={self._tag[owner]}\r\n"
            f"To: <{self._uri[other]}>{to_tag}\r\n"
            f"Call-ID: {self.call_id}\r\n"
            f"CSeq: {number} {method}\r\n"
        )

    def _contact(self, owner: str) -> str:
        user = self._uri[owner].removeprefix("sip:").partition("@")[0]
        return f"sip:{user}@{self._at[owner]}"

    def _marks(self, more: str) -> str:
        return f"User-Agent: {USER_AGENT}\r\n" + self._extra + more


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
