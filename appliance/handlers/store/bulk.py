"""Puts many rows into a table at once, in the fastest way that the database has: COPY on PostgreSQL."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, insert
from sqlalchemy.exc import DBAPIError

from appliance.handlers.store import schema


class Bulk:
    """The tables of one engine."""

    def __init__(self, engine: Engine, tables: Iterable[Table]) -> None:
        self._dialect = engine.dialect
        self._copies = engine.dialect.driver == "psycopg"
        statement = _copy if self._copies else _insert
        self._statements = {table.name: statement(engine, table) for table in tables}

    def insert(self, connection: Connection, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows in the order of the table's columns. :raises SQLAlchemyError: refused, or the database is away."""
        statement, names = self._statements[name]
        if self._copies:
            if name in _LARGE:
                # A call's rows beside each other touch a page of each index once: a fifth of the server's work.
                rows = sorted(rows, key=_session)
            self._copy(connection, statement, rows)
        elif names is None:
            connection.exec_driver_sql(statement, list(rows))
        else:
            connection.exec_driver_sql(statement, [dict(zip(names, row, strict=True)) for row in rows])

    def _copy(self, connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        driver = self._dialect.dbapi
        assert driver is not None
        own: Any = connection.connection.driver_connection
        try:
            with own.cursor() as cursor, cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        except driver.Error as problem:
            # SQLAlchemy did not make this call, and its errors are what the caller tells apart.
            raise DBAPIError.instance(
                statement, None, problem, driver.Error, hide_parameters=True, dialect=self._dialect
            ) from problem


_LARGE = {table.name for table in schema.PARTITIONED}
_SESSION = schema.events.columns.keys().index("session")


def _session(row: tuple[Any, ...]) -> int:
    return row[_SESSION] or 0


def _copy(engine: Engine, table: Table) -> tuple[str, None]:
    quote = engine.dialect.identifier_preparer.quote
    names = ", ".join(quote(column.name) for column in table.columns)
    return f"COPY {quote(table.name)} ({names}) FROM STDIN", None


def _insert(engine: Engine, table: Table) -> tuple[str, list[str] | None]:
    """The driver's own text of an INSERT, and the parameter names where the driver wants names.

    An event a row at thousands a second: SQLAlchemy's per-row work would cost as much as the database's.
    """
    compiled = insert(table).compile(dialect=engine.dialect)
    names = [column.name for column in table.columns]
    positional = getattr(compiled, "positiontup", None)
    assert positional is None or positional == names
    return str(compiled), None if positional is not None else names
