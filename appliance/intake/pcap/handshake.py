"""A DTLS handshake as a bystander sees it: hellos, certificates, alerts in clear; what is encrypted is counted."""

import hashlib

from appliance.wire.dtls import ContentType, alert_name, content_name, handshakes, records
from appliance.wire.dtls import Handshake as Message

MAX_CERTIFICATE = 64 * 1024
_HASHES = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})
"""RFC 8122 section 5, without the two that nobody may use."""
_VERSIONS = {0xFEFF: "DTLSv1", 0xFEFD: "DTLSv1.2", 0xFEFC: "DTLSv1.3"}
_CIPHERS = {
    0xC02B: "ECDHE-ECDSA-AES128-GCM-SHA256", 0xC02C: "ECDHE-ECDSA-AES256-GCM-SHA384",
    0xC02F: "ECDHE-RSA-AES128-GCM-SHA256", 0xC030: "ECDHE-RSA-AES256-GCM-SHA384",
    0xCCA8: "ECDHE-RSA-CHACHA20-POLY1305", 0xCCA9: "ECDHE-ECDSA-CHACHA20-POLY1305",
    0xC009: "ECDHE-ECDSA-AES128-SHA", 0xC00A: "ECDHE-ECDSA-AES256-SHA", 0xC013: "ECDHE-RSA-AES128-SHA",
    0xC014: "ECDHE-RSA-AES256-SHA", 0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384",
}  # fmt: skip
_PROFILES = {1: "SRTP_AES128_CM_SHA1_80", 2: "SRTP_AES128_CM_SHA1_32", 7: "SRTP_AEAD_AES_128_GCM",
             8: "SRTP_AEAD_AES_256_GCM"}  # fmt: skip


class Side:
    """What one end sent."""

    def __init__(self) -> None:
        self.records: dict[str, int] = {}
        self.hello_us: int | None = None
        self.is_client = False
        self.hellos = 0
        self.finished_us: int | None = None
        """Its first encrypted handshake record."""
        self.closed_us: int | None = None
        """Its first encrypted alert: almost always a close_notify."""
        self.alert: tuple[int, int, int] | None = None
        """Time, level and code of an alert in clear."""
        self.certificate: bytes | None = None
        self.first_fragment_seen: bool | None = None
        self.last: str | None = None
        """Its last handshake message by name."""
        self.random: bytes | None = None
        """Of its hello."""
        self._parts: dict[int, bytes] = {}
        self._size = 0

    def fingerprint(self, algorithm: str) -> str | None:
        """``sha-256 AA:BB...`` of the certificate that it showed; ``None``: there was none, or a foreign hash."""
        name = algorithm.replace("-", "")
        if self.certificate is None or name not in _HASHES:
            return None
        return f"{algorithm} {hashlib.new(name, self.certificate, usedforsecurity=False).digest().hex(':').upper()}"

    def fragment(self, size: int, offset: int, content: bytes) -> None:
        """A part of its Certificate message (RFC 5246 section 7.4.2): the first certificate is its own."""
        if self.certificate is not None or size > MAX_CERTIFICATE:
            return
        if size != self._size:
            self._parts, self._size = {}, size
        self._parts[offset] = content
        whole = b"".join(self._parts[key] for key in sorted(self._parts))
        if len(whole) >= size >= 6:
            length = int.from_bytes(whole[3:6], "big")
            if 6 + length <= len(whole):
                self.certificate = whole[6 : 6 + length]


class Handshake:
    """Both ends of one association."""

    def __init__(self) -> None:
        self.sides = (Side(), Side())
        self.first_us: int | None = None
        self.version: str | None = None
        self.cipher: str | None = None
        self.profile: str | None = None

    @property
    def done_us(self) -> int | None:
        """When both ends had sent their Finished."""
        times = [side.finished_us for side in self.sides]
        return None if times[0] is None or times[1] is None else max(times[0], times[1])

    def take(self, timestamp_us: int, side_index: int, data: bytes) -> bool:
        """Take a datagram; false where it is no DTLS. A cut one is read as far as it goes."""
        if len(data) < 13 or data[1] != 0xFE:
            return False
        side = self.sides[side_index]
        if self.first_us is None:
            self.first_us = timestamp_us
        for record in records(data):
            kind, content = record.content_type, record.fragment
            name = content_name(kind)
            side.records[name] = side.records.get(name, 0) + 1
            if record.epoch:
                side.last = "finished" if kind == ContentType.HANDSHAKE else side.last
                if kind == ContentType.HANDSHAKE and side.finished_us is None:
                    side.finished_us = timestamp_us
                elif kind == ContentType.ALERT and side.closed_us is None:
                    side.closed_us = timestamp_us
            elif kind == ContentType.ALERT and len(content) == 2 and side.alert is None:
                side.alert = (timestamp_us, content[0], content[1])
            elif kind == ContentType.HANDSHAKE:
                for message in handshakes(content):
                    self._message(timestamp_us, side, message)
        return True

    def _message(self, timestamp_us: int, side: Side, message: Message) -> None:
        name, offset, content = message.name, message.fragment_offset, message.fragment
        side.last = name or "other"
        if name == "client_hello":
            side.is_client = True
            side.hello_us = side.hello_us or timestamp_us
            if offset == 0:
                side.random = content[2:34]
                side.first_fragment_seen = True
                side.hellos += 1
            elif side.first_fragment_seen is None:
                side.first_fragment_seen = False
        elif name == "server_hello" and offset == 0:
            side.random = content[2:34]
            self._server_hello(content)
        elif name == "certificate":
            side.fragment(message.length, offset, content)

    def _server_hello(self, content: bytes) -> None:
        at = 35 + content[34] if len(content) > 34 else 0
        extensions = int.from_bytes(content[at + 3 : at + 5], "big")
        if not at or len(content) < at + 5 + extensions:
            # Cut by the capture: without all of it, "no SRTP profile" could not be told from "not seen".
            return
        self.version = _VERSIONS.get(int.from_bytes(content[:2], "big"))
        number = int.from_bytes(content[at : at + 2], "big")
        self.cipher = _CIPHERS.get(number, f"0x{number:04x}")
        at += 5
        while at + 4 <= len(content):
            kind, size = int.from_bytes(content[at : at + 2], "big"), int.from_bytes(content[at + 2 : at + 4], "big")
            if kind == 14 and size >= 4:
                profile = int.from_bytes(content[at + 6 : at + 8], "big")
                self.profile = _PROFILES.get(profile, f"0x{profile:04x}")
            elif kind == 43 and size == 2:
                self.version = _VERSIONS.get(int.from_bytes(content[at + 4 : at + 6], "big"), self.version)
            at += 4 + size

    def alert(self) -> tuple[int, int, int, int, str] | None:
        """The first alert in clear: whose, time, level, code, name."""
        found = [(index, *side.alert) for index, side in enumerate(self.sides) if side.alert is not None]
        if not found:
            return None
        index, timestamp_us, level, code = min(found, key=lambda entry: entry[1])
        return index, timestamp_us, level, code, alert_name(code)
