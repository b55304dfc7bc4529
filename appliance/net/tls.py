"""TLS: of a server whose certificate is in a file, and of a client that checks one."""

import ssl

from msgspec import Struct


def server_context(certificate_file: str, private_key_file: str) -> ssl.SSLContext | None:
    """For a server with that certificate chain and key (PEM); ``None`` when no file is named: no TLS.

    ``private_key_file`` may be empty where the key is in the same file. TLS 1.2 or later.

    :raises ValueError: a file can't be read or holds no certificate or key, or the two do not belong together.
    """
    if not certificate_file:
        if private_key_file:
            raise ValueError(f"private_key_file: {private_key_file}: a key without certificate_file")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    files = f"{certificate_file}, {private_key_file}" if private_key_file else certificate_file
    try:
        # An empty password, so that nobody is asked for one where there is no terminal.
        context.load_cert_chain(certificate_file, private_key_file or None, password="")
    except ssl.SSLError as problem:
        reason = (problem.reason or "no PEM").replace("_", " ").lower()
        raise ValueError(f"certificate_file: {files}: {reason}") from None
    except OSError as problem:
        raise ValueError(f"certificate_file: {problem.filename or files}: {problem.strerror or problem}") from None
    return context


class ClientTls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of what connects to a server that may want TLS."""

    tls: bool = False
    """Use TLS, 1.2 or later."""
    tls_ca_file: str = ""
    """Certificates that the server's must be signed by; empty: the system's."""
    tls_cert_file: str = ""
    """Our own certificate, for servers that ask for one."""
    tls_key_file: str = ""
    """Its private key; empty: it is in the same file."""
    tls_verify: bool = True
    """Whether the server's certificate and its name are checked."""


def client_context(config: ClientTls) -> ssl.SSLContext:
    """What a client connects with. :raises ValueError: a file can't be read, or holds no certificate or key."""
    try:
        context = ssl.create_default_context(cafile=config.tls_ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.tls_cert_file:
            context.load_cert_chain(config.tls_cert_file, config.tls_key_file or None, password="")
    except OSError as problem:
        names = ", ".join(filter(None, (config.tls_ca_file, config.tls_cert_file, config.tls_key_file)))
        reason = getattr(problem, "reason", None) or problem.strerror or problem
        raise ValueError(f"tls_ca_file, tls_cert_file, tls_key_file: {names}: {reason}") from None
    if not config.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def context_if_wanted(config: ClientTls) -> ssl.SSLContext | None:
    """``None`` without TLS. :raises ValueError: a file can't be read, or holds no certificate or key."""
    return client_context(config) if config.tls else None
