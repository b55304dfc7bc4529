"""Writes the tables of ``docs/store.md`` from the schema: ``python -m appliance.handlers.store.document``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Table

from appliance.handlers.store import schema

STORE_PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "store.md"
BEGIN, END = "<!-- tables, written from the code -->\n", "<!-- end of the tables -->\n"

_OF_ALL = ("id", "timestamp", "session", "handle", "correlation_id", "server")


def tables() -> str:
    """Every table in Markdown; the columns that most have in common are told once."""
    common = schema.ice.columns
    return "\n".join(
        [
            "Columns that most tables have:",
            "",
            *_rows(common[name] for name in _OF_ALL),
            *(line for table in schema.metadata.tables.values() for line in _section(table)),
        ]
    )


def page(text: str) -> str:
    """The text of the page with its tables brought up to date. :raises ValueError: they have no place in it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the tables, between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def _section(table: Table) -> Iterator[str]:
    own = [column for column in table.columns if not _is_common(column)]
    shared = [f"`{column.name}`" for column in table.columns if _is_common(column)]
    by_day = " Partitioned by day on PostgreSQL." if table in schema.PARTITIONED else ""
    yield from ("", f"### `{table.name}`", "", f"{table.info.get('about', '')}{by_day}", "")
    yield from _rows(own)
    if shared:
        yield from ("", f"And {', '.join(shared)}.")
    yield ""
    keys = ", ".join(f"`{column.name}`" for column in table.primary_key)
    indexes = sorted(", ".join(f"`{column.name}`" for column in index.columns) for index in table.indexes)
    yield f"Primary key: {keys}." + (f" Indexes: {'; '.join(indexes)}." if indexes else "")


def _is_common(column: Column[Any]) -> bool:
    """By what it means, not by its name alone."""
    return column.name in _OF_ALL and column.doc == schema.ice.columns[column.name].doc


def _rows(columns: Any) -> Iterator[str]:
    yield from ("| column | type | |", "|---|---|---|")
    for column in columns:
        yield f"| `{column.name}` | {column.type} | {column.doc or ''} |"


if __name__ == "__main__":
    STORE_PAGE.write_text(page(STORE_PAGE.read_text("utf-8")), "utf-8")
