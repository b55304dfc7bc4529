"""Database servers of the session, and a store's home in each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.handlers.databases import Home, database_server, with_all
from tests.peers.mariadb import MariaDb, mariadb
from tests.peers.postgresql import PostgreSql, postgresql


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSql]:
    with postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDb]:
    with mariadb() as server:
        yield server


@pytest.fixture(params=with_all())
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return Home(request.param, tmp_path, database_server(request.param, request))
