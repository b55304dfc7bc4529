"""Prints the table of events of ``docs/homer.md`` from the rules: ``python -m appliance.handlers.hep.document``."""

from appliance.core.events import KINDS, Body, Unknown
from appliance.handlers.hep.kinds import rule
from appliance.handlers.hep.log_json import NAMES

_ALL: tuple[type[Body], ...] = (*KINDS, Unknown)


def table() -> str:
    """In Markdown, one row a kind."""
    head = "| event | name | HEP type | payload | also | addresses | direction |\n|---|---|---|---|---|---|---|"
    return "\n".join([head, *map(_row, _ALL)])


def _row(kind: type[Body]) -> str:
    numbers = f"{int(kind.type)}/{kind.subtype}" if kind.subtype else str(int(kind.type))
    if kind is Unknown:
        numbers = "other"
    its = rule(kind)
    name = f"`{NAMES[kind]}`{' *' if kind.extension else ''}"
    cells = (numbers, name, str(its.type), its.payload, its.also, its.ends.value, its.sender.value)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(table())
