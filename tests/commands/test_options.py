"""Options of all commands, and where they go."""

import pytest
from click.testing import CliRunner

from appliance.cli import main


@pytest.mark.parametrize("option", ["--set", "--config"])
def test_an_option_behind_the_command_is_told_its_place(option: str) -> None:
    said = CliRunner().invoke(main, ["check", option, "console.port=1"])
    assert said.exit_code == 2
    assert f"{option} goes before the command: appliance {option} ... check" in said.output


def test_what_no_command_knows_is_called_so() -> None:
    assert "No such option '--port'" in CliRunner().invoke(main, ["check", "--port", "1"]).output
