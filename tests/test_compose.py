"""The compose file of docs/homer.md: its form, its files, its ports and secrets. No container is started here."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "compose"
TEXT = (FOLDER / "docker-compose.yml").read_text("utf-8")
LINES = [line for line in TEXT.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def names_below(section: str) -> list[str]:
    """Keys of the second level."""
    start = LINES.index(f"{section}:") + 1
    found = []
    for line in LINES[start:]:
        if not line.startswith(" "):
            break
        if re.match(r"  [\w-]+:", line):
            found.append(line.strip().partition(":")[0])
    return found


def test_its_form() -> None:
    """Enough of YAML for what the file uses; a client of Docker checks all of it, below."""
    for line in LINES:
        assert "\t" not in line
        assert (len(line) - len(line.lstrip())) % 2 == 0, line
        assert re.fullmatch(r' *(- )?(".*"|[\w./-]+(:[\w./-]+)*(:ro)?|[\w-]+:( (".*"|\[.*\]|[\w./:-]+))?)', line), line
    assert names_below("services") == ["appliance", "heplify-server", "homer-app", "db", "prometheus", "grafana"]


def test_volumes_exist() -> None:
    mounted = re.findall(r"^      - ([\w./-]+):/", TEXT, re.MULTILINE)
    assert len(mounted) == 8
    declared = names_below("volumes")
    for source in mounted:
        assert source in declared or (source.startswith(".") and (FOLDER / source).exists()), source


def test_ports_are_on_loopback_and_passwords_have_no_default() -> None:
    ports = re.findall(r'^      - "([\d.:]+)"$', TEXT, re.MULTILINE)
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    secrets = re.findall(r"PASS\w*: (.*)", TEXT)
    assert len(secrets) == 4
    assert all(re.fullmatch(r'"\$\{\w+:\?set it\}"', secret) for secret in secrets)


def test_what_the_image_copies_exists() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", (FOLDER / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (FOLDER.parent.parent / name).exists(), name
    done = subprocess.run(["sh", "-n", str(FOLDER / "init-homer-db.sh")], check=False)
    assert done.returncode == 0


@pytest.mark.interop
def test_dockers_client_takes_it() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("not installed: docker with its compose plugin, which no package here brings")
    secrets = {"POSTGRES_PASSWORD": "x", "GRAFANA_PASSWORD": "y"}
    command = [docker, "compose", "-f", str(FOLDER / "docker-compose.yml"), "config", "--quiet"]
    done = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
