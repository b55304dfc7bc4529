"""PostgreSQL: ``events`` and ``stats`` are partitioned by day, so what is too old goes by dropping a table.

Numbers of events are microseconds of the collector's clock, so a range of them is a day. Elsewhere these do nothing.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from sqlalchemy import Connection, Engine, text

from appliance.handlers.store import schema

DAY_US = 86_400_000_000
AHEAD_DAYS = 2
"""Made before they are needed: today's and the two after it."""
_LOCK = 0x57_45_42_52
"""Of the advisory lock that keeps two collectors from making one partition at the same time."""
_BOUNDS = text(
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = CAST(:parent AS regclass)"
)
_RANGE = re.compile(r"FOR VALUES FROM \((MINVALUE|'?\d+'?)\) TO \('?(\d+)'?\)")


class Partitions:
    """Knows the days that have their partitions."""

    def __init__(self, engine: Engine) -> None:
        self.enabled = engine.dialect.name == "postgresql"
        self._days: set[int] = set()

    def missing(self, numbers: Iterable[int]) -> set[int]:
        """Days since the epoch that events with these numbers need and that are not known to be there."""
        return {number // DAY_US for number in numbers} - self._days if self.enabled else set()

    def make(self, connection: Connection, days: Iterable[int]) -> None:
        """In the caller's transaction; tell :meth:`made` once it is committed."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        for table in schema.PARTITIONED:
            bounds = [(least, end) for _, least, end in _partitions(connection, table.name)]
            for day in sorted(days):
                start = day * DAY_US
                if not any(least <= start < end for least, end in bounds):
                    connection.execute(
                        text(
                            f"CREATE TABLE {table.name}_p{date(1970, 1, 1) + timedelta(days=day):%Y%m%d}"
                            f" PARTITION OF {table.name} FOR VALUES FROM ({start}) TO ({start + DAY_US})"
                        )
                    )

    def made(self, days: Iterable[int]) -> None:
        """They are there."""
        self._days.update(days)

    def forget(self) -> None:
        """Look again."""
        self._days.clear()

    def ahead(self, now_us: int) -> set[int]:
        """Days from today on that are to be made."""
        return self.missing(now_us + number * DAY_US for number in range(AHEAD_DAYS + 1))

    def drop(self, connection: Connection, before_us: int) -> int:
        """Drop the days that ended by then; the number of events that were in them."""
        dropped = 0
        for table in schema.PARTITIONED:
            for name, _, end in list(_partitions(connection, table.name)):
                if end <= before_us:
                    if table is schema.events:
                        dropped += connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one()  # noqa: S608  # a name of ours
                    connection.execute(text(f'DROP TABLE "{name}"'))
        return dropped


def _partitions(connection: Connection, parent: str) -> Iterator[tuple[str, int, int]]:
    """Name, first number, and the one after the last."""
    for name, words in connection.execute(_BOUNDS, {"parent": parent}):
        found = _RANGE.match(words)
        if found is not None:
            least = found[1].strip("'")
            yield name, -1 if least == "MINVALUE" else int(least), int(found[2])
