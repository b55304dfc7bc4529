"""TLS of a server whose certificate is in a file."""

import ssl


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
