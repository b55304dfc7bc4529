"""libsrtp in place on our own buffers: the one module that touches pylibsrtp's private parts.

pylibsrtp's ``Session`` copies a packet twice and raises for each that is refused; here ``protect`` and ``unprotect``
are libsrtp's own functions, which change the buffer and return a status. ``tests/media/test_srtp.py`` is the contract
test that fails loudly when an upgrade moves what is used here.
"""

import socket
from typing import Any

from msgspec import Struct
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib

OVERHEAD = 16 + 4
"""Bytes that protection adds at most, with the profiles below: a GCM tag, and the SRTCP index."""
REPLAY_WINDOW = 1024
"""Packets; wide enough for a retransmission that comes a second late."""

protect = lib.srtp_protect
"""``protect(context, pointer, LENGTH)``: status, 0 when done; the length is read from and written to LENGTH."""
unprotect = lib.srtp_unprotect
protect_rtcp = lib.srtp_protect_rtcp
unprotect_rtcp = lib.srtp_unprotect_rtcp


def forget(context: Any, ssrc: int) -> None:
    """Free what is kept of an SSRC; nothing where there is nothing. A later packet of it begins anew."""
    lib.srtp_remove_stream(context, socket.htonl(ssrc))


LENGTH = ffi.new("int *")
"""The length in and out of every call; one for all, since there is one thread."""

STATUS = {7: "srtp_auth", 9: "srtp_replay", 10: "srtp_replay"}
"""Kinds of :class:`appliance.core.events.MediaFault` by libsrtp's status; any other is ``srtp_auth``."""
REPLAYED = frozenset({9, 10})


class Profile(Struct, frozen=True):
    """An SRTP protection profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2)."""

    name: str
    policy: int
    key_bytes: int
    salt_bytes: int

    def split(self, material: bytes) -> tuple[bytes, bytes]:
        """Key and salt of the DTLS client and of the server, from the exported keying material (RFC 5764 4.2)."""
        salts = material[2 * self.key_bytes :]
        client = material[: self.key_bytes] + salts[: self.salt_bytes]
        server = material[self.key_bytes : 2 * self.key_bytes] + salts[self.salt_bytes : 2 * self.salt_bytes]
        return client, server

    @property
    def material_bytes(self) -> int:
        """How much keying material is to be exported."""
        return 2 * (self.key_bytes + self.salt_bytes)


PROFILES = (
    Profile("SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    Profile("SRTP_AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
    Profile("SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
)
"""In order of preference, which is that of speed: GCM takes half the time of counter mode with SHA-1."""


class Context:
    """One direction of one peer's SRTP; ``handle`` is what the functions above take."""

    def __init__(self, key: bytes, profile: Profile, *, outbound: bool) -> None:
        policy = Policy(
            key=key,
            ssrc_type=Policy.SSRC_ANY_OUTBOUND if outbound else Policy.SSRC_ANY_INBOUND,
            srtp_profile=profile.policy,
        )
        policy.window_size = REPLAY_WINDOW
        # Never encrypt two packets under one sequence number: retransmissions send the same ciphertext again.
        policy.allow_repeat_tx = False
        self._session = Session(policy)
        self.handle: Any = self._session._srtp[0]


def pointers(buffer: bytearray, stride: int, count: int) -> tuple[Any, list[Any]]:
    """``char *`` to every slot of a buffer, for the functions above, and what keeps the buffer pinned meanwhile."""
    base = ffi.from_buffer("char[]", buffer)
    return base, [base + index * stride for index in range(count)]
