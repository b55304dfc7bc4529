"""Reads an SSLKEYLOGFILE, and opens SRTCP with its master secrets, so that a capture of an encrypted call has reports.

The way: master secret and both hellos' randoms give the exporter's key material (RFC 5705, RFC 5764), that gives the
session keys of each end (RFC 3711 section 4.3, RFC 7714), and these open the packets. RTP needs none of it: what is
told of a stream is in headers that SRTP leaves in clear. DTLS up to 1.2.
"""

import hashlib
import hmac
import re
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_SECRETS = 100_000
_LINE = re.compile(rb"^CLIENT_RANDOM ([0-9a-fA-F]{64}) ([0-9a-fA-F]{96})\s*$", re.MULTILINE)
_TRAFFIC = re.compile(rb"^(CLIENT|SERVER)_TRAFFIC_SECRET_0 ([0-9a-fA-F]{64}) ([0-9a-fA-F]{64,96})\s*$", re.MULTILINE)
_LABEL = b"EXTRACTOR-dtls_srtp"
_ENCRYPTION, _AUTHENTICATION, _SALT = 3, 4, 5
"""Labels of SRTCP's keys, RFC 3711 section 4.3.2."""
_TAG = 10
"""Bytes of HMAC-SHA1-80, which SRTCP has with either profile of SHA-1."""
_ENCRYPTED = 0x8000_0000


class Profile(NamedTuple):
    """An SRTP protection profile."""

    key_bytes: int
    salt_bytes: int
    is_gcm: bool


PROFILES = {
    "SRTP_AES128_CM_SHA1_80": Profile(16, 14, False),
    "SRTP_AES128_CM_SHA1_32": Profile(16, 14, False),
    "SRTP_AEAD_AES_128_GCM": Profile(16, 12, True),
    "SRTP_AEAD_AES_256_GCM": Profile(32, 12, True),
}


class KeyLog:
    """Secrets by client random; other lines are passed over."""

    def __init__(self, *texts: bytes) -> None:
        self.secrets: dict[bytes, bytes] = {}
        """Master secrets, of DTLS and TLS up to 1.2."""
        self.traffic: dict[bytes, dict[bytes, bytes]] = {}
        """The first ones of TLS 1.3 for data, of ``CLIENT`` and ``SERVER``."""
        for text in texts:
            for found in _LINE.finditer(text):
                if len(self.secrets) < MAX_SECRETS:
                    self.secrets[bytes.fromhex(found[1].decode())] = bytes.fromhex(found[2].decode())
            for found in _TRAFFIC.finditer(text):
                if len(self.traffic) < MAX_SECRETS and len(found[3]) % 2 == 0:
                    of_call = self.traffic.setdefault(bytes.fromhex(found[2].decode()), {})
                    of_call[found[1]] = bytes.fromhex(found[3].decode())

    def openers(
        self, client_random: bytes, server_random: bytes, cipher: str, profile: str
    ) -> tuple["Opener", "Opener"] | None:
        """For what the DTLS client sent and what the server sent; ``None`` without its secret or a known profile."""
        secret, known = self.secrets.get(client_random), PROFILES.get(profile)
        if secret is None or known is None:
            return None
        digest = "sha384" if cipher.endswith("SHA384") else "sha256"
        size, salt = known.key_bytes, known.salt_bytes
        material = prf(secret, _LABEL + client_random + server_random, 2 * (size + salt), digest)
        salts = material[2 * size :]
        return (
            Opener(known, material[:size], salts[:salt]),
            Opener(known, material[size : 2 * size], salts[salt:]),
        )


def prf(secret: bytes, seed: bytes, size: int, digest: str) -> bytes:
    """P_hash of TLS 1.2 (RFC 5246 section 5)."""
    made, turn = b"", seed
    while len(made) < size:
        turn = hmac.digest(secret, turn, digest)
        made += hmac.digest(secret, turn + seed, digest)
    return made[:size]


class Opener:
    """What one end's SRTCP is opened with."""

    def __init__(self, profile: Profile, key: bytes, salt: bytes) -> None:
        self._is_gcm = profile.is_gcm
        self._key = _derive(key, salt, _ENCRYPTION, profile.key_bytes)
        self._salt = _derive(key, salt, _SALT, profile.salt_bytes)
        self._authentication = b"" if profile.is_gcm else _derive(key, salt, _AUTHENTICATION, 20)
        self._gcm = AESGCM(self._key) if profile.is_gcm else None

    def rtcp(self, packet: bytes) -> bytes | None:
        """The compound packet in clear; ``None``: it is cut, or was not made with these keys."""
        return self._open_gcm(packet) if self._is_gcm else self._open_counter(packet)

    def _open_counter(self, packet: bytes) -> bytes | None:
        body, tag = packet[:-_TAG], packet[-_TAG:]
        if len(body) < 12:
            return None
        found = hmac.digest(self._authentication, body, hashlib.sha1)[:_TAG]
        if not hmac.compare_digest(found, tag):
            return None
        word = int.from_bytes(body[-4:], "big")
        if not word & _ENCRYPTED:
            return body[:-4]
        ssrc = int.from_bytes(body[4:8], "big")
        start = int.from_bytes(self._salt, "big") << 16 ^ ssrc << 64 ^ (word & ~_ENCRYPTED) << 16
        return body[:8] + _counter(self._key, start, body[8:-4])

    def _open_gcm(self, packet: bytes) -> bytes | None:
        assert self._gcm is not None
        if len(packet) < 8 + 16 + 4:
            return None
        word = int.from_bytes(packet[-4:], "big")
        nonce = bytes(2) + packet[4:8] + bytes(2) + (word & ~_ENCRYPTED).to_bytes(4, "big")
        nonce = (int.from_bytes(nonce, "big") ^ int.from_bytes(self._salt, "big")).to_bytes(12, "big")
        try:
            if word & _ENCRYPTED:
                return packet[:8] + self._gcm.decrypt(nonce, packet[8:-4], packet[:8] + packet[-4:])
            self._gcm.decrypt(nonce, packet[-20:-4], packet[:-20] + packet[-4:])
        except InvalidTag:
            return None
        return packet[:-20]


def _counter(key: bytes, start: int, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(start.to_bytes(16, "big"))).encryptor().update(data)


def _derive(key: bytes, salt: bytes, label: int, size: int) -> bytes:
    """RFC 3711 section 4.3.3, for a key derivation rate of 0; a shorter salt is padded (RFC 7714 section 11)."""
    start = (int.from_bytes(salt.ljust(14, b"\0"), "big") ^ label << 48) << 16
    return _counter(key, start, bytes(size))
