"""``docs/configuration.md``: every setting with its default and meaning, from the Structs that read them.

``python -m appliance.commands.configuration > docs/configuration.md`` writes it; a test holds it to the code.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from appliance.config import known_sections, section_struct

HEAD = """# Configuration

A TOML file (`--config appliance.toml`), then the environment, then `--set`: the later one wins. In the environment a
setting is `APPLIANCE__` and its path with two underscores between, `APPLIANCE__HANDLERS__HEP__SERVER=tcp://homer:9061`;
on the command line `--set handlers.hep.server=tcp://homer:9061`. An unknown section or key is an error that names the
nearest known one. `appliance show-config` prints what is in force, secrets masked; `appliance check` tries it.

Everything listens on loopback until a setting says otherwise.
"""


def field_docs(struct: type[Struct]) -> dict[str, str]:
    """The text beneath each field of a Struct, its bases' included."""
    docs: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if not (isinstance(base, type) and issubclass(base, Struct)) or base is Struct:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, following in zip(body.body, [*body.body[1:], None], strict=True):
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
                continue
            text = following.value if isinstance(following, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                docs[node.target.id] = " ".join(text.value.split()).replace("``", "`")
    return docs


def lines() -> Iterator[str]:
    """The document."""
    yield HEAD
    for path in sorted(known_sections()):
        struct = section_struct(path)
        summary = (inspect.getdoc(struct) or "").replace("``", "`").split("\n\n")[0].replace("\n", " ")
        text = summary.partition(":")[2].strip()
        yield f"## `[{path}]`\n"
        if text:
            yield f"{text[:1].upper()}{text[1:]}\n"
        docs = field_docs(struct)
        yield "| setting | default | meaning |"
        yield "|---|---|---|"
        default = msgspec.to_builtins(struct())
        for field in msgspec.structs.fields(struct):
            value = msgspec.json.encode(default.get(field.encode_name)).decode().replace("|", "\\|")
            meaning = docs.get(field.name, "").replace("|", "\\|")
            yield f"| `{field.encode_name}` | `{value}` | {meaning} |"
        yield ""


if __name__ == "__main__":
    print("\n".join(lines()).rstrip())
