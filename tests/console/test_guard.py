import pytest

from appliance.console.guard import content_security_policy, origin_of
from appliance.net.host import HostGuard, host_name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8080", "localhost"),
        ("LOCALHOST", "localhost"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("[::1]", "::1"),
        ("console.example.", "console.example"),
        ("[::1", ""),
        ("[::1]evil", ""),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    "header", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "192.0.2.7", "pbx.example:80", "a.localhost"]
)
def test_loopback_addresses_and_configured_names_are_admitted(header: str) -> None:
    assert HostGuard(["PBX.example"]).admits(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1]evil",
        "pbx.example@evil",
        "2130706433.evil",
        "notlocalhost",
    ],
)
def test_a_name_that_is_not_ours_is_refused(header: str) -> None:
    assert not HostGuard(["pbx.example"]).admits(header)


def test_the_policy_lets_no_inline_code_run_and_names_what_may_be_talked_to() -> None:
    policy = content_security_policy([origin_of("http://127.0.0.1:8088/janus"), origin_of("ws://127.0.0.1:8188/")])
    assert "default-src 'self';" in policy
    assert "connect-src 'self' http://127.0.0.1:8088 ws://127.0.0.1:8188;" in policy
    assert "unsafe" not in policy
