"""What is written about the code is held to the code."""

import re
from pathlib import Path

import pytest

from appliance.commands import configuration
from appliance.handlers.store import document

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8").rstrip()
    assert text == "\n".join(configuration.lines()).rstrip()


def test_every_setting_says_what_it_means() -> None:
    undocumented = [
        line for line in configuration.lines() if re.match(r"\| `(?!enabled|host|port|events)\w+` \|.*\|  \|$", line)
    ]
    assert not undocumented


def test_every_table_of_the_store_is_documented() -> None:
    text = document.STORE_PAGE.read_text("utf-8")
    assert text == document.page(text), "python -m appliance.handlers.store.document brings it up to date"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_command_of_the_readme_exists() -> None:
    from appliance.cli import main

    text = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"`appliance ([a-z][a-z-]+)", text))
    assert named
    assert named <= set(main.commands)
