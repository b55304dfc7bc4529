"""The arrows of ARCHITECTURE.md, checked: who may import whom, and where a library lives."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "appliance"

MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "wire": set(),
    "net": set(),
    "hep": {"net"},
    "media": {"core", "wire"},
    "recording": {"core", "wire"},
    "plugins": {"core", "media", "wire"},
    "transports": {"core", "net"},
    "intake": {"core", "net", "wire", "hep", "recording"},
    "diagnosis": {"core"},
    "metrics": {"core"},
    "handlers": {"core", "net", "hep", "metrics", "diagnosis", "recording"},
    "console": {"core", "net", "diagnosis"},
    "demo": {"core", "hep", "net", "diagnosis", "supervisor"},
    "commands": {
        "core",
        "hep",
        "net",
        "diagnosis",
        "wire",
        "media",
        "console",
        "intake",
        "config",
        "components",
        "supervisor",
        "folder",
    },
}
"""Composition (gateway, collector, supervisor, cli, config, components) may import everything."""

HOMES: dict[str, set[str]] = {
    "construct": {"hep"},
    "prometheus_client": {"metrics"},
    "sqlalchemy": {"handlers"},
    "aiortc": {"media", "demo"},
    "aioice": {"media", "demo"},
    "ifaddr": {"media"},
    "pylibsrtp": {"media"},
    "OpenSSL": {"media"},
    "cffi": {"media"},
    "av": {"media", "demo"},
    "click": {"cli"},
    "uvloop": {"cli"},
}
CORE_LIBRARIES = {"msgspec", "appliance"}


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module imported by a file, and whether only for type checking."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or "", id(node) in typing_only


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_arrows_run_one_way() -> None:
    wrong = []
    for path in sources():
        here = room_of(path)
        if here not in MAY_IMPORT:
            continue
        for name, _ in imported(path):
            top, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            if top == "appliance" and room and room != here and room not in MAY_IMPORT[here]:
                wrong.append(f"{path.relative_to(ROOT)}: {here} may not import {room}")
    assert not wrong


def test_a_library_has_one_home() -> None:
    wrong = []
    for path in sources():
        for name, typing_only in imported(path):
            homes = HOMES.get(name.partition(".")[0])
            if homes is not None and room_of(path) not in homes and not typing_only:
                wrong.append(f"{path.relative_to(ROOT)}: {name} lives in {', '.join(sorted(homes))}")
    assert not wrong


def test_the_core_needs_only_the_standard_library_and_msgspec() -> None:
    import sys

    for path in sorted((PACKAGE / "core").rglob("*.py")):
        for name, _ in imported(path):
            top = name.partition(".")[0]
            assert top in CORE_LIBRARIES or top in sys.stdlib_module_names, f"{path.name}: {name}"


PURE_ROOMS = ("wire", "diagnosis")
IMPURE = {"asyncio", "socket", "time", "random", "logging", "threading", "secrets", "aiohttp"}
PURE_NAMES = {"socket": {"AF_INET", "AF_INET6", "inet_ntop", "inet_pton"}}
"""Functions of values that live in a module of sockets."""


def impure_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in IMPURE)
        elif isinstance(node, ast.ImportFrom) and (module := node.module or "").partition(".")[0] in IMPURE:
            yield from (
                f"{module}.{alias.name}" for alias in node.names if alias.name not in PURE_NAMES.get(module, set())
            )


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_no_input_or_output_in_the_middle(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for name in impure_imports(path)
    ]
    assert not wrong


def test_the_map_shows_the_arrows_that_are_held() -> None:
    table = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", table, re.MULTILINE))
    for room, allowed in MAY_IMPORT.items():
        assert set(re.findall(r"`(\w+)`", rows[room])) == allowed, room


def test_every_room_is_on_the_map() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(MAY_IMPORT)
