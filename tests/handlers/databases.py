"""Where a store of the tests is: a file, or a database of a server that the tests have started."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, make_url

from appliance.core.clock import Clock
from appliance.handlers.store import StoreConfig, StoreHandler
from tests.handlers.harness import store
from tests.peers.mariadb import MariaDb
from tests.peers.postgresql import PostgreSql

KINDS = ("sqlite", "postgresql", "mariadb")


class Home:
    """One empty database."""

    def __init__(self, kind: str, folder: Path, server: PostgreSql | MariaDb | None) -> None:
        self.kind = kind
        self.folder = folder
        self.server = server
        self._url = "" if server is None else server.database()
        self._password = "" if server is None else server.password

    @property
    def url(self) -> URL:
        """With the password."""
        if self.server is None:
            return URL.create("sqlite", database=str(self.folder / "appliance.sqlite"))
        return make_url(self._url).set(password=self._password)

    def store(self, clock: Clock | None = None, **settings: Any) -> StoreHandler:
        """Not started. Numbers in tests are small, so nothing is old unless a test says so."""
        wanted: dict[str, Any] = {"url": self._url, "password": self._password, "retention_days": 0.0}
        config = StoreConfig(**(wanted | settings))
        return store(self.folder, clock, config)

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """A query as one writes it, ``?`` for a value."""
        engine = create_engine(self.url)
        try:
            with engine.begin() as connection:
                if self.kind != "sqlite":
                    query = query.replace("%", "%%").replace("?", "%s")
                found = connection.exec_driver_sql(query, tuple(values))
                return [tuple(row) for row in found] if found.returns_rows else []
        finally:
            engine.dispose()


def database_server(kind: str, request: Any) -> PostgreSql | MariaDb | None:
    """Of the session, started when it is first asked for."""
    found: PostgreSql | MariaDb | None = None if kind == "sqlite" else request.getfixturevalue(f"{kind}_server")
    return found


def with_all(names: Sequence[str] = KINDS) -> list[Any]:
    """Parameters of a fixture; what needs a program is marked so."""
    return [name if name == "sqlite" else pytest.param(name, marks=pytest.mark.interop) for name in names]
