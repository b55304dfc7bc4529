"""The data folder: whose it is, and that it is one process's at a time."""

import os
from pathlib import Path

import pytest

from appliance.config import ConfigError, ServerConfig
from appliance.folder import data_dir, held, too_open


def test_a_folder_that_is_made_is_the_owners_alone(tmp_path: Path) -> None:
    folder = data_dir(ServerConfig(data_dir=str(tmp_path / "a" / "b")))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert too_open(folder) == ""


def test_one_that_was_open_before_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert too_open(tmp_path) == (
        f"{tmp_path} is open to other users (mode 0755); calls are kept in it: chmod 700 {tmp_path}"
    )


@pytest.mark.parametrize(
    ("role", "name"), [("gateway", "gateway"), ("collector", "collector"), ("run", "appliance run")]
)
def test_a_second_one_is_told_who_has_the_folder(tmp_path: Path, role: str, name: str) -> None:
    with held(tmp_path, role):
        with pytest.raises(ConfigError) as refusal, held(tmp_path, role):
            pass
        assert str(refusal.value) == (
            f"server.data_dir: {tmp_path} is in use by another {name} (process {os.getpid()}); "
            "end it, or give this one a server.data_dir of its own"
        )
    with held(tmp_path, role):
        assert (tmp_path / f"{role}.lock").read_text() == f"{os.getpid()}\n"


def test_gateway_and_collector_share_it(tmp_path: Path) -> None:
    with held(tmp_path, "run"), held(tmp_path, "gateway"), held(tmp_path, "collector"):
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_what_an_ended_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "gateway.lock").write_text("4194304000\nrubbish")
    with held(tmp_path, "gateway"):
        assert (tmp_path / "gateway.lock").read_text() == f"{os.getpid()}\n"


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.write_text("keep")
    (tmp_path / "gateway.lock").symlink_to(other)
    with pytest.raises(ConfigError, match=r"server.data_dir: .*gateway.lock: "), held(tmp_path, "gateway"):
        pass
    assert other.read_text() == "keep"
