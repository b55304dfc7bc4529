"""Opens a TLS connection of a capture with the secrets of an SSLKEYLOGFILE: TLS 1.2 (RFC 5246, RFC 5288, RFC 7905) and
TLS 1.3 (RFC 8446), ciphers with authentication (AES-GCM, ChaCha20-Poly1305) alone.

A TLS 1.3 server sends under other secrets first; which record begins the application's is found by trying.
"""

import hashlib
import hmac
from collections.abc import Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from appliance.intake.pcap.keys import KeyLog, prf

MAX_RECORD = 16_384 + 2_048
CHANGE_CIPHER_SPEC, HANDSHAKE, APPLICATION_DATA = 20, 22, 23
_CLIENT_HELLO, _SERVER_HELLO, _KEY_UPDATE = 1, 2, 24
_RETRY = hashlib.sha256(b"HelloRetryRequest").digest()
"""RFC 8446 section 4.1.3: the random of a ServerHello that only asks for another ClientHello."""
_SUPPORTED_VERSIONS = 43
_TAG = 16


class Suite(NamedTuple):
    """What a cipher suite is made of."""

    key_bytes: int
    digest: str
    is_chacha: bool = False


SUITES = {
    0x009C: Suite(16, "sha256"), 0x009D: Suite(32, "sha384"), 0x009E: Suite(16, "sha256"), 0x009F: Suite(32, "sha384"),
    0xC02B: Suite(16, "sha256"), 0xC02C: Suite(32, "sha384"), 0xC02F: Suite(16, "sha256"), 0xC030: Suite(32, "sha384"),
    0xCCA8: Suite(32, "sha256", True), 0xCCA9: Suite(32, "sha256", True), 0xCCAA: Suite(32, "sha256", True),
    0x1301: Suite(16, "sha256"), 0x1302: Suite(32, "sha384"), 0x1303: Suite(32, "sha256", True),
}  # fmt: skip


class _Direction:
    """What one end sends."""

    def __init__(self, suite: Suite, key: bytes, iv: bytes, secret: bytes | None = None) -> None:
        self.suite = suite
        self.secret = secret
        """Of TLS 1.3, from which the next one is made."""
        self.number = 0
        self.has_begun = secret is None
        self.renew(key, iv)

    def renew(self, key: bytes, iv: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key) if self.suite.is_chacha else AESGCM(key)
        self._iv = iv

    @property
    def overhead(self) -> int:
        """Bytes by which a record of TLS 1.2 is longer than what is in it."""
        return _TAG + (8 if len(self._iv) == 4 else 0)

    def open(self, head: bytes, content: bytes) -> bytes | None:
        """A record's plaintext; of TLS 1.3 with its padding and type. ``None``: it was not made with these keys."""
        if self.secret is None:
            number = self.number.to_bytes(8, "big")
            if len(self._iv) == 4:
                nonce, content = self._iv + content[:8], content[8:]
            else:
                nonce = self._masked()
            about = number + head[:3] + max(0, len(content) - _TAG).to_bytes(2, "big")
        else:
            nonce, about = self._masked(), head
        try:
            plain = self._cipher.decrypt(nonce, content, about)
        except (InvalidTag, ValueError):
            # Records that the capture has not whole are counted by the sender all the same.
            self.number += self.has_begun
            return None
        self.number += 1
        self.has_begun = True
        return plain

    def _masked(self) -> bytes:
        return (int.from_bytes(self._iv, "big") ^ self.number).to_bytes(12, "big")


class TlsConnection:
    """Both directions; ``is_lost``: it can't be opened, and no more need be fed."""

    def __init__(self, keys: KeyLog) -> None:
        self._keys = keys
        self._buffers = [b"", b""]
        self._directions: list[_Direction | None] = [None, None]
        self._changed = [False, False]
        self._client_random = b""
        self._client: int | None = None
        self._is_13 = False
        self.is_lost = False

    def feed(self, end: int, data: bytes) -> Iterator[bytes]:
        """What the end with this number sent next, in clear; zeros for what can't be opened."""
        self._buffers[end] += data
        while not self.is_lost and len(buffer := self._buffers[end]) >= 5:
            size = buffer[3] << 8 | buffer[4]
            if buffer[1] != 3 or size > MAX_RECORD:
                self.is_lost = True
            if len(buffer) < 5 + size or self.is_lost:
                break
            self._buffers[end] = buffer[5 + size :]
            yield from self._record(end, buffer[:5], buffer[5 : 5 + size])

    def _record(self, end: int, head: bytes, content: bytes) -> Iterator[bytes]:
        kind, direction = head[0], self._directions[end]
        if kind == HANDSHAKE and not self._changed[end]:
            self._hello(end, content)
        elif kind == CHANGE_CIPHER_SPEC:
            # One that comes before says nothing: TLS 1.3 sends it for the sake of middleboxes.
            self._changed[end] = direction is not None
        elif direction is not None and (self._changed[end] or self._is_13):
            plain = direction.open(head, content)
            if self._is_13:
                yield from self._inner(direction, plain, len(content))
            elif kind == APPLICATION_DATA:
                yield plain if plain is not None else bytes(max(0, len(content) - direction.overhead))
        elif kind == APPLICATION_DATA:
            self.is_lost = True

    def _inner(self, direction: _Direction, plain: bytes | None, size: int) -> Iterator[bytes]:
        """RFC 8446 section 5.2: content, its type, zeros."""
        if plain is None:
            if direction.has_begun:
                yield bytes(max(0, size - _TAG - 1))
            return
        content = plain.rstrip(b"\0")
        if not content:
            return
        if content[-1] == APPLICATION_DATA:
            yield content[:-1]
        elif content[-1] == HANDSHAKE and content[0] == _KEY_UPDATE and direction.secret is not None:
            secret = _expand(direction.suite, direction.secret, b"traffic upd", _digest_size(direction.suite))
            direction.secret, direction.number = secret, 0
            direction.renew(*_key_and_iv(direction.suite, secret))

    def _hello(self, end: int, content: bytes) -> None:
        if len(content) < 38:
            return
        random = content[6:38]
        if content[0] == _CLIENT_HELLO:
            self._client_random, self._client = random, end
        elif content[0] == _SERVER_HELLO and random != _RETRY and self._client is not None:
            at = 39 + content[38] if len(content) > 38 else len(content)
            suite = SUITES.get(int.from_bytes(content[at : at + 2], "big"))
            self._is_13 = _is_13(content[at + 5 :])
            found = None if suite is None else self._opened(suite, random)
            if found is None:
                self.is_lost = True
                return
            self._directions[self._client], self._directions[1 - self._client] = found

    def _opened(self, suite: Suite, server_random: bytes) -> tuple[_Direction, _Direction] | None:
        """Of the client and of the server; ``None``: the log has no secret of this connection."""
        if self._is_13:
            secrets = self._keys.traffic.get(self._client_random, {})
            both = secrets.get(b"CLIENT"), secrets.get(b"SERVER")
            if both[0] is None or both[1] is None:
                return None
            one, other = (_Direction(suite, *_key_and_iv(suite, secret), secret) for secret in both if secret)
            return one, other
        master = self._keys.secrets.get(self._client_random)
        if master is None:
            return None
        size, fixed = suite.key_bytes, 12 if suite.is_chacha else 4
        seed = b"key expansion" + server_random + self._client_random
        block = prf(master, seed, 2 * (size + fixed), suite.digest)
        ivs = block[2 * size :]
        return (
            _Direction(suite, block[:size], ivs[:fixed]),
            _Direction(suite, block[size : 2 * size], ivs[fixed:]),
        )


def _is_13(extensions: bytes) -> bool:
    """Whether a ServerHello's extensions choose TLS 1.3; they begin behind their length."""
    at = 0
    while at + 4 <= len(extensions):
        kind, size = int.from_bytes(extensions[at : at + 2], "big"), int.from_bytes(extensions[at + 2 : at + 4], "big")
        if kind == _SUPPORTED_VERSIONS:
            return extensions[at + 4 : at + 6] == b"\3\4"
        at += 4 + size
    return False


def _digest_size(suite: Suite) -> int:
    return 48 if suite.digest == "sha384" else 32


def _key_and_iv(suite: Suite, secret: bytes) -> tuple[bytes, bytes]:
    return _expand(suite, secret, b"key", suite.key_bytes), _expand(suite, secret, b"iv", 12)


def _expand(suite: Suite, secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label without context (RFC 8446 section 7.1); one round of the hash is enough for every size here."""
    name = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0\1"
    return hmac.digest(secret, info, suite.digest)[:size]
