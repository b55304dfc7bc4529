"""A store of an earlier version is brought up to what a new one would be, with what is in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from appliance.handlers import store as package
from appliance.handlers.store import schema
from tests.handlers.harness import recorded, store

TRACE = "janus-1.4/chrome_echo_http.jsonl"
SCRIPTS = Path(package.__file__).parent / "migrations"


def config() -> Config:
    found = Config()
    found.set_main_option("script_location", str(SCRIPTS))
    return found


def first_version(path: Path) -> None:
    """A store as the version without alembic left it, with one event and one call."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        settings = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
    engine.dispose()
    with closing(sqlite3.connect(path)) as old:
        old.execute("DROP TABLE alembic_version")
        old.execute("INSERT INTO schema_version VALUES (1)")
        values = "('c', 's', 1, 2, 4102444800000000)"
        old.execute(f"INSERT INTO calls (correlation_id, server, session, handle, started_us) VALUES {values}")
        old.commit()


def test_the_revision_of_the_schema_is_the_last_script() -> None:
    assert ScriptDirectory.from_config(config()).get_current_head() == schema.REVISION


async def test_an_older_store_becomes_what_a_new_one_is(tmp_path: Path) -> None:
    first_version(tmp_path / "appliance.sqlite")
    handler = store(tmp_path)
    await handler.start()
    await handler.handle(list(recorded(TRACE)))
    await handler.flush()
    assert {"c"} < {call.correlation_id for call in await handler.archive.calls()}
    await handler.stop()
    engine = create_engine(f"sqlite:///{tmp_path}/appliance.sqlite")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


async def test_a_store_that_is_up_to_date_is_opened_again_as_it_is(tmp_path: Path) -> None:
    for _ in range(2):
        handler = store(tmp_path)
        await handler.start()
        await handler.stop()
    with closing(sqlite3.connect(tmp_path / "appliance.sqlite")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(schema.REVISION,)]
