"""Access to a TURN server: what OpenSSL signs too."""

from pathlib import Path

import pytest

from appliance.console.turn import Turn


def test_the_user_name_expires_and_is_signed_as_coturn_wants(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret of coturn\n")
    access = Turn(["turn:turn.example:3478"], str(tmp_path / "secret")).access(1_700_000_000)
    assert access is not None
    assert access.username == "1700003600:appliance"
    # printf 1700003600:appliance | openssl dgst -sha1 -hmac 'secret of coturn' -binary | base64
    assert access.credential == "KxpSenDtkD/5oIHIb4NH8aG6ozg="
    assert Turn([], "").access(0) is None


@pytest.mark.parametrize(
    ("urls", "named", "message"),
    [
        (["stun:a.example"], True, r"turn_urls: 'stun:a.example': wanted turn:host:3478"),
        (["turn:a.example"], False, "turn_urls, turn_secret_file: wanted together"),
        ([], True, "turn_urls, turn_secret_file: wanted together"),
    ],
)
def test_what_can_not_be_is_said_in_words(urls: list[str], named: bool, message: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret of coturn")
    with pytest.raises(ValueError, match=message):
        Turn(urls, str(tmp_path / "secret") if named else "")
