"""SRTP with a key that both sides were told, as SDES has it (RFC 4568): for RTP between servers, without DTLS."""

from base64 import b64decode
from binascii import Error
from collections.abc import Callable
from typing import Any

from pylibsrtp import Policy

from appliance.media import srtp

SUITES = {
    32: srtp.Profile("AES_CM_128_HMAC_SHA1_32", Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16, 14),
    80: srtp.Profile("AES_CM_128_HMAC_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
}
"""By the bits of their authentication tag, as Janus names them (RFC 4568 section 6.2)."""
_KEY_BYTES = 16 + 14


class SharedKey:
    """Protects what goes out and opens what comes in; each way by itself, under one key and salt.

    :raises ValueError: ``suite`` is none of :data:`SUITES`, or ``crypto`` is not 30 bytes in base64. The message does
        not repeat the key.
    """

    def __init__(self, suite: int, crypto: str) -> None:
        if suite not in SUITES:
            raise ValueError(f"srtp_suite is {suite}, wanted 32 or 80")
        try:
            key = b64decode(crypto, validate=True)
        except (Error, ValueError):
            raise ValueError("srtp_crypto is no base64") from None
        if len(key) != _KEY_BYTES:
            raise ValueError(f"srtp_crypto has {len(key)} bytes, wanted {_KEY_BYTES} (16 of key, 14 of salt)")
        self._out = srtp.Context(key, SUITES[suite], outbound=True)
        self._in = srtp.Context(key, SUITES[suite], outbound=False)

    def protect(self, packet: bytes | bytearray) -> bytes | None:
        """SRTP of an RTP packet; ``None`` where it can't be: too old, or sent before."""
        return _apply(srtp.protect, self._out, packet, srtp.OVERHEAD)

    def protect_rtcp(self, packet: bytes | bytearray) -> bytes | None:
        """SRTCP of RTCP."""
        return _apply(srtp.protect_rtcp, self._out, packet, srtp.OVERHEAD)

    def unprotect(self, packet: bytes) -> bytes | None:
        """The RTP packet; ``None`` where it is forged, or came before."""
        return _apply(srtp.unprotect, self._in, packet, 0)

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The RTCP."""
        return _apply(srtp.unprotect_rtcp, self._in, packet, 0)

    def forget(self, ssrc: int) -> None:
        """Free what is kept of a sender."""
        srtp.forget(self._in.handle, ssrc)


def _apply(
    function: Callable[[Any, Any, Any], int], context: srtp.Context, packet: bytes | bytearray, more: int
) -> bytes | None:
    if len(packet) < 8:
        return None
    buffer = bytearray(packet) + bytes(more)
    pointer, _ = srtp.pointers(buffer, 0, 0)
    srtp.LENGTH[0] = len(packet)
    if function(context.handle, pointer, srtp.LENGTH):
        return None
    return bytes(memoryview(buffer)[: srtp.LENGTH[0]])
