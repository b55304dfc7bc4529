"""Where the store is and how it is opened: SQLite inside the data directory, or a server that SQLAlchemy knows."""

import logging
import os
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)

from appliance.handlers.store import schema

logger = logging.getLogger(__name__)

FILE_NAME = "appliance.sqlite"
BUSY_SECONDS = 5.0
CACHE_KIB = 65_536
CHECKPOINT_PAGES = 8_000

_TIMEOUTS: dict[str, dict[str, Any]] = {
    "psycopg": {"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 30_000},
    "pymysql": {"connect_timeout": 5, "read_timeout": 60, "write_timeout": 60},
}
"""So that a server that has gone without a word is noticed, by the driver's own names."""
_OF_THE_VALUE = ("22", "54")
"""Classes of PostgreSQL's errors that psycopg calls operational: data exception, program limit exceeded."""
_TOO_LARGE = (1118, 1153)
"""MariaDB's: a row, a packet."""

_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own."""


class StoreError(ValueError):
    """The store can't be used as configured or as found; the message says why and what to do."""


def store_url(named: str, password: str, data_dir: Path) -> URL:
    """The database to use; an empty ``named`` is the SQLite file in ``data_dir``.

    :raises StoreError: it is no URL, holds a password, or names an SQLite file outside ``data_dir``.
    """
    if not named:
        return URL.create("sqlite", database=str(data_dir.resolve() / FILE_NAME))
    try:
        url = make_url(named)
    except ArgumentError:
        raise StoreError("url: not a database URL, wanted e.g. postgresql+psycopg://user@host/name") from None
    shown = url.render_as_string(hide_password=True)
    if url.password:
        raise StoreError(f"url: {shown}: the password belongs into the setting of that name")
    if url.get_backend_name() != "sqlite":
        return url.set(password=password or None)
    if url.query or not url.database or url.database.startswith(":") or url.database.startswith("file:"):
        raise StoreError(f"url: {shown}: wanted sqlite:///FILE, a file inside the data directory")
    folder = data_dir.resolve()
    path = (folder / url.database).resolve()
    if not path.is_relative_to(folder) or path == folder:
        raise StoreError(f"url: {shown}: the file is outside the data directory {folder}")
    return url.set(database=str(path))


def connect(url: URL, *, read_only: bool = False) -> Engine:
    """An engine of one or a few connections. :raises StoreError: the driver's package is not installed."""
    try:
        if url.get_backend_name() != "sqlite":
            engine = create_engine(
                url, pool_size=2, max_overflow=0, pool_pre_ping=True, hide_parameters=True,
                connect_args=_TIMEOUTS.get(url.get_driver_name(), {}),
            )  # fmt: skip
            if read_only:
                sqlalchemy.event.listen(engine, "connect", _forbid_writing)
            return engine
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)
    except ModuleNotFoundError as missing:
        raise StoreError(
            f"url: {url.drivername} needs the Python package {missing.name!r}, which is not installed"
        ) from None
    except SQLAlchemyError as problem:
        raise StoreError(f"url: {problem}") from None

    def prepare(connection: Any, _record: Any) -> None:
        for pragma in (
            # Reading needs no log of its own, and must never write.
            ("query_only = ON",)
            if read_only
            else (
                "journal_mode = WAL",
                "synchronous = NORMAL",
                f"cache_size = -{CACHE_KIB}",
                f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            )
        ):
            connection.execute(f"PRAGMA {pragma}")

    sqlalchemy.event.listen(engine, "connect", prepare)
    return engine


def _forbid_writing(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY" if hasattr(connection, "pgconn") else
                       "SET SESSION TRANSACTION READ ONLY")  # fmt: skip
    connection.commit()


def prepare_schema(engine: Engine) -> None:
    """Make what is missing in an empty database, bring an older one up, and refuse what a newer version has written.

    :raises StoreError: the schema is newer, or unknown. :raises SQLAlchemyError: it can't be read or made.
    """
    with engine.begin() as connection:
        tables = set(inspect(connection).get_table_names())
        if not tables & set(schema.metadata.tables):
            schema.metadata.create_all(connection)
            _VERSION.create(connection, checkfirst=True)
            connection.execute(insert(_VERSION), {"version_num": schema.REVISION})
            return
        found = _revision(connection, tables)
        if found != schema.REVISION:
            _migrate(connection, found)


def _revision(connection: Connection, tables: set[str]) -> str:
    if _VERSION.name in tables:
        return str(connection.execute(select(_VERSION.c.version_num)).scalar())
    if "schema_version" in tables:
        # Before alembic counted, there was one version, and a table that said so.
        number = connection.execute(text("SELECT max(version) FROM schema_version")).scalar()
        return f"{number:04}"
    return "none"


def _migrate(connection: Connection, found: str) -> None:
    from alembic import command  # a third of a second, which a store that is up to date need not spend
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    if found not in known:
        raise StoreError(
            f"the store has schema {found}, this version knows {schema.REVISION}: run the newer appliance that wrote "
            f"it, or name another database in handlers.store.url"
        )
    logger.warning("store: bringing the tables from schema %s to %s", found, schema.REVISION)
    if not inspect(connection).has_table(_VERSION.name):
        command.stamp(config, found)
    command.upgrade(config, "head")


def make_file(url: URL) -> None:
    """An SQLite file that its owner alone may read: descriptions and addresses are in it. :raises OSError: no."""
    if url.get_backend_name() == "sqlite" and url.database:
        number = os.open(url.database, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(number, 0o600)
        finally:
            os.close(number)


def is_passing(problem: SQLAlchemyError) -> bool:
    """Whether trying again may help: locked, disk full, server away. Not so for a value that is refused."""
    if isinstance(problem, DBAPIError) and problem.connection_invalidated:
        return True
    if not isinstance(problem, OperationalError):
        # What PyMySQL says of a connection that it has closed already.
        return isinstance(problem, InterfaceError)
    state = getattr(problem.orig, "sqlstate", None)
    return not (isinstance(state, str) and state.startswith(_OF_THE_VALUE)) and _number(problem) not in _TOO_LARGE


def _number(problem: OperationalError) -> int | None:
    """MariaDB's own, of an error."""
    first = problem.orig.args[0] if problem.orig is not None and problem.orig.args else None
    return first if isinstance(first, int) else None


def is_broken(problem: SQLAlchemyError) -> bool:
    """Whether an SQLite file is damaged."""
    return isinstance(problem, DatabaseError) and any(
        words in str(problem.orig) for words in ("malformed", "not a database", "file is encrypted")
    )


def set_aside(url: URL, when_us: int) -> Path | None:
    """Rename a damaged SQLite file and its logs, so that a new one can begin; the new name, for the log."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    path = Path(url.database)
    aside = path.with_name(f"{path.name}.damaged-{when_us}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            # It may be older than the rule that such files are their owner's alone.
            part.chmod(0o600)
            part.rename(aside.with_name(aside.name + suffix))
    return aside
