"""HTTP basic authentication (RFC 7617), from the side that asks for it."""

import base64
import binascii
import hmac


def authorizes(header: str, user: str, password: str) -> bool:
    """Whether an ``Authorization`` header names this user and password; compared in constant time."""
    scheme, _, encoded = header.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        given = b""
    return hmac.compare_digest(given, f"{user}:{password}".encode())
