"""The compose files of docs: their form, files, ports and secrets. No container is started here."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from appliance.config import load
from appliance.intake.rabbitmq import RabbitMqIntakeConfig

FOLDER = Path(__file__).parent.parent / "docs" / "compose"
OPERATORS_OWN = {"./console-secret"}
"""What whoever starts it has to make."""


class ComposeFile(NamedTuple):
    name: str
    services: list[str]
    volumes: int
    secrets: int

    @property
    def text(self) -> str:
        return (FOLDER / self.name).read_text("utf-8")

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    def names_below(self, section: str) -> list[str]:
        """Keys of the second level."""
        start = self.lines.index(f"{section}:") + 1
        found = []
        for line in self.lines[start:]:
            if not line.startswith(" "):
                break
            if re.match(r"  [\w-]+:", line):
                found.append(line.strip().partition(":")[0])
        return found


FILES = [
    ComposeFile(
        "docker-compose.yml", ["appliance", "heplify-server", "homer-app", "db", "prometheus", "grafana"], 8, 4
    ),
    ComposeFile("scale-out.yml", ["rabbitmq", "db", "collector-1", "collector-2"], 9, 6),
]
each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


@each
def test_its_form(file: ComposeFile) -> None:
    """Enough of YAML for what the file uses; a client of Docker checks all of it, below."""
    for line in file.lines:
        assert "\t" not in line
        assert (len(line) - len(line.lstrip())) % 2 == 0, line
        assert re.fullmatch(r' *(- )?(".*"|[\w./-]+(:[\w./-]+)*(:ro)?|[\w-]+:( (".*"|\[.*\]|[\w./:-]+))?)', line), line
    assert file.names_below("services") == file.services


@each
def test_volumes_exist(file: ComposeFile) -> None:
    mounted = re.findall(r"^      - ([\w./-]+):/", file.text, re.MULTILINE)
    assert len(mounted) == file.volumes
    declared = file.names_below("volumes")
    for source in mounted:
        there = source.startswith(".") and (FOLDER / source).exists()
        assert source in declared or source in OPERATORS_OWN or there, source


@each
def test_ports_are_on_loopback_and_passwords_have_no_default(file: ComposeFile) -> None:
    ports = re.findall(r'^      - "([\d.:]+)"$', file.text, re.MULTILINE)
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    secrets = re.findall(r"PASS\w*: (.*)", file.text)
    assert len(secrets) == file.secrets
    assert all(re.fullmatch(r'"\$\{\w+:\?set it\}"', secret) for secret in secrets)


def test_the_collectors_configuration_is_one() -> None:
    settings = load(FOLDER / "collector.toml", {}, ["server.collector=2"])
    settings.check()
    config = settings.section("intake.rabbitmq", RabbitMqIntakeConfig)
    assert (config.shares, config.exchange, config.durable) == (8, "events", True)
    assert config.acknowledge == "kept"


def test_what_the_image_copies_exists() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", (FOLDER / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (FOLDER.parent.parent / name).exists(), name
    done = subprocess.run(["sh", "-n", str(FOLDER / "init-homer-db.sh")], check=False)
    assert done.returncode == 0


@pytest.mark.interop
@each
def test_dockers_client_takes_it(file: ComposeFile) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("not installed: docker with its compose plugin, which no package here brings")
    secrets = {"POSTGRES_PASSWORD": "x", "GRAFANA_PASSWORD": "y", "RABBITMQ_PASSWORD": "z"}
    command = [docker, "compose", "-f", str(FOLDER / file.name), "config", "--quiet"]
    done = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
