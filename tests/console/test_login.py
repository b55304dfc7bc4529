"""The login, without sockets: who is who, for how long, and how often one may guess."""

from pathlib import Path
from typing import Any

import pytest

from appliance.console.login import ATTEMPT_EVERY_S, ATTEMPTS, MAX_ADDRESSES, Attempts, Login, Role, last_forwarded
from appliance.console.settings import Options
from tests.clock import FakeClock

SECRET = "correct horse battery"
READING = "only to be looked at"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """The settings that name both secrets."""
    named = {"secret_file": SECRET, "reader_secret_file": READING}
    for name, text in named.items():
        (tmp_path / name).write_text(text + "\n")
    return {name: str(tmp_path / name) for name in named}


def made(clock: FakeClock | None = None, host: str = "192.0.2.1", **settings: Any) -> Login:
    return Login(Options(**settings), clock or FakeClock(), host=host)


def test_each_secret_gives_its_role_and_another_none(files: dict[str, Any]) -> None:
    login = made(**files)
    assert login.by_secret(SECRET, "").role is Role.OPERATOR
    assert login.by_secret(READING, "").role is Role.READER
    assert login.failures == 0
    for wrong in ("", SECRET + " ", SECRET.upper(), None, 7, "\ud800"):
        assert login.by_secret(wrong, "").role is Role.NOBODY
    assert login.failures == 6
    assert [(counter.name, counter.value) for counter in login.measure()] == [("auth_failures_total", 6)]


def test_a_cookie_is_good_for_its_time_and_for_its_role(files: dict[str, Any]) -> None:
    clock = FakeClock()
    login = made(clock, login_hours=2, **files)
    token = login.token(Role.READER)
    assert login.by_token(token).role is Role.READER
    clock.advance(2 * 3600 - 1)
    assert login.by_token(token).role is Role.READER
    clock.advance(1)
    assert login.by_token(token).role is Role.NOBODY


def test_a_cookie_that_was_changed_or_made_by_another_is_none(files: dict[str, Any]) -> None:
    login = made(**files)
    token = login.token(Role.READER)
    forged = [
        token.replace("1.", "2.", 1),
        token[:-1],
        token + "0",
        "",
        "2.9999999999",
        "..",
        "é" + token,
        "\ud800.1.2",
    ]
    for changed in [*forged, made(**files).token(Role.OPERATOR)]:
        assert login.by_token(changed).role is Role.NOBODY, changed


def test_an_address_may_guess_a_few_times_and_then_slowly() -> None:
    clock = FakeClock()
    attempts = Attempts(clock)
    for _ in range(ATTEMPTS):
        assert attempts.wait_s("192.0.2.7") == 0
        attempts.failed("192.0.2.7")
    assert attempts.wait_s("192.0.2.7") == ATTEMPT_EVERY_S
    assert attempts.wait_s("::ffff:192.0.2.7") == ATTEMPT_EVERY_S, "the same address on a socket for both families"
    assert attempts.wait_s("192.0.2.8") == 0
    clock.advance(ATTEMPT_EVERY_S)
    assert attempts.wait_s("192.0.2.7") == 0
    attempts.failed("192.0.2.7")
    assert attempts.wait_s("192.0.2.7") == ATTEMPT_EVERY_S


def test_a_network_of_ipv6_guesses_as_one_and_the_memory_is_bounded() -> None:
    attempts = Attempts(FakeClock())
    for host in range(ATTEMPTS):
        attempts.failed(f"2001:db8::{host:x}")
    assert attempts.wait_s("2001:db8::ffff") > 0
    assert attempts.wait_s("2001:db8:0:1::1") == 0
    for number in range(MAX_ADDRESSES + 5):
        attempts.failed(f"10.0.{number // 256}.{number % 256}")
    assert len(attempts._spent) == MAX_ADDRESSES


def test_a_proxy_is_believed_by_its_address_and_names_operators() -> None:
    login = made(proxy_addresses=("192.0.2.0/28", "2001:db8::5"), operators=("ana",))
    assert [login.is_proxy(peer) for peer in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::5")] == [True] * 3
    assert [login.is_proxy(peer) for peer in ("192.0.2.16", "2001:db8::6", "", None, "proxy")] == [False] * 5
    assert (login.by_proxy("ana").role, login.by_proxy("ben").role) == (Role.OPERATOR, Role.READER)
    assert made(proxy_addresses=("192.0.2.1",), operators=("*",)).by_proxy("ben").role is Role.OPERATOR


def test_what_a_client_wrote_before_the_proxy_counts_for_nothing() -> None:
    assert last_forwarded("10.0.0.1, 192.0.2.3") == "192.0.2.3"
    assert last_forwarded("") == ""


def test_without_a_login_only_this_machine_is_served() -> None:
    assert not made(host="127.0.0.1").required
    with pytest.raises(
        ValueError, match=r"host is '0\.0\.0\.0', which others can reach: wanted secret_file, proxy_addr"
    ):
        made(host="0.0.0.0")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"secret_file": "short"}, r"secret_file: 5 characters came, wanted at least 12"),
        ({"secret_file": "missing"}, r"secret_file: .*missing: No such file or directory"),
        ({"secret_file": "long", "reader_secret_file": "long"}, r"reader_secret_file: holds the same secret"),
        ({"proxy_addresses": ("proxy.example",)}, r"proxy_addresses: 'proxy.example' does not appear to be"),
        ({"login_hours": 0.0}, r"login_hours: 0 came, wanted more than 0"),
    ],
)
def test_a_wrong_setting_is_said_in_words(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    (tmp_path / "long").write_text("x" * 12)
    placed: dict[str, Any] = {
        name: str(tmp_path / value) if name.endswith("_file") and isinstance(value, str) else value
        for name, value in settings.items()
    }
    with pytest.raises(ValueError, match=message):
        made(host="127.0.0.1", **placed)
