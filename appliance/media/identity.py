"""The process's DTLS certificate and OpenSSL context, and the fingerprints that stand for certificates (RFC 8122)."""

import datetime
import secrets
from collections.abc import Sequence
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from OpenSSL.crypto import X509

from appliance.media import srtp
from appliance.wire.description import Fingerprint

HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}
"""Fingerprints that are accepted, the preferred first (RFC 8122 section 5 asks to check the preferred one)."""

_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384"
    b":ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA"
)
_CERTIFICATE_DAYS = 365


class Association(Protocol):
    """What OpenSSL calls back, kept as the connection's application data."""

    def verify(self, certificate: x509.Certificate) -> bool:
        """Whether the peer's certificate is the right one."""

    def secret(self, line: str) -> None:
        """A line of an SSLKEYLOGFILE, for whoever is to decrypt a recording."""

    def alerted(self, direction: str, value: int) -> None:
        """An alert was read or written: level and code in one number."""


class DtlsIdentity:
    """The process's certificate and OpenSSL context."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(8))])
        now = datetime.datetime.now(tz=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=_CERTIFICATE_DAYS))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = fingerprint_of(certificate, "sha-256")
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION)
        # Most associations carry nothing after the handshake: 24 of 110 KB each.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
        context.set_info_callback(_inform)
        context.set_keylog_callback(_log_key)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_cipher_list(_CIPHERS)
        context.set_tlsext_use_srtp(b":".join(profile.name.encode() for profile in srtp.PROFILES))
        self.context = context


def fingerprint_of(certificate: x509.Certificate, algorithm: str) -> Fingerprint:
    """As SDP writes it (RFC 8122)."""
    return Fingerprint(algorithm, certificate.fingerprint(HASHES[algorithm]).hex(":").upper())


def preferred(fingerprints: Sequence[Fingerprint]) -> tuple[Fingerprint, ...]:
    """Those of the preferred hash among the ones offered; empty when none is known."""
    for algorithm in HASHES:
        found = tuple(item for item in fingerprints if item.algorithm == algorithm)
        if found:
            return found
    return ()


def _verify(connection: SSL.Connection, certificate: X509, error: int, depth: int, ok: int) -> bool:
    # Certificates here are self-signed: the fingerprint in the description is the only thing that counts.
    association: Association = connection.get_app_data()
    try:
        return association.verify(certificate.to_cryptography())
    except ValueError:  # OpenSSL reads certificates that cryptography refuses
        return False


def _log_key(connection: SSL.Connection, line: bytes) -> None:
    association: Association | None = connection.get_app_data()
    if association is not None:
        association.secret(line.decode("ascii"))


def _inform(connection: SSL.Connection, where: int, value: int) -> None:
    if where & SSL.SSL_CB_ALERT:
        association: Association = connection.get_app_data()
        association.alerted("received" if where & SSL.SSL_CB_READ else "sent", value)
