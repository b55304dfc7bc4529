"""One call as each Janus since 0.2.1 would tell it, with what each plugin says: by the notes of its releases."""

import json
from typing import Any

VERSIONS = (
    "0.2.1", "0.2.2", "0.2.4", "0.2.6", "0.3.0", "0.4.1", "0.7.2", "0.9.1", "0.10.6", "0.12.0", "0.15.0",
    "1.0.0", "1.0.4", "1.1.4", "1.2.0", "1.4.0",
)  # fmt: skip
HUGE = 2**53 + 1
"""No float holds it."""
SAID: dict[str, list[dict[str, Any]]] = {
    "sip": [
        {"event": "registered", "identity": "sip:alice@example.org", "type": "guest"},
        {"event": "calling", "callee": "sip:b\u00f8b@example.org", "call-id": "c1", "sdp": "v=0"},
        {"event": "sip-out", "sip": "INVITE sip:bob@example.org SIP/2.0\r\nCall-ID: c1\r\n\r\n"},
        {"event": "accepted", "call-id": "c1", "username": "sip:bob@example.org"},
        {"event": "hangup", "call-id": "c1", "code": 200, "reason": "OK", "headers": {"X-A": "1"}},
    ],
    "nosip": [{"event": "generated", "type": "offer", "sdp": "v=0", "unique_id": "u"}],
    "streaming": [
        {"event": "created", "id": "cam-\u00fc", "type": "live"},
        {"status": "started", "id": HUGE},
        {"event": "kicked_all", "id": 7},
    ],
    "audiobridge": [
        {
            "event": "joined",
            "room": 1234,
            "id": 77,
            "display": "Zo\u00eb \U0001f3a7",
            "setup": "false",
            "muted": "true",
        },
        {"audiobridge": "talking", "room": 1234, "id": 77, "audio-level-dBov-avg": 33.2},
        {"event": "left", "room": 1234, "id": 77},
    ],
    "textroom": [
        {"event": "join", "room": "salle-\u00e9", "username": "ren\u00e9"},
        {"event": "leave", "room": "salle-\u00e9", "username": "ren\u00e9"},
    ],
    "recordplay": [
        {"event": "recording", "id": 1, "is_private": "true", "audio": "true", "video": "false", "data": True},
        {"event": "stopped"},
    ],
    "videocall": [
        {"event": "registered", "username": "\u0141ukasz"},
        {"event": "configured", "audio_active": "true", "video_active": "false", "bitrate": 0},
        {"event": "hangup", "reason": "Explicit hangup"},
    ],
    "videoroom": [
        {"event": "joined", "room": 1234, "id": HUGE, "private_id": 99},
        {"event": "subscribing", "room": 1234, "feed": 55, "private_id": 99},
        {"event": "unpublished", "room": 1234, "id": HUGE},
    ],
    "echotest": [{"audio_active": "true", "video_active": "true", "bitrate": 0}],
}
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"
)
_ADDRESSES = {
    "local": {"address": "198.51.100.1", "port": 20000, "type": "host", "transport": "udp", "family": 4},
    "remote": {"address": "203.0.113.9", "port": 50000, "type": "host", "transport": "udp", "family": 4},
}


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


class Told:
    """What a server of that version tells of one session with one handle."""

    def __init__(self, version: str, plugin: str, session_id: int, opaque_id: str) -> None:
        self.session_id, self.handle_id, self.opaque_id = session_id, session_id + 1, opaque_id
        self.package = f"janus.plugin.{plugin}"
        self.emitter = f"janus-{version}"
        self.events: list[dict[str, Any]] = []
        self._release = release(version)
        self._at = 1_600_000_000_000_000 + session_id * 1000
        self._set_up()
        self._plugin(SAID[plugin])
        self._statistics()
        self._end()

    def json(self) -> bytes:
        return json.dumps(self.events).encode()

    def _since(self, *release: int) -> bool:
        return self._release >= release

    def _tell(self, kind: int, body: Any, subtype: int = 0, *, session: bool = True, handle: bool = True) -> None:
        self._at += 100_000
        item: dict[str, Any] = {"emitter": self.emitter} if self._since(0, 2, 6) else {}
        item |= {"type": kind} | ({"subtype": subtype} if subtype and self._since(0, 9, 1) else {})
        item |= {"timestamp": self._at}
        item |= ({"session_id": self.session_id} if session else {}) | ({"handle_id": self.handle_id} if handle else {})
        if handle and self._since(0, 3, 0):
            item["opaque_id"] = self.opaque_id
        self.events.append(item | {"event": body})

    def _set_up(self) -> None:
        number = 10**18 + self.session_id
        transport = {
            "transport": "janus.transport.websockets", "id": str(number) if self._since(0, 10, 6) else hex(number)
        }  # fmt: skip
        data = {"event": "connected", "admin_api": False, "ip": "203.0.113.9", "port": 4000}
        self._tell(128, transport | {"data": data}, session=False, handle=False)
        made = {"name": "created"} | ({"transport": transport} if self._since(0, 2, 2) else {})
        self._tell(1, made, handle=False)
        who = {"opaque_id": self.opaque_id} if self._since(0, 2, 2) else {}
        self._tell(2, {"name": "attached", "plugin": self.package} | who)
        self._tell(8, {"owner": "remote", "jsep": {"type": "offer", "sdp": _SDP}})
        self._tell(8, {"owner": "local", "jsep": {"type": "answer", "sdp": _SDP}})
        where = {"stream_id": 1, "component_id": 1}
        if self._since(0, 2, 4):
            self._tell(16, {"local-candidate": "1 1 udp 2013266431 198.51.100.1 20000 typ host"} | where, 2)
            self._tell(16, {"remote-candidate": "candidate:1 1 udp 2122260223 203.0.113.9 50000 typ host"} | where, 3)
        self._tell(16, {"ice": "connected"} | where, 1)
        pair = {"selected-pair": "198.51.100.1:20000 [host,udp] <-> 203.0.113.9:50000 [host,udp]"}
        self._tell(16, pair | ({"candidates": _ADDRESSES} if self._since(0, 4, 1) else {}) | where, 4)
        self._tell(16, {"ice": "ready"} | where, 1)
        for state in ("trying", "connected"):
            self._tell(16, {"dtls": state} | where | {"retransmissions": 0}, 5)
        self._tell(16, {"connection": "webrtcup"}, 6)
        self._tell(32, {"media": "audio", "receiving": True if self._since(0, 3, 0) else "true"}, 1)

    def _plugin(self, said: list[dict[str, Any]]) -> None:
        for data in said:
            known = data.get("event") not in {"unpublished", "kicked_all"}
            self._tell(64, {"plugin": self.package, "data": data}, session=known, handle=known)

    def _statistics(self) -> None:
        for second in (1, 2, 3):
            body: dict[str, Any] = {"mid": "0", "mindex": 0} if self._since(1, 0, 0) else {}
            body["media"] = "audio"
            if self._since(1, 0, 4):
                body["codec"] = "opus"
            elif self._since(0, 15, 0):
                body["audio-codec"] = "opus"
            body |= {"base": 48000} | ({"rtt": 23} if self._since(0, 3, 0) else {"lsr": 123456})
            jitter = 5 if self._since(0, 3, 0) else 134488
            body |= {"lost": 0, "lost-by-remote": 0, "jitter-local": jitter, "jitter-remote": jitter}
            body |= {"packets-received": 50 * second, "packets-sent": 50 * second}
            body |= {"bytes-received": 5000 * second, "bytes-sent": 5000 * second, "nacks-received": 0, "nacks-sent": 0}
            combined = self._since(0, 12, 0) and self.session_id % 4 == 1
            self._tell(32, [body] if combined else body, 3)
        lost = {"lost_lastsec": 2**32 - 6} if self._since(0, 7, 3) else {"nacks_lastsec": 12}
        self._tell(32, {"media": "audio", "slow_link": "uplink"} | lost, 2)

    def _end(self) -> None:
        reason = {"reason": "DTLS alert"} if self._since(0, 4, 1) else {}
        self._tell(16, {"connection": "hangup"} | reason, 6)
        self._tell(2, {"name": "detached", "plugin": self.package})
        self._tell(1, {"name": "destroyed"}, handle=False)
