import gzip
import re
from pathlib import Path

import pytest

from appliance.console.pages import CONTENT_TYPES, STATIC, load_pages
from appliance.diagnosis.rules import RULES
from appliance.diagnosis.verdict import CODES

PAGES = load_pages()


def test_every_file_is_served_with_a_type() -> None:
    for path in STATIC.rglob("*"):
        if path.is_file():
            assert path.suffix in CONTENT_TYPES, f"{path.name}: no content type, so it would not be served"
    assert {"index.html", "demo.html", "main.js", "app.css", "icon.svg"} <= set(PAGES)


def test_what_is_compressed_is_the_same() -> None:
    for name, page in PAGES.items():
        if page.compressed is not None:
            assert gzip.decompress(page.compressed) == page.body, name


@pytest.mark.parametrize("name", [name for name in PAGES if not name.startswith("vendor/")])
def test_nothing_comes_from_elsewhere(name: str) -> None:
    # The name of the SVG format is no address that anyone calls; the demo page's gateway comes from the settings.
    text = PAGES[name].body.decode().replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "")
    assert not re.search(r"https?://|wss?://|@import", text)


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".html")])
def test_pages_hold_no_inline_code_and_only_files_that_exist(name: str) -> None:
    text = PAGES[name].body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
    for path in re.findall(r'(?:src|href)="/static/([^"]+)"', text):
        assert path in PAGES, path


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".js") and not name.startswith("vendor/")])
def test_modules_import_files_that_exist_and_never_write_markup(name: str) -> None:
    text = PAGES[name].body.decode()
    for path in re.findall(r'from "\./([^"]+)"', text):
        assert path in PAGES, path
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def words_of_verdicts(table: str) -> set[str]:
    """The codes that a table of the console has words for."""
    (entries,) = re.findall(
        rf"^const {table} = {{$(.*?)^}};", PAGES["verdict.js"].body.decode(), re.MULTILINE | re.DOTALL
    )
    return set(re.findall(r'(\w+): "', entries))


def test_verdicts_in_the_lists_are_those_of_the_diagnosis() -> None:
    assert words_of_verdicts("NAMES") <= set(CODES)
    spoiled = {rule.code for rule in RULES if rule.phase in {"first_media", "media"} and rule.severity != "good"}
    # A muted microphone is mostly meant.
    assert words_of_verdicts("IMPAIRMENTS") == spoiled - {"silent_source"}, "else a list calls such media good"


def test_the_plotting_library_comes_with_its_licence() -> None:
    assert b"MIT License" in (STATIC / "vendor" / "uplot" / "LICENSE").read_bytes()
    assert "uplot 1.6.32" in Path(STATIC / "vendor" / "uplot" / "README.txt").read_text("utf-8").lower()
