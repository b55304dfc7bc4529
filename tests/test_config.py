import tomllib
from pathlib import Path

import pytest

from appliance.config import ConfigError, ConsoleConfig, ListenerConfig, ServerConfig, load


def test_the_order_is_file_environment_flag(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[console]\nport = 1\nhost = '::1'\n[server]\nname = 'a'\n")
    settings = load(file, {"APPLIANCE__CONSOLE__PORT": "2", "OTHER": "x"}, ["console.port=3"])
    console = settings.section("console", ConsoleConfig)
    assert (console.host, console.port) == ("::1", 3)
    assert load(file, {"APPLIANCE__CONSOLE__PORT": "2"}).section("console", ConsoleConfig).port == 2
    assert settings.section("server", ServerConfig).name == "a"


def test_a_value_that_is_no_toml_is_a_string() -> None:
    settings = load(None, {"APPLIANCE__SERVER__LINK": "tcp://collector:9000"})
    assert settings.section("server", ServerConfig).link == "tcp://collector:9000"
    assert load(None, {}, ["listener.enabled=false"]).section("listener", ListenerConfig).enabled is False
    assert load(None, {}, ['console.allowed_hosts=["a", "b"]']).section("console", ConsoleConfig).allowed_hosts == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "console.prot=1",
            r"console\.prot: no such setting \(value 1\); did you mean 'port'\? \(--set console\.prot\)",
        ),
        ("console.port=many", r"console\.port: 'many': expected `int`, got `str` \(--set console\.port\)"),
    ],
)
def test_a_wrong_setting_says_which_and_what_was_wanted(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(None, {}, [override]).section("console", ConsoleConfig)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('media.turn_servers=[{url="turn:a", pass="hidden"}]', r"^media\.turn_servers\[0\]: .* unknown field `pass` "),
        ('media.turn_servers=[{url="turn:a", secret=7}]', r"^media\.turn_servers\[0\]\.secret: expected `str`, got "),
        ('media.turn_password="hidden"', r"^media\.turn_password: no such setting \(value '\*+'\)"),
    ],
)
def test_what_may_be_a_secret_is_not_in_the_error(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load(None, {}, [override]).check()
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("consol.port=1", r"consol: no such section; did you mean 'console'\?"),
        ("handlers.homer.server=x", r"handlers\.homer: no such section; known: diagnosis, file, hep"),
        ("handlers.hepp.server=x", r"did you mean 'hep'\?"),
        ("handlers.hep=1", r"handlers\.hep: 1: wanted a table"),
        ("console=1", r"console: 1: wanted a table"),
        ("port", "wanted section.key=value"),
    ],
)
def test_a_wrong_section_names_the_nearest(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(None, {}, [override])


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("[console\n")
    with pytest.raises(ConfigError, match=r"broken\.toml: not TOML"):
        load(file, {})
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file"):
        load(tmp_path / "absent.toml", {})


def test_what_is_shown_is_a_configuration() -> None:
    shown = "\n".join(load(None, {}, []).show())
    assert tomllib.loads(shown)["handlers"]["recording"]["rules"] == []


def test_a_password_inside_an_address_is_not_shown() -> None:
    settings = load(None, {}, ["handlers.store.url=postgresql://user:hunter2@db/x", "handlers.hep.server=udp://h:9060"])
    shown = "\n".join(settings.show())
    assert "hunter2" not in shown
    assert "postgresql://********@db/x" in shown
    assert "udp://h:9060" in shown
