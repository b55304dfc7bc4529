"""Packages of ``examples/`` as an installer leaves them."""

import tomllib
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def install(name: str, folder: Path) -> list[str]:
    """What an installer leaves: the package where Python looks, and its entry points beside it.

    The paths that Python has to look at.
    """
    example = EXAMPLES / name
    project = tomllib.loads((example / "pyproject.toml").read_text("utf-8"))["project"]
    information = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in table.items())
        for group, table in project["entry-points"].items()
    )
    (information / "entry_points.txt").write_text(points)
    return [str(example), str(folder)]
