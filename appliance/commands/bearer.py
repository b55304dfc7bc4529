"""How a command logs in at a collector whose console asks for it."""

from appliance.core.auth import secret_of


def bearer(secret_file: str) -> dict[str, str]:
    """Headers with the secret in this file; none for an empty name. :raises ValueError: the file is no good."""
    secret = secret_of("secret", "", secret_file)
    return {"Authorization": f"Bearer {secret}"} if secret else {}
